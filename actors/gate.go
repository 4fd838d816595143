package actors

import (
	"fmt"
	"slices"
	"time"

	"github.com/belfryhq/belfry/push"
)

const (
	pauseBase    = time.Minute      // the first pause after our credentials were refused, or too many subscriptions ended; doubles
	pauseLimit   = 15 * time.Minute // the longest such pause
	breakerBase  = 5 * time.Second  // the first time a breaker is open; doubles
	breakerLimit = 5 * time.Minute  // the longest such time

	severalUsers  = 3  // whom something has to happen to, before it is a matter of the push host
	failuresInRow = 10 // that open a breaker, however long they take
	window        = 10 // seconds, in which …
	windowSample  = 20 // … of so many sends more than half failed, to open a breaker
	endedBase     = 100
	endedLimit    = 100_000
	endedShare    = 5 // a gate shuts when more than one in so many ended a subscription
	endedMemory   = time.Hour
	probesMax     = 128 // in a batch

	slowStart = 8 // sends that may be under way before the first has gone well
)

// gate says how many sends a lane may have under way: it learns from their
// results. It shuts for one of four causes, each of them about the push host
// as a whole and not about one message:
//
//   - It refuses our credentials. At Web Push several users in a row have to be
//     refused with nothing delivered in between, for an endpoint is a URL that a stranger gave
//     us, and a strange path on a great push host may be answered by 401 for ever.
//     APNs and FCM are taken at their word.
//   - It asks for rest from all that comes with these credentials: a quota is used up.
//     Throttling alone is taken for the endpoint's, which waits for itself.
//   - It fails: 5xx, time-outs, broken connections. That is a circuit breaker.
//   - In a minute, more than a fifth of all sends ended a subscription. Whatever the
//     reason is, that many are not to be deleted without somebody looking. An old
//     list of subscriptions looks the same, so each time the gate opens again it
//     takes twice as many sends to judge, until it was quiet for an hour.
//
// After a time, which grows, a shut gate lets a probe through, and opens if that
// meets with something else than what shut it. Where subscriptions ended, it is
// several probes, more each time, and one that does well opens it: an old list
// comes to its end, and holds nobody else up for long.
//
// An open gate starts with few sends and lets in one more for each that went
// well, so that a host that hangs never holds many.
type gate struct {
	refusals int // users refused in a row, with none delivered to, that shut it

	cause  cause // why it is shut; zero when it is open
	until  time.Time
	since  time.Time // when it was open last
	row    int       // how often it shut without opening
	result push.Result

	refused  map[push.User]bool // since it delivered last
	failed   map[push.User]bool // since the host answered last
	failures int                // in a row
	tally    tally
	sample   int       // sends in a minute from which on the ended are judged
	judged   time.Time // when they were too many last
	batch    int       // probes to let through; 0 for one
	probed   int       // of the batch, those that met with the same again
	proven   int       // sends that went well since it opened
}

// cause is why a gate is shut.
type cause uint8

const (
	causeRefused cause = iota + 1 // the host refuses our credentials
	causeFailing                  // the host fails: the breaker is open
	causeEnded                    // the host ends too many subscriptions
	causeAsked                    // the host asks for rest
)

// String is the word for it in events.
func (c cause) String() string {
	switch c {
	case causeRefused:
		return "credentials refused"
	case causeFailing:
		return "push host failing"
	case causeEnded:
		return "too many subscriptions ended"
	case causeAsked:
		return "push host asks for rest"
	default:
		return fmt.Sprintf("cause(%d)", uint8(c))
	}
}

func newGate(kind push.Kind) gate {
	refusals := 1
	if kind == push.WebPush {
		refusals = severalUsers
	}
	return gate{refusals: refusals, refused: make(map[push.User]bool), failed: make(map[push.User]bool), sample: endedBase}
}

// change is what a result did to a gate.
type change uint8

const (
	unchanged change = iota
	shut
	opened
)

func (g *gate) isShut() bool { return g.cause != 0 }

// permits is how many sends may be under way now, at most limit.
func (g *gate) permits(now time.Time, limit int) int {
	switch {
	case now.Before(g.until):
		return 0
	case g.isShut():
		return min(limit, max(1, g.batch-g.probed)) // the probes
	default:
		return min(limit, slowStart+g.proven)
	}
}

// note draws conclusions from the result of a send that was begun as a probe,
// or not.
func (g *gate) note(user push.User, result push.Result, probe bool, now time.Time) change {
	failed := isFailure(result)
	g.tally.add(now, user, result)
	known := g.refused[user]
	switch {
	case result.Outcome == push.Delivered:
		clear(g.refused)
	case result.Outcome == push.Refused:
		g.refused[user] = true
	}
	if failed {
		g.failed[user] = true
		g.failures++
	} else {
		clear(g.failed)
		g.failures = 0
		g.proven++
	}
	switch {
	case probe && g.cause.is(result) && g.probed+1 < g.batch:
		g.probed++
	case probe && g.cause.is(result):
		g.shut(g.cause, result, now, g.cause != causeRefused || !known)
		return shut
	case probe:
		g.open()
		return opened
	case g.isShut():
		return unchanged // begun before it shut
	}
	if cause := g.judge(result, now); cause != 0 {
		g.shut(cause, result, now, true)
		return shut
	}
	return unchanged
}

// is tells whether a result is of the kind that shuts a gate for this cause.
func (c cause) is(result push.Result) bool {
	switch c {
	case causeRefused:
		return result.Outcome == push.Refused
	case causeFailing:
		return isFailure(result)
	case causeAsked:
		return result.Pause > 0
	default:
		return isEnd(result)
	}
}

// judge tells whether the results so far shut an open gate, and why.
func (g *gate) judge(result push.Result, now time.Time) cause {
	switch {
	case result.Pause > 0:
		return causeAsked
	case result.Outcome == push.Refused && len(g.refused) >= g.refusals:
		return causeRefused
	case isFailure(result) && g.isFailing(now):
		return causeFailing
	case isEnd(result):
		minute := g.tally.sum(now, len(g.tally.seconds))
		if now.Sub(g.judged) > endedMemory {
			g.sample = endedBase
		}
		if minute.sends >= g.sample && minute.ended*endedShare > minute.sends {
			g.sample, g.judged = min(g.sample*2, endedLimit), now
			return causeEnded
		}
	}
	return 0
}

func (g *gate) isFailing(now time.Time) bool {
	if g.failures >= failuresInRow && len(g.failed) >= severalUsers {
		return true
	}
	lately := g.tally.sum(now, window)
	return lately.sends >= windowSample && lately.failed*2 > lately.sends && lately.failedFor.areSeveral()
}

// isFailure tells whether a result is the push host's failure to answer.
func isFailure(result push.Result) bool {
	return result.Outcome == push.Retry && (result.Status == 0 || result.Status >= 500)
}

// isEnd tells whether the push host ended the subscription.
func isEnd(result push.Result) bool { return result.Outcome == push.Gone && result.Status != 0 }

func (g *gate) shut(why cause, result push.Result, now time.Time, grow bool) {
	if g.row == 0 {
		g.since = now
	}
	if grow || g.row == 0 {
		g.row++
	}
	g.batch, g.probed = 0, 0
	if why == causeEnded {
		g.batch = min(slowStart<<min(g.row-1, 10), probesMax)
	}
	g.cause, g.result, g.proven = why, result, 0
	g.until = now.Add(g.pause(why, result))
	g.tally = tally{}
}

func (g *gate) pause(why cause, result push.Result) time.Duration {
	base, limit := pauseBase, pauseLimit
	switch why {
	case causeAsked:
		return min(max(result.Pause, retryAfterMin), retryAfterMax)
	case causeFailing:
		base, limit = breakerBase, breakerLimit
	}
	return min(base<<min(g.row-1, 10), limit)
}

// reconsider ends the pause of a gate that is shut because our credentials were
// refused: they are others now.
func (g *gate) reconsider(now time.Time) {
	if g.cause == causeRefused && now.Before(g.until) {
		g.until = now
	}
}

func (g *gate) open() {
	g.cause, g.until, g.row, g.failures, g.batch, g.probed = 0, time.Time{}, 0, 0, 0, 0
	g.tally = tally{}
	clear(g.failed)
}

// reason is what the push host said that shut it.
func (g *gate) reason() string {
	if g.result.Status == 0 {
		return g.result.Reason
	}
	return fmt.Sprintf("%d %s", g.result.Status, g.result.Reason)
}

// state is the word for it in the tree.
func (g *gate) state(now time.Time) string {
	probing := !now.Before(g.until)
	switch {
	case !g.isShut():
		return "running"
	case g.cause == causeFailing && probing:
		return "breaker half-open: " + g.reason()
	case g.cause == causeFailing:
		return "breaker open: " + g.reason()
	case probing:
		return "probing after a pause: " + g.reason()
	default:
		return "paused: " + g.reason()
	}
}

// tally counts the sends of the last minute, second by second.
type tally struct {
	start   time.Time // of the first second; by the monotonic clock, which is not set
	seconds [60]count
	latest  int64 // the second counted last, since the start
}

// count is what came of the sends of a second, or of several.
type count struct {
	sends, failed, ended int
	failedFor            some
}

func (t *tally) add(now time.Time, user push.User, result push.Result) {
	t.advance(now)
	c := &t.seconds[t.latest%int64(len(t.seconds))]
	c.sends++
	switch {
	case isFailure(result):
		c.failed++
		c.failedFor.add(user.Shard())
	case isEnd(result):
		c.ended++
	}
}

// advance clears the seconds in which nothing was counted.
func (t *tally) advance(now time.Time) {
	if t.start.IsZero() {
		t.start = now
	}
	second := int64(now.Sub(t.start) / time.Second)
	size := int64(len(t.seconds))
	for i := max(t.latest+1, second-size+1); i <= second; i++ {
		t.seconds[i%size] = count{}
	}
	t.latest = max(t.latest, second)
}

// sum gives what was counted in the last seconds, the current one included.
func (t *tally) sum(now time.Time, seconds int) (total count) {
	t.advance(now)
	for i := range min(int64(seconds), t.latest+1) {
		c := t.seconds[(t.latest-i)%int64(len(t.seconds))]
		total.sends += c.sends
		total.failed += c.failed
		total.ended += c.ended
		for _, shard := range c.failedFor.all() {
			total.failedFor.add(shard)
		}
	}
	return total
}

// some tells one user from several, by their shards: it never counts too many.
type some struct {
	shards [severalUsers]push.Shard
	n      int
}

func (s *some) all() []push.Shard { return s.shards[:s.n] }

func (s *some) add(shard push.Shard) {
	if s.n < len(s.shards) && !slices.Contains(s.all(), shard) {
		s.shards[s.n] = shard
		s.n++
	}
}

// areSeveral tells whether there were enough users to say something of the host.
func (s *some) areSeveral() bool { return s.n == len(s.shards) }

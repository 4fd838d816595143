package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// What may happen to two users with three browsers between them, in any order.
// Whatever does, everything that was accepted ends, in order, once, and says
// how.
func TestProperty_NothingIsLostOrOutOfOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(drawStep(), 5, 40).Draw(rt, "steps")
		var complaints []string
		bubble(t, func(t *testing.T) {
			s := newSequence(t)
			for _, step := range steps {
				step.do(s)
			}
			complaints = s.finish()
		})
		if len(complaints) > 0 {
			rt.Fatalf("%d complaints; the first: %s", len(complaints), complaints[0])
		}
	})
}

// sequence is one run, and what is known of it from outside.
type sequence struct {
	*rig
	sent      []sentOut
	cancelled map[push.ID]bool
	gone      map[string]bool // browsers that were unsubscribed
	renewed   bool            // some registered again
	db        *unsteadyStore
	repeats   bool // something happened that allows them
	wrong     []string
}

func (s *sequence) complain(format string, args ...any) {
	s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
}

type sentOut struct {
	id        push.ID
	key       string
	user      string
	scheduled time.Time
}

var browsersOf = map[string][]string{"ann": {"laptop", "phone"}, "bob": {"desktop"}}

func newSequence(t *testing.T) *sequence {
	s := &sequence{cancelled: make(map[push.ID]bool), gone: make(map[string]bool)}
	s.rig = newRig(t, small, func(c *Config) {
		s.db = &unsteadyStore{Store: c.Store}
		c.Store = s.db
	})
	s.bugs = true
	for user, browsers := range browsersOf {
		for _, browser := range browsers {
			s.subscribe(user, browser)
		}
	}
	return s
}

func small(c *Config) {
	c.Window, c.Ranges, c.LaneInFlight, c.IdleAfter = 16, 1, 4, 5*time.Second
}

func (s *sequence) boot() {
	s.rig.start(small, func(c *Config) { c.Store = s.db })
}

// unsteadyStore does nothing while it is out, and once does what it is told
// and says that it did not.
type unsteadyStore struct {
	store.Store
	out    atomic.Bool
	silent atomic.Bool
}

func (s *unsteadyStore) err() error {
	if s.out.Load() {
		return errNoStore
	}
	return nil
}

func (s *unsteadyStore) Commit(ctx context.Context, group store.Group) error {
	if err := s.err(); err != nil {
		return err
	}
	if err := s.Store.Commit(ctx, group); err != nil {
		return err
	}
	if s.silent.CompareAndSwap(true, false) {
		return errNoStore
	}
	return nil
}

func (s *unsteadyStore) ListPending(ctx context.Context, shards push.ShardRange, after, upTo push.ID, limit int) ([]store.Pending, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.ListPending(ctx, shards, after, upTo, limit)
}

func (s *unsteadyStore) ListPendingOf(ctx context.Context, user push.User, after, upTo push.ID, limit int) ([]store.Pending, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.ListPendingOf(ctx, user, after, upTo, limit)
}

func (s *unsteadyStore) ListDue(ctx context.Context, shards push.ShardRange, after store.Parking, upTo time.Time, limit int) ([]store.Due, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.ListDue(ctx, shards, after, upTo, limit)
}

func (s *unsteadyStore) ListDueOf(ctx context.Context, users []store.UserAfter, upTo time.Time, limit int) (map[push.User][]store.Pending, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.ListDueOf(ctx, users, upTo, limit)
}

func (s *unsteadyStore) ListSubscriptions(ctx context.Context, users []push.User) (map[push.User][]push.Subscription, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.ListSubscriptions(ctx, users)
}

// step is one thing that happens; its text is what a failure shows.
type step struct {
	text string
	do   func(s *sequence)
}

func (s step) GoString() string { return s.text }

func drawStep() *rapid.Generator[step] {
	user := rapid.SampledFrom([]string{"ann", "bob"})
	browser := rapid.SampledFrom([]string{"laptop", "phone", "desktop"})
	return rapid.Custom(func(t *rapid.T) step {
		switch rapid.SampledFrom([]string{
			"notify", "notify", "notify", "notify", "script", "script", "script", "wait", "wait", "wait",
			"cancel", "unsubscribe", "register", "restart", "crash", "panic", "outage", "lost answer",
		}).Draw(t, "what") {
		case "notify":
			u := user.Draw(t, "user")
			draft := Draft{
				User: userNamed(u), Content: []byte(`{"title":"hello"}`),
				TTL:         rapid.SampledFrom([]time.Duration{30 * time.Second, 10 * time.Minute, 3 * time.Hour}).Draw(t, "ttl"),
				CollapseKey: rapid.SampledFrom([]string{"", "", "", "k1", "k2"}).Draw(t, "key"),
			}
			later := rapid.SampledFrom([]time.Duration{0, 0, 0, 0, 20 * time.Second, time.Hour}).Draw(t, "later")
			n := rapid.SampledFrom([]int{1, 1, 2, 9}).Draw(t, "times")
			return step{fmt.Sprintf("notify %s %d× ttl=%v key=%q later=%v", u, n, draft.TTL, draft.CollapseKey, later), func(s *sequence) { s.send(draft, later, n) }}
		case "script":
			b := browser.Draw(t, "browser")
			answers := rapid.SliceOfN(drawAnswer(), 1, 4).Draw(t, "answers")
			return step{fmt.Sprintf("script %s %v", b, answers), func(s *sequence) { s.service.script(b, answers...) }}
		case "wait":
			d := rapid.SampledFrom([]time.Duration{0, time.Second, 10 * time.Second, 2 * time.Minute, time.Hour}).Draw(t, "time")
			return step{fmt.Sprintf("wait %v", d), func(s *sequence) { time.Sleep(d); s.settle() }}
		case "cancel":
			i := rapid.IntRange(0, 50).Draw(t, "which")
			return step{fmt.Sprintf("cancel #%d", i), func(s *sequence) { s.cancel(i) }}
		case "unsubscribe":
			b := browser.Draw(t, "browser")
			return step{"unsubscribe " + b, func(s *sequence) { s.unsubscribe(b) }}
		case "register":
			b := browser.Draw(t, "browser")
			return step{"register " + b + " again", func(s *sequence) { s.register(b) }}
		case "restart":
			return step{"restart", func(s *sequence) { s.restart() }}
		case "crash":
			return step{"crash", func(s *sequence) { s.crash() }}
		case "outage":
			d := rapid.SampledFrom([]time.Duration{time.Second, 3 * time.Minute}).Draw(t, "time")
			return step{fmt.Sprintf("the store is out for %v", d), func(s *sequence) { s.db.out.Store(true); time.Sleep(d); s.db.out.Store(false) }}
		case "lost answer":
			return step{"the store keeps a commit and does not say so", func(s *sequence) { s.repeats = true; s.db.silent.Store(true) }}
		default:
			return step{"panic in the user's actor", func(s *sequence) { s.panicOnce() }}
		}
	})
}

func drawAnswer() *rapid.Generator[answer] {
	return rapid.SampledFrom([]answer{
		{}, {}, outcome(push.Retry, 503), outcome(push.Rejected, 413), retryAfter(10 * time.Second),
		retryAfter(10 * time.Minute), retryAfter(time.Hour), {panics: true}, outcome(push.Gone, 410),
	})
}

func (s *sequence) send(draft Draft, later time.Duration, times int) {
	var drafts []Draft
	for range times {
		if later > 0 {
			draft.SendAt = time.Now().Add(later)
		}
		drafts = append(drafts, draft)
	}
	ids, err := s.Notify(drafts)
	if errors.Is(err, ErrUnavailable) {
		return // nothing was promised
	}
	require.NoError(s.t, err)
	for _, id := range ids {
		s.sent = append(s.sent, sentOut{id: id, key: draft.CollapseKey, user: draft.User.ID, scheduled: draft.SendAt})
	}
}

func (s *sequence) cancel(i int) {
	if len(s.sent) == 0 {
		return
	}
	id := s.sent[i%len(s.sent)].id
	s.cancelled[id] = true
	if err := s.Cancel(s.t.Context(), push.DefaultApp, id); err != nil {
		s.complain("cancel #%d: %v", i%len(s.sent), err)
	}
}

func (s *sequence) unsubscribe(browser string) {
	s.gone[browser] = true
	sub := subscriptionAt(ownerOf(browser), browser)
	if err := s.Unsubscribe(s.t.Context(), sub.User, sub.Digest); err != nil {
		require.ErrorIs(s.t, err, store.ErrNotFound)
	}
}

// register has a browser that is subscribed register again, with other keys.
func (s *sequence) register(browser string) {
	if s.gone[browser] {
		return
	}
	sub := subscriptionAt(ownerOf(browser), browser)
	known, err := s.store.ListSubscriptions(s.t.Context(), []push.User{sub.User})
	require.NoError(s.t, err)
	if slices.ContainsFunc(known[sub.User], func(k push.Subscription) bool { return k.Digest == sub.Digest }) {
		s.renewed = true
		sub.Auth = []byte("0123456789abcdef")
		_, err := s.Subscribe(s.t.Context(), sub)
		require.NoError(s.t, err)
	}
}

func ownerOf(browser string) string {
	for user, browsers := range browsersOf {
		if slices.Contains(browsers, browser) {
			return user
		}
	}
	panic(browser)
}

// crash stops the system as a kill would, and starts another.
func (s *sequence) crash() {
	s.repeats = true
	require.NoError(s.t, s.Abandon())
	s.boot()
}

// restart drains the system and starts another. A panic in the middle of a
// drain makes it incomplete, which is no worse than a crash.
func (s *sequence) restart() {
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Drain(ctx); err != nil && !s.repeats {
		s.complain("drain: %v", err)
	}
	s.boot()
}

func (s *sequence) panicOnce() {
	s.repeats = true
	s.failOnce(func(e Event) bool { _, ok := e.(DeliveryConcluded); return ok })
}

// finish lets time pass until all is final, and says what is wrong with it.
func (s *sequence) finish() []string {
	s.service.mend()
	time.Sleep(4 * time.Hour)
	s.settle()
	var ids []push.ID
	for i, n := range s.sent {
		ids = append(ids, n.id)
		fate := s.fate(n.id)
		if fate.Pending {
			s.complain("#%d is still pending: %+v", i, fate.Deliveries)
		}
		if len(fate.Deliveries) == 0 {
			s.complain("#%d is not explained", i)
		}
		for _, d := range fate.Deliveries {
			s.checkState(i, d)
		}
	}
	for _, browsers := range browsersOf {
		for _, browser := range browsers {
			s.checkBrowser(browser)
		}
	}
	if rejoined := eventsOf[WorkRejoined](s.rig); len(rejoined) > 0 && !s.repeats {
		s.complain("the sweep had to find %d notifications", len(rejoined))
	}
	s.wrong = append(s.wrong, s.feedComplaints(ids...)...)
	for digest, n := range s.removals() {
		if n > 1 && !s.renewed { // one that registers in that very moment stays
			s.complain("%s is gone %d times", digest.Short(), n)
		}
	}
	return s.wrong
}

func (s *sequence) checkState(i int, d push.Delivery) {
	n := s.sent[i]
	switch d.State {
	case push.StateSuperseded:
		if !slices.ContainsFunc(s.sent, func(o sentOut) bool { return o.user == n.user && o.key == n.key && o.id != n.id }) || n.key == "" {
			s.complain("#%d is superseded by nothing", i)
		}
	case push.StateCancelled:
		if !s.cancelled[n.id] {
			s.complain("#%d is cancelled by nobody", i)
		}
	case push.StateDelivered:
		if !slices.ContainsFunc(s.browsers(n.user), func(b string) bool { return slices.Contains(s.service.got(b), n.id) }) {
			s.complain("#%d is called delivered, and is not", i)
		}
	}
}

func (s *sequence) browsers(user string) []string { return browsersOf[user] }

// checkBrowser looks for repeats among what a browser received, and for what
// was offered to it for the first time after something newer.
func (s *sequence) checkBrowser(browser string) {
	received := make(map[push.ID]bool)
	for _, id := range s.service.got(browser) {
		if received[id] && !s.repeats {
			s.complain("%s got #%d twice", browser, s.number(id))
		}
		received[id] = true
	}
	offered := make(map[push.ID]bool)
	var last push.ID
	for _, id := range s.service.offered(browser) {
		i := s.number(id)
		// One kept by a commit whose answer was lost was promised to nobody, and
		// one that was scheduled stands where its time put it.
		if i < 0 || !s.sent[i].scheduled.IsZero() || offered[id] {
			continue
		}
		offered[id] = true
		if s.repeats && s.sent[i].key != "" {
			continue // that a newer one had taken its place may be forgotten
		}
		if id.Compare(last) < 0 {
			s.complain("%s was offered #%d after a newer one", browser, i)
		}
		last = id
	}
	if most := s.service.mostAtOnce(browser); most > 1 && !s.repeats {
		s.complain("%s had %d in flight", browser, most)
	}
}

func (s *sequence) number(id push.ID) int {
	return slices.IndexFunc(s.sent, func(n sentOut) bool { return n.id == id })
}

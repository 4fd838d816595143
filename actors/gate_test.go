package actors

import (
	"fmt"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var (
	good    = push.Result{Outcome: push.Delivered, Status: 201}
	broken  = push.Result{Outcome: push.Retry, Status: 503, Reason: "down"}
	hung    = push.Result{Outcome: push.Retry, Reason: "time-out"}
	slowed  = push.Result{Outcome: push.Retry, Status: 429, Reason: "slow down"}
	goneOne = push.Result{Outcome: push.Gone, Status: 410, Reason: "gone"}
)

// gateAt is a gate with a clock of its own.
type gateAt struct {
	gate
	now time.Time
}

func newGateAt() *gateAt {
	return &gateAt{gate: newGate(push.WebPush), now: time.Unix(1_800_000_000, 0)}
}

// gets notes results, each for another user, a tenth of a second apart, until
// one changes the gate.
func (g *gateAt) gets(times int, results ...push.Result) change {
	for i := range times {
		g.now = g.now.Add(100 * time.Millisecond)
		user := userNamed(fmt.Sprint("user-", i))
		if c := g.note(user, results[i%len(results)], false, g.now); c != unchanged {
			return c
		}
	}
	return unchanged
}

func (g *gateAt) probe(result push.Result) change {
	g.now = g.until
	return g.note(userNamed("probe"), result, true, g.now)
}

func TestGate_ShutsAtFailuresInARow(t *testing.T) {
	g := newGateAt()
	require.Equal(t, unchanged, g.gets(failuresInRow-1, broken))
	require.Equal(t, shut, g.gets(1, hung))
	require.Equal(t, breakerBase, g.until.Sub(g.now))
	require.Equal(t, "breaker open: time-out", g.state(g.now))
	require.Zero(t, g.permits(g.now, 128))
	require.Equal(t, 1, g.permits(g.until, 128), "a probe")
	require.Equal(t, "breaker half-open: time-out", g.state(g.until))
}

func TestGate_ShutsWhenMoreThanHalfFails(t *testing.T) {
	g := newGateAt()
	require.Equal(t, unchanged, g.gets(300, good, broken, good), "less than half")
	require.Equal(t, shut, g.gets(200, broken, good, broken))
}

func TestGate_OneUsersEndpointsDoNotShutIt(t *testing.T) {
	g := newGateAt()
	for range 100 {
		require.Equal(t, unchanged, g.note(userNamed("mallory"), broken, false, g.now))
	}
}

func TestGate_ThrottlingIsNoFailure(t *testing.T) {
	require.Equal(t, unchanged, newGateAt().gets(1000, slowed))
}

func TestGate_RestsForAsLongAsTheHostAsks(t *testing.T) {
	g := newGateAt()
	asked := slowed
	asked.Pause = 40 * time.Second
	require.Equal(t, shut, g.gets(1, asked))
	require.Equal(t, causeAsked, g.cause)
	require.Equal(t, 40*time.Second, g.until.Sub(g.now))
	asked.Pause = 24 * time.Hour
	require.Equal(t, shut, g.probe(asked))
	require.Equal(t, retryAfterMax, g.until.Sub(g.now))
	require.Equal(t, opened, g.probe(slowed), "one that is for this subscription alone")
}

func TestGate_ProbesOpenItOrShutItForLonger(t *testing.T) {
	g := newGateAt()
	g.gets(failuresInRow, broken)
	for _, length := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, breakerLimit, breakerLimit} {
		require.Equal(t, shut, g.probe(broken))
		require.Equal(t, length, g.until.Sub(g.now))
	}
	require.Equal(t, unchanged, g.note(userNamed("late"), good, false, g.now), "begun before it shut")
	require.Equal(t, opened, g.probe(slowed), "the host answers")
	require.Equal(t, "running", g.state(g.now))
	g.gets(failuresInRow, broken)
	require.Equal(t, breakerBase, g.until.Sub(g.now), "from the start again")
}

func TestGate_ShutsBeforeAFaultDeletesAllSubscriptions(t *testing.T) {
	g := newGateAt()
	require.Equal(t, unchanged, g.gets(2000, good, good, good, good, good, goneOne), "less than a fifth")
	require.Equal(t, shut, g.gets(100, goneOne))
	require.Equal(t, causeEnded, g.cause)
	require.Equal(t, pauseBase, g.until.Sub(g.now))
	require.Equal(t, "paused: 410 gone", g.state(g.now))
	require.Equal(t, 4, g.permits(g.until, 4), "never more than a lane may")
	for _, batch := range []int{slowStart, 2 * slowStart} {
		for left := batch; left > 0; left-- {
			require.Equal(t, left, g.permits(g.until, 128))
			require.Equal(t, left == 1, g.probe(goneOne) == shut, "with the last of the batch")
		}
	}
	require.Equal(t, 4*pauseBase, g.until.Sub(g.now))
	require.Equal(t, unchanged, g.probe(goneOne))
	require.Equal(t, opened, g.probe(good), "one that does well is enough")
}

// A message that the push service takes for nobody deletes nothing.
func TestGate_ABadBroadcastDoesNotShutIt(t *testing.T) {
	rejected := push.Result{Outcome: push.Rejected, Status: 400, Reason: "bad"}
	require.Equal(t, unchanged, newGateAt().gets(5000, rejected))
}

func TestGate_ForgetsAnOldListAfterAQuietHour(t *testing.T) {
	g := newGateAt()
	require.Equal(t, shut, g.gets(200, goneOne))
	g.probe(good)
	require.Equal(t, unchanged, g.gets(2*endedBase-1, goneOne), "twice as many")
	require.Equal(t, shut, g.gets(1, goneOne))
	g.probe(good)
	g.now = g.now.Add(2 * endedMemory)
	require.Equal(t, unchanged, g.gets(endedBase-1, goneOne))
	require.Equal(t, shut, g.gets(1, goneOne))
}

func TestGate_AnOldListOfSubscriptionsGetsThrough(t *testing.T) {
	g := newGateAt()
	rounds := 0
	for sent := 0; sent < 20_000; sent++ { // two in five are gone
		g.now = g.now.Add(2 * time.Millisecond)
		result := good
		if sent%5 < 2 {
			result = goneOne
		}
		if g.note(userNamed(fmt.Sprint("user-", sent)), result, false, g.now) == shut {
			rounds++
			require.Equal(t, opened, g.probe(good))
		}
	}
	require.LessOrEqual(t, rounds, 8, "each time it takes twice as many")
	require.GreaterOrEqual(t, rounds, 3)
}

func TestGate_GrowsWithWhatWentWell(t *testing.T) {
	g := newGateAt()
	require.Equal(t, slowStart, g.permits(g.now, 128))
	g.gets(10, good)
	require.Equal(t, slowStart+10, g.permits(g.now, 128))
	g.gets(1000, good)
	require.Equal(t, 128, g.permits(g.now, 128))
	g.gets(200, broken)
	g.probe(good)
	require.Equal(t, slowStart+1, g.permits(g.now, 128), "from the start again")
}

func TestTally_CountsTheLastSeconds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tally tally
		at := time.Unix(1_800_000_000, 0)
		var noted []time.Time
		second := func(at time.Time) int64 { return int64(at.Sub(noted[0]) / time.Second) }
		for range rapid.IntRange(0, 200).Draw(t, "sends") {
			at = at.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "gap")) * time.Millisecond)
			tally.add(at, userNamed("ann"), broken)
			noted = append(noted, at)
		}
		at = at.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "later")) * time.Second)
		seconds := rapid.IntRange(1, 60).Draw(t, "seconds")
		want := 0
		for _, n := range noted {
			if second(at)-second(n) < int64(seconds) {
				want++
			}
		}
		got := tally.sum(at, seconds)
		require.Equal(t, []int{want, want, 0}, []int{got.sends, got.failed, got.ended})
		require.False(t, got.failedFor.areSeveral(), "it was one user")
	})
}

// subscribeAt registers a browser at a push host of its own.
func (r *rig) subscribeAt(host, user string) push.Subscription {
	r.t.Helper()
	sub := subscriptionAt(user, user)
	sub.Endpoint = push.Endpoint("https://" + host + "/" + user)
	sub.Digest = push.DigestOf(sub.Endpoint)
	_, err := r.Subscribe(r.t.Context(), sub)
	require.NoError(r.t, err)
	return sub
}

// One push host hangs, three are well. Far more is sent than memory has room for.
func TestLane_AHostThatHangsSlowsNoOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const users, rounds = 40, 15 // to the host that hangs alone, more than the window holds
		r := newRig(t, func(c *Config) { c.Window, c.Ranges, c.LaneInFlight, c.SendInFlight = 512, 1, 16, 40 })
		r.service.takes(20 * time.Millisecond)
		hosts := []string{"hangs.example", "one.example", "two.example", "three.example"}
		var all []string
		for _, host := range hosts {
			for i := range users {
				user := fmt.Sprintf("%s-%d", host, i)
				r.subscribeAt(host, user)
				all = append(all, user)
				if host == hosts[0] {
					hangs := make([]answer, 500)
					for i := range hangs {
						hangs[i] = answer{delay: 30 * time.Second, result: hung}
					}
					r.service.script(user, hangs...)
				}
			}
		}
		for range rounds {
			r.notifyTTL(24*time.Hour, all...)
			time.Sleep(2 * time.Second)
		}
		for _, user := range all[users:] {
			require.Len(t, r.service.got(user), rounds, "%s does not wait for the host that hangs", user)
		}
		time.Sleep(time.Minute)
		require.NotEmpty(t, eventsOf[LanePaused](r))
		for _, user := range all[:users] {
			r.service.script(user)
		}
		time.Sleep(time.Hour)
		for _, user := range all {
			require.Len(t, r.service.got(user), rounds)
			require.IsIncreasing(t, idStrings(r.service.got(user)))
		}
	})
}

func idStrings(ids []push.ID) (list []string) {
	for _, id := range ids {
		list = append(list, id.String())
	}
	return list
}

func TestLane_WhatItRefusesToHoldRestsAndComesBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.LaneInFlight = 4 })
		var ids []push.ID
		for i := range 40 {
			ids = append(ids, r.refusing(fmt.Sprint("user-", i), 6))
		}
		time.Sleep(10 * time.Minute)
		paused := eventsOf[LanePaused](r)
		require.Equal(t, "credentials refused", paused[0].Cause)
		lane := r.inspect("/lanes").Children[0]
		require.Contains(t, lane.State, "paused: 403")
		require.LessOrEqual(t, lane.Queue, 4)
		for i := range ids {
			r.service.script(fmt.Sprint("user-", i)) // somebody has mended them
		}
		time.Sleep(time.Hour)
		for _, id := range ids {
			require.Equal(t, []string{"delivered"}, r.states(id))
		}
	})
}

func TestLane_ABoundOnAllSendsTogether(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.SendInFlight = 5 })
		r.service.takes(time.Second)
		var all []string
		for i := range 30 {
			user := fmt.Sprint("user-", i)
			r.subscribeAt(fmt.Sprintf("host-%d.example", i%10), user)
			all = append(all, user)
		}
		ids := r.notify(all...)
		time.Sleep(10 * time.Second)
		require.Equal(t, 5, r.service.mostOfAll())
		for _, id := range ids {
			require.Equal(t, []string{"delivered"}, r.states(id))
		}
	})
}

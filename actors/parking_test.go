package actors

import (
	"fmt"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/stretchr/testify/require"
)

func (r *rig) requireNoActor(user string) {
	r.t.Helper()
	_, err := r.Inspect(r.t.Context(), r.pathOfUser(user), "", 1)
	require.ErrorIs(r.t, err, ErrNoActor)
}

func (r *rig) windows() (held int) {
	for i := range r.config.Ranges {
		held += r.inspect("/registry/" + r.rangeName(i)).Node.Queue
	}
	return held
}

func TestParking_ALongWaitLeavesMemoryAndComesBackWhenDue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.subscribe("ann", "phone")
		r.service.script("laptop", retryAfter(30*time.Minute))
		want := r.notify("ann")
		time.Sleep(time.Second)
		page := r.inspect(r.pathOfUser("ann"))
		require.Len(t, page.Children, 1)
		require.Equal(t, "resting", page.Children[0].State)
		require.Equal(t, 30*time.Minute, time.Until(page.Children[0].NextAttempt).Round(time.Minute))
		require.Zero(t, r.windows(), "it waits in the store alone")
		time.Sleep(20 * time.Minute)
		r.requireNoActor("ann")

		want = append(want, r.notify("ann", "ann")...)
		r.settle()
		require.Equal(t, want, r.service.got("phone"), "which does not wait for the laptop")
		require.Empty(t, r.service.got("laptop"))
		live, err := r.Progress(t.Context(), userNamed("ann"), want[0])
		require.NoError(t, err)
		require.Len(t, live, 1)
		require.Equal(t, 1, live[0].Attempts)
		require.Equal(t, 429, live[0].Last.Status)

		time.Sleep(11 * time.Minute)
		require.Equal(t, want, r.service.got("laptop"))
		require.Len(t, r.service.attemptsAt("laptop"), 4)
		require.Equal(t, 2, r.fate(want[0]).Deliveries[1].Attempts, "those before it was parked count")
		time.Sleep(2 * time.Minute)
		r.requireNoActor("ann")
		subs, err := r.store.ListSubscriptions(t.Context(), []push.User{userNamed("ann")})
		require.NoError(t, err)
		for _, sub := range subs[userNamed("ann")] {
			require.Zero(t, sub.Rest)
		}
		more := r.notify("ann")
		r.settle()
		require.Equal(t, append(want, more...), r.service.got("laptop"), "at once again")
	})
}

func TestParking_HoldsTheOrderAcrossRestarts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(10*time.Minute))
		want := r.notify("ann", "ann")
		r.settle()
		r.stop()
		r.start()
		want = append(want, r.notify("ann")...)
		r.settle()
		require.Empty(t, r.service.got("laptop"))
		require.NoError(t, r.Abandon())
		time.Sleep(20 * time.Minute)        // the rest ends while nobody is there
		time.Sleep(1234 * time.Microsecond) // the store knows milliseconds
		r.start()
		want = append(want, r.notify("ann")...)
		r.settle()
		require.Equal(t, want, r.service.got("laptop"), "what is due by now does not wait for the next tick")
		require.Len(t, r.service.attemptsAt("laptop"), len(want)+1)
	})
}

func TestParking_ABacklogComesBackInPages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Window, c.Ranges = 64, 1 })
		r.subscribe("ann", "laptop")
		r.subscribe("ann", "phone")
		r.service.script("laptop", retryAfter(time.Hour))
		var want []push.ID
		for range 100 {
			want = append(want, r.notifyTTL(3*time.Hour, "ann")...)
		}
		time.Sleep(time.Minute)
		require.Equal(t, want, r.service.got("phone"))
		require.Zero(t, r.windows())
		r.service.takes(10 * time.Millisecond)
		time.Sleep(time.Hour - 61*time.Second)
		for range 10 {
			time.Sleep(100 * time.Millisecond) // some arrive while the backlog comes back
			want = append(want, r.notify("ann")...)
			require.LessOrEqual(t, r.windows(), 64*5/4)
		}
		time.Sleep(time.Minute)
		require.Equal(t, want, r.service.got("laptop"))
		require.Equal(t, want, r.service.got("phone"))
		require.Zero(t, r.windows())
		require.Empty(t, eventsOf[WorkRejoined](r))
	})
}

func TestParking_ManyDeadEndpointsLeaveTheWindowToOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Window, c.Ranges = 32, 1 })
		var ids []push.ID
		for i := range 200 {
			user := fmt.Sprint("user-", i)
			r.subscribe(user, user)
			r.service.script(user, retryAfter(time.Hour))
			ids = append(ids, r.notifyTTL(2*time.Hour, user)...)
		}
		r.subscribe("bob", "bob")
		time.Sleep(5 * time.Second)
		bobs := r.notify("bob")
		r.settle()
		require.Equal(t, bobs, r.service.got("bob"))
		time.Sleep(61 * time.Minute)
		for i, id := range ids {
			require.Equal(t, []push.ID{id}, r.service.got(fmt.Sprint("user-", i)))
		}
	})
}

func TestParking_WhatExpiresMeanwhileIsNeverSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(30*time.Minute))
		first := r.notifyTTL(time.Hour, "ann")[0]
		second := r.notifyTTL(5*time.Minute, "ann")[0]
		third := r.notifyTTL(time.Hour, "ann")[0]
		time.Sleep(6 * time.Minute)
		require.Equal(t, []string{"expired"}, r.states(second), "in time, though the subscription rests")
		require.Equal(t, 0, r.fate(second).Deliveries[0].Attempts)
		require.True(t, r.fate(first).Pending)
		time.Sleep(time.Hour)
		require.Equal(t, []push.ID{first, third}, r.service.got("laptop"))
		require.LessOrEqual(t, r.service.messages("laptop")[0].TTL, 30*time.Minute, "what remains")
	})
}

func TestParking_ACrashOfTheUserLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.subscribe("ann", "phone")
		r.service.script("laptop", retryAfter(5*time.Minute))
		r.failOnce(func(e Event) bool { _, ok := e.(DeliveryConcluded); return ok })
		want := r.notify("ann", "ann", "ann")
		time.Sleep(20 * time.Minute)
		require.Equal(t, want, r.service.got("laptop"))
		require.Len(t, eventsOf[ActorFailed](r), 1)
		require.Zero(t, r.windows())
	})
}

func TestParking_ASubscriptionThatLeavesEndsWhatWaitedForIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.subscribe("ann", "laptop")
		r.subscribe("ann", "phone")
		r.service.script("laptop", retryAfter(10*time.Minute))
		ids := r.notify("ann", "ann")
		time.Sleep(time.Second)
		require.NoError(t, r.Unsubscribe(t.Context(), sub.User, sub.Digest))
		time.Sleep(20 * time.Minute)
		for _, id := range ids {
			require.False(t, r.fate(id).Pending)
			require.Contains(t, r.states(id), "delivered")
		}
		require.Empty(t, r.service.got("laptop"))
	})
}

func TestSchedule_IsSentAtItsTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		at := time.Now().Add(2 * time.Hour)
		ids, err := r.Notify([]Draft{{User: userNamed("ann"), Content: []byte(`{}`), TTL: time.Minute, SendAt: at}})
		require.NoError(t, err)
		now := r.notify("ann")
		r.settle()
		require.Equal(t, now, r.service.got("laptop"))
		require.Equal(t, at.Add(time.Minute), r.fate(ids[0]).Notification.ExpiresAt.Local())
		require.Zero(t, r.windows())
		r.stop()
		time.Sleep(time.Hour)
		r.start()
		time.Sleep(time.Hour - time.Second)
		require.Len(t, r.service.got("laptop"), 1)
		time.Sleep(3 * time.Second)
		require.Equal(t, append(now, ids...), r.service.got("laptop"))
		sent := r.service.attemptsAt("laptop")[1]
		require.False(t, sent.Before(at))
		require.Less(t, sent.Sub(at), 2*time.Second)
	})
}

func TestSchedule_ManyAtTheSameTimeComeInPages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const users = 400
		r := newRig(t, func(c *Config) { c.Window, c.Ranges = 128, 2 })
		var drafts []Draft
		for i := range users {
			user := fmt.Sprint("user-", i)
			r.subscribe(user, user)
			drafts = append(drafts, Draft{User: userNamed(user), Content: []byte(`{}`), TTL: time.Hour, SendAt: time.Now().Add(time.Hour)})
		}
		_, err := r.Notify(drafts)
		require.NoError(t, err)
		time.Sleep(time.Hour + 30*time.Second)
		for i := range users {
			require.Len(t, r.service.got(fmt.Sprint("user-", i)), 1)
		}
	})
}

func TestCancel_TakesBackWhatIsNotSentYet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "waits")
		r.subscribe("ann", "rests")
		r.subscribe("ann", "works")
		hung := r.subscribe("ann", "hangs")
		hold := make(chan struct{})
		r.service.script("waits", retryAfter(30*time.Second))
		r.service.script("rests", retryAfter(30*time.Minute))
		r.service.script("hangs", answer{hold: hold})
		id, next := r.notify("ann")[0], r.notify("ann")[0]
		r.settle()
		require.NoError(t, r.Cancel(t.Context(), push.DefaultApp, id))
		require.Equal(t, []string{"cancelled", "cancelled", "delivered"}, r.states(id), "durably")
		live, err := r.Progress(t.Context(), userNamed("ann"), id)
		require.NoError(t, err)
		require.Len(t, live, 1)
		require.Equal(t, hung.Digest, live[0].Subscription, "what is being sent has its own end")
		close(hold)
		time.Sleep(time.Hour)
		require.Equal(t, []string{"cancelled", "cancelled", "delivered", "delivered"}, r.states(id))
		require.NoError(t, r.Cancel(t.Context(), push.DefaultApp, id), "once more changes nothing")
		for _, browser := range []string{"waits", "rests"} {
			require.Equal(t, []push.ID{next}, r.service.got(browser))
		}
	})
}

func TestCancel_ThatFailsHalfwayIsMadeAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.subscribe("ann", "phone")
		ids, err := r.Notify([]Draft{{User: userNamed("ann"), Content: []byte(`{}`), TTL: time.Hour, SendAt: time.Now().Add(time.Hour)}})
		require.NoError(t, err)
		r.failOnce(func(e Event) bool { _, ok := e.(DeliveryConcluded); return ok })
		require.NoError(t, r.Cancel(t.Context(), push.DefaultApp, ids[0]))
		require.Equal(t, []string{"cancelled", "cancelled"}, r.states(ids[0]))
		require.Len(t, eventsOf[ActorFailed](r), 1)
	})
}

func TestCancel_OfWhatIsInTheStoreAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		r.subscribe("bob", "desktop")
		scheduled, err := r.Notify([]Draft{{User: userNamed("bob"), Content: []byte(`{}`), TTL: time.Hour, SendAt: time.Now().Add(time.Hour)}})
		require.NoError(t, err)
		r.service.script("laptop", retryAfter(30*time.Minute))
		parked := r.notify("ann")
		time.Sleep(5 * time.Minute)
		for _, id := range []push.ID{scheduled[0], parked[0]} {
			require.NoError(t, r.Cancel(t.Context(), push.DefaultApp, id))
			require.Equal(t, []string{"cancelled"}, r.states(id))
			require.False(t, r.fate(id).Pending)
		}
		time.Sleep(2 * time.Hour)
		require.Empty(t, r.service.got("laptop"))
		require.Empty(t, r.service.got("desktop"))
		require.Zero(t, r.windows())
	})
}

func TestCollapse_ANewerOneTakesThePlaceOfOneThatWaits(t *testing.T) {
	for name, wait := range map[string]time.Duration{"in memory": 30 * time.Second, "in the store": 30 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t)
				r.subscribe("ann", "laptop")
				r.subscribe("ann", "phone")
				r.service.script("laptop", retryAfter(wait))
				draft := func(key string) push.ID {
					ids, err := r.Notify([]Draft{{User: userNamed("ann"), Content: []byte(`{}`), TTL: time.Hour, CollapseKey: key}})
					require.NoError(t, err)
					r.settle()
					return ids[0]
				}
				first, other, second := draft("score"), draft("weather"), draft("score")
				time.Sleep(2 * time.Minute)
				third := draft("score")
				time.Sleep(time.Hour)
				require.Equal(t, []push.ID{first, other, second, third}, r.service.got("phone"))
				if wait < r.config.RestAfter {
					require.Equal(t, []push.ID{other, second, third}, r.service.got("laptop"))
				} else {
					require.Equal(t, []push.ID{other, third}, r.service.got("laptop"))
					require.Equal(t, []string{"delivered", "superseded"}, r.states(second))
				}
				require.Equal(t, []string{"delivered", "superseded"}, r.states(first))
			})
		})
	}
}

func TestSubscription_ThatIsUnusedIsRemovedAndReported(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.UnusedAfter = 60 * 24 * time.Hour })
		used, unused := subscriptionAt("ann", "used"), subscriptionAt("bob", "unused")
		for _, sub := range []push.Subscription{used, unused} {
			sub.SeenAt = time.Now().Add(-r.config.UnusedAfter + 30*time.Minute)
			_, err := r.Subscribe(t.Context(), sub)
			require.NoError(t, err)
		}
		r.notify("ann", "ann")
		time.Sleep(3 * auditEvery)
		require.Len(t, r.service.got("used"), 2)
		events := eventsOf[SubscriptionUnused](r)
		require.Len(t, events, 1)
		require.Equal(t, unused.Digest, events[0].Subscription)
		id := r.notify("bob")[0]
		r.settle()
		require.Equal(t, []string{"no_subscription"}, r.states(id))
	})
}

func TestBacklog_IsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Backlog = 5 })
		r.subscribe("ann", "laptop")
		hold := make(chan struct{})
		r.service.script("laptop", answer{hold: hold})
		want := r.notify("ann", "ann", "ann", "ann", "ann")
		_, err := r.Notify([]Draft{{User: userNamed("ann"), Content: []byte(`{}`), TTL: time.Hour}})
		require.ErrorIs(t, err, ErrBacklogFull)
		r.stop()
		close(hold)
		r.service.takes(time.Second)
		r.start(func(c *Config) { c.Backlog = 5 })
		_, err = r.Notify([]Draft{{User: userNamed("ann"), Content: []byte(`{}`), TTL: time.Hour}})
		require.ErrorIs(t, err, ErrBacklogFull, "it knows what was left to do")
		time.Sleep(10 * time.Second)
		want = append(want, r.notify("ann")...)
		time.Sleep(10 * time.Second)
		require.Equal(t, want[1:], r.service.got("laptop")[len(r.service.got("laptop"))-5:])
	})
}

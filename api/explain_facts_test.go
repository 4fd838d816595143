package api

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// Of another user, nothing is said but that there is one.
func TestExplanation_SaysNothingOfAnotherUsersNotification(t *testing.T) {
	f := told(ended(push.StateDelivered, after(1, 201, "a secret"))).with(func(f *facts) {
		f.Notification.User.ID = "bob"
		f.subscriptions = []push.Subscription{browser()} // which was bob's then
		f.attempts = []push.Event{{Subscription: firefox, Type: push.EventRetrying}}
		f.Receipts = []push.Receipt{{Subscription: firefox, Type: push.ReceiptShown, At: ten}}
	})
	answer := f.explanation()
	require.Zero(t, answer.Notification)
	require.Len(t, answer.Subscriptions, 1)
	require.Zero(t, answer.Subscriptions[0].Delivery)
	require.Empty(t, answer.Subscriptions[0].Attempts)
	for _, sentence := range answer.Summary {
		require.NotContains(t, sentence, "bob")
		require.NotContains(t, sentence, "secret")
	}
}

func TestExplanation_OfAUserSaysWhetherAnythingReachesThem(t *testing.T) {
	overview := func(change func(*facts)) facts {
		return facts{now: ten.Add(5 * time.Minute), user: ann}.with(change)
	}
	one := func(id push.ID, change func(*account)) account {
		a := account{Record: store.Record{Notification: push.Notification{ID: id, User: ann, AcceptedAt: ten}}}
		change(&a)
		return a
	}
	delivered := one(second, func(a *account) { a.Deliveries = []push.Delivery{ended(push.StateDelivered), ended(push.StateGone)} })
	nowhere := one(first, func(a *account) { a.Deliveries = []push.Delivery{{State: push.StateNoSubscription}} })
	waiting := one(first, func(a *account) {
		a.Pending = true
		a.live = []actors.Progress{{Next: ten.Add(time.Hour)}}
	})
	half := one(second, func(a *account) {
		a.Pending, a.Deliveries, a.live = true, []push.Delivery{ended(push.StateDelivered)}, []actors.Progress{{}}
	})
	later := one(second, func(a *account) { a.Pending, a.scheduled = true, true })
	const (
		has    = "ann has 1 subscription."
		nobody = "ann has no subscription now: a browser registers by belfry.js, once the user agrees to notifications, and an app on a phone by its token."
		none   = "There is no notification that is still kept for ann."
	)
	for name, test := range map[string]struct {
		facts facts
		want  []string
	}{
		"never seen": {
			overview(func(*facts) {}),
			[]string{"Belfry knows nothing of ann: there is no subscription, and no notification that is still kept. Check the user's ID: it must be, to the letter, the one that your application registers and sends with."},
		},
		"a notification instead of a user": {
			overview(func(f *facts) { f.user.ID = first.String() }),
			[]string{
				"Belfry knows nothing of 01000000-0000-0000-0000-000000000000: there is no subscription, and no notification that is still kept. Check the user's ID: it must be, to the letter, the one that your application registers and sends with.",
				"If that is the ID of a notification, ask for its user, and for the notification beside.",
			},
		},
		"not seen for a while": {
			overview(func(f *facts) { f.since = ten }),
			[]string{"Belfry knows nothing of ann: there is no subscription, and no notification since 2026-11-22 10:00:00 UTC. Check the user's ID: it must be, to the letter, the one that your application registers and sends with."},
		},
		"active": {
			overview(func(f *facts) { f.subscriptions = []push.Subscription{browser()} }),
			[]string{has, "Browser at push.example.org (f000000000000000): Active: registered at 2026-11-22 09:00:00 UTC, last sign of life at 2026-11-22 09:59:00 UTC.", none},
		},
		"of another key": {
			overview(func(f *facts) { f.subscriptions = []push.Subscription{browser(mismatched)} }),
			[]string{"ann cannot be reached now: a subscription belongs to another VAPID key.", "Browser at push.example.org (f000000000000000): " + keyMismatch, none},
		},
		"resting": {
			overview(func(f *facts) {
				f.subscriptions = []push.Subscription{browser(resting(push.Rest{Until: ten.Add(time.Hour), Notification: first, Attempts: 2, Status: 500}))}
			}),
			[]string{"ann cannot be reached now: push.example.org did not take the last message, and is tried again soon.", "Browser at push.example.org (f000000000000000): Resting until 2026-11-22 11:00:00 UTC, for notification 01000000-0000-0000-0000-000000000000, which failed 2 times, last with: HTTP 500. What was accepted since waits behind it.", none},
		},
		"rested": {
			overview(func(f *facts) {
				f.subscriptions = []push.Subscription{browser(resting(push.Rest{Until: ten, Notification: first, Attempts: 2, Status: 500}))}
			}),
			[]string{has, "Browser at push.example.org (f000000000000000): Active: registered at 2026-11-22 09:00:00 UTC, last sign of life at 2026-11-22 09:59:00 UTC.", none},
		},
		"behind a paused lane": {
			overview(func(f *facts) {
				f.subscriptions = []push.Subscription{browser()}
				f.lanes = map[push.Digest]actors.Node{firefox: {Cause: "push host failing", Reason: "503 it is down", NextAttempt: ten.Add(6 * time.Minute)}}
			}),
			[]string{
				"ann cannot be reached now: push.example.org fails.",
				"Browser at push.example.org (f000000000000000): Waiting: push.example.org fails (503 it is down), so nothing is sent there. The next try is at 2026-11-22 10:06:00 UTC, in 1 min. The subscription was registered at 2026-11-22 09:00:00 UTC, last sign of life at 2026-11-22 09:59:00 UTC.",
				none,
			},
		},
		"one of two behind a paused lane": {
			overview(func(f *facts) {
				app := browser(func(s *push.Subscription) { s.Digest, s.Kind = phone, push.APNs })
				f.subscriptions = []push.Subscription{browser(), app}
				f.lanes = map[push.Digest]actors.Node{phone: {Cause: "credentials refused"}}
			}),
			[]string{
				"1 of ann's 2 subscriptions cannot be reached now: api.push.apple.com refuses the app's credentials.",
				"Browser at push.example.org (f000000000000000): Active: registered at 2026-11-22 09:00:00 UTC, last sign of life at 2026-11-22 09:59:00 UTC.",
				"Apple device at api.push.apple.com (ab00000000000000): Waiting: api.push.apple.com refuses the app's credentials, so nothing is sent there. It is about to be tried again. To end that, give the app a valid key with belfry app apns. The subscription was registered at 2026-11-22 09:00:00 UTC, last sign of life at 2026-11-22 09:59:00 UTC.",
				none,
			},
		},
		"two of another key": {
			overview(func(f *facts) {
				f.subscriptions = []push.Subscription{browser(mismatched), browser(mismatched, func(s *push.Subscription) { s.Digest = phone })}
			}),
			[]string{
				"None of ann's 2 subscriptions can be reached now: a subscription belongs to another VAPID key.",
				"Browser at push.example.org (f000000000000000): " + keyMismatch, "Browser at push.example.org (ab00000000000000): " + keyMismatch, none,
			},
		},
		"notified lately": {
			overview(func(f *facts) { f.recent = []account{delivered, nowhere, waiting} }),
			[]string{
				nobody,
				"The newest notification, 02000000-0000-0000-0000-000000000000, was accepted at 2026-11-22 10:00:00 UTC: 1 delivered, 1 gone.",
				"Of the newest 3 notifications, 1 was taken by a push service for at least one subscription; 1 is not finished; 1 was delivered nowhere.",
			},
		},
		"notified often, and half of it waits": {
			overview(func(f *facts) { f.recent = slices.Repeat([]account{half}, 20) }),
			[]string{
				nobody,
				"The newest notification, 02000000-0000-0000-0000-000000000000, was accepted at 2026-11-22 10:00:00 UTC: 1 delivered, 1 queued.",
				"All of the newest 20 notifications were taken by a push service for at least one subscription; 20 still wait at another.",
			},
		},
		"notified without success": {
			overview(func(f *facts) { f.recent = []account{later, nowhere} }),
			[]string{
				nobody,
				"The newest notification, 02000000-0000-0000-0000-000000000000, was accepted at 2026-11-22 10:00:00 UTC: scheduled.",
				"None of the newest 2 notifications was taken by a push service; 1 is scheduled; 1 was delivered nowhere.",
			},
		},
		"notified once": {
			overview(func(f *facts) { f.recent = []account{nowhere} }),
			[]string{nobody, "The newest notification, 01000000-0000-0000-0000-000000000000, was accepted at 2026-11-22 10:00:00 UTC: no subscription."},
		},
		"waiting": {
			overview(func(f *facts) { f.recent = []account{waiting} }),
			[]string{nobody, "The newest notification, 01000000-0000-0000-0000-000000000000, was accepted at 2026-11-22 10:00:00 UTC: waiting."},
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, test.want, test.facts.explanation().Summary)
		})
	}
}

func TestExplanation_ListsEveryAttemptThatIsKnown(t *testing.T) {
	failed := func(kind push.EventType, n, status int, digest push.Digest) push.Event {
		return push.Event{
			Type: kind, At: ten.Add(time.Duration(n) * time.Second), Subscription: digest,
			EventDetail: push.EventDetail{Attempts: n, Status: status, Reason: "because", Next: ten.Add(time.Minute)},
		}
	}
	f := told(ended(push.StateDelivered, after(3, 201, ""))).with(func(f *facts) {
		f.attempts = []push.Event{failed(push.EventRetrying, 1, 503, firefox), failed(push.EventRetrying, 1, 0, phone), failed(push.EventRefused, 2, 403, firefox)}
	})
	next := ten.Add(time.Minute)
	require.Equal(t, []Attempt{
		{Number: 1, At: ten.Add(time.Second), Outcome: "retry", Status: 503, Reason: "because", NextAttemptAt: &next},
		{Number: 2, At: ten.Add(2 * time.Second), Outcome: "refused", Status: 403, Reason: "because", NextAttemptAt: &next},
		{Number: 3, At: ten.Add(2 * time.Second), Outcome: "delivered", Status: 201},
	}, f.explanation().Subscriptions[0].Attempts)

	for state, outcome := range map[push.State]string{push.StateGone: "gone", push.StateRejected: "rejected", push.StateExpired: "", push.StateCancelled: ""} {
		made := told(ended(state, after(1, 400, ""))).explanation().Subscriptions[0].Attempts
		if outcome == "" {
			require.Empty(t, made, "it ended without a further attempt")
		} else {
			require.Equal(t, outcome, made[0].Outcome)
		}
	}
}

func TestSpan_IsReadByPeople(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 ms", 0: "0 ms", 250 * time.Millisecond: "250 ms", time.Second: "1 s", 1250 * time.Millisecond: "1.2 s",
		9999 * time.Millisecond: "9.9 s", 10 * time.Second: "10 s", 59 * time.Second: "59 s", time.Minute: "1 min", 192 * time.Second: "3 min 12 s",
		time.Hour: "1 h", 125 * time.Minute: "2 h 5 min", 24 * time.Hour: "1 d", 76 * time.Hour: "3 d 4 h", 72 * time.Hour: "3 d",
	} {
		require.Equal(t, want, span(d))
	}
}

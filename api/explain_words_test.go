package api

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// The scene of these tests: ann, to whom a notification was sent at ten o'clock.
var (
	ten     = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	ann     = push.User{App: "shop", ID: "ann"}
	firefox = push.Digest{0xF0}
	phone   = push.Digest{0xAB}
	first   = push.ID{1}
	second  = push.ID{2}
)

const host = "push.example.org"

// told is a notification to ann and what is known of it, at five past ten.
func told(deliveries ...push.Delivery) facts {
	return facts{
		now:  ten.Add(5 * time.Minute),
		user: ann,
		account: account{Record: store.Record{
			Notification: push.Notification{ID: first, User: ann, Content: []byte(`{"title":"Hi"}`), AcceptedAt: ten, ExpiresAt: ten.Add(24 * time.Hour)},
			Deliveries:   deliveries,
		}},
	}
}

// ended is a delivery to ann's browser, two seconds past ten.
func ended(state push.State, change ...func(*push.Delivery)) push.Delivery {
	d := push.Delivery{Notification: first, Subscription: firefox, Kind: push.WebPush, Host: host, State: state, DoneAt: ten.Add(2 * time.Second)}
	for _, c := range change {
		c(&d)
	}
	return d
}

func after(attempts, status int, reason string) func(*push.Delivery) {
	return func(d *push.Delivery) { d.Attempts, d.Status, d.Reason = attempts, status, reason }
}

// browser is ann's, as it is now.
func browser(change ...func(*push.Subscription)) push.Subscription {
	sub := push.Subscription{
		User: ann, Kind: push.WebPush, Digest: firefox, Endpoint: "https://" + host + "/1",
		CreatedAt: ten.Add(-time.Hour), RegisteredAt: ten.Add(-time.Hour), SeenAt: ten.Add(-time.Minute),
	}
	for _, c := range change {
		c(&sub)
	}
	return sub
}

func resting(rest push.Rest) func(*push.Subscription) {
	return func(s *push.Subscription) { s.Rest = rest }
}

func mismatched(s *push.Subscription) { s.KeyMismatch = true }

func (f facts) with(change func(*facts)) facts {
	change(&f)
	return f
}

// waits makes the notification one that is not final at ann's browser.
func waits(p actors.Progress, sub push.Subscription) facts {
	p.Subscription, p.Kind, p.Host = firefox, push.WebPush, host
	return told().with(func(f *facts) {
		f.Pending, f.live = true, []actors.Progress{p}
		f.subscriptions = []push.Subscription{sub}
	})
}

func wants(f *facts) {
	f.Notification.Content = []byte(`{"title":"Hi","receipts":["shown","clicked"]}`)
}

func TestExplanation_SaysWhatBecameOfIt(t *testing.T) {
	const (
		unasked  = " Whether it was shown only the device knows, and no receipt was asked for."
		expires  = " It expires at 2026-11-23 10:00:00 UTC."
		endsThen = " The notification expires at 2026-11-23 10:00:00 UTC."
		again    = " The browser registers again when the user opens a page with belfry.js, and is subscribed there."
	)
	here := []push.Subscription{browser()}
	lane := map[push.Digest]actors.Node{firefox: {
		Path: "/lanes/shop:webpush:" + host, State: "paused", Cause: "credentials refused", Reason: "403 BadJwtToken", NextAttempt: ten.Add(15 * time.Minute),
	}}
	retry := push.Result{Outcome: push.Retry, Status: 503, Reason: "it is down"}
	for name, test := range map[string]struct {
		facts facts
		want  []string
	}{
		"delivered": {
			told(ended(push.StateDelivered, after(1, 201, ""))).with(func(f *facts) { f.subscriptions = here }),
			[]string{"Delivered: the push service push.example.org took it at 2026-11-22 10:00:02 UTC, 2 s after it was accepted." + unasked},
		},
		"delivered, with all there is to say": {
			told(ended(push.StateDelivered, after(3, 201, "dropped"), func(d *push.Delivery) { d.MessageID = "m-1"; d.DoneAt = ten.Add(192 * time.Second) })).with(func(f *facts) {
				f.subscriptions = here
			}),
			[]string{"Delivered: the push service push.example.org took it at 2026-11-22 10:03:12 UTC, 3 min 12 s after it was accepted, after 2 attempts that failed. It calls the message m-1. It said: dropped." + unasked},
		},
		"delivered, and nobody told that it was shown": {
			told(ended(push.StateDelivered, after(1, 201, ""))).with(func(f *facts) { wants(f); f.subscriptions = here }),
			[]string{"Delivered: the push service push.example.org took it at 2026-11-22 10:00:02 UTC, 2 s after it was accepted. Whether it was shown only the device knows, and no receipt has come: it may be off or offline, or notifications may be blocked there."},
		},
		"delivered, shown and clicked": {
			told(ended(push.StateDelivered, after(1, 201, ""))).with(func(f *facts) {
				wants(f)
				f.subscriptions = here
				f.Receipts = []push.Receipt{
					{Subscription: firefox, Type: push.ReceiptShown, At: ten.Add(3 * time.Second)},
					{Subscription: phone, Type: push.ReceiptClosed, At: ten.Add(4 * time.Second)},
					{Subscription: firefox, Type: push.ReceiptClicked, At: ten.Add(5 * time.Second)},
				}
			}),
			[]string{"Delivered: the push service push.example.org took it at 2026-11-22 10:00:02 UTC, 2 s after it was accepted. The browser showed it at 2026-11-22 10:00:03 UTC. The user clicked it at 2026-11-22 10:00:05 UTC."},
		},
		"delivered and closed": {
			told(ended(push.StateDelivered, after(1, 201, ""))).with(func(f *facts) {
				f.subscriptions = here
				f.Receipts = []push.Receipt{{Subscription: firefox, Type: push.ReceiptClosed, At: ten.Add(4 * time.Second)}}
			}),
			[]string{"Delivered: the push service push.example.org took it at 2026-11-22 10:00:02 UTC, 2 s after it was accepted. The user closed it at 2026-11-22 10:00:04 UTC."},
		},
		"delivered to a phone, which sends no receipts": {
			told(ended(push.StateDelivered, after(1, 200, ""), func(d *push.Delivery) { d.Kind = push.APNs })).with(func(f *facts) { wants(f); f.subscriptions = here }),
			[]string{"Delivered: the push service push.example.org took it at 2026-11-22 10:00:02 UTC, 2 s after it was accepted. Whether it was shown only the device knows, and apps on phones send no receipts."},
		},
		"delivered, and the subscription is another key's by now": {
			told(ended(push.StateDelivered, after(1, 201, ""))).with(func(f *facts) { f.subscriptions = []push.Subscription{browser(mismatched)} }),
			[]string{"Delivered: the push service push.example.org took it at 2026-11-22 10:00:02 UTC, 2 s after it was accepted." + unasked + " " + keyMismatch},
		},
		"delivered, and the subscription has ended since": {
			told(ended(push.StateDelivered, after(1, 201, ""))),
			[]string{"Delivered: the push service push.example.org took it at 2026-11-22 10:00:02 UTC, 2 s after it was accepted." + unasked + " The subscription has ended since."},
		},
		"delivered when it was due": {
			told(ended(push.StateDelivered, after(1, 201, ""))).with(func(f *facts) { f.Notification.SendAt = ten.Add(time.Second); f.subscriptions = here }),
			[]string{"Delivered: the push service push.example.org took it at 2026-11-22 10:00:02 UTC, 1 s after it was due." + unasked},
		},
		"waiting to be tried again": {
			waits(actors.Progress{Attempts: 3, Last: retry, Next: ten.Add(6 * time.Minute)}, browser()),
			[]string{"Waiting to be tried again: it failed 3 times, last with: HTTP 503, it is down. The next attempt is at 2026-11-22 10:06:00 UTC." + expires},
		},
		"waiting without an answer": {
			waits(actors.Progress{Attempts: 1, Last: push.Result{Outcome: push.Retry, Reason: "the push service did not answer in time"}, Next: ten.Add(6 * time.Minute)}, browser()),
			[]string{"Waiting to be tried again: it failed once, with: the push service did not answer in time. The next attempt is at 2026-11-22 10:06:00 UTC." + expires},
		},
		"about to be tried again": {
			waits(actors.Progress{Attempts: 2, Last: retry, Next: ten}, browser()),
			[]string{"About to be tried again: it failed 2 times, last with: HTTP 503, it is down." + expires},
		},
		"behind an older one": {
			waits(actors.Progress{Next: ten.Add(6 * time.Minute)}, browser(resting(push.Rest{Until: ten.Add(6 * time.Minute), Notification: second, Attempts: 4, Status: 503}))),
			[]string{"Waiting behind notification 02000000-0000-0000-0000-000000000000, which failed 4 times, last with: HTTP 503. From 2026-11-22 10:06:00 UTC on they are sent, in their order." + expires},
		},
		"behind an older one that could not be sent": {
			waits(actors.Progress{Next: ten.Add(6 * time.Minute)}, browser(resting(push.Rest{Until: ten.Add(6 * time.Minute), Notification: second, Reason: "the push host is slow"}))),
			[]string{"Waiting behind notification 02000000-0000-0000-0000-000000000000, which could not be sent there (the push host is slow). From 2026-11-22 10:06:00 UTC on they are sent, in their order." + expires},
		},
		"the push host refuses the credentials": {
			waits(actors.Progress{Next: ten.Add(15 * time.Minute), Last: push.Result{Status: 403, Reason: "BadJwtToken"}}, browser()).with(func(f *facts) { f.lanes = lane }),
			[]string{"Waiting: push.example.org refuses the app's credentials (403 BadJwtToken), so nothing is sent there. The next try is at 2026-11-22 10:15:00 UTC, in 10 min. To end that, see what belfry doctor says of the clock and of the app's VAPID subject." + endsThen},
		},
		"the push host refuses the credentials, and this was tried": {
			waits(actors.Progress{Attempts: 1, Next: ten.Add(16 * time.Minute), Last: push.Result{Status: 403, Reason: "BadJwtToken"}}, browser()).with(func(f *facts) {
				f.lanes, f.live[0].Kind = lane, push.APNs
			}),
			[]string{"Waiting: push.example.org refuses the app's credentials (403 BadJwtToken), so nothing is sent there. The next try is at 2026-11-22 10:15:00 UTC, in 10 min. This one follows at 2026-11-22 10:16:00 UTC. To end that, give the app a valid key with belfry app apns. This one was tried once." + endsThen},
		},
		"the push host fails": {
			waits(actors.Progress{Attempts: 2, Last: push.Result{Status: 429, Reason: "slower"}}, browser()).with(func(f *facts) {
				f.lanes = map[push.Digest]actors.Node{firefox: {Cause: "push host failing", Reason: "the push service did not answer in time", NextAttempt: ten.Add(425 * time.Second)}}
			}),
			[]string{"Waiting: push.example.org fails (the push service did not answer in time), so nothing is sent there. The next try is at 2026-11-22 10:07:05 UTC, in 2 min 5 s. This one failed 2 times, last with: HTTP 429, slower." + endsThen},
		},
		"the push host fails for longer than it may wait": {
			waits(actors.Progress{}, browser()).with(func(f *facts) {
				f.lanes = map[push.Digest]actors.Node{firefox: {Cause: "push host failing", NextAttempt: ten.Add(15 * time.Minute)}}
				f.Notification.ExpiresAt = ten.Add(6 * time.Minute)
			}),
			[]string{"Waiting: push.example.org fails, so nothing is sent there. The next try is at 2026-11-22 10:15:00 UTC, in 10 min. The notification expires before that, at 2026-11-22 10:06:00 UTC."},
		},
		"its time is over": {
			waits(actors.Progress{}, browser()).with(func(f *facts) { f.lanes, f.Notification.ExpiresAt = lane, ten.Add(5*time.Minute) }),
			[]string{"About to expire: its time to live ended at 2026-11-22 10:05:00 UTC, and it was not sent."},
		},
		"the push host is tried again": {
			waits(actors.Progress{}, browser()).with(func(f *facts) {
				f.lanes = map[push.Digest]actors.Node{firefox: {Cause: "push host asks for rest"}}
			}),
			[]string{"Waiting: push.example.org asks for rest, so nothing is sent there. It is about to be tried again." + endsThen},
		},
		"behind an older one, and the push host ended many": {
			waits(actors.Progress{Next: ten.Add(6 * time.Minute)}, browser(resting(push.Rest{Until: ten.Add(6 * time.Minute), Notification: second}))).with(func(f *facts) {
				f.lanes = map[push.Digest]actors.Node{firefox: {Cause: "too many subscriptions ended", Reason: "410 gone"}}
			}),
			[]string{"Waiting: push.example.org ended unusually many subscriptions (410 gone), so nothing is sent there. It is about to be tried again. This one follows at 2026-11-22 10:06:00 UTC. Notification 02000000-0000-0000-0000-000000000000 goes before this one." + endsThen},
		},
		"queued": {
			waits(actors.Progress{}, browser()),
			[]string{"Queued: it waits for its turn, or is being sent right now." + expires},
		},
		"queued, and nothing begun": {
			told().with(func(f *facts) { f.Pending, f.subscriptions = true, here }),
			[]string{"Queued: it is accepted, and about to be sent."},
		},
		"scheduled": {
			told().with(func(f *facts) {
				f.Pending, f.scheduled, f.subscriptions = true, true, here
				f.Notification.SendAt = ten.Add(time.Hour)
			}),
			[]string{"Scheduled: it is to be sent at 2026-11-22 11:00:00 UTC, to the subscriptions that ann has then (1 now)."},
		},
		"expired before it could be sent": {
			told(ended(push.StateExpired, after(0, 0, "its time to live ended before it could be sent"))),
			[]string{"Expired at 2026-11-22 10:00:02 UTC: its time to live, 1 d, ended before it could be sent."},
		},
		"expired after attempts": {
			told(ended(push.StateExpired, after(7, 429, "too many requests"))),
			[]string{"Expired at 2026-11-22 10:00:02 UTC, after 7 attempts that failed; of the last one came: HTTP 429, too many requests."},
		},
		"superseded": {
			told(ended(push.StateSuperseded)).with(func(f *facts) { f.successor = second }),
			[]string{"Superseded at 2026-11-22 10:00:02 UTC: a newer notification with the same collapse key, 02000000-0000-0000-0000-000000000000, took its place before it was sent."},
		},
		"superseded by one that is not known": {
			told(ended(push.StateSuperseded)),
			[]string{"Superseded at 2026-11-22 10:00:02 UTC: a newer notification with the same collapse key took its place before it was sent."},
		},
		"cancelled": {
			told(ended(push.StateCancelled)),
			[]string{"Cancelled at 2026-11-22 10:00:02 UTC by the application, before it was sent."},
		},
		"cancelled before it was due": {
			told(push.Delivery{State: push.StateCancelled, DoneAt: ten.Add(time.Second)}).with(func(f *facts) { f.subscriptions = nil }),
			[]string{"Cancelled at 2026-11-22 10:00:01 UTC by the application, before it was sent."},
		},
		"gone": {
			told(ended(push.StateGone, after(1, 410, "106 No such subscription"))),
			[]string{"Gone: at 2026-11-22 10:00:02 UTC the push service push.example.org said that this subscription is over (HTTP 410, 106 No such subscription), and Belfry removed it." + again},
		},
		"gone, from a phone": {
			told(ended(push.StateGone, after(1, 410, "Unregistered"), func(d *push.Delivery) { d.Kind = push.APNs })),
			[]string{"Gone: at 2026-11-22 10:00:02 UTC the push service push.example.org said that this subscription is over (HTTP 410, Unregistered), and Belfry removed it. The app on the device has to register its token again."},
		},
		"gone before": {
			told(ended(push.StateGone, after(0, 0, "the push service had ended the subscription before"))),
			[]string{"Gone: the push service push.example.org had ended this subscription before, so it was not sent there." + again},
		},
		"gone and come back": {
			told(ended(push.StateGone, after(1, 410, ""))).with(func(f *facts) {
				f.subscriptions = []push.Subscription{browser(func(s *push.Subscription) { s.RegisteredAt = ten.Add(time.Minute) })}
			}),
			[]string{"Gone: at 2026-11-22 10:00:02 UTC the push service push.example.org said that this subscription is over (HTTP 410), and Belfry removed it. It was registered again at 2026-11-22 10:01:00 UTC."},
		},
		"rejected": {
			told(ended(push.StateRejected, after(1, 413, "payload too large"))),
			[]string{"Rejected: at 2026-11-22 10:00:02 UTC the push service push.example.org refused this message for good (HTTP 413, payload too large)."},
		},
		"rejected by Belfry": {
			told(ended(push.StateRejected, after(1, 0, "the endpoint is not on the public internet"))),
			[]string{"Rejected: at 2026-11-22 10:00:02 UTC it was found that it cannot be sent there (the endpoint is not on the public internet)."},
		},
		"rejected because of its key": {
			told(ended(push.StateRejected, after(1, 403, "key_mismatch: VapidPkHashMismatch"))).with(func(f *facts) { f.subscriptions = []push.Subscription{browser(mismatched)} }),
			[]string{"Rejected: at 2026-11-22 10:00:02 UTC the push service push.example.org refused this message for good (HTTP 403, key_mismatch: VapidPkHashMismatch). " + keyMismatch},
		},
		"unsubscribed": {
			told(ended(push.StateUnsubscribed)).with(func(f *facts) {
				f.ends = map[push.Digest]push.Event{firefox: {Type: push.EventSubscriptionRemoved, At: ten.Add(time.Second)}}
			}),
			[]string{"Unsubscribed: at 2026-11-22 10:00:01 UTC, before it was sent, the subscription was removed."},
		},
		"unsubscribed, with a reason": {
			told(ended(push.StateUnsubscribed)).with(func(f *facts) {
				f.ends = map[push.Digest]push.Event{firefox: {Type: push.EventSubscriptionRemoved, At: ten.Add(time.Second), EventDetail: push.EventDetail{Reason: "unused for long"}}}
			}),
			[]string{"Unsubscribed: at 2026-11-22 10:00:01 UTC, before it was sent, the subscription was removed (unused for long)."},
		},
		"moved to another user": {
			told(ended(push.StateUnsubscribed)).with(func(f *facts) {
				f.ends = map[push.Digest]push.Event{firefox: {Type: push.EventSubscriptionMoved, At: ten.Add(time.Second), User: "bob", EventDetail: push.EventDetail{From: "ann"}}}
			}),
			[]string{"Moved: at 2026-11-22 10:00:01 UTC, before it was sent, the browser was registered for another user, so it was not sent there."},
		},
		"unsubscribed or moved": {
			told(ended(push.StateUnsubscribed)),
			[]string{"Unsubscribed: at 2026-11-22 10:00:02 UTC, before it was sent, the subscription was removed or moved to another user."},
		},
		"no subscription": {
			told(push.Delivery{State: push.StateNoSubscription, DoneAt: ten}),
			[]string{
				"No subscription: when the notification was accepted at 2026-11-22 10:00:00 UTC, ann had none, so there was nowhere to send it.",
				"ann has no subscription now: a browser registers by belfry.js, once the user agrees to notifications, and an app on a phone by its token.",
			},
		},
		"no subscription then, but one now": {
			told(push.Delivery{State: push.StateNoSubscription, DoneAt: ten}).with(func(f *facts) {
				f.subscriptions = []push.Subscription{browser(func(s *push.Subscription) { s.CreatedAt, s.SeenAt = ten.Add(3*time.Minute), ten.Add(4*time.Minute) })}
			}),
			[]string{
				"No subscription: when the notification was accepted at 2026-11-22 10:00:00 UTC, ann had none, so there was nowhere to send it.",
				"There is one now: the browser registered at 2026-11-22 10:03:00 UTC, 3 min after.",
				"ann has 1 subscription.",
				"Browser at push.example.org (f000000000000000): Active: registered at 2026-11-22 10:03:00 UTC, last sign of life at 2026-11-22 10:04:00 UTC.",
			},
		},
		"to several, and one that came later": {
			told(
				ended(push.StateDelivered, after(1, 201, "")),
				ended(push.StateGone, after(1, 410, ""), func(d *push.Delivery) { d.Subscription, d.Kind, d.Host = phone, push.FCM, "fcm.googleapis.com" }),
			).with(func(f *facts) {
				later := browser(func(s *push.Subscription) { s.Digest, s.CreatedAt = push.Digest{1}, ten.Add(3*time.Minute) })
				f.subscriptions = append([]push.Subscription{later}, here...)
			}),
			[]string{
				"It was for 2 subscriptions: 1 delivered, 1 gone.",
				"Browser at push.example.org (f000000000000000): Delivered: the push service push.example.org took it at 2026-11-22 10:00:02 UTC, 2 s after it was accepted." + unasked,
				"Android device at fcm.googleapis.com (ab00000000000000): Gone: at 2026-11-22 10:00:02 UTC the push service fcm.googleapis.com said that this subscription is over (HTTP 410), and Belfry removed it. The app on the device has to register its token again.",
				"Browser at push.example.org (0100000000000000): Not sent there: the browser was registered for this user at 2026-11-22 10:03:00 UTC, 3 min after the notification was accepted.",
			},
		},
		"another user's": {
			told(ended(push.StateDelivered)).with(func(f *facts) { f.Notification.User.ID = "bob"; f.subscriptions = here }),
			[]string{
				"Notification 01000000-0000-0000-0000-000000000000 belongs to another user, so it was not sent to ann.",
				"ann has 1 subscription.",
				"Browser at push.example.org (f000000000000000): Active: registered at 2026-11-22 09:00:00 UTC, last sign of life at 2026-11-22 09:59:00 UTC.",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, test.want, test.facts.explanation().Summary)
		})
	}
}

package api

import (
	"fmt"
	"time"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
)

// shut says what a push host does that keeps everything from it, in a few words.
func shut(lane actors.Node, host string) string {
	switch lane.Cause {
	case "credentials refused":
		return host + " refuses the app's credentials"
	case "push host failing":
		return host + " fails"
	case "push host asks for rest":
		return host + " asks for rest"
	case "too many subscriptions ended":
		return host + " ended unusually many subscriptions"
	default:
		return "all that goes to " + host + " waits: " + lane.Cause
	}
}

// whyShut is the same with what the push host said.
func whyShut(p place) string {
	if p.lane.Reason == "" {
		return shut(*p.lane, p.host)
	}
	return fmt.Sprintf("%s (%s)", shut(*p.lane, p.host), p.lane.Reason)
}

// whenOpen says when the push host is tried again, and when after that what has its
// own time to wait for; and what somebody has to do about it.
func (f facts) whenOpen(p place, own time.Time) string {
	text, next := "It is about to be tried again.", p.lane.NextAttempt
	if next.After(f.now) {
		text = fmt.Sprintf("The next try is at %s, in %s.", clock(next), span(next.Sub(f.now)))
	}
	if own.After(f.now) && own.After(next.Add(time.Second)) {
		text += fmt.Sprintf(" This one follows at %s.", clock(own))
	}
	if p.lane.Cause != "credentials refused" {
		return text
	}
	switch p.kind {
	case push.APNs:
		return text + " To end that, give the app a valid key with belfry app apns."
	case push.FCM:
		return text + " To end that, give the app a valid key with belfry app fcm."
	default:
		return text + " To end that, see what belfry doctor says of the clock and of the app's VAPID subject."
	}
}

// aboutShut is for a notification that waits because nothing is sent to its push
// host.
func (f facts) aboutShut(p place) string {
	text := fmt.Sprintf("Waiting: %s, so nothing is sent there. %s", whyShut(p), f.whenOpen(p, p.live.Next))
	last := p.live.Last
	switch said := said(last.Status, last.Reason); {
	case f.isBehind(p):
		text += fmt.Sprintf(" Notification %s goes before this one.", p.now.Rest.Notification)
	case p.live.Attempts > 0 && p.lane.Reason == fmt.Sprintf("%d %s", last.Status, last.Reason):
		text += fmt.Sprintf(" This one was tried %s.", times(p.live.Attempts))
	case p.live.Attempts > 0:
		text += fmt.Sprintf(" This one %s.", failures(p.live.Attempts, said))
	}
	return text
}

// isBehind tells whether a place rests for another notification.
func (f facts) isBehind(p place) bool {
	return p.now != nil && !p.now.Rest.Notification.IsZero() && p.now.Rest.Notification != f.Notification.ID && p.live.Next.After(f.now)
}

// headline is for a notification at several places: how many it reached, and why it
// waits at the others.
func (f facts) headline(meant []place) string {
	var delivered, waiting int
	var why []string // of those that wait
	for _, p := range meant {
		switch {
		case p.delivery != nil && p.delivery.State == push.StateDelivered:
			delivered++
		case p.live != nil && p.lane != nil:
			waiting++
			why = addNew(why, shut(*p.lane, p.host))
		}
	}
	because := join(why)
	switch all := len(meant); {
	case waiting == 0 || delivered+waiting < all:
		text := fmt.Sprintf("It was for %s: %s.", many(all, "subscription"), f.tally(f.account))
		if waiting > 0 {
			text = fmt.Sprintf("%s, because %s.", text[:len(text)-1], because)
		}
		return text
	case delivered == 0 && all == 2:
		return fmt.Sprintf("Both wait, because %s.", because)
	case delivered == 0:
		return fmt.Sprintf("All %d wait, because %s.", all, because)
	case waiting == 1:
		return fmt.Sprintf("%d of %d delivered; the other waits, because %s.", delivered, all, because)
	default:
		return fmt.Sprintf("%d of %d delivered; the others wait, because %s.", delivered, all, because)
	}
}

// reachable says how many of a user's subscriptions can be reached now, and what is
// the matter with the others.
func (f facts) reachable(now []place) string {
	var out int
	var why []string
	for _, p := range now {
		trouble := ""
		switch {
		case p.now.KeyMismatch:
			trouble = "a subscription belongs to another VAPID key"
		case p.lane != nil:
			trouble = shut(*p.lane, p.host)
		case p.now.Rest.Until.After(f.now):
			trouble = p.host + " did not take the last message, and is tried again soon"
		default:
			continue
		}
		out++
		why = addNew(why, trouble)
	}
	switch all := len(now); out {
	case 0:
		return fmt.Sprintf("%s has %s.", f.user.ID, many(all, "subscription"))
	case all:
		if all == 1 {
			return fmt.Sprintf("%s cannot be reached now: %s.", f.user.ID, why[0])
		}
		return fmt.Sprintf("None of %s's %d subscriptions can be reached now: %s.", f.user.ID, all, join(why))
	default:
		return fmt.Sprintf("%d of %s's %d subscriptions cannot be reached now: %s.", out, f.user.ID, all, join(why))
	}
}

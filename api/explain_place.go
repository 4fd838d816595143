package api

import (
	"fmt"
	"strings"
	"time"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
)

// place is what is known of a notification at one subscription. What is not known,
// or not the case, is nil or empty.
type place struct {
	id       push.Digest
	kind     push.Kind
	host     string
	delivery *push.Delivery     // if it is final
	live     *actors.Progress   // if it is not
	attempts []push.Event       // that were not the last, by time
	receipts []push.Receipt     // by time
	now      *push.Subscription // as it is now, unless it has ended
	lane     *actors.Node       // the way to its push host, unless that is open
	end      *push.Event        // what ended it before the notification was sent
}

// title names the place among the others.
func (p place) title() string {
	word := device(p.kind)
	return fmt.Sprintf("%s at %s (%s)", strings.ToUpper(word[:1])+word[1:], p.host, p.id.Short())
}

// about says what became of a notification at a place and why, in a few sentences.
func (f facts) about(p place) string {
	switch {
	case p.delivery != nil:
		return f.aboutFinal(p)
	case p.live != nil:
		return f.aboutLive(p)
	case f.scheduled:
		return fmt.Sprintf("Scheduled: it is to be sent at %s.", clock(f.Notification.SendAt))
	case f.Pending && len(f.Deliveries)+len(f.live) == 0:
		return "Queued: it is about to be sent."
	case p.now != nil && p.now.CreatedAt.After(f.begin()):
		return fmt.Sprintf("Not sent there: the %s was registered for this user at %s, %s after the notification was %s.",
			device(p.kind), clock(p.now.CreatedAt), span(p.now.CreatedAt.Sub(f.begin())), f.begun())
	default:
		return "Not sent there, and Belfry has no record of why."
	}
}

// begin is when the notification was to be sent.
func (f facts) begin() time.Time {
	if at := f.Notification.SendAt; !at.IsZero() {
		return at
	}
	return f.Notification.AcceptedAt
}

// begun is the word for what happened then.
func (f facts) begun() string {
	if f.Notification.SendAt.IsZero() {
		return "accepted"
	}
	return "due"
}

func (f facts) aboutFinal(p place) string {
	d := p.delivery
	at, came := clock(d.DoneAt), said(d.Status, d.Reason)
	switch d.State {
	case push.StateDelivered:
		return f.aboutDelivered(p)
	case push.StateGone:
		return aboutGone(p)
	case push.StateRejected:
		return aboutRejected(p)
	case push.StateExpired:
		if d.Attempts == 0 {
			return fmt.Sprintf("Expired at %s: its time to live, %s, ended before it could be sent.", at, span(f.Notification.ExpiresAt.Sub(f.begin())))
		}
		return fmt.Sprintf("Expired at %s, after %s that failed; of the last one came: %s.", at, many(d.Attempts, "attempt"), came)
	case push.StateUnsubscribed:
		return aboutUnsubscribed(p)
	case push.StateSuperseded:
		by := "a newer notification with the same collapse key"
		if !f.successor.IsZero() {
			by += ", " + f.successor.String() + ","
		}
		return fmt.Sprintf("Superseded at %s: %s took its place before it was sent.", at, by)
	case push.StateCancelled:
		return fmt.Sprintf("Cancelled at %s by the application, before it was sent.", at)
	default:
		return fmt.Sprintf("Over since %s: %s.", at, d.State)
	}
}

func (f facts) aboutDelivered(p place) string {
	d := p.delivery
	var text strings.Builder
	fmt.Fprintf(&text, "Delivered: the push service %s took it at %s, %s after it was %s", d.Host, clock(d.DoneAt), span(d.DoneAt.Sub(f.begin())), f.begun())
	if d.Attempts > 1 {
		fmt.Fprintf(&text, ", after %s that failed", many(d.Attempts-1, "attempt"))
	}
	text.WriteString(".")
	if d.MessageID != "" {
		fmt.Fprintf(&text, " It calls the message %s.", d.MessageID)
	}
	if d.Reason != "" {
		fmt.Fprintf(&text, " It said: %s.", d.Reason)
	}
	text.WriteString(" " + f.aboutReceipts(p))
	switch {
	case p.now == nil:
		text.WriteString(" The subscription has ended since.")
	case p.now.KeyMismatch:
		text.WriteString(" " + keyMismatch)
	}
	return text.String()
}

// keyMismatch is what a person should know of such a subscription.
const keyMismatch = "By now nothing reaches the subscription: to the push service it belongs to another VAPID key. The browser subscribes anew when a page with belfry.js is opened."

// aboutReceipts says what the device told, since the push service tells nothing
// of what became of the message after it took it.
func (f facts) aboutReceipts(p place) string {
	var told []string
	for _, receipt := range p.receipts {
		switch receipt.Type {
		case push.ReceiptShown:
			told = append(told, fmt.Sprintf("The browser showed it at %s.", clock(receipt.At)))
		case push.ReceiptClicked:
			told = append(told, fmt.Sprintf("The user clicked it at %s.", clock(receipt.At)))
		case push.ReceiptClosed:
			told = append(told, fmt.Sprintf("The user closed it at %s.", clock(receipt.At)))
		}
	}
	const unknown = "Whether it was shown only the device knows, and "
	switch {
	case len(told) > 0:
		return strings.Join(told, " ")
	case p.kind != push.WebPush:
		return unknown + "apps on phones send no receipts."
	case !f.Notification.WantsReceipts():
		return unknown + "no receipt was asked for."
	default:
		return unknown + "no receipt has come: it may be off or offline, or notifications may be blocked there."
	}
}

// again is how a device of a kind comes back.
func again(kind push.Kind) string {
	if kind == push.WebPush {
		return "The browser registers again when the user opens a page with belfry.js, and is subscribed there."
	}
	return "The app on the device has to register its token again."
}

func aboutGone(p place) string {
	d := p.delivery
	text := fmt.Sprintf("Gone: at %s the push service %s said that this subscription is over (%s), and Belfry removed it.", clock(d.DoneAt), d.Host, said(d.Status, d.Reason))
	if d.Attempts == 0 {
		text = fmt.Sprintf("Gone: the push service %s had ended this subscription before, so it was not sent there.", d.Host)
	}
	if p.now != nil {
		return fmt.Sprintf("%s It was registered again at %s.", text, clock(p.now.RegisteredAt))
	}
	return text + " " + again(p.kind)
}

func aboutRejected(p place) string {
	d := p.delivery
	text := fmt.Sprintf("Rejected: at %s the push service %s refused this message for good (%s).", clock(d.DoneAt), d.Host, said(d.Status, d.Reason))
	if d.Status == 0 {
		text = fmt.Sprintf("Rejected: at %s it was found that it cannot be sent there (%s).", clock(d.DoneAt), said(d.Status, d.Reason))
	}
	if p.now != nil && p.now.KeyMismatch {
		text += " " + keyMismatch
	}
	return text
}

func aboutUnsubscribed(p place) string {
	at := clock(p.delivery.DoneAt)
	switch {
	case p.end == nil:
		return fmt.Sprintf("Unsubscribed: at %s, before it was sent, the subscription was removed or moved to another user.", at)
	case p.end.Type == push.EventSubscriptionMoved:
		return fmt.Sprintf("Moved: at %s, before it was sent, the %s was registered for another user, so it was not sent there.", clock(p.end.At), device(p.kind))
	case p.end.Reason != "":
		return fmt.Sprintf("Unsubscribed: at %s, before it was sent, the subscription was removed (%s).", clock(p.end.At), p.end.Reason)
	default:
		return fmt.Sprintf("Unsubscribed: at %s, before it was sent, the subscription was removed.", clock(p.end.At))
	}
}

func (f facts) aboutLive(p place) string {
	expires := f.Notification.ExpiresAt
	switch {
	case !expires.After(f.now):
		return fmt.Sprintf("About to expire: its time to live ended at %s, and it was not sent.", clock(expires))
	case p.lane != nil && (expires.Before(p.lane.NextAttempt) || expires.Before(p.live.Next)):
		return fmt.Sprintf("%s The notification expires before that, at %s.", f.aboutShut(p), clock(expires))
	case p.lane != nil:
		return fmt.Sprintf("%s The notification expires at %s.", f.aboutShut(p), clock(expires))
	default:
		return fmt.Sprintf("%s It expires at %s.", f.aboutWait(p), clock(expires))
	}
}

func (f facts) aboutWait(p place) string {
	live := p.live
	waits := live.Next.After(f.now)
	came := said(live.Last.Status, live.Last.Reason)
	switch {
	case f.isBehind(p):
		return fmt.Sprintf("Waiting behind notification %s, %s. From %s on they are sent, in their order.", p.now.Rest.Notification, failed(p.now.Rest), clock(live.Next))
	case waits && live.Attempts > 0:
		return fmt.Sprintf("Waiting to be tried again: it %s. The next attempt is at %s.", failures(live.Attempts, came), clock(live.Next))
	case waits:
		return fmt.Sprintf("Waiting: it could not be sent (%s). It is tried at %s.", came, clock(live.Next))
	case live.Attempts > 0:
		return fmt.Sprintf("About to be tried again: it %s.", failures(live.Attempts, came))
	default:
		return "Queued: it waits for its turn, or is being sent right now."
	}
}

// failed is what became of the notification that a subscription rests for.
func failed(rest push.Rest) string {
	if rest.Attempts == 0 {
		return fmt.Sprintf("which could not be sent there (%s)", said(rest.Status, rest.Reason))
	}
	return "which " + failures(rest.Attempts, said(rest.Status, rest.Reason))
}

// aboutSubscription says whether anything reaches a subscription, as it is now.
func (f facts) aboutSubscription(p place) string {
	known := fmt.Sprintf("registered at %s, last sign of life at %s.", clock(p.now.CreatedAt), clock(p.now.SeenAt))
	switch rest := p.now.Rest; {
	case p.now.KeyMismatch:
		return keyMismatch
	case p.lane != nil:
		return fmt.Sprintf("Waiting: %s, so nothing is sent there. %s The subscription was %s", whyShut(p), f.whenOpen(p, rest.Until), known)
	case rest.Until.After(f.now):
		return fmt.Sprintf("Resting until %s, for notification %s, %s. What was accepted since waits behind it.", clock(rest.Until), rest.Notification, failed(rest))
	default:
		return "Active: " + known
	}
}

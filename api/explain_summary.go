package api

import (
	"fmt"
	"strings"

	"github.com/belfryhq/belfry/push"
)

// summary is the answer in sentences, the most important first.
func (f facts) summary(places []place) []string {
	switch {
	case f.isOverview():
		return f.overview(places)
	case !f.isTheirs():
		return append([]string{
			fmt.Sprintf("Notification %s belongs to another user, so it was not sent to %s.", f.Notification.ID, f.user.ID),
		}, f.reach(places)...)
	}
	var meant []place // that it was, or is, to be sent to
	for _, p := range places {
		if p.delivery != nil || p.live != nil {
			meant = append(meant, p)
		}
	}
	switch len(meant) {
	case 0:
		return f.aboutNone(places)
	case 1:
		return append([]string{f.about(meant[0])}, f.besides(places)...)
	default:
		lines := []string{f.headline(meant)}
		for _, p := range meant {
			lines = append(lines, p.title()+": "+f.about(p))
		}
		return append(lines, f.besides(places)...)
	}
}

// besides tells of the subscriptions that it was not for.
func (f facts) besides(places []place) (lines []string) {
	for _, p := range places {
		if p.delivery == nil && p.live == nil {
			lines = append(lines, p.title()+": "+f.about(p))
		}
	}
	return lines
}

// aboutNone is for a notification that is with no subscription.
func (f facts) aboutNone(places []place) []string {
	switch {
	case f.scheduled:
		return []string{fmt.Sprintf("Scheduled: it is to be sent at %s, to the subscriptions that %s has then (%d now).", clock(f.Notification.SendAt), f.user.ID, len(places))}
	case f.Pending:
		return []string{"Queued: it is accepted, and about to be sent."}
	}
	for _, d := range f.Deliveries {
		if d.State == push.StateCancelled {
			return []string{fmt.Sprintf("Cancelled at %s by the application, before it was sent.", clock(d.DoneAt))}
		}
	}
	first := fmt.Sprintf("No subscription: when the notification was %s at %s, %s had none, so there was nowhere to send it.", f.begun(), clock(f.begin()), f.user.ID)
	var next *push.Subscription
	for _, p := range places {
		if p.now != nil && (next == nil || p.now.CreatedAt.Before(next.CreatedAt)) {
			next = p.now
		}
	}
	if next == nil {
		return []string{first, noneNow(f.user.ID)}
	}
	return append([]string{first, fmt.Sprintf("There is one now: the %s registered at %s, %s after.",
		device(next.Kind), clock(next.CreatedAt), span(next.CreatedAt.Sub(f.begin())))}, f.reach(places)...)
}

func noneNow(user string) string {
	return fmt.Sprintf("%s has no subscription now: a browser registers by belfry.js, once the user agrees to notifications, and an app on a phone by its token.", user)
}

// overview is about a user, without a notification.
func (f facts) overview(places []place) []string {
	if len(places) == 0 && len(f.recent) == 0 {
		known := []string{fmt.Sprintf("Belfry knows nothing of %s: there is no subscription, and no notification %s. Check the user's ID: it must be, to the letter, the one that your application registers and sends with.", f.user.ID, f.period())}
		if _, err := push.ParseID(f.user.ID); err == nil {
			known = append(known, "If that is the ID of a notification, ask for its user, and for the notification beside.")
		}
		return known
	}
	return append(f.reach(places), f.lately()...)
}

// period is how far back notifications were looked for.
func (f facts) period() string {
	if f.since.IsZero() {
		return "that is still kept"
	}
	return "since " + clock(f.since)
}

// reach says whether anything reaches the user now.
func (f facts) reach(places []place) []string {
	var now []place
	for _, p := range places {
		if p.now != nil {
			now = append(now, p)
		}
	}
	if len(now) == 0 {
		return []string{noneNow(f.user.ID)}
	}
	lines := []string{f.reachable(now)}
	for _, p := range now {
		lines = append(lines, p.title()+": "+f.aboutSubscription(p))
	}
	return lines
}

// lately says what became of the newest notifications.
func (f facts) lately() []string {
	if len(f.recent) == 0 {
		return []string{fmt.Sprintf("There is no notification %s for %s.", f.period(), f.user.ID)}
	}
	newest := f.recent[0]
	lines := []string{fmt.Sprintf("The newest notification, %s, was accepted at %s: %s.", newest.Notification.ID, clock(newest.Notification.AcceptedAt), f.tally(newest))}
	if len(f.recent) > 1 {
		lines = append(lines, f.course())
	}
	return lines
}

// course says how far the newest notifications came.
func (f facts) course() string {
	var reached, partly, behind, open, scheduled, nowhere int
	for _, one := range f.recent {
		switch delivered := one.delivered(); {
		case delivered > 0:
			reached++
			if delivered < len(one.Deliveries)+len(one.live) {
				partly++
			}
			if one.Pending {
				behind++
			}
		case one.scheduled:
			scheduled++
		case one.Pending:
			open++
		default:
			nowhere++
		}
	}
	var text string
	switch n := len(f.recent); reached {
	case 0:
		text = fmt.Sprintf("None of the newest %d notifications was taken by a push service", n)
	case n:
		text = fmt.Sprintf("All of the newest %d notifications were taken by a push service", n)
	default:
		verb := "were"
		if reached == 1 {
			verb = "was"
		}
		text = fmt.Sprintf("Of the newest %d notifications, %d %s taken by a push service", n, reached, verb)
	}
	if partly > 0 {
		text += " for at least one subscription"
	}
	for _, also := range []struct {
		n         int
		one, more string
	}{
		{behind, "still waits at another", "still wait at another"},
		{open, "is not finished", "are not finished"},
		{scheduled, "is scheduled", "are scheduled"},
		{nowhere, "was delivered nowhere", "were delivered nowhere"},
	} {
		switch also.n {
		case 0:
		case 1:
			text += "; 1 " + also.one
		default:
			text += fmt.Sprintf("; %d %s", also.n, also.more)
		}
	}
	return text + "."
}

// delivered is at how many subscriptions a push service took it.
func (a account) delivered() (n int) {
	for _, d := range a.Deliveries {
		if d.State == push.StateDelivered {
			n++
		}
	}
	return n
}

// tally counts the deliveries of a notification by what became of them, in words.
func (f facts) tally(a account) string {
	words := map[string]int{}
	var order []string
	count := func(word string) {
		if words[word]++; words[word] == 1 {
			order = append(order, word)
		}
	}
	for _, d := range a.Deliveries {
		count(strings.ReplaceAll(d.State.String(), "_", " "))
	}
	for _, p := range a.live {
		if _, isShut := f.lanes[p.Subscription]; isShut || p.Next.After(f.now) {
			count("waiting")
		} else {
			count("queued")
		}
	}
	switch {
	case len(order) > 0:
	case a.scheduled:
		return "scheduled"
	default:
		return "queued"
	}
	if len(order) == 1 && words[order[0]] == 1 {
		return order[0]
	}
	parts := make([]string, len(order))
	for i, word := range order {
		parts[i] = fmt.Sprintf("%d %s", words[word], word)
	}
	return strings.Join(parts, ", ")
}

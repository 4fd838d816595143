package main

import (
	"context"
	"log/slog"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
)

// How many lines of a kind are logged in a row, before the others are summed up
// once a minute.
const (
	firstRefused    = 1  // attempts by one lane: the push host says the same to each
	firstFailed     = 1  // of the store, at one thing
	firstDeliveries = 10 // that ended in the same way at one push host
	firstPauses     = 10 // of lanes, for one cause: a push host may be any stranger's
	firstCalls      = 1  // of one webhook
	firstPanics     = 5  // of actors of one kind, with their stacks
	firstOthers     = 5
)

// eventLog logs what is worth a person's time, and with debug everything.
// Subscriptions are named by their digest; endpoints never appear.
type eventLog struct {
	log     *slog.Logger
	repeats *repeats
}

func newEventLog(log *slog.Logger) *eventLog {
	return &eventLog{log: log, repeats: newRepeats(log)}
}

// observe logs an event. It is called for every attempt and delivery.
func (l *eventLog) observe(event actors.Event) {
	switch e := event.(type) {
	case actors.AttemptMade:
		l.onAttempt(e)
	case actors.DeliveryConcluded:
		l.onDelivery(e)
	case actors.LanePaused:
		l.tell(slog.LevelError, firstPauses, "lane paused", e.Cause,
			slog.String("lane", e.Lane), slog.String("cause", e.Cause), slog.String("reason", e.Reason), slog.Time("until", e.Until))
	case actors.LaneResumed:
		l.tell(slog.LevelInfo, firstPauses, "lane resumed", "", slog.String("lane", e.Lane))
	case actors.ActorFailed:
		l.tell(slog.LevelError, firstPanics, "actor failed and starts anew", actorKind(e.Path),
			slog.String("path", e.Path), slog.String("reason", e.Reason), slog.Int("restarts", e.Restarts), slog.Duration("pause", e.Pause), slog.String("stack", e.Stack))
	case actors.StoreFailed:
		l.tell(slog.LevelWarn, firstFailed, "the store failed; it is tried again", e.What, slog.String("what", e.What), slog.Any("error", e.Err))
	case actors.SubscriptionUnused:
		l.tell(slog.LevelInfo, firstOthers, "unused subscription removed", "", slog.String("app", e.User.App), slog.String("user", e.User.ID),
			slog.String("subscription", e.Subscription.Short()), slog.String("kind", e.Kind.String()), slog.String("host", e.Host), slog.Time("seen", e.SeenAt))
	case actors.WebhookFailed:
		l.onWebhook(e)
	case actors.WebhookGaveUp:
		l.tell(slog.LevelError, firstOthers, "events were not sent to a webhook, and are given up", e.App+" "+e.Name,
			slog.String("app", e.App), slog.String("webhook", e.Name), slog.Int("events", e.Events), slog.Time("before", e.Before))
	case actors.WorkRejoined:
		l.tell(slog.LevelWarn, firstOthers, "pending work that nobody held was taken up", "", slog.Any("notification", e.Notification))
	}
}

// tell logs a line that may come again and again: see repeats.
func (l *eventLog) tell(level slog.Level, first int, message, about string, attrs ...slog.Attr) {
	l.log.LogAttrs(context.Background(), l.repeats.at(level, first, message, about), message, attrs...)
}

// onAttempt warns of refused credentials, for they may be our own that are
// wrong. Other attempts that fail are in the metrics.
func (l *eventLog) onAttempt(e actors.AttemptMade) {
	const message = "attempt failed"
	level := slog.LevelDebug
	switch e.Result.Outcome {
	case push.Delivered:
		return
	case push.Refused:
		level = l.repeats.at(slog.LevelWarn, firstRefused, message, e.Lane)
	}
	if ctx := context.Background(); l.log.Enabled(ctx, level) {
		l.log.LogAttrs(ctx, level, message,
			slog.Any("notification", e.Notification), slog.String("subscription", e.Subscription.Short()), slog.String("lane", e.Lane),
			slog.String("outcome", e.Result.Outcome.String()), slog.Int("status", e.Result.Status), slog.String("reason", e.Result.Reason))
	}
}

// onWebhook tells of a call that was not taken, and of the last one.
func (l *eventLog) onWebhook(e actors.WebhookFailed) {
	attrs := []slog.Attr{slog.String("app", e.App), slog.String("webhook", e.Name), slog.Int("status", e.Result.Status), slog.String("reason", e.Result.Reason)}
	if e.Next.IsZero() {
		l.log.LogAttrs(context.Background(), slog.LevelWarn, "a webhook's receiver wants no more events; put the webhook again to have it go on", attrs...)
		return
	}
	attrs = append(attrs, slog.Int("attempts", e.Attempts), slog.Time("next", e.Next))
	l.tell(slog.LevelWarn, firstCalls, "a webhook did not take events; they are sent again", e.App+" "+e.Name, attrs...)
}

// onDelivery tells of what did not arrive.
func (l *eventLog) onDelivery(e actors.DeliveryConcluded) {
	const message = "delivery concluded"
	level := slog.LevelDebug
	switch state := e.Delivery.State; state {
	case push.StateGone, push.StateRejected, push.StateExpired:
		level = l.repeats.at(slog.LevelInfo, firstDeliveries, message, state.String()+" at "+e.Delivery.Host)
	}
	if ctx := context.Background(); l.log.Enabled(ctx, level) {
		l.log.LogAttrs(ctx, level, message, deliveryAttrs(e)...)
	}
}

func deliveryAttrs(e actors.DeliveryConcluded) []slog.Attr {
	d := e.Delivery
	attrs := []slog.Attr{
		slog.String("state", d.State.String()), slog.Any("notification", d.Notification),
		slog.String("app", e.User.App), slog.String("user", e.User.ID),
	}
	if d.Subscription.IsZero() {
		return attrs
	}
	attrs = append(attrs, slog.String("subscription", d.Subscription.Short()), slog.String("host", d.Host), slog.Int("attempts", d.Attempts))
	if d.Status != 0 {
		attrs = append(attrs, slog.Int("status", d.Status))
	}
	if d.Reason != "" {
		attrs = append(attrs, slog.String("reason", d.Reason))
	}
	return attrs
}

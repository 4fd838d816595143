package main

import (
	"context"
	"log/slog"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
)

// observers gives every event to each.
func observers(all ...func(actors.Event)) func(actors.Event) {
	return func(event actors.Event) {
		for _, observe := range all {
			observe(event)
		}
	}
}

// observer logs what is worth a person's time. Subscriptions are named by
// their digest; endpoints never appear.
func observer(log *slog.Logger) func(actors.Event) {
	ctx := context.Background()
	return func(event actors.Event) {
		switch e := event.(type) {
		case actors.AttemptMade:
			if e.Result.Outcome != push.Delivered {
				level := slog.LevelDebug
				if e.Result.Outcome == push.Refused {
					level = slog.LevelWarn // it may be our own credentials that are wrong
				}
				log.LogAttrs(ctx, level, "attempt failed",
					slog.Any("notification", e.Notification), slog.String("subscription", e.Subscription.Short()), slog.String("lane", e.Lane),
					slog.String("outcome", e.Result.Outcome.String()), slog.Int("status", e.Result.Status), slog.String("reason", e.Result.Reason))
			}
		case actors.DeliveryConcluded:
			level := slog.LevelDebug
			switch e.Delivery.State {
			case push.StateGone, push.StateRejected, push.StateExpired:
				level = slog.LevelInfo
			}
			if log.Enabled(ctx, level) {
				log.LogAttrs(ctx, level, "delivery concluded", deliveryAttrs(e)...)
			}
		case actors.LanePaused:
			log.Error("lane paused", "lane", e.Lane, "cause", e.Cause, "reason", e.Reason, "until", e.Until)
		case actors.LaneResumed:
			log.Info("lane resumed", "lane", e.Lane)
		case actors.ActorFailed:
			log.Error("actor failed and starts anew", "path", e.Path, "reason", e.Reason, "restarts", e.Restarts, "pause", e.Pause, "stack", e.Stack)
		case actors.StoreFailed:
			log.Warn("the store failed; it is tried again", "what", e.What, "error", e.Err)
		case actors.SubscriptionUnused:
			log.Info("unused subscription removed", "app", e.User.App, "user", e.User.ID,
				"subscription", e.Subscription.Short(), "kind", e.Kind, "host", e.Host, "seen", e.SeenAt)
		case actors.WorkRejoined:
			log.Warn("pending work that nobody held was taken up", "notification", e.Notification)
		}
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

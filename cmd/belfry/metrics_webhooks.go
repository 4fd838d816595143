package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// webhookMetrics count calls of webhooks. How far behind each is, the tree tells.
type webhookMetrics struct {
	calls   *prometheus.CounterVec
	took    prometheus.Histogram
	givenUp prometheus.Counter
}

// What came of a call.
const (
	callTaken  = "taken"
	callFailed = "failed"
	callEnded  = "ended"
)

func newWebhookMetrics(factory promauto.Factory) *webhookMetrics {
	m := &webhookMetrics{
		calls: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "belfry_webhook_calls_total",
			Help: "Calls of webhooks, by outcome: taken, failed, which is tried again, or ended, when the receiver wants no more.",
		}, []string{"outcome"}),
		took: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "belfry_webhook_call_seconds",
			Help:    "Time a webhook took for one call, or until it was given up.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15},
		}),
		givenUp: factory.NewCounter(prometheus.CounterOpts{
			Name: "belfry_webhook_events_given_up_total",
			Help: "Events that a webhook did not take for as long as they are kept. The feed, GET /v1/events, has them no longer either.",
		}),
	}
	for _, outcome := range []string{callTaken, callFailed, callEnded} {
		m.calls.WithLabelValues(outcome)
	}
	return m
}

// counted has the calls of a caller counted.
func (m *webhookMetrics) counted(caller actors.Caller) actors.Caller {
	return countedCaller{caller: caller, metrics: m}
}

type countedCaller struct {
	caller  actors.Caller
	metrics *webhookMetrics
}

// Call makes one call, and counts it.
func (c countedCaller) Call(ctx context.Context, webhook store.Webhook, id push.ID, events []push.Event) actors.CallResult {
	began := time.Now()
	result := c.caller.Call(ctx, webhook, id, events)
	c.metrics.took.Observe(time.Since(began).Seconds())
	outcome := callFailed
	switch {
	case result.Taken:
		outcome = callTaken
	case result.Ended:
		outcome = callEnded
	}
	c.metrics.calls.WithLabelValues(outcome).Inc()
	return result
}

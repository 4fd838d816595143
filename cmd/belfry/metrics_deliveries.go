package main

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
)

func (m *metrics) onAttempt(e actors.AttemptMade) {
	kind, host := splitLane(e.Lane)
	of := m.attempts.get(attemptKey{kind: kind, host: m.hosts.label(host), outcome: e.Result.Outcome, status: boundedStatus(e.Result.Status)})
	of.total.Inc()
	of.seconds.Observe(e.Took.Seconds())
}

func (m *metrics) onDelivery(e actors.DeliveryConcluded) {
	d := e.Delivery
	key := deliveryKey{kind: d.Kind, state: d.State}
	if d.Host != "" {
		key.host = m.hosts.label(d.Host)
	}
	m.deliveries.get(key).Inc()
	if d.State != push.StateDelivered {
		return
	}
	from := e.AcceptedAt
	if e.SendAt.After(from) {
		from = e.SendAt
	}
	m.delivery.Observe(max(0, d.DoneAt.Sub(from).Seconds()))
}

// none is the label for what there is not: an answer, or a push host.
const none = "none"

type attemptKey struct {
	kind, host string
	outcome    push.Outcome
	status     int
}

type attemptMetrics struct {
	total   prometheus.Counter
	seconds prometheus.Observer
}

func newAttempts(factory promauto.Factory) *cached[attemptKey, attemptMetrics] {
	total := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "belfry_attempts_total",
		Help: "Requests to push services, by what came of them. With outcome=\"retry\" it is tried again, with \"refused\" our credentials were not taken; status=\"none\" means no answer.",
	}, []string{"kind", "host", "outcome", "status"})
	seconds := factory.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "belfry_attempt_seconds",
		Help:    "Time a push service took for one request, or until it was given up.",
		Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"kind", "host"})
	return newCached(func(k attemptKey) attemptMetrics {
		return attemptMetrics{
			total:   total.WithLabelValues(k.kind, k.host, k.outcome.String(), statusLabel(k.status)),
			seconds: seconds.WithLabelValues(k.kind, k.host),
		}
	})
}

type deliveryKey struct {
	kind  push.Kind
	host  string // empty if there is none
	state push.State
}

func newDeliveries(factory promauto.Factory) *cached[deliveryKey, prometheus.Counter] {
	total := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "belfry_deliveries_total",
		Help: "Deliveries that are final, one for each notification and subscription, by how they ended. A user without subscriptions counts as one with kind and host \"none\".",
	}, []string{"kind", "host", "state"})
	return newCached(func(k deliveryKey) prometheus.Counter {
		kind, host := none, none
		if k.kind != 0 {
			kind, host = k.kind.String(), k.host
		}
		return total.WithLabelValues(kind, host, k.state.String())
	})
}

// boundedStatus is a status that has a name, or else its class: a push host
// may answer with any.
func boundedStatus(status int) int {
	if http.StatusText(status) == "" {
		return status / 100
	}
	return status
}

func statusLabel(bounded int) string {
	switch {
	case bounded == 0:
		return none
	case bounded < 100:
		return strconv.Itoa(bounded) + "xx"
	default:
		return strconv.Itoa(bounded)
	}
}

package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/belfryhq/belfry/api"
)

// requestMetrics count what the API is asked.
type requestMetrics struct {
	requests *cached[requestKey, prometheus.Counter]
	duration *cached[string, prometheus.Observer] // by operation
	problems *cached[string, prometheus.Counter]  // by code
}

// requestKey is of bounded values: an operation of the API, or none, and the
// class of a status.
type requestKey struct {
	operation string
	class     int
}

func newRequestMetrics(factory promauto.Factory) *requestMetrics {
	total := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "belfry_http_requests_total",
		Help: "Requests to the API, by operation and class of the answer's status. Pages, files and what there is not have the operation \"other\".",
	}, []string{"operation", "status"})
	seconds := factory.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "belfry_http_request_seconds",
		Help:    "Time that requests to the API took to be answered. Those that wait for something to happen, long polls and streams, are left out.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15},
	}, []string{"operation"})
	problems := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "belfry_http_problems_total",
		Help: "Requests to the API that were answered with a problem, by its code. \"rate_limited\" is for keys and browsers that ask too often, \"backlog_full\", \"overloaded\" and \"unavailable\" are for senders who are turned away.",
	}, []string{"code"})
	for _, code := range []string{"rate_limited", "backlog_full", "overloaded", "unavailable", "internal"} {
		problems.WithLabelValues(code) // at 0, so that the first is an increase
	}
	return &requestMetrics{
		requests: newCached(func(k requestKey) prometheus.Counter {
			return total.WithLabelValues(k.operation, statusLabel(k.class))
		}),
		duration: newCached(func(operation string) prometheus.Observer { return seconds.WithLabelValues(operation) }),
		problems: newCached(func(code string) prometheus.Counter { return problems.WithLabelValues(code) }),
	}
}

// observeRequest counts a request. It does not allocate.
func (m *requestMetrics) observeRequest(r api.Request) {
	operation := r.Operation
	if operation == "" {
		operation = other
	}
	m.requests.get(requestKey{operation: operation, class: r.Status / 100}).Inc()
	if r.Problem != "" {
		m.problems.get(r.Problem).Inc()
	}
	if !r.Held {
		m.duration.get(operation).Observe(r.Took.Seconds())
	}
}

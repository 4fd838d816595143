package main

import (
	"context"
	"log/slog"

	"github.com/belfryhq/belfry/actors"
)

// observation is what people see of the process: its log, its metrics and, if
// wanted, its traces. A System ends with a term as the active process; this goes on.
type observation struct {
	log     *slog.Logger
	events  *eventLog
	metrics *metrics
	traces  *tracer // nil without
}

func (f *serveFlags) observation(ctx context.Context, log *slog.Logger) (*observation, error) {
	traces, err := newTracer(ctx, log)
	if err != nil {
		return nil, err
	}
	metrics := newMetrics()
	metrics.registry.MustRegister(certificateCollector{f})
	metrics.limit.Set(float64(f.MaxBacklog))
	return &observation{log: log, events: newEventLog(log), metrics: metrics, traces: traces}, nil
}

// observer is an actors.Config's Observe.
func (o *observation) observer() func(actors.Event) {
	if o.traces == nil {
		return func(event actors.Event) {
			o.events.observe(event)
			o.metrics.observe(event)
		}
	}
	return func(event actors.Event) {
		o.events.observe(event)
		o.metrics.observe(event)
		o.traces.observe(event)
	}
}

// close is for after the last event.
func (o *observation) close() { o.traces.close(o.log) }

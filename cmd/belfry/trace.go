package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
)

// flushTimeout is for the last spans to be taken, after the drain.
const flushTimeout = time.Second

// tracer makes a span of each delivery of a notification that was sent within a
// sampled trace, and exports it by OTLP over HTTP. It is configured by
// OpenTelemetry's own environment variables: the exporter's, the batch span
// processor's, OTEL_TRACES_SAMPLER and the resource's.
//
// Spans are exported in batches, from a goroutine of the library's. What the
// collector does not take in time is dropped: no delivery waits for it.
//
// A nil tracer traces nothing.
type tracer struct {
	provider *sdktrace.TracerProvider
	spans    trace.Tracer
}

// newTracer gives nil if the environment does not name a collector.
func newTracer(ctx context.Context, log *slog.Logger) (*tracer, error) {
	if !tracingWanted(os.Getenv) {
		return nil, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces (OTEL_EXPORTER_OTLP_ENDPOINT): %w", err)
	}
	described, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "belfry"), attribute.String("service.version", versionString())),
		resource.WithFromEnv(), // which goes before the two
	)
	if err != nil {
		return nil, fmt.Errorf("traces (OTEL_RESOURCE_ATTRIBUTES): %w", err)
	}
	repeats := newRepeats(log)
	// The library has one place for this, and writes to standard error by itself otherwise.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		const message = "traces could not be exported; deliveries go on"
		log.Log(ctx, repeats.at(slog.LevelWarn, 1, message, ""), message, "error", err)
	}))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described))
	return &tracer{provider: provider, spans: provider.Tracer("github.com/belfryhq/belfry")}, nil
}

// tracingWanted reads the switches of the OpenTelemetry specification ("General
// SDK Configuration"). Without a collector it is off, although the specification
// has one on this machine for the default.
func tracingWanted(environment func(string) string) bool {
	if strings.EqualFold(environment("OTEL_SDK_DISABLED"), "true") || strings.EqualFold(environment("OTEL_TRACES_EXPORTER"), "none") {
		return false
	}
	return slices.ContainsFunc(collectorVariables, func(name string) bool { return environment(name) != "" })
}

// collectorVariables name the collector, as OpenTelemetry has it.
var collectorVariables = []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"}

// checkTracing finds what is wrong with where the collector is. The library takes
// anything, and sends what it cannot read to this machine. The values may have
// passwords in them, and are not repeated.
func checkTracing(environment func(string) string) error {
	if !tracingWanted(environment) {
		return nil
	}
	var errs []error
	for _, name := range collectorVariables {
		text := environment(name)
		at, err := url.Parse(text)
		if text != "" && (err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "") {
			errs = append(errs, fmt.Errorf("%s is not a URL of http or https, such as http://collector:4318", name))
		}
	}
	return errors.Join(errs...)
}

// observe makes a span of a delivery that is final. It does not allocate for
// those outside of a trace.
func (t *tracer) observe(event actors.Event) {
	if e, ok := event.(actors.DeliveryConcluded); ok {
		if parent, ok := spanContext(e.Trace); ok {
			t.onDelivery(trace.ContextWithRemoteSpanContext(context.Background(), parent), e)
		}
	}
}

// onDelivery tells of the whole way from the accept to the end. Users are left
// out: their ids are personal data, and a collector is often another company's.
func (t *tracer) onDelivery(within context.Context, e actors.DeliveryConcluded) {
	_, span := t.spans.Start(within, "deliver", trace.WithSpanKind(trace.SpanKindProducer), trace.WithTimestamp(e.AcceptedAt))
	if span.IsRecording() {
		span.SetAttributes(deliveryAttributes(e)...)
	}
	switch d := e.Delivery; d.State {
	case push.StateRejected, push.StateExpired:
		span.SetStatus(codes.Error, d.Reason)
	}
	span.End(trace.WithTimestamp(e.Delivery.DoneAt))
}

// deliveryAttributes are named by the semantic conventions for messaging and
// HTTP where these have a name.
func deliveryAttributes(e actors.DeliveryConcluded) []attribute.KeyValue {
	d := e.Delivery
	attributes := []attribute.KeyValue{
		attribute.String("messaging.operation.name", "deliver"),
		attribute.String("messaging.operation.type", "send"),
		attribute.String("messaging.message.id", d.Notification.String()),
		attribute.String("belfry.app", e.User.App),
		attribute.String("belfry.state", d.State.String()),
	}
	if d.Subscription.IsZero() {
		return attributes
	}
	attributes = append(attributes,
		attribute.String("messaging.system", d.Kind.String()),
		attribute.String("belfry.subscription", d.Subscription.Short()),
		attribute.Int("belfry.attempts", d.Attempts))
	host, port, err := net.SplitHostPort(d.Host)
	if err != nil {
		host = d.Host
	}
	attributes = append(attributes, attribute.String("server.address", host))
	if number, err := strconv.Atoi(port); err == nil {
		attributes = append(attributes, attribute.Int("server.port", number))
	}
	if d.Status != 0 {
		attributes = append(attributes, attribute.Int("http.response.status_code", d.Status))
	}
	if d.Reason != "" {
		attributes = append(attributes, attribute.String("belfry.reason", d.Reason))
	}
	return attributes
}

// spanContext reads what push.Notification keeps of a trace context.
func spanContext(kept []byte) (trace.SpanContext, bool) {
	const traceBytes, spanBytes = len(trace.TraceID{}), len(trace.SpanID{})
	if len(kept) != traceBytes+spanBytes+1 {
		return trace.SpanContext{}, false
	}
	parent := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID:    trace.TraceID(kept[:traceBytes]),
		SpanID:     trace.SpanID(kept[traceBytes : traceBytes+spanBytes]),
		TraceFlags: trace.TraceFlags(kept[traceBytes+spanBytes]),
		Remote:     true,
	})
	return parent, parent.IsValid()
}

// close exports what is left, for a while.
func (t *tracer) close(log *slog.Logger) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		log.Warn("the last traces could not be exported", "error", err)
	}
}

// Help is what belfry serve --help says beside the flags.
func (*serveCommand) Help() string {
	return `Traces are exported by OTLP over HTTP if OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT names a
collector: a span for each delivery of a notification that was sent with a sampled traceparent. The other variables of
OpenTelemetry count too, among them OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS and OTEL_SERVICE_NAME.`
}

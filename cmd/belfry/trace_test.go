package main

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

// otlpReceiver is a collector of traces.
type otlpReceiver struct {
	url string

	mu       sync.Mutex
	spans    []*otlp.Span
	resource map[string]string
}

func startReceiver(t *testing.T) *otlpReceiver {
	r := &otlpReceiver{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		var body io.Reader = request.Body
		if request.Header.Get("Content-Encoding") == "gzip" {
			unzipped, err := gzip.NewReader(body)
			if err != nil {
				t.Error(err)
				return
			}
			body = unzipped
		}
		raw, err := io.ReadAll(body)
		if err != nil {
			t.Error(err)
		}
		var export collector.ExportTraceServiceRequest
		if err := proto.Unmarshal(raw, &export); err != nil || request.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", request.URL.Path, err)
		}
		r.take(&export)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *otlpReceiver) take(export *collector.ExportTraceServiceRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, of := range export.GetResourceSpans() {
		r.resource = textOf(of.GetResource().GetAttributes())
		for _, scope := range of.GetScopeSpans() {
			r.spans = append(r.spans, scope.GetSpans()...)
		}
	}
}

// byNotification are the spans by the notification that they are of.
func (r *otlpReceiver) byNotification() map[string]*otlp.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	spans := map[string]*otlp.Span{}
	for _, span := range r.spans {
		spans[textOf(span.GetAttributes())["messaging.message.id"]] = span
	}
	return spans
}

func textOf(attributes []*common.KeyValue) map[string]string {
	text := map[string]string{}
	for _, a := range attributes {
		text[a.GetKey()] = a.GetValue().GetStringValue()
	}
	return text
}

const (
	traceID  = "0af7651916cd43dd8448eb211c80319c"
	parentID = "b7ad6b7169203331"
)

func TestTraces_ADeliveryIsASpanWithinTheSendersTrace(t *testing.T) {
	receiver := startReceiver(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10") // milliseconds
	s := startServing(t)
	s.subscribe("ann")
	s.subscribe("bob", simulate.Status(http.StatusTooManyRequests).With("Retry-After", "1"))
	s.subscribe("carol", simulate.Status(http.StatusBadRequest))
	began := time.Now().Add(-time.Millisecond)
	sampled := []string{"traceparent", "00-" + traceID + "-" + parentID + "-01"}
	ann, bob, carol := s.send("ann", "one", sampled...), s.send("bob", "two", sampled...), s.send("carol", "three", sampled...)
	without := []string{
		s.send("ann", "no trace"), s.send("ann", "not sampled", "traceparent", "00-"+traceID+"-"+parentID+"-00"),
		s.send("ann", "not a trace", "traceparent", "hello"),
		s.send("ann", "two of them", append(sampled, sampled...)...),
	}
	var batch struct{ Results []struct{ ID string } }
	s.must("POST", "/v1/notifications/batch", map[string]any{"notifications": []any{map[string]any{"user": "ann", "title": "in a batch"}}}, &batch, sampled...)
	s.finished(append(without, ann, bob, carol, batch.Results[0].ID)...)
	s.eventually("they are exported", func() bool { return len(receiver.byNotification()) == 4 })
	s.stop()

	spans := receiver.byNotification()
	receiver.mu.Lock()
	defer receiver.mu.Unlock()
	require.Len(t, receiver.spans, 4, "those that were sampled, once each")
	for _, id := range []string{ann, bob, carol, batch.Results[0].ID} {
		span := spans[id]
		require.NotNil(t, span)
		require.Equal(t, traceID, hex.EncodeToString(span.GetTraceId()))
		require.Equal(t, parentID, hex.EncodeToString(span.GetParentSpanId()))
		require.Equal(t, "deliver", span.GetName())
		start, end := time.Unix(0, int64(span.GetStartTimeUnixNano())), time.Unix(0, int64(span.GetEndTimeUnixNano()))
		require.False(t, start.Before(began.Truncate(time.Millisecond)) || end.Before(start) || end.After(time.Now()), "from %s to %s", start, end)
	}
	told := textOf(spans[ann].GetAttributes())
	require.Equal(t, "webpush", told["messaging.system"])
	require.Equal(t, "127.0.0.1", told["server.address"])
	require.Equal(t, "default", told["belfry.app"])
	require.Equal(t, "delivered", told["belfry.state"])
	require.Equal(t, int64(2), intOf(spans[bob], "belfry.attempts"))
	require.GreaterOrEqual(t, spans[bob].GetEndTimeUnixNano()-spans[bob].GetStartTimeUnixNano(), uint64(time.Second), "the wait is in it")
	require.Equal(t, int64(http.StatusBadRequest), intOf(spans[carol], "http.response.status_code"))
	require.Equal(t, otlp.Status_STATUS_CODE_ERROR, spans[carol].GetStatus().GetCode())
	for _, span := range receiver.spans {
		text := span.String()
		for _, secret := range []string{"ann", "bob", "carol", s.service.Origin() + "/"} {
			require.NotContains(t, text, secret, "users and endpoints are nobody else's")
		}
	}
	require.Equal(t, "belfry", receiver.resource["service.name"])
	require.Equal(t, "test", receiver.resource["deployment.environment"])
}

func intOf(span *otlp.Span, key string) int64 {
	for _, a := range span.GetAttributes() {
		if a.GetKey() == key {
			return a.GetValue().GetIntValue()
		}
	}
	return 0
}

// The end has a second for it, which a slow machine may need more than once.
func TestTraces_TheLastSpansAreExportedAtTheEnd(t *testing.T) {
	receiver := startReceiver(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000") // an hour: not before
	log := slog.New(slog.DiscardHandler)
	event := deliveryAt("push.example", push.StateDelivered)
	var err error
	event.Trace, err = hex.DecodeString(traceID + parentID + "01")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		traces, err := newTracer(t.Context(), log)
		require.NoError(t, err)
		traces.observe(event)
		traces.close(log)
		return len(receiver.byNotification()) == 1
	}, time.Minute, time.Millisecond)
}

// A collector that is away, or hangs, costs spans and nothing else.
func TestTraces_NoDeliveryWaitsForTheCollector(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(hang) })
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", server.URL+"/v1/traces")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1")
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
	s := startServing(t)
	s.subscribe("ann")
	var ids []string
	for range 20 {
		ids = append(ids, s.send("ann", "hello", "traceparent", "00-"+traceID+"-"+parentID+"-01"))
	}
	s.finished(ids...)
	began := time.Now()
	s.stop()
	require.Less(t, time.Since(began), drainTimeout, "nor does the end")
}

func TestTraces_AreOffUnlessACollectorIsNamed(t *testing.T) {
	for _, environment := range []map[string]string{
		{},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"},
		{"OTEL_SERVICE_NAME": "belfry", "OTEL_TRACES_SAMPLER": "always_on"},
	} {
		require.False(t, tracingWanted(func(name string) string { return environment[name] }), "%v", environment)
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		require.True(t, tracingWanted(func(asked string) string { return map[string]string{name: "http://127.0.0.1:4318"}[asked] }), name)
	}
	off, err := newTracer(t.Context(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Nil(t, off)
	off.close(slog.New(slog.DiscardHandler))
}

func TestTraces_CostNothingOutsideOfATrace(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", startReceiver(t).url)
	log := slog.New(slog.DiscardHandler)
	traces, err := newTracer(t.Context(), log)
	require.NoError(t, err)
	defer traces.close(log)
	var event actors.Event = deliveryAt("push.example", push.StateDelivered)
	require.Zero(t, testing.AllocsPerRun(100, func() { traces.observe(event) }))
}

// The library would send what it cannot read to this machine, and say nothing.
func TestTracing_NeedsACollectorThatIsAURL(t *testing.T) {
	check := func(name, value string) error {
		return checkTracing(func(asked string) string { return map[string]string{name: value}[asked] })
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		for _, fine := range []string{"", "http://127.0.0.1:4318", "https://user:s3cr3t@collector.example/v1/traces"} {
			require.NoError(t, check(name, fine), fine)
		}
		for _, wrong := range []string{"127.0.0.1:4318", "collector:4318", "collector", "//collector", "grpc://collector:4317", "http://", "http://user:s3cr3t@%zz"} {
			err := check(name, wrong)
			require.ErrorContains(t, err, name+" is not a URL of http or https", wrong)
			require.NotContains(t, err.Error(), "s3cr3t")
		}
	}
	off := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318", "OTEL_SDK_DISABLED": "true"}
	require.NoError(t, checkTracing(func(name string) string { return off[name] }))
}

package api

import (
	"context"
	"encoding/hex"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

func TestTraceContext_KeepsASampledOne(t *testing.T) {
	const ids = "0af7651916cd43dd8448eb211c80319c" + "b7ad6b7169203331"
	for header, flags := range map[string]string{
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01":       "01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03":       "03",
		"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01":       "01",
		"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what?": "01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff":       "03",
	} {
		require.Equal(t, ids+flags, hex.EncodeToString(parseTraceparent(header)), header)
	}
}

func TestTraceContext_IsNoneWhateverIsWrong(t *testing.T) {
	for _, header := range []string{
		"", "00", "-", "hello",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",    // not sampled
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02",    // nor this one
		"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",    // no such version
		"0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",    // nor this one
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",  // version 00 ends there
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",   // and so do others
		"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",   // unless a hyphen follows
		"00-00000000000000000000000000000000-b7ad6b7169203331-01",    // no trace
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",    // no parent
		"00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",    // upper case
		"00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",    // hyphens elsewhere
		"00-0af7651916cd43dd8448eb211c80319z-b7ad6b7169203331-01",    // not hexadecimal
		"00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",    // no hyphens
		" 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",   // white space
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",     // too short
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333\xff-01", // not text
	} {
		require.Nil(t, parseTraceparent(header), "%q", header)
	}
}

func TestTraceContext_IsNoneOfSeveral(t *testing.T) {
	header := http.Header{}
	require.Nil(t, traceContext(header))
	header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	require.NotNil(t, traceContext(header))
	header.Add("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-01")
	require.Nil(t, traceContext(header))
}

// What OpenTelemetry's own reader takes for a sampled parent is kept, and
// nothing else is.
func FuzzTraceContext(f *testing.F) {
	f.Add("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	f.Add("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x")
	f.Add("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
	f.Fuzz(func(t *testing.T, header string) {
		kept := parseTraceparent(header)
		carrier := propagation.MapCarrier{"traceparent": header}
		parent := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
		if !parent.IsSampled() {
			// It does not ignore flags without a meaning, as §3.2.2.5.3 has it.
			require.True(t, kept == nil || header[:2] == "00" && header[53:55] > "03", "%q", header)
			return
		}
		id, span := parent.TraceID(), parent.SpanID()
		require.Len(t, kept, traceKept, "%q", header)
		require.Equal(t, id[:], kept[:16])
		require.Equal(t, span[:], kept[16:24])
	})
}

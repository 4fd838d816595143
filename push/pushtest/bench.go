package pushtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

// Bench is a provider, its push service, and a message that goes from the one
// to the other.
type Bench struct {
	Provider Provider
	Service  Service
	Message  push.Message

	// Told are the secrets that the push service is told and might repeat: the
	// token, or the endpoint and its telling parts. Kept are those it never
	// learns: the subscription's keys, the credentials' private halves. None of
	// them may be seen in a Result.
	Told, Kept []string
}

// send sends the Bench's message, and looks whether the Result is a sane one.
func (b Bench) send(t *testing.T, ctx context.Context) push.Result {
	t.Helper()
	result := b.Provider.Send(ctx, b.Message)
	b.requireSane(t, result)
	return result
}

// fault puts the one fault in force.
func (b Bench) fault(t *testing.T, fault simulate.Fault) {
	t.Helper()
	b.Service.ClearFaults()
	require.NoError(t, b.Service.Fault(fault))
}

// requireSane holds a Result to what its fields promise.
func (b Bench) requireSane(t *testing.T, result push.Result) {
	t.Helper()
	shown := fmt.Sprintf("%+v", result)
	require.Contains(t, []push.Outcome{push.Delivered, push.Retry, push.Gone, push.Rejected, push.Refused}, result.Outcome, shown)
	require.True(t, result.Outcome == push.Delivered || result.Reason != "", "a reason: %s", shown)
	for _, text := range []string{result.Reason, result.MessageID} {
		require.LessOrEqual(t, len(text), push.MaxReasonBytes)
		require.True(t, utf8.ValidString(text), "%q", text)
		require.Equal(t, -1, strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }), "%q", text)
	}
	require.GreaterOrEqual(t, result.RetryAfter, time.Duration(0), shown)
	require.True(t, result.RetryAfter == 0 || result.Outcome == push.Retry, shown)
	require.GreaterOrEqual(t, result.Pause, time.Duration(0), shown)
	require.True(t, result.Pause == 0 || result.Outcome == push.Retry || result.Outcome == push.Refused, shown)
	require.True(t, !result.KeyMismatch || result.Outcome == push.Rejected, shown)
	for _, secret := range b.secrets() {
		require.NotContains(t, shown, secret)
	}
}

func (b Bench) secrets() []string { return slices.Concat(b.Told, b.Kept) }

// hostile are bodies that no push service should answer with.
func (b Bench) hostile() []string {
	bodies := []string{
		strings.Repeat("no ", 1<<16), strings.Repeat("é", 1<<10), strings.Repeat("x", 1<<14), "\xff\xfe\x00\x01\x80", "\x1b[31mred\u202e\u200b\r\n\t",
		"<html><script>alert(1)</script>", "null", "[]", `"text"`, "1e999", "{", `{"reason":1,"error":[],"errno":"x","message":{},"name":[]}`,
		`{"reason":null,"timestamp":"soon"}`, `{"error":{"status":1,"message":[],"details":{}}}`, `{"error":{"details":[1,null,{"errorCode":1}]}}`,
		strings.Repeat("[", 1<<13), `{"name":"` + strings.Repeat("x", 1<<12) + `"}`,
	}
	for _, secret := range b.Told {
		bodies = append(bodies, secret, "no: "+secret+".", fmt.Sprintf(`{"reason":%q,"message":%[1]q,"name":%[1]q}`, secret),
			fmt.Sprintf(`{"error":{"code":400,"status":"INVALID_ARGUMENT","message":%q}}`, secret))
	}
	return bodies
}

// headerRune leaves out what a header cannot hold.
func headerRune(r rune) rune {
	if r < ' ' || r == 0x7f {
		return -1
	}
	return r
}

package push

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// Whatever names something in a URL, or in a request, is refused or comes out
// as it went in.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{
		"", ".", "ann", "a\x00b", "\xff", "é\u202e", strings.Repeat("a", MaxUserBytes), "01a201f2-e60e-7a78-8738-29c6f0f58a65",
		"01A201F2-E60E-7A78-8738-29C6F0F58A65", strings.Repeat("0", 64), strings.Repeat("F", 64), "webpush", "high", "delivery.gone", "shown",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if id, err := ParseID(text); err == nil {
			require.Equal(t, strings.ToLower(text), id.String())
		}
		if digest, err := ParseDigest(text); err == nil {
			require.Equal(t, strings.ToLower(text), digest.String())
		}
		if kind, err := ParseKind(text); err == nil {
			require.Equal(t, text, kind.String())
		}
		if urgency, err := ParseUrgency(text); err == nil {
			require.Equal(t, text, urgency.String())
		}
		if environment, err := ParseEnvironment(text); err == nil {
			require.Equal(t, text, environment.String())
		}
		if event, err := ParseEventType(text); err == nil {
			require.Equal(t, text, event.String())
		}
		if receipt, err := ParseReceiptType(text); err == nil {
			require.Equal(t, text, receipt.String())
		}
		if ValidUserID(text) {
			require.True(t, utf8.ValidString(text))
			require.LessOrEqual(t, len(text), MaxUserBytes)
			require.False(t, strings.ContainsAny(text, "\x00\r\n\x7f"))
			require.Less(t, User{App: DefaultApp, ID: text}.Shard(), Shard(Shards))
		}
	})
}

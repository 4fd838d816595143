package push_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

// Numbers are in the store, words in the API: neither may ever change.
func TestWords_AreFixedForEver(t *testing.T) {
	for word, value := range map[string]fmt.Stringer{
		"webpush": push.Kind(1), "apns": push.Kind(2), "fcm": push.Kind(3), "kind(0)": push.Kind(0),

		"normal": push.Urgency(0), "very-low": push.Urgency(1), "low": push.Urgency(2), "high": push.Urgency(3), "urgency(4)": push.Urgency(4),

		"state(0)": push.State(0), "state(9)": push.State(9), "superseded": push.State(7), "cancelled": push.State(8), "expired": push.State(4), "unsubscribed": push.State(5), "no_subscription": push.State(6),

		"retry": push.Outcome(2), "refused": push.Outcome(5), "outcome(0)": push.Outcome(0), "outcome(6)": push.Outcome(6),
	} {
		require.Equal(t, word, value.String())
	}
	// Outcomes and states share these words.
	require.Equal(t, []string{"delivered", "gone", "rejected"}, []string{push.State(1).String(), push.State(2).String(), push.State(3).String()})
	require.Equal(t, []string{"delivered", "gone", "rejected"}, []string{push.Outcome(1).String(), push.Outcome(3).String(), push.Outcome(4).String()})
}

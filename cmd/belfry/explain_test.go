package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api/client"
)

func explainWith(t *testing.T, answer client.Explanation, command explainCommand) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	command.Server, command.Key, command.User = server.URL, "x", "ann"
	var out strings.Builder
	require.NoError(t, command.Run(t.Context(), streams{out: &out, err: &out}))
	return out.String()
}

func TestExplain_IsPrintedForPeople(t *testing.T) {
	at := local(10, 0, 0)
	out := explainWith(t, client.Explanation{
		User: "ann",
		Summary: []string{
			"Delivered: the push service push.example.org took it at " + at.UTC().Format("2006-01-02 15:04:05 UTC") + ", 2 s after it was accepted, after 1 attempt that failed.",
			"Short.",
		},
		Subscriptions: []client.SubscriptionExplanation{
			{Id: strings.Repeat("ab", 32), Kind: "webpush", Host: "push.example.org", Attempts: []client.Attempt{
				{Number: 1, At: at, Outcome: "retry", Reason: "no route"}, {Number: 2, At: at, Outcome: "delivered", Status: 201},
			}},
			{Id: "cd", Kind: "fcm", Host: "fcm.googleapis.com", Attempts: []client.Attempt{{Number: 1, At: at, Outcome: "delivered", Status: 200}}},
		},
		Recent: []client.Notification{{Id: "01", AcceptedAt: at, State: "finished", Deliveries: []client.Delivery{{State: "delivered"}, {State: "gone"}}}},
	}, explainCommand{})
	require.Equal(t, `Delivered: the push service push.example.org took it at 2026-11-22 10:00:00, 2 s after it was
  accepted, after 1 attempt that failed.
Short.

Attempts at webpush push.example.org (abababababababab)
  1  2026-11-22 10:00:00  retry      no answer  no route
  2  2026-11-22 10:00:00  delivered  HTTP 201   

NOTIFICATION  ACCEPTED             STATE     DELIVERIES
01            2026-11-22 10:00:00  finished  delivered, gone
`, out)
}

func TestExplain_IsGivenAsJSON(t *testing.T) {
	answer := client.Explanation{User: "ann", Summary: []string{"Short."}, Subscriptions: []client.SubscriptionExplanation{}}
	var got client.Explanation
	require.NoError(t, json.Unmarshal([]byte(explainWith(t, answer, explainCommand{JSON: true})), &got))
	require.Equal(t, answer, got)
}

func TestWrapped_BreaksBetweenWords(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		"one":                     "one",
		"a bb ccc dddd":           "a bb ccc\n  dddd",
		"unbreakable!":            "unbreakable!",
		"a unbreakable! b":        "a\n  unbreakable!\n  b",
		"über drüber ü":           "über\n  drüber\n  ü",
		"  spaces \n of   no use": "spaces of\n  no use",
	} {
		require.Equal(t, want, wrapped(text, 9))
	}
	require.Equal(t, "at 2026-13-99 99:99:99 UTC", localTimes("at 2026-13-99 99:99:99 UTC"), "what is no time stays")
}

package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api/client"
)

// Who waits for long is told where to read why, once.
func TestSend_SaysWhereToReadWhyItTakesSoLong(t *testing.T) {
	next := local(10, 0, 30)
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := client.Notification{Id: "01", State: "pending", Deliveries: []client.Delivery{{State: "waiting", Attempts: 1, NextAttemptAt: &next}}}
		if asked++; asked == 3 {
			n.State, n.Deliveries = "finished", []client.Delivery{{State: "no_subscription"}}
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(n); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	service, err := (&remoteFlags{Server: server.URL, Key: "x"}).connect()
	require.NoError(t, err)
	for quiet, want := range map[time.Duration]string{
		0:         "belfry: still waiting; why, says: belfry explain ann 01\n",
		time.Hour: "",
	} {
		asked = 0
		var out, complaints strings.Builder
		require.NoError(t, follow(t.Context(), service, client.AcceptedNotification{Id: "01", User: "ann"}, quiet, streams{out: &out, err: &complaints}))
		require.Equal(t, "  waiting, 1 attempt, next at 10:00:30\n  no subscription\n", out.String())
		require.Equal(t, want, complaints.String())
	}
}

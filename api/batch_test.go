package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
)

func TestBatch_AcceptsWhatItCanAndSaysWhatIsWrongWithTheRest(t *testing.T) {
	r := newRig(t)
	endpoint, laptop := r.browser()
	r.subscribe("ann", laptop)
	ask := request{method: "POST", path: "/v1/notifications/batch", once: "batch-1", body: map[string]any{"notifications": []any{
		map[string]any{"user": "ann", "title": "one"},
		map[string]any{"user": "ann"},
		map[string]any{"user": "bob", "title": "two", "ttl": 60},
		map[string]any{"users": []string{"ann"}, "title": "three"},
		map[string]any{"user": "ann", "title": "four", "body": strings.Repeat("x", 4000)},
		map[string]any{"user": "ann", "title": "five", "actions": []any{map[string]any{"action": "a", "title": "t", "url": "ftp://x"}}},
	}}}
	var batch api.NotificationBatch
	r.must(http.StatusAccepted, ask, &batch)
	var got []string
	for _, result := range batch.Results {
		got = append(got, strings.Trim(result.User+" "+result.Problem.Code+" "+result.Problem.Field, " "))
	}
	require.Equal(t, []string{
		"ann",
		"invalid_field notifications[1].title",
		"bob",
		"invalid_field notifications[3].users",
		"payload_too_large",
		"invalid_field notifications[5].actions[0].url",
	}, got)
	require.Less(t, batch.Results[0].Id, batch.Results[2].Id, "in the order of the request")
	require.Equal(t, "delivered", r.finished(batch.Results[0].Id).Deliveries[0].State)
	require.Equal(t, "no_subscription", r.finished(batch.Results[2].Id).Deliveries[0].State)

	var again api.NotificationBatch
	r.must(http.StatusAccepted, ask, &again)
	require.Equal(t, batch, again)
	r.finished(r.send("ann"))
	require.Len(t, endpoint.Receipts(), 2)
}

func TestBatch_OfAThousand(t *testing.T) {
	r := newRig(t)
	list := make([]any, 1000)
	for i := range list {
		list[i] = map[string]any{"user": "ann", "title": "x", "body": strings.Repeat("y", 1000)}
	}
	var batch api.NotificationBatch
	r.must(http.StatusAccepted, request{method: "POST", path: "/v1/notifications/batch", body: map[string]any{"notifications": list}}, &batch)
	require.Len(t, batch.Results, 1000)
	for i := range 999 {
		require.Less(t, batch.Results[i].Id, batch.Results[i+1].Id)
	}
	got := r.do(request{method: "POST", path: "/v1/notifications/batch", body: map[string]any{"notifications": append(list, list[0])}})
	require.Equal(t, "notifications", got.problem.Field)
	require.Equal(t, "notifications", r.do(request{method: "POST", path: "/v1/notifications/batch", body: `{}`}).problem.Field)
	require.Equal(t, http.StatusForbidden, r.do(request{method: "POST", path: "/v1/notifications/batch", key: r.keys["read"], body: `{}`}).status)
	huge := r.do(request{method: "POST", path: "/v1/notifications/batch", body: `{"notifications":[{"title":"` + strings.Repeat("x", 3<<20) + `"}]}`})
	require.Equal(t, http.StatusRequestEntityTooLarge, huge.status)
}

package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push/simulate"
)

func TestNotifications_AreDeliveredAndAccountedFor(t *testing.T) {
	r := newRig(t)
	works, laptop := r.browser()
	_, gone := r.browser(simulate.Status(410))
	sub := r.subscribe("ann", laptop)
	r.subscribe("ann", gone)
	id := r.send("ann")
	n := r.finished(id)
	require.Equal(t, "ann", n.User)
	require.Equal(t, 24*time.Hour, n.ExpiresAt.Sub(n.AcceptedAt))
	states := map[string]api.Delivery{}
	for _, d := range n.Deliveries {
		states[d.State] = d
	}
	require.Equal(t, sub.Id, states["delivered"].Subscription)
	require.Equal(t, 201, states["delivered"].Status)
	require.Equal(t, 1, states["delivered"].Attempts)
	require.Equal(t, 410, states["gone"].Status)
	require.NotNil(t, states["gone"].DoneAt)
	require.Equal(t, 1, r.rows("ann"), "what is gone is removed")

	receipts := works.Receipts()
	require.Len(t, receipts, 1)
	plain, err := laptop.Decrypt(receipts[0].Body)
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"`+id+`","notification":{"title":"hello"}}`, string(plain))
}

func TestNotifications_ToManyUsers(t *testing.T) {
	r := newRig(t)
	users := make([]string, 1000)
	for i := range users {
		users[i] = fmt.Sprintf("user-%d", i)
	}
	var accepted api.AcceptedNotifications
	r.must(http.StatusAccepted, request{method: "POST", path: "/v1/notifications", body: map[string]any{"users": users, "title": "hello"}}, &accepted)
	require.Len(t, accepted.Notifications, 1000)
	for i, n := range accepted.Notifications {
		require.Equal(t, users[i], n.User, "in the order of the request")
		if i > 0 {
			require.Greater(t, n.Id, accepted.Notifications[i-1].Id, "IDs sort in the order of acceptance")
		}
	}
	n := r.finished(accepted.Notifications[999].Id)
	require.Equal(t, "no_subscription", n.Deliveries[0].State)
}

func TestNotifications_CarryAllThatWasGiven(t *testing.T) {
	r := newRig(t)
	endpoint, laptop := r.browser()
	r.subscribe("ann", laptop)
	var accepted api.AcceptedNotifications
	r.must(http.StatusAccepted, request{method: "POST", path: "/v1/notifications", body: map[string]any{
		"user": "ann", "title": "Grüße 🔔", "body": "b", "icon": "https://x.dev/i.png", "image": "/img.png", "badge": "/b.png", "tag": "t",
		"url": "https://x.dev/open?a=1&b=<2>", "actions": []any{map[string]any{"action": "yes", "title": "Yes", "url": "https://x.dev/yes"}},
		"data": map[string]any{"n": 1, "nested": []any{true, nil}}, "ttl": 60, "urgency": "high", "collapse_key": "k",
	}}, &accepted)
	id := accepted.Notifications[0].Id
	r.finished(id)
	receipt := endpoint.Receipts()[0]
	require.Equal(t, "60", receipt.Header.Get("TTL"))
	require.Equal(t, "high", receipt.Header.Get("Urgency"))
	require.Len(t, receipt.Header.Get("Topic"), 32)
	plain, err := laptop.Decrypt(receipt.Body)
	require.NoError(t, err)
	require.JSONEq(t, `{"web_push":8030,"id":"`+id+`","notification":{"title":"Grüße 🔔","body":"b","icon":"https://x.dev/i.png",
		"image":"/img.png","badge":"/b.png","tag":"t","navigate":"https://x.dev/open?a=1&b=<2>",
		"actions":[{"action":"yes","title":"Yes","navigate":"https://x.dev/yes"}],"data":{"n":1,"nested":[true,null]}}}`, string(plain))
}

func TestNotifications_AreAcceptedOnceForAnIdempotencyKey(t *testing.T) {
	r := newRig(t)
	endpoint, laptop := r.browser()
	r.subscribe("ann", laptop)
	ask := request{method: "POST", path: "/v1/notifications", body: `{"user":"ann","title":"hello","data":{"a":1}}`, once: "k-1"}
	first := r.do(ask)
	require.Equal(t, http.StatusAccepted, first.status)
	require.Equal(t, string(first.body), string(r.do(ask).body), "the first answer again")
	ask.body = `{ "title": "hello", "data": {"a": 1}, "user": "ann" }`
	require.Equal(t, string(first.body), string(r.do(ask).body), "the same request, written otherwise")

	ask.body = `{"user":"ann","title":"hello","data":{"a":2}}`
	other := r.do(ask)
	require.Equal(t, http.StatusUnprocessableEntity, other.status)
	require.Equal(t, "idempotency_key_reused", other.problem.Code)
	require.Equal(t, "Idempotency-Key", other.problem.Field)
	ask.key = r.keys["other"]
	require.Equal(t, http.StatusAccepted, r.do(ask).status, "another app's keys are its own")
	ask.once = strings.Repeat("x", 256)
	require.Equal(t, "Idempotency-Key", r.do(ask).problem.Field)

	r.finished(r.send("ann")) // what came before has arrived too
	require.Len(t, endpoint.Receipts(), 2)
}

func TestNotifications_WaitingIsVisible(t *testing.T) {
	r := newRig(t)
	endpoint, laptop := r.browser(simulate.Status(429).With("Retry-After", "30"))
	r.subscribe("ann", laptop)
	sent := time.Now()
	id := r.send("ann")
	_, err := endpoint.Await(t.Context(), 1)
	require.NoError(t, err)
	var n api.Notification
	require.Eventually(t, func() bool {
		r.must(http.StatusOK, request{path: "/v1/notifications/" + id}, &n)
		return len(n.Deliveries) == 1 && n.Deliveries[0].State == "waiting"
	}, patience, 5*time.Millisecond)
	require.Equal(t, "pending", n.State)
	require.Equal(t, 429, n.Deliveries[0].Status)
	require.WithinRange(t, *n.Deliveries[0].NextAttemptAt, sent.Add(30*time.Second), time.Now().Add(35*time.Second))
}

func TestNotifications_CanBeScheduledAndCancelled(t *testing.T) {
	r := newRig(t)
	endpoint, laptop := r.browser()
	r.subscribe("ann", laptop)
	at := time.Now().Add(time.Hour).Truncate(time.Second)
	var accepted api.AcceptedNotifications
	r.must(http.StatusAccepted, request{method: "POST", path: "/v1/notifications", body: map[string]any{
		"user": "ann", "title": "later", "ttl": 60, "send_at": at.Format(time.RFC3339),
	}}, &accepted)
	path := "/v1/notifications/" + accepted.Notifications[0].Id
	var n api.Notification
	r.must(http.StatusOK, request{path: path}, &n)
	require.Equal(t, "scheduled", n.State)
	require.True(t, n.SendAt.Equal(at))
	require.Equal(t, time.Minute, n.ExpiresAt.Sub(at))
	require.Empty(t, n.Deliveries)

	var answer api.Cancellation
	for range 2 {
		r.must(http.StatusOK, request{method: "DELETE", path: path}, &answer)
		require.Equal(t, []int{1, 0, 0}, []int{answer.Cancelled, answer.Sent, answer.UnderWay})
		require.Equal(t, "finished", answer.Notification.State)
		require.Equal(t, "cancelled", answer.Notification.Deliveries[0].State)
	}
	require.Equal(t, http.StatusNotFound, r.do(request{method: "DELETE", path: path, key: r.keys["other"]}).status, "another app's")
	require.Equal(t, http.StatusForbidden, r.do(request{method: "DELETE", path: path, key: r.keys["read"]}).status)
	require.Equal(t, "id", r.do(request{method: "DELETE", path: "/v1/notifications/no-uuid"}).problem.Field)

	past := map[string]any{"user": "ann", "title": "now", "send_at": "2020-01-01T00:00:00+02:00"}
	r.must(http.StatusAccepted, request{method: "POST", path: "/v1/notifications", body: past}, &accepted)
	require.Nil(t, r.finished(accepted.Notifications[0].Id).SendAt, "a time that has passed means at once")
	require.Len(t, endpoint.Receipts(), 1)
	for _, wrong := range []string{"tomorrow", "2026-01-01", "2026-01-01T00:00:00", time.Now().Add(31 * 24 * time.Hour).Format(time.RFC3339)} {
		got := r.do(request{method: "POST", path: "/v1/notifications", body: map[string]any{"user": "ann", "title": "x", "send_at": wrong}})
		require.Equal(t, http.StatusBadRequest, got.status, wrong)
		require.Equal(t, "send_at", got.problem.Field, "%s: %s", wrong, got.problem.Detail)
	}
}

func TestNotifications_ThatAreSentCannotBeTakenBack(t *testing.T) {
	r := newRig(t)
	hold := make(chan struct{})
	_, works := r.browser()
	slow, slowly := r.browser(simulate.Status(201).When(hold))
	_, waits := r.browser(simulate.Status(429).With("Retry-After", "1800"))
	for _, browser := range []*simulate.Browser{works, slowly, waits} {
		r.subscribe("ann", browser)
	}
	id := r.send("ann")
	_, err := slow.Await(t.Context(), 1)
	require.NoError(t, err)
	var n api.Notification
	require.Eventually(t, func() bool {
		r.must(http.StatusOK, request{path: "/v1/notifications/" + id}, &n)
		states := map[string]int{}
		for _, d := range n.Deliveries {
			states[d.State]++
		}
		return states["delivered"] == 1 && states["waiting"] == 1
	}, patience, 5*time.Millisecond)
	require.Eventually(t, func() bool {
		var list api.SubscriptionList
		r.must(http.StatusOK, request{path: "/v1/users/ann/subscriptions"}, &list)
		return slices.ContainsFunc(list.Subscriptions, func(s api.Subscription) bool {
			return s.RestingUntil != nil && time.Until(*s.RestingUntil) > 29*time.Minute
		})
	}, patience, 5*time.Millisecond)

	var answer api.Cancellation
	r.must(http.StatusOK, request{method: "DELETE", path: "/v1/notifications/" + id}, &answer)
	require.Equal(t, []int{1, 1, 1}, []int{answer.Cancelled, answer.Sent, answer.UnderWay})
	require.Equal(t, "pending", answer.Notification.State)
	close(hold)
	require.Len(t, r.finished(id).Deliveries, 3)
}

func TestNotifications_AreRefusedWhileTheBacklogIsFull(t *testing.T) {
	r := newRig(t, func(c *actors.Config) { c.Backlog = 3 })
	hold := make(chan struct{})
	_, laptop := r.browser(simulate.Status(201).When(hold))
	r.subscribe("ann", laptop)
	for range 3 {
		r.send("ann")
	}
	ask := request{method: "POST", path: "/v1/notifications", body: `{"user":"ann","title":"x"}`}
	got := r.do(ask)
	require.Equal(t, http.StatusTooManyRequests, got.status)
	require.Equal(t, "backlog_full", got.problem.Code)
	require.NotEmpty(t, got.header.Get("Retry-After"))
	close(hold)
	require.Eventually(t, func() bool { return r.do(ask).status == http.StatusAccepted }, patience, 5*time.Millisecond)
}

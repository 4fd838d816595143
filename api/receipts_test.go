package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push"
)

// receipted is a notification that was delivered to a browser with a receipt token.
type receipted struct{ id, token, subscription string }

// sendWithReceipts sends one to a new browser of ann's, which asks for these.
func (r *rig) sendWithReceipts(receipts ...string) receipted {
	r.Helper()
	endpoint, laptop := r.browser()
	sub := r.subscribe("ann", laptop)
	var accepted api.AcceptedNotifications
	r.must(http.StatusAccepted, request{method: "POST", path: "/v1/notifications", body: map[string]any{
		"user": "ann", "title": "hello", "url": "https://example.com/x", "receipts": receipts,
	}}, &accepted)
	id := accepted.Notifications[0].Id
	r.finished(id)
	plain, err := laptop.Decrypt(endpoint.Receipts()[0].Body)
	require.NoError(r, err)
	var message struct{ Receipt string }
	require.NoError(r, json.Unmarshal(plain, &message))
	return receipted{id, message.Receipt, sub.Id}
}

// report is what a service worker sends.
func report(token, event string) request {
	body, _ := json.Marshal(map[string]string{"token": token, "event": event})
	return request{method: "POST", path: "/v1/receipts", key: "-", origin: pageOrigin, contentType: "text/plain;charset=UTF-8", body: string(body)}
}

// at is the delivery of a notification at a subscription.
func (r *rig) at(n receipted) api.Delivery {
	r.Helper()
	for _, d := range r.finished(n.id).Deliveries {
		if d.Subscription == n.subscription {
			return d
		}
	}
	r.Fatal("there is no such delivery")
	return api.Delivery{}
}

func TestReceipts_AppearOnTheDeliveryAndInTheFeed(t *testing.T) {
	r := newRig(t)
	n := r.sendWithReceipts("shown", "clicked", "closed")
	require.Nil(t, r.at(n).ShownAt)
	began := time.Now().Add(-time.Second)
	r.must(http.StatusNoContent, report(n.token, "shown"), nil)
	d := r.at(n)
	require.WithinRange(t, *d.ShownAt, began, time.Now())
	require.Nil(t, d.ClickedAt)
	r.must(http.StatusNoContent, report(n.token, "clicked"), nil)
	r.must(http.StatusNoContent, report(n.token, "closed"), nil)
	r.must(http.StatusNoContent, report(n.token, "shown"), nil)
	again := r.at(n)
	require.Equal(t, d.ShownAt, again.ShownAt, "the first of a kind counts")
	require.NotNil(t, again.ClickedAt)
	require.NotNil(t, again.ClosedAt)

	events := r.feed(5)
	require.Equal(t, []string{"subscription.added", "delivery.delivered", "delivery.shown", "delivery.clicked", "delivery.closed"}, typesOf(events))
	for _, e := range events[2:] {
		require.Equal(t, n.id, e.Notification)
		require.Equal(t, n.subscription, e.Subscription)
		require.Equal(t, "ann", e.User)
	}
}

func TestReceipts_AreForgottenWithTheUser(t *testing.T) {
	r := newRig(t)
	n := r.sendWithReceipts("shown")
	r.must(http.StatusOK, request{method: "DELETE", path: "/v1/users/ann"}, nil)
	r.must(http.StatusNoContent, report(n.token, "shown"), nil)
	require.Empty(t, r.page("types=delivery.shown").Events)
}

func TestReceipts_ThatNobodyAskedForAreDropped(t *testing.T) {
	r := newRig(t)
	n := r.sendWithReceipts("shown")
	r.must(http.StatusNoContent, report(n.token, "clicked"), nil)
	require.Nil(t, r.at(n).ClickedAt)
	require.Empty(t, r.page("types=delivery.clicked").Events)

	unknown := push.ReceiptToken([]byte("the token secret of the app default"), push.DefaultApp, push.ID{1}, push.Digest{1})
	r.must(http.StatusNoContent, report(unknown, "shown"), nil)
}

// The token is all that a receipt needs, and nothing else passes for one. Whatever
// is wrong with it, the answer is the same.
func TestReceipts_NeedTheirToken(t *testing.T) {
	r := newRig(t)
	n := r.sendWithReceipts("shown")
	_, rest, _ := strings.Cut(n.token, ".")
	id, err := push.ParseID(n.id)
	require.NoError(t, err)
	var first answer
	for name, token := range map[string]string{
		"nothing":          "",
		"nonsense":         "nonsense",
		"another app":      "other." + rest,
		"an unknown app":   "nobody." + rest,
		"another secret":   push.ReceiptToken([]byte("guessed"), push.DefaultApp, id, push.Digest{1}),
		"the other's":      push.ReceiptToken([]byte("the token secret of the app other"), push.DefaultApp, id, push.Digest{1}),
		"a user token":     r.token("ann"),
		"an API key":       r.keys["admin"],
		"longer than ever": strings.Repeat("x", 500),
	} {
		got := r.do(report(token, "shown"))
		require.Equal(t, http.StatusBadRequest, got.status, name)
		require.Equal(t, "invalid_token", got.problem.Code, name)
		require.Equal(t, "token", got.problem.Field, name)
		if first.body == nil {
			first = got
		}
		require.Equal(t, string(first.body), string(got.body), name)
	}
	require.Nil(t, r.at(n).ShownAt)
}

func TestReceipts_AreTakenFromTheAppsOriginsAlone(t *testing.T) {
	r := newRig(t)
	n := r.sendWithReceipts("shown")
	for _, origin := range []string{otherOrigin, "https://stranger.dev", "null"} {
		ask := report(n.token, "shown")
		ask.origin = origin
		got := r.do(ask)
		require.Equal(t, http.StatusForbidden, got.status, origin)
		require.Equal(t, "origin_not_allowed", got.problem.Code)
	}
	require.Nil(t, r.at(n).ShownAt)
	for _, origin := range []string{"", pageOrigin, r.url} {
		ask := report(n.token, "shown")
		ask.origin = origin
		require.Equal(t, http.StatusNoContent, r.do(ask).status, origin)
	}
	got := r.do(report(n.token, "shown"))
	require.Equal(t, pageOrigin, got.header.Get("Access-Control-Allow-Origin"))
	preflight := r.do(request{method: "OPTIONS", path: "/v1/receipts", key: "-", origin: pageOrigin})
	require.Contains(t, preflight.header.Get("Access-Control-Allow-Methods"), "POST")
}

func TestReceipts_MayBePlainText(t *testing.T) {
	r := newRig(t)
	n := r.sendWithReceipts("shown")
	for contentType, status := range map[string]int{
		"text/plain": 204, "text/plain;charset=UTF-8": 204, "application/json": 204,
		"text/html": 415, "application/x-www-form-urlencoded": 415, "multipart/form-data": 415,
	} {
		ask := report(n.token, "shown")
		ask.contentType = contentType
		require.Equal(t, status, r.do(ask).status, contentType)
	}
	ask := request{method: "POST", path: "/v1/notifications", contentType: "text/plain", body: `{"user":"ann","title":"x"}`}
	require.Equal(t, http.StatusUnsupportedMediaType, r.do(ask).status, "nothing else may")

	wrong := report(n.token, "seen")
	require.Equal(t, "event", r.do(wrong).problem.Field)
	wrong.body = `{"token":"x","event":"shown","more":1}`
	require.Equal(t, "more", r.do(wrong).problem.Field)
	wrong.body = strings.Repeat(" ", 2000)
	require.Equal(t, http.StatusRequestEntityTooLarge, r.do(wrong).status)
}

func TestReceipts_AreAskedForByTheirNames(t *testing.T) {
	r := newRig(t)
	send := func(receipts any) answer {
		return r.do(request{method: "POST", path: "/v1/notifications", body: map[string]any{"user": "ann", "title": "x", "receipts": receipts}})
	}
	for _, fine := range []any{nil, []string{}, []string{"closed"}, []string{"clicked", "shown", "closed"}} {
		require.Equal(t, http.StatusAccepted, send(fine).status, fine)
	}
	for _, wrong := range []any{[]string{"seen"}, []string{"shown", "shown"}, []string{""}, "shown", []any{1}} {
		got := send(wrong)
		require.Equal(t, http.StatusBadRequest, got.status, wrong)
		require.Contains(t, got.problem.Field, "receipts", wrong)
	}
	// What is accepted can be sent, with the longest token there is.
	got := r.do(request{method: "POST", path: "/v1/notifications", body: map[string]any{"user": "ann", "title": strings.Repeat("x", 3800)}})
	require.Equal(t, http.StatusAccepted, got.status)
	got = r.do(request{method: "POST", path: "/v1/notifications", body: map[string]any{"user": "ann", "title": strings.Repeat("x", 3800), "receipts": []string{"shown"}}})
	require.Equal(t, http.StatusRequestEntityTooLarge, got.status)
}

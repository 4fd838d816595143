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
	"github.com/belfryhq/belfry/push/simulate"
)

func TestNotifications_WhatIsForAppsReachesThem(t *testing.T) {
	r := newRig(t)
	apple, key := appleKey("com.example.app")
	service, err := simulate.OpenAPNs(simulate.APNsConfig{Config: simulate.Config{Authority: r.senders.authority}, Keys: []simulate.APNsKey{key}})
	require.NoError(t, err)
	t.Cleanup(service.Stop)
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/apps/default/credentials/ios", body: with(apple, "host", service.URL())}, nil)
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/users/ann/subscriptions", body: device(deviceToken)}, nil)

	var accepted api.AcceptedNotifications
	r.must(http.StatusAccepted, request{method: "POST", path: "/v1/notifications", body: `{
		"user": "ann", "title": "Ding", "app_badge": 0, "sound": "bell.caf", "thread": "tower", "category": "RING", "mutable_content": true,
		"apns": {"priority": 5, "payload": {"aps": {"alert": {"subtitle": "dong"}}}}, "fcm": {"message": {"data": {"a": "b"}}}
	}`}, &accepted)
	done := r.finished(accepted.Notifications[0].Id).Deliveries[0]
	require.Equal(t, "delivered", done.State, "%+v", done)
	got, err := service.Await(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, got[0].ID, done.MessageId)
	require.NotEmpty(t, done.MessageId)
	require.Equal(t, "5", got[0].Header.Get("apns-priority"))
	var payload struct {
		APS map[string]any
	}
	require.NoError(t, json.Unmarshal(got[0].Payload, &payload))
	require.Equal(t, map[string]any{
		"alert": map[string]any{"title": "Ding", "subtitle": "dong"}, "badge": 0.0, "sound": "bell.caf",
		"thread-id": "tower", "category": "RING", "mutable-content": 1.0,
	}, payload.APS)
}

func TestNotifications_WhatIsForAppsIsKept(t *testing.T) {
	r := newRig(t)
	for given, kept := range map[string]string{
		`{}`:                             ``,
		`{"apns":{},"fcm":{}}`:           ``,
		`{"app_badge":null,"apns":null}`: ``,
		`{"apns":{"payload":null}}`:      ``,
		`{"app_badge":0}`:                `{"app_badge":0}`,
		`{"app_badge":4294967295}`:       `{"app_badge":4294967295}`,
		`{"sound":"none","thread":"t"}`:  `{"sound":"none","thread":"t"}`,
		`{"apns":{"push_type":"background","priority":5,"payload":{ "aps": {"x":1} }}}`: `{"apns":{"push_type":"background","priority":5,"payload":{"aps":{"x":1}}}}`,
		`{"fcm":{"message":{"android":{"notification":{"channel_id":"c"}}}}}`:           `{"fcm":{"message":{"android":{"notification":{"channel_id":"c"}}}}}`,
	} {
		var body map[string]any
		require.NoError(t, json.Unmarshal([]byte(given), &body))
		var accepted api.AcceptedNotifications
		later := time.Now().Add(time.Hour).Format(time.RFC3339)
		r.must(http.StatusAccepted, request{method: "POST", path: "/v1/notifications", body: with(body, "user", "ann", "title", "x", "send_at", later)}, &accepted)
		id, err := push.ParseID(accepted.Notifications[0].Id)
		require.NoError(t, err)
		record, err := r.store.GetNotification(t.Context(), push.DefaultApp, id)
		require.NoError(t, err)
		require.Equal(t, kept, string(record.Notification.Native), given)
	}
}

func TestNotifications_WhatIsForAppsIsChecked(t *testing.T) {
	r := newRig(t).withCredentials()
	for _, c := range []struct {
		members, code, field string
		always               bool // also in an app that does not send to phones
	}{
		{`"app_badge":-1`, "invalid_field", "app_badge", true},
		{`"app_badge":4294967296`, "invalid_field", "app_badge", true},
		{`"app_badge":1.5`, "invalid_field", "app_badge", true},
		{`"app_badge":"1"`, "invalid_field", "app_badge", true},
		{`"sound":true`, "invalid_field", "sound", true},
		{`"mutable_content":1`, "invalid_field", "mutable_content", true},
		{`"apns":{"badge":1}`, "unknown_field", "badge", true},
		{`"fcm":{"data":{}}`, "unknown_field", "data", true},
		{`"apns":{"payload":[]}`, "invalid_field", "apns.payload", true},
		{`"apns":{"payload":"x"}`, "invalid_field", "apns.payload", true},
		{`"fcm":{"message":7}`, "invalid_field", "fcm.message", true},
		{`"apns":{"priority":7}`, "invalid_field", "apns.priority", true},
		{`"apns":{"push_type":"loud"}`, "invalid_field", "apns.push_type", false},
		{`"apns":{"payload":{"aps":null}}`, "invalid_field", "apns.payload", false},
		{`"apns":{"payload":{"x":"` + strings.Repeat("x", 4096) + `"}}`, "payload_too_large", "", false},
		{`"fcm":{"message":{"data":{"x":"` + strings.Repeat("x", 4096) + `"}}}`, "payload_too_large", "", false},
	} {
		body := `{"user":"ann","title":"x",` + c.members + `}`
		got := r.do(request{method: "POST", path: "/v1/notifications", body: body})
		require.Equal(t, c.code, got.problem.Code, "%s: %s", c.members, got.body)
		require.Equal(t, c.field, got.problem.Field, c.members)
		got = r.do(request{method: "POST", path: "/v1/notifications", body: body, key: r.keys["other"]})
		require.Equal(t, c.always, got.status >= 400, "%s in an app without credentials: %s", c.members, got.body)

		batch := r.do(request{method: "POST", path: "/v1/notifications/batch", body: `{"notifications":[` + body + `]}`})
		if c.code == "unknown_field" || batch.status != http.StatusAccepted {
			continue // it makes no sense as a whole
		}
		var results api.NotificationBatch
		require.NoError(t, json.Unmarshal(batch.body, &results))
		require.Equal(t, c.code, results.Results[0].Problem.Code, c.members)
		if c.field != "" {
			require.Equal(t, "notifications[0]."+c.field, results.Results[0].Problem.Field)
		}
	}
}

package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push"
)

const (
	deviceToken       = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"
	tabletToken       = "a0fc13adff785122b4ad28809a3420982341241421348097878e577c991de8fa"
	registrationToken = "dQw4w9WgXcQ:APA91bHun4MxP5egoKMwt2KZFBaFUH-1RYqx"
)

// device is what an app on one of Apple's devices registers.
func device(token string, members ...any) map[string]any {
	return with(map[string]any{"kind": "apns", "token": token}, members...)
}

// withCredentials gives the default app one credential for each kind.
func (r *rig) withCredentials() *rig {
	r.Helper()
	apple, _ := appleKey("com.example.app")
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/apps/default/credentials/ios", body: apple}, nil)
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/apps/default/credentials/android", body: googleAccount("belfry-demo")}, nil)
	return r
}

func TestDevices_AreRegisteredAndShown(t *testing.T) {
	r := newRig(t).withCredentials()
	path := "/v1/users/ann/subscriptions"
	var phone, again, tablet, android api.Subscription
	r.must(http.StatusCreated, request{method: "PUT", path: path, body: device(strings.ToUpper(deviceToken))}, &phone)
	require.Equal(t, push.DigestOf(deviceToken).String(), phone.Id)
	require.Equal(t, []string{"apns", "api.push.apple.com", "com.example.app", "production"}, []string{phone.Kind, phone.Host, phone.Topic, phone.Environment})
	r.must(http.StatusOK, request{method: "PUT", path: path, body: device(deviceToken)}, &again)
	require.Equal(t, phone.Id, again.Id, "upper and lower case are the same token")

	r.must(http.StatusCreated, request{method: "PUT", path: path, body: device(tabletToken, "topic", "com.example.app.voip", "environment", "sandbox")}, &tablet)
	require.Equal(t, []string{"api.sandbox.push.apple.com", "com.example.app.voip", "sandbox"}, []string{tablet.Host, tablet.Topic, tablet.Environment})
	r.must(http.StatusCreated, request{method: "PUT", path: path, body: map[string]any{"kind": "fcm", "token": registrationToken}}, &android)
	require.Equal(t, push.DigestOf(registrationToken).String(), android.Id, "as it is")
	require.Equal(t, []string{"fcm", push.FCMHost, "belfry-demo"}, []string{android.Kind, android.Host, android.Project})

	var list api.SubscriptionList
	got := r.do(request{path: path})
	for _, secret := range []string{deviceToken, tabletToken, registrationToken} {
		require.NotContains(t, strings.ToLower(string(got.body)), strings.ToLower(secret))
	}
	r.must(http.StatusOK, request{path: path}, &list)
	shown := map[string]api.Subscription{}
	for _, sub := range list.Subscriptions {
		sub.SeenAt = time.Time{}
		shown[sub.Id] = sub
	}
	require.Len(t, shown, 3)
	for _, sub := range []api.Subscription{again, tablet, android} {
		sub.SeenAt = time.Time{}
		require.Equal(t, sub, shown[sub.Id])
	}

	r.must(http.StatusOK, request{method: "PUT", path: "/v1/users/bob/subscriptions", body: device(deviceToken)}, nil)
	require.Equal(t, 2, r.rows("ann"), "the phone is bob's now")
	r.must(http.StatusNoContent, request{method: "DELETE", path: "/v1/users/bob/subscriptions/" + phone.Id}, nil)
	require.Zero(t, r.rows("bob"))
}

func TestDevices_ReplaceTheirTokenWithTheRenewalToken(t *testing.T) {
	r := newRig(t).withCredentials()
	var first, second api.Subscription
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/me/subscriptions", key: r.token("ann"), body: device(deviceToken)}, &first)
	require.NotEmpty(t, first.Renewal)
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/me/subscriptions", key: first.Renewal, body: device(tabletToken, "replaces", first.Id)}, &second)
	require.Equal(t, 1, r.rows("ann"))
	require.Equal(t, "replaces", r.do(request{method: "PUT", path: "/v1/me/subscriptions", key: second.Renewal, body: device(deviceToken)}).problem.Field)
	r.must(http.StatusNoContent, request{method: "DELETE", path: "/v1/me/subscriptions?id=" + second.Id, key: r.token("ann")}, nil)
	require.Zero(t, r.rows("ann"))
}

func TestDevices_NeedACredentialOfTheirKind(t *testing.T) {
	r := newRig(t)
	for kind, body := range map[string]map[string]any{"apns": device(deviceToken), "fcm": {"kind": "fcm", "token": registrationToken}} {
		ask := request{method: "PUT", path: "/v1/users/ann/subscriptions", body: body}
		got := r.do(ask)
		require.Equal(t, http.StatusConflict, got.status)
		require.Equal(t, "no_credential", got.problem.Code)
		require.Equal(t, "kind", got.problem.Field)
		require.Contains(t, got.problem.Detail, "belfry app "+kind)
	}
	r.withCredentials()
	require.Equal(t, http.StatusCreated, r.do(request{method: "PUT", path: "/v1/users/ann/subscriptions", body: device(deviceToken)}).status, "at once")
	r.must(http.StatusNoContent, request{method: "DELETE", path: "/v1/apps/default/credentials/ios"}, nil)
	require.Equal(t, http.StatusConflict, r.do(request{method: "PUT", path: "/v1/users/ann/subscriptions", body: device(tabletToken)}).status, "at once")
}

func TestDevices_SayForWhatWhereThereIsAChoice(t *testing.T) {
	r := newRig(t).withCredentials()
	second, _ := appleKey("com.example.tv")
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/apps/default/credentials/tv", body: second}, nil)
	r.must(http.StatusCreated, request{method: "PUT", path: "/v1/apps/default/credentials/two", body: googleAccount("belfry-two")}, nil)
	path := "/v1/users/ann/subscriptions"
	got := r.do(request{method: "PUT", path: path, body: device(deviceToken)})
	require.Equal(t, "topic", got.problem.Field)
	require.Contains(t, got.problem.Detail, "com.example.app, com.example.tv")
	r.must(http.StatusCreated, request{method: "PUT", path: path, body: device(deviceToken, "topic", "com.example.tv")}, nil)
	phone := map[string]any{"kind": "fcm", "token": registrationToken}
	got = r.do(request{method: "PUT", path: path, body: phone})
	require.Equal(t, "project", got.problem.Field)
	require.Contains(t, got.problem.Detail, "belfry-demo, belfry-two")
	r.must(http.StatusCreated, request{method: "PUT", path: path, body: with(phone, "project", "belfry-two")}, nil)
}

func TestRegistrations_TakeWhatIsOfTheirKindAlone(t *testing.T) {
	r := newRig(t).withCredentials()
	_, laptop := r.browser()
	web := r.json(laptop)
	phone := map[string]any{"kind": "fcm", "token": registrationToken}
	for _, c := range []struct {
		what  string
		body  map[string]any
		field string // empty: it is taken
	}{
		{"a browser's, as it is", web, ""},
		{"a browser's that says so", with(web, "kind", "webpush"), ""},
		{"an unknown kind", with(web, "kind", "hms"), "kind"},
		{"a browser with a token", with(web, "token", "x"), "token"},
		{"a browser with a topic", with(web, "topic", "com.example.app"), "topic"},
		{"a browser with an environment", with(web, "environment", "production"), "environment"},
		{"a browser with a project", with(web, "project", "belfry-demo"), "project"},
		{"a device with an endpoint", device(deviceToken, "endpoint", web["endpoint"]), "endpoint"},
		{"a device with a browser's keys", device(deviceToken, "keys", web["keys"]), "keys"},
		{"a device that expires", device(deviceToken, "expirationTime", 1<<45), "expirationTime"},
		{"a device that says no time", device(deviceToken, "expirationTime", nil), ""},
		{"a device with a VAPID key", device(deviceToken, "vapid_public_key", "x"), "vapid_public_key"},
		{"Apple's with a project", device(deviceToken, "project", "belfry-demo"), "project"},
		{"Apple's without a token", device(""), "token"},
		{"Apple's with a token that is none", device("hello"), "token"},
		{"Apple's of an unknown environment", device(deviceToken, "environment", "staging"), "environment"},
		{"Apple's for a topic that nothing serves", device(deviceToken, "topic", "com.example.else"), "topic"},
		{"Google's with a topic", with(phone, "topic", "com.example.app"), "topic"},
		{"Google's with an environment", with(phone, "environment", "sandbox"), "environment"},
		{"Google's without a token", with(phone, "token", nil), "token"},
		{"Google's with a token that is none", with(phone, "token", "a b"), "token"},
		{"Google's for a project that nothing serves", with(phone, "project", "belfry-two"), "project"},
		{"Google's that replaces nonsense", with(phone, "replaces", "x"), "replaces"},
	} {
		t.Run(c.what, func(t *testing.T) {
			got := r.do(request{method: "PUT", path: "/v1/users/ann/subscriptions", body: c.body})
			if c.field == "" {
				require.Less(t, got.status, 300, "%s", got.body)
				return
			}
			require.Equal(t, http.StatusBadRequest, got.status, "%s", got.body)
			require.Equal(t, "invalid_field", got.problem.Code)
			require.Equal(t, c.field, got.problem.Field)
		})
	}
	require.Equal(t, 2, r.rows("ann"))
}

func TestSubscriptions_ThatTheVAPIDKeyIsNotRightForAreMadeAnew(t *testing.T) {
	r := newRig(t)
	var current api.VAPIDKey
	r.must(http.StatusCreated, request{method: "POST", path: "/v1/apps/default/vapid-keys"}, &current)
	endpoint, laptop := r.browser()
	endpoint.BindTo(r.vapid) // but it is registered with the current one
	token, path := r.token("ann"), "/v1/me/subscriptions"
	body := with(r.json(laptop), "vapid_public_key", current.PublicKey)
	var made, again api.Subscription
	r.must(http.StatusCreated, request{method: "PUT", path: path, key: token, body: body}, &made)
	require.False(t, made.Resubscribe)
	require.False(t, made.KeyMismatch)
	require.Equal(t, "rejected", r.finished(r.send("ann")).Deliveries[0].State)

	var list api.SubscriptionList
	require.Eventually(t, func() bool {
		r.must(http.StatusOK, request{path: "/v1/users/ann/subscriptions"}, &list)
		return list.Subscriptions[0].KeyMismatch
	}, patience, 5*time.Millisecond)
	require.False(t, list.Subscriptions[0].Resubscribe, "that is for who registers")
	r.must(http.StatusOK, request{method: "PUT", path: path, key: token, body: body}, &again)
	require.True(t, again.Resubscribe)
	require.True(t, again.KeyMismatch)

	newEndpoint, anew := r.browser()
	public, err := push.DecodeBase64(current.PublicKey)
	require.NoError(t, err)
	newEndpoint.BindTo(public)
	body = with(r.json(anew), "vapid_public_key", current.PublicKey, "replaces", made.Id)
	var replaced api.Subscription
	r.must(http.StatusCreated, request{method: "PUT", path: path, key: token, body: body}, &replaced)
	require.False(t, replaced.Resubscribe)
	require.Equal(t, 1, r.rows("ann"))
	require.Equal(t, "delivered", r.finished(r.send("ann")).Deliveries[0].State)
}

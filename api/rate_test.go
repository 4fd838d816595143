package api_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
)

// many is a request for so many notifications, for many users and as a batch.
func many(n int) (users, batch map[string]any) {
	names, list := make([]string, n), make([]map[string]any, n)
	for i := range names {
		names[i] = fmt.Sprint("user ", i)
		list[i] = map[string]any{"user": names[i], "title": "x"}
	}
	return map[string]any{"users": names, "title": "x"}, map[string]any{"notifications": list}
}

// limited checks that a request was refused for its key's rate, and gives the
// time in Retry-After, in seconds.
func limited(t *testing.T, got answer) int {
	t.Helper()
	require.Equal(t, http.StatusTooManyRequests, got.status, "%s", got.body)
	require.Equal(t, "rate_limited", got.problem.Code)
	require.Empty(t, got.problem.Field)
	seconds, err := strconv.Atoi(got.header.Get("Retry-After"))
	require.NoError(t, err)
	return seconds
}

func TestRate_ChargesEachNotification(t *testing.T) {
	r := newRig(t)
	halfUsers, halfBatch := many(500)
	users, batch := many(1000)
	for path, bodies := range map[string][2]map[string]any{"/v1/notifications": {halfUsers, users}, "/v1/notifications/batch": {halfBatch, batch}} {
		slow := r.makeKey(map[string]any{"scopes": []string{"send"}, "rate": 1}).Key
		other := r.makeKey(map[string]any{"scopes": []string{"send"}, "rate": 1}).Key
		r.must(http.StatusAccepted, request{method: "POST", path: path, key: slow, body: bodies[0]}, nil)
		last, err := r.store.LastID(t.Context())
		require.NoError(t, err)
		wait := limited(t, r.do(request{method: "POST", path: path, key: slow, body: bodies[1]}))
		require.Greater(t, wait, 400, "500 are left of 1,000, and one more comes in a second")
		require.LessOrEqual(t, wait, 502)
		after, err := r.store.LastID(t.Context())
		require.NoError(t, err)
		require.Equal(t, last, after, "nothing was accepted")
		r.must(http.StatusAccepted, request{method: "POST", path: path, key: other, body: bodies[1]}, nil)
	}
}

func TestRate_ChargesEachRequestWhateverBecomesOfIt(t *testing.T) {
	r := newRig(t)
	key := r.makeKey(map[string]any{"scopes": []string{"send"}, "rate": 1}).Key
	_, batch := many(996)
	r.must(http.StatusAccepted, request{method: "POST", path: "/v1/notifications/batch", key: key, body: batch}, nil)
	refused := false
	for range 60 { // more than a second's allowance in each second
		got := r.do(request{path: "/v1/apps", key: key}) // which it may not do
		if refused = got.status == http.StatusTooManyRequests; refused {
			limited(t, got)
			break
		}
		require.Equal(t, http.StatusForbidden, got.status)
	}
	require.True(t, refused)
}

func TestRate_OfTheServiceIsForKeysWithoutOne(t *testing.T) {
	r := newRig(t)
	r = r.with(func(c *api.Config) { c.KeyRate = 1 })
	users, _ := many(1000)
	send := func(key string) answer {
		return r.do(request{method: "POST", path: "/v1/notifications", key: key, body: users})
	}
	own := r.makeKey(map[string]any{"scopes": []string{"send"}, "rate": 1_000_000})
	require.Equal(t, http.StatusAccepted, send(r.keys["send"]).status)
	limited(t, send(r.keys["send"]))
	for range 2 { // more than at one a second
		require.Equal(t, http.StatusAccepted, send(own.Key).status)
	}
	var keys api.KeyList
	r.must(http.StatusOK, request{path: "/v1/keys"}, &keys)
	rates := map[string]int{}
	for _, key := range keys.Keys {
		rates[key.Id] = key.Rate
	}
	require.Equal(t, 1_000_000, rates[own.Id])
	require.Equal(t, 0, rates[keys.Keys[0].Id], "what the service has is not the key's own")
}

func TestRate_MustBeOne(t *testing.T) {
	r := newRig(t)
	for _, rate := range []int{-1, api.KeyRateMax + 1} {
		got := r.do(request{method: "POST", path: "/v1/keys", body: map[string]any{"scopes": []string{"read"}, "rate": rate}})
		require.Equal(t, http.StatusBadRequest, got.status)
		require.Equal(t, "rate", got.problem.Field)
	}
}

func TestRate_OfUserTokensIsModest(t *testing.T) {
	r := newRig(t)
	token := r.token("ann")
	renewal := r.register(token)
	accepted, refused := 0, map[string]bool{}
	for range 60 { // more than one in a second, however slow this is
		for what, key := range map[string]string{"user": token, "renewal": renewal} {
			got := r.do(request{method: "DELETE", path: "/v1/me/subscriptions?id=x", key: key})
			if got.status == http.StatusTooManyRequests {
				require.LessOrEqual(t, limited(t, got), 2)
				refused[what] = true
				continue
			}
			accepted++
		}
	}
	require.GreaterOrEqual(t, accepted, 25)
	require.Len(t, refused, 2, "a user's tokens have one allowance")
	require.True(t, r.enters(r.token("bob")), "each user has their own")
}

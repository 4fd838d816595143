package actors

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/apns"
	"github.com/belfryhq/belfry/push/simulate"
)

const (
	soakTopic   = "org.example.soak"
	soakDevices = 200
	soakWaits   = 2 * time.Minute // for what is left at its end
)

// soakFor is how long it takes notifications in: BELFRY_SOAK says so.
func soakFor(t *testing.T) time.Duration {
	text := os.Getenv("BELFRY_SOAK")
	if text == "" {
		return 10 * time.Second
	}
	length, err := time.ParseDuration(text)
	require.NoError(t, err, "BELFRY_SOAK")
	return length
}

// A push service on a bad day: every second it ends all its connections, it
// takes ten requests at a time on each, and one answer in seven is an error.
// What was accepted is delivered all the same: all of it, once, in order.
func TestSoak_APNsLosesAndDoublesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some twenty seconds")
	}
	apple, provider := startAPNs(t, 10)
	for _, f := range []simulate.Fault{
		{Share: .05, Status: 429, Reason: "TooManyRequests", RetryAfter: 1},
		{Share: .05, Status: 500, Reason: "InternalServerError", RetryAfter: 1},
		{Share: .05, Status: 503, Reason: "ServiceUnavailable", RetryAfter: 1},
	} {
		require.NoError(t, apple.Fault(f))
	}
	r := newRig(t, func(c *Config) { c.Providers = map[push.Kind]push.Provider{push.APNs: provider} })
	for i := range soakDevices {
		r.register(phoneAt(fmt.Sprint("user-", i), fmt.Sprintf("%064x", i), soakTopic, push.Production))
	}

	ids, disasters := r.soak(apple, soakFor(t))
	require.Eventually(t, func() bool { return r.Backlog() == 0 }, soakWaits, 50*time.Millisecond, "something is left")

	tried, taken := 0, map[string]int{}
	arrived := map[string][]string{}
	for _, e := range apple.Log() {
		tried++
		if e.Taken {
			taken[e.ID]++
			arrived[e.Target] = append(arrived[e.Target], idIn(t, e.Payload))
		}
	}
	delivered := map[string]bool{}
	for _, id := range ids {
		require.Equal(t, []string{"delivered"}, r.states(id))
		delivered[id.String()] = true
	}
	for id, times := range taken {
		require.Equal(t, 1, times, "%s was taken more than once", id)
	}
	require.Len(t, taken, len(ids), "as many were taken as were accepted")
	for device, list := range arrived {
		for i, id := range list {
			require.True(t, delivered[id])
			require.True(t, i == 0 || list[i-1] < id, "%s got %s after %s", device, id, list[max(0, i-1)])
		}
	}
	require.Greater(t, tried, len(ids), "nothing failed: there was no bad day")
	require.GreaterOrEqual(t, apple.Connections(), disasters, "connections were ended and made anew")
	t.Logf("%d notifications, %d requests, %d connections, all ended %d times: 0 lost, 0 doubled, 0 out of order",
		len(ids), tried, apple.Connections(), disasters)
}

// soak notifies everybody, again and again, while connections are ended every
// second.
func (r *rig) soak(apple *simulate.APNs, length time.Duration) (ids []push.ID, disasters int) {
	r.t.Helper()
	var users []string
	for i := range soakDevices {
		users = append(users, fmt.Sprint("user-", i))
	}
	end, disaster, more := time.After(length), time.NewTicker(time.Second), time.NewTicker(250*time.Millisecond)
	defer disaster.Stop()
	defer more.Stop()
	for {
		select {
		case <-end:
			return ids, disasters
		case <-disaster.C:
			apple.GoAway()
			disasters++
		case <-more.C:
			ids = append(ids, r.notifyTTL(time.Hour, users...)...)
		}
	}
}

// startAPNs starts a simulator and a provider that knows it.
func startAPNs(t *testing.T, streamLimit int) (*simulate.APNs, push.Provider) {
	t.Helper()
	authority, err := simulate.NewAuthority()
	require.NoError(t, err)
	p8, key := simulate.NewAPNsKey()
	apple, err := simulate.OpenAPNs(simulate.APNsConfig{
		Config: simulate.Config{Authority: authority, StreamLimit: streamLimit}, Keys: []simulate.APNsKey{key},
	})
	require.NoError(t, err)
	t.Cleanup(apple.Stop)
	credential, err := apns.ParseToken(p8, apns.Settings{TeamID: key.TeamID, KeyID: key.KeyID, Topics: []string{soakTopic}, Host: apple.URL()})
	require.NoError(t, err)
	provider, err := apns.New(apns.Config{
		Credential: func(context.Context, string, string) (*apns.Credential, error) { return credential, nil },
		RootCAs:    authority.Pool(),
	})
	require.NoError(t, err)
	t.Cleanup(provider.Close)
	return apple, provider
}

// idIn is the notification's ID in what a device got.
func idIn(t *testing.T, payload []byte) string {
	t.Helper()
	var got struct{ ID string }
	require.NoError(t, json.Unmarshal(payload, &got))
	require.NotEmpty(t, got.ID)
	return got.ID
}

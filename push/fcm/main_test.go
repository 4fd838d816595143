package fcm

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	project           = "example-shop"
	registrationToken = "eXampLe0TOKEN:APA91b_simulated-registration-token"
)

// rig is a provider and the FCM that it sends to.
type rig struct {
	*simulate.FCM
	provider   *Provider
	clock      *clock
	credential atomic.Pointer[Credential]
	lookup     atomic.Pointer[error] // what Config.Credential fails with
}

// clock is the provider's alone, and moves when it is told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// setup is what a test may change of a rig.
type setup struct {
	simulated simulate.FCMConfig
	config    Config
}

func newRig(t testing.TB, change ...func(*setup)) *rig {
	t.Helper()
	authority, err := simulate.NewAuthority()
	require.NoError(t, err)
	r := &rig{clock: &clock{now: time.Now()}}
	s := setup{
		simulated: simulate.FCMConfig{Config: simulate.Config{Authority: authority}, ServiceAccount: account(t)},
		config:    Config{Credential: r.find, Timeout: time.Minute, RootCAs: authority.Pool(), now: r.clock.read},
	}
	for _, f := range change {
		f(&s)
	}
	r.FCM, err = simulate.OpenFCM(s.simulated)
	require.NoError(t, err)
	t.Cleanup(r.Stop)
	r.provider, err = New(s.config)
	require.NoError(t, err)
	t.Cleanup(r.provider.Close)
	r.credential.Store(r.parse(t))
	return r
}

// parse makes a Credential of the FCM's service account: another identity with
// each call.
func (r *rig) parse(t testing.TB) *Credential {
	t.Helper()
	credential, err := Parse(r.ServiceAccount(), r.URL())
	require.NoError(t, err)
	return credential
}

func (r *rig) find(_ context.Context, app, wanted string) (*Credential, error) {
	if err := r.lookup.Load(); err != nil {
		return nil, *err
	}
	if app != push.DefaultApp || wanted != project {
		return nil, ErrNoCredential
	}
	return r.credential.Load(), nil
}

// fault puts a fault in force in place of those that were.
func (r *rig) fault(t *testing.T, fault simulate.Fault) {
	t.Helper()
	r.ClearFaults()
	require.NoError(t, r.Fault(fault))
}

func (r *rig) send(t *testing.T) push.Result {
	t.Helper()
	return r.provider.Send(t.Context(), messageTo(t, registrationToken))
}

// payload is the last message that FCM took, as the device gets it.
func (r *rig) payload(t *testing.T) map[string]any {
	t.Helper()
	log := r.Log()
	require.NotEmpty(t, log)
	return decode(t, log[len(log)-1].Payload)
}

func messageTo(t testing.TB, token push.Endpoint) push.Message {
	t.Helper()
	content, err := push.Content{Title: "The kettle boils", URL: "https://example.com/tea"}.Encode()
	require.NoError(t, err)
	user := push.User{App: push.DefaultApp, ID: "alice"}
	return push.Message{
		Notification: push.Notification{ID: push.ID{1, 2, 3}, User: user, Content: content},
		Subscription: push.Subscription{User: user, Kind: push.FCM, Endpoint: token, Digest: push.DigestOf(token), Project: project},
		TTL:          90*time.Second + 900*time.Millisecond,
	}
}

func decode(t testing.TB, encoded []byte) map[string]any {
	t.Helper()
	var decoded map[string]any
	require.NoError(t, json.Unmarshal(encoded, &decoded), "%s", encoded)
	return decoded
}

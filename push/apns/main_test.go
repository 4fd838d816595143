package apns

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	bundle   = "com.example.app"
	tokenHex = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
)

// noon is within a window of provider tokens that began 30 minutes before.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// rig is Apple, with both environments, an app's credential, and the provider.
type rig struct {
	*Provider
	t          *testing.T
	authority  *simulate.Authority
	clock      *clock
	production *simulate.APNs
	sandbox    *simulate.APNs
	credential *Credential
}

// newRig starts both environments. change may change what they know.
func newRig(t *testing.T, change ...func(*simulate.APNsConfig)) *rig {
	t.Helper()
	r := &rig{t: t, clock: &clock{now: noon}}
	var err error
	r.authority, err = simulate.NewAuthority()
	require.NoError(t, err)
	p8, key := simulate.NewAPNsKey()
	config := simulate.APNsConfig{Config: simulate.Config{Authority: r.authority}, Keys: []simulate.APNsKey{key}, Now: r.clock.Now}
	for _, f := range change {
		f(&config)
	}
	r.production = start(t, config)
	config.Sandbox = true
	r.sandbox = start(t, config)
	r.credential = parseToken(t, p8, Settings{
		TeamID: key.TeamID, KeyID: key.KeyID, Topics: []string{bundle}, Host: r.production.URL(), SandboxHost: r.sandbox.URL(),
	})
	r.Provider = r.provider()
	return r
}

func start(t *testing.T, config simulate.APNsConfig) *simulate.APNs {
	t.Helper()
	service, err := simulate.OpenAPNs(config)
	require.NoError(t, err)
	t.Cleanup(service.Stop)
	return service
}

func parseToken(t *testing.T, p8 []byte, settings Settings) *Credential {
	t.Helper()
	credential, err := ParseToken(p8, settings)
	require.NoError(t, err)
	return credential
}

// provider is another one for the same app, as after a restart.
func (r *rig) provider(change ...func(*Config)) *Provider {
	r.t.Helper()
	config := Config{
		Credential: func(_ context.Context, _, topic string) (*Credential, error) {
			if !r.credential.Serves(topic) {
				return nil, ErrNoCredential
			}
			return r.credential, nil
		},
		RootCAs: r.authority.Pool(),
		now:     r.clock.Now,
	}
	for _, f := range change {
		f(&config)
	}
	provider, err := New(config)
	require.NoError(r.t, err)
	r.t.Cleanup(provider.Close)
	return provider
}

// send sends what messageOf makes, changed as asked.
func (r *rig) send(change ...func(*push.Message)) push.Result {
	r.t.Helper()
	return r.Send(r.t.Context(), messageOf(r.t, change...))
}

// messageOf is a common message to a device in production, changed as asked.
func messageOf(t testing.TB, change ...func(*push.Message)) push.Message {
	t.Helper()
	user := push.User{App: push.DefaultApp, ID: "alice"}
	message := push.Message{
		Notification: push.Notification{
			ID: push.ID{0x01, 0x9b, 2: 3, 15: 4}, User: user,
			Content: contentOf(t, push.Content{Title: "The kettle boils", Body: "Come and have tea", URL: "https://example.com/tea"}),
		},
		Subscription: push.Subscription{
			User: user, Kind: push.APNs, Endpoint: tokenHex, Digest: push.DigestOf(tokenHex),
			Topic: bundle, Environment: push.Production, CreatedAt: noon.Add(-48 * time.Hour), RegisteredAt: noon.Add(-time.Hour), SeenAt: noon.Add(-time.Minute),
		},
		TTL: 90*time.Second + 900*time.Millisecond,
	}
	for _, f := range change {
		f(&message)
	}
	return message
}

func contentOf(t testing.TB, content push.Content) []byte {
	t.Helper()
	encoded, err := content.Encode()
	require.NoError(t, err)
	return encoded
}

func nativeOf(t testing.TB, native push.Native) []byte {
	t.Helper()
	encoded, err := native.Encode()
	require.NoError(t, err)
	return encoded
}

func to(topic string) func(*push.Message) {
	return func(m *push.Message) { m.Subscription.Topic = topic }
}

// device makes the message one to another device.
func device(token string) func(*push.Message) {
	return func(m *push.Message) {
		m.Subscription.Endpoint = push.Endpoint(token)
		m.Subscription.Digest = push.DigestOf(m.Subscription.Endpoint)
	}
}

// numbered is the token of the device of a number.
func numbered(i int) string {
	return hex.EncodeToString(append(make([]byte, 28), byte(i>>24), byte(i>>16), byte(i>>8), byte(i)))
}

func options(t testing.TB, o push.APNsOptions) func(*push.Message) {
	return func(m *push.Message) { m.Notification.Native = nativeOf(t, push.Native{APNs: &o}) }
}

func raw(text string) json.RawMessage { return json.RawMessage(text) }

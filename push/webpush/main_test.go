package webpush

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
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

const subject = "mailto:ops@example.com"

// sender is an app with one VAPID key pair that counts how often it is asked.
type sender struct {
	public, private []byte
	asked           atomic.Int32
}

func newSender(t testing.TB) *sender {
	t.Helper()
	public, private, err := GenerateKey()
	require.NoError(t, err)
	return &sender{public: public, private: private}
}

func (s *sender) key(_ context.Context, app string, public []byte) (Key, error) {
	s.asked.Add(1)
	if app != push.DefaultApp || !bytes.Equal(public, s.public) {
		return Key{}, ErrUnknownKey
	}
	return Key{Private: s.private, Subject: subject}, nil
}

// anyApp is a key function for which every app has this key.
func (s *sender) anyApp(ctx context.Context, _ string, public []byte) (Key, error) {
	return s.key(ctx, push.DefaultApp, public)
}

// service is a push service on TLS that keeps what it was sent.
type service struct {
	*httptest.Server
	sender *sender

	mu       sync.Mutex
	received []request
}

// request is what a push service saw.
type request struct {
	proto, method, path string
	header              http.Header
	body                []byte
}

// newService starts a push service that answers with answer, over HTTP/2.
func newService(t *testing.T, answer http.HandlerFunc) *service {
	t.Helper()
	s := newUnstarted(t, answer)
	s.EnableHTTP2 = true
	s.StartTLS()
	return s
}

func newUnstarted(t *testing.T, answer http.HandlerFunc) *service {
	t.Helper()
	s := &service{sender: newSender(t)}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.received = append(s.received, request{r.Proto, r.Method, r.URL.RequestURI(), r.Header, body})
		s.mu.Unlock()
		answer(w, r)
	}))
	s.Config.ErrorLog = nil
	t.Cleanup(s.Close)
	return s
}

// answering makes a handler that always answers the same.
func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// requests gives what the service received so far.
func (s *service) requests() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]request(nil), s.received...)
}

// provider makes a Provider that may send to this service and trusts it.
func (s *service) provider(t *testing.T, change ...func(*Config)) *Provider {
	t.Helper()
	config := Config{Key: s.sender.key, AllowHosts: []string{s.host()}, Timeout: time.Minute}
	if transport, ok := s.Client().Transport.(*http.Transport); ok && transport.TLSClientConfig != nil {
		config.RootCAs = transport.TLSClientConfig.RootCAs
	}
	for _, f := range change {
		f(&config)
	}
	provider, err := New(config)
	require.NoError(t, err)
	t.Cleanup(provider.Close)
	return provider
}

func (s *service) host() string {
	u, err := url.Parse(s.URL)
	if err != nil {
		panic(err)
	}
	return u.Host
}

// message is one to a new browser at a path of this service.
func (s *service) message(t *testing.T, path string) (push.Message, *simulate.Browser) {
	t.Helper()
	return messageTo(t, s.sender, push.Endpoint(s.URL+path))
}

func messageTo(t testing.TB, sender *sender, endpoint push.Endpoint) (push.Message, *simulate.Browser) {
	t.Helper()
	content, err := push.Content{Title: "The kettle boils", URL: "https://example.com/tea"}.Encode()
	require.NoError(t, err)
	user := push.User{App: push.DefaultApp, ID: "alice"}
	browser := simulate.NewBrowser(endpoint)
	return push.Message{
		Notification: push.Notification{ID: push.ID{1, 2, 3}, User: user, Content: content, Urgency: push.UrgencyHigh},
		Subscription: browser.Subscription(user, sender.public),
		TTL:          90*time.Second + 900*time.Millisecond,
	}, browser
}

// oldTLS makes a server speak TLS 1.1 at most.
func oldTLS(s *service) {
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
}

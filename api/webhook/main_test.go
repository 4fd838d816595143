package webhook

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is a real server that keeps what it was sent.
type receiver struct {
	*httptest.Server
	secret []byte

	mu       sync.Mutex
	requests []received
}

type received struct {
	method, path, host string
	header             http.Header
	body               []byte
}

func newReceiver(t *testing.T, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{secret: MakeSecret()}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		r.mu.Lock()
		r.requests = append(r.requests, received{request.Method, request.RequestURI, request.Host, request.Header, body})
		r.mu.Unlock()
		answer(w, request)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) got() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]received(nil), r.requests...)
}

// webhook is one in the operator's own network, at a path that nobody must know.
func (r *receiver) webhook() store.Webhook {
	return store.Webhook{App: "shop", Name: "orders", URL: r.URL + "/hook/" + secretPath + "?key=" + secretPath, Private: true, Secret: r.secret}
}

const secretPath = "s3cr3t-capability"

func answering(status int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, "said in confidence: "+secretPath) //nolint:errcheck // it may have gone
	}
}

// shown is what the test's events look like.
type shown struct {
	ID   string    `json:"id"`
	Type string    `json:"type"`
	At   time.Time `json:"at"`
}

func newCaller(t *testing.T, change ...func(*Config)) *Caller {
	t.Helper()
	config := Config{Show: func(e push.Event) any { return shown{e.ID.String(), e.Type.String(), e.At} }}
	for _, c := range change {
		c(&config)
	}
	caller, err := New(config)
	require.NoError(t, err)
	t.Cleanup(caller.Close)
	return caller
}

var (
	batch = push.ID{1, 2, 3}
	happy = []push.Event{
		{ID: push.ID{15: 1}, App: "shop", Type: push.EventDelivered, At: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)},
		{ID: push.ID{15: 2}, App: "shop", Type: push.EventGone, At: time.Date(2026, 11, 22, 12, 0, 1, 5e6, time.UTC)},
	}
)

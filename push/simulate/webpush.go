package simulate

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

// WebPush is a push service on a loopback port. It plays both of its parts:
//
//	sender ──RFC 8030, HTTP──▶ WebPush ──autopush, WebSocket──▶ Firefox
//
// To senders it is stricter than most real ones: what a real push service
// might refuse, it refuses (see receive.go). To a stock Firefox it speaks
// Mozilla's protocol, so that a real browser subscribes, decrypts and shows.
// Without a browser, NewEndpoint makes endpoints whose answers a test scripts
// and whose requests it reads, and NewBrowser simulated browsers, which decrypt
// what they are sent for the Log. By HTTP, beside what every simulator has:
//
//	POST   /simulator/subscriptions             a simulated browser's subscription,
//	                                            as PushSubscription.toJSON() gives it
//	DELETE /simulator/subscriptions?endpoint=…  it is over: 410 from now on
//
// Stop and Start take it away and bring it back on the same port, with all it
// stored. Its methods may be called from many goroutines.
type WebPush struct {
	*station
	manner manner
	good   goodTokens // with Config.Bulk

	mu        sync.Mutex // guards everything below, and the endpoints and profiles
	endpoints map[string]*Endpoint
	profiles  map[string]*profile // of real browsers, by uaid
}

// WebPushConfig says how a WebPush listens and whose manner it has.
type WebPushConfig struct {
	Config        // without an Authority it is plain HTTP
	Vendor Vendor // in whose form it answers; empty for VendorMozilla
}

// OpenWebPush starts a Web Push service on plain HTTP that runs until Stop.
func OpenWebPush() (*WebPush, error) { return OpenWebPushWith(WebPushConfig{}) }

// OpenWebPushWith starts a Web Push service that runs until Stop.
func OpenWebPushWith(config WebPushConfig) (*WebPush, error) {
	manner, err := mannerOf(config.Vendor)
	if err != nil {
		return nil, err
	}
	station, err := openPlainStation(config.Config)
	if err != nil {
		return nil, err
	}
	s := &WebPush{
		station:   station,
		manner:    manner,
		endpoints: map[string]*Endpoint{},
		profiles:  map[string]*profile{},
	}
	mux := http.NewServeMux()
	if config.Bulk {
		mux.HandleFunc("POST /wpush/v2/{token}", s.receiveInBulk)
	} else {
		mux.HandleFunc("POST /wpush/v2/{token}", s.receive)
	}
	mux.HandleFunc("GET /{$}", s.serveBrowser)
	mux.HandleFunc("POST /simulator/subscriptions", s.serveSubscribe)
	mux.HandleFunc("DELETE /simulator/subscriptions", s.serveUnsubscribe)
	if err := s.serve(mux); err != nil {
		return nil, err
	}
	return s, nil
}

// Origin is the origin of its endpoints, as in http://127.0.0.1:4711.
func (s *WebPush) Origin() string { return s.URL() }

// AutopushURL is where a browser connects: Firefox's preference
// dom.push.serverURL.
func (s *WebPush) AutopushURL() string { return "ws" + strings.TrimPrefix(s.URL(), "http") + "/" }

// NewEndpoint makes the endpoint of a simulated browser, one that is always
// away. To each well-formed request it gives the next of the answers; after
// the last, and without any, it accepts with 201.
func (s *WebPush) NewEndpoint(answers ...Answer) *Endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.newEndpoint()
	e.script = answers
	return e
}

// Endpoint finds an endpoint by its URL: that of a real browser, once it
// subscribed. It is nil if this service has none such.
func (s *WebPush) Endpoint(url string) *Endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.endpoints[path.Base(url)]; e != nil && e.URL == url {
		return e
	}
	return nil
}

// ForgetBrowsers forgets every real browser and all its endpoints, as a push
// service does that lost its data: the endpoints answer 410 from now on, and
// a browser gets the event pushsubscriptionchange when it connects again,
// which it does at once because its connection is cut.
func (s *WebPush) ForgetBrowsers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.profiles {
		for _, e := range p.channels {
			e.expired = true
		}
		p.disconnect()
	}
	clear(s.profiles)
}

func (s *WebPush) newEndpoint() *Endpoint {
	token := randomHex(24)
	e := &Endpoint{
		URL:     s.Origin() + "/wpush/v2/" + token,
		service: s,
		changed: make(chan struct{}),
	}
	s.endpoints[token] = e
	return e
}

// message is a push message that was accepted and not yet acknowledged.
type message struct {
	id       string
	endpoint *Endpoint
	topic    string
	expires  time.Time
	body     []byte
	sent     *session // the connection it went out on; nil if on none yet
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b)
	return hex.EncodeToString(b)
}

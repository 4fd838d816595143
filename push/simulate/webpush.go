package simulate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path"
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
// and whose requests it reads.
//
// Stop and Start take it away and bring it back on the same port, with all it
// stored. Its methods may be called from many goroutines.
type WebPush struct {
	address string // host:port, the same over every Start

	mu        sync.Mutex // guards everything below, and the endpoints and profiles
	endpoints map[string]*Endpoint
	profiles  map[string]*profile // of real browsers, by uaid
	running   *running            // nil while stopped
}

// running is what exists between Start and Stop.
type running struct {
	server   *http.Server
	ctx      context.Context // ends with Stop
	end      context.CancelFunc
	handlers sync.WaitGroup
}

// OpenWebPush starts a Web Push service that runs until Stop.
func OpenWebPush() (*WebPush, error) {
	s := &WebPush{
		address:   "127.0.0.1:0",
		endpoints: map[string]*Endpoint{},
		profiles:  map[string]*profile{},
	}
	if err := s.Start(); err != nil {
		return nil, err
	}
	return s, nil
}

// Origin is the origin of its endpoints, as in http://127.0.0.1:4711.
func (s *WebPush) Origin() string { return "http://" + s.address }

// AutopushURL is where a browser connects: Firefox's preference
// dom.push.serverURL.
func (s *WebPush) AutopushURL() string { return "ws://" + s.address + "/" }

// Start brings a stopped service back on its port. Subscriptions and stored
// messages are as Stop left them.
func (s *WebPush) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return errors.New("simulate: the push service is running already")
	}
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		return fmt.Errorf("simulate: start the push service: %w", err)
	}
	s.address = listener.Addr().String()

	mux := http.NewServeMux()
	mux.HandleFunc("POST /wpush/v2/{token}", s.receive)
	mux.HandleFunc("GET /{$}", s.serveBrowser)
	run := &running{}
	run.ctx, run.end = context.WithCancel(context.Background())
	run.server = &http.Server{Handler: run.tracked(s, mux)}
	s.running = run
	go run.server.Serve(listener)
	return nil
}

// Stop takes the service away as a crash would: connections break, held
// answers are never given, and the port refuses connections until Start.
// Stopping a stopped service does nothing.
func (s *WebPush) Stop() {
	s.mu.Lock()
	run := s.running
	s.running = nil
	s.mu.Unlock()
	if run == nil {
		return
	}
	run.end()
	run.server.Close()
	run.handlers.Wait()
}

// tracked lets Stop wait for handlers, those that took over their connection too.
func (run *running) tracked(s *WebPush, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		if s.running != run {
			s.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
		run.handlers.Add(1)
		s.mu.Unlock()
		defer run.handlers.Done()

		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(run.ctx, cancel)()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

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

package simulate

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
)

// Config says how a simulator listens.
type Config struct {
	Address     string     // host:port on loopback; empty for a free port of 127.0.0.1
	Authority   *Authority // issues its certificate; required, but for WebPush, which is plain HTTP without one
	StreamLimit int        // requests at a time on one HTTP/2 connection; 0 for 1,000, as at APNs

	// Bulk is for loads of many messages: requests are checked, counted and
	// forgotten. There is no log then, and the same token is looked at once in a
	// minute; see webpush_bulk.go for what else a WebPush does not do.
	Bulk bool
}

const (
	defaultStreamLimit = 1000
	maxControlBody     = 1 << 20
)

// station is what the simulators of APNs and FCM have in common: a TLS server
// that speaks HTTP/2, faults, and a log, by Go and by HTTP:
//
//	GET    /simulator/log?after=N   entries from N+1 on: {"entries":[…]}
//	GET    /simulator/counts        Counts
//	POST   /simulator/faults        a Fault
//	DELETE /simulator/faults        none is in force any more
//	POST   /simulator/goaway        every connection's next answer is its last
//	GET    /simulator/ca.pem        the authority that issued its certificate
//
// Stop and Start take it away and bring it back on the same port, with all it
// had: see running.go.
type station struct {
	config   Config // its Address is the one it has, over every Start
	listener net.Listener
	tls      *tls.Config // nil for plain HTTP
	handler  http.Handler

	mu      sync.Mutex
	running *running // nil while stopped

	faults  faults
	journal *journal
	goAways atomic.Int64 // raised by GoAway
	opened  atomic.Int64 // connections
}

// connection is what is kept of one connection, as long as it is open.
type connection struct {
	goAways atomic.Int64   // those of the station that it was told
	tokens  providerTokens // APNs: what it was authenticated with
}

// connectionKey is where a request's context holds its connection.
type connectionKey struct{}

// connectionOf is the connection that a request came on.
func connectionOf(r *http.Request) *connection {
	return r.Context().Value(connectionKey{}).(*connection)
}

// openStation listens; serve answers.
func openStation(config Config) (*station, error) {
	if config.Authority == nil {
		return nil, errors.New("simulate: Config.Authority is missing")
	}
	return openPlainStation(config)
}

// openPlainStation is openStation for what may be plain HTTP.
func openPlainStation(config Config) (*station, error) {
	if config.Address == "" {
		config.Address = "127.0.0.1:0"
	}
	if config.StreamLimit == 0 {
		config.StreamLimit = defaultStreamLimit
	}
	host, _, err := net.SplitHostPort(config.Address)
	if err != nil {
		return nil, fmt.Errorf("simulate: the address %q is not host:port", config.Address)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("simulate: %s is not a loopback address: a simulator is for one machine", host)
	}
	listener, err := net.Listen("tcp", config.Address)
	if err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	config.Address = listener.Addr().String()
	return &station{config: config, listener: listener, journal: newJournal(!config.Bulk)}, nil
}

// serve answers with mux, and with the control's own paths.
func (s *station) serve(mux *http.ServeMux) error {
	if err := s.certify(); err != nil {
		s.listener.Close()
		return err
	}
	mux.HandleFunc("GET /simulator/log", s.serveLog)
	mux.HandleFunc("GET /simulator/counts", s.serveCounts)
	mux.HandleFunc("POST /simulator/faults", s.serveFaults)
	mux.HandleFunc("DELETE /simulator/faults", func(w http.ResponseWriter, _ *http.Request) {
		s.ClearFaults()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /simulator/goaway", func(w http.ResponseWriter, _ *http.Request) {
		s.GoAway()
		w.WriteHeader(http.StatusNoContent)
	})
	if s.config.Authority != nil {
		mux.HandleFunc("GET /simulator/ca.pem", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-pem-file")
			w.Write(s.config.Authority.PEM()) //nolint:errcheck // the client has gone
		})
	}
	s.handler = s.dismissing(mux)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run(s.listener)
	return nil
}

// certify makes the certificate, if there is an authority to issue it.
func (s *station) certify() error {
	if s.config.Authority == nil {
		return nil
	}
	certificate, err := s.config.Authority.issue()
	if err != nil {
		return err
	}
	s.tls = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert}
	return nil
}

func (s *station) onConnection(ctx context.Context, _ net.Conn) context.Context {
	s.opened.Add(1)
	c := new(connection)
	c.goAways.Store(s.goAways.Load())
	return context.WithValue(ctx, connectionKey{}, c)
}

// dismissing ends connections that GoAway was for with their next answer.
func (s *station) dismissing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if now := s.goAways.Load(); connectionOf(r).goAways.Swap(now) < now {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// URL is where it is found, as in https://127.0.0.1:4711.
func (s *station) URL() string {
	if s.tls == nil {
		return "http://" + s.config.Address
	}
	return "https://" + s.config.Address
}

// Fault puts a fault in force, behind those that are.
func (s *station) Fault(f Fault) error { return s.faults.add(f) }

// ClearFaults ends all faults.
func (s *station) ClearFaults() { s.faults.clear() }

// GoAway makes every connection's next answer its last one: HTTP/2 GOAWAY.
func (s *station) GoAway() { s.goAways.Add(1) }

// Connections is how many were opened so far.
func (s *station) Connections() int { return int(s.opened.Load()) }

// Counts is how much a simulator got so far.
type Counts struct {
	Requests    int `json:"requests"`    // whatever was answered
	Taken       int `json:"taken"`       // of these, those whose message the device gets
	Connections int `json:"connections"` // opened, those of its control too
}

// Counts is how much it got so far.
func (s *station) Counts() Counts {
	requests, taken := s.journal.counts()
	return Counts{Requests: requests, Taken: taken, Connections: s.Connections()}
}

// Log gives what was received so far.
func (s *station) Log() []Entry {
	entries, _ := s.journal.after(0)
	return entries
}

// Await waits until n messages were taken, and gives those that were.
func (s *station) Await(ctx context.Context, n int) ([]Entry, error) {
	return s.journal.await(ctx, n, func(e Entry) bool { return e.Taken })
}

func (s *station) serveLog(w http.ResponseWriter, r *http.Request) {
	after, err := strconv.Atoi(r.URL.Query().Get("after"))
	if err != nil && r.URL.Query().Has("after") {
		http.Error(w, "after is not a number", http.StatusBadRequest)
		return
	}
	entries, _ := s.journal.after(after)
	if entries == nil {
		entries = []Entry{}
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"entries": entries}) //nolint:errcheck // the client has gone
}

func (s *station) serveCounts(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(s.Counts()) //nolint:errcheck // the client has gone
}

func (s *station) serveFaults(w http.ResponseWriter, r *http.Request) {
	var f Fault
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControlBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&f)
	if err == nil {
		err = s.Fault(f)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

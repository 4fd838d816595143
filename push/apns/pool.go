package apns

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Bounds of connections. APNs wants them long-lived: "APNs treats rapid
// connection and disconnection as a denial-of-service attack".
const (
	dialTimeout         = 10 * time.Second // resolving the name and TCP
	tlsHandshakeTimeout = 10 * time.Second
	pingAfter           = 15 * time.Second // a connection silent for so long is asked whether it lives
	pingTimeout         = 15 * time.Second
	idleTimeout         = time.Hour   // one that carried nothing for so long is closed
	replaceEvery        = time.Minute // one that was refused is replaced no more often
	maxHeaderBytes      = 16 << 10
	maxStreamBytes      = 64 << 10 // of an answer received before it is read
)

// pool is the connections of one credential to one host. It opens one when none of
// those open takes a request now, and there are not all yet; when there are, a
// request waits. It is not the pool of an http.Transport, which does not wait for
// the peer's limit of requests at a time, or not without stalling (Go issue 70809).
type pool struct {
	transport *http.Transport // it only dials
	address   string          // host:port
	size      int
	changed   signal // a connection might take a request now

	usedAt   time.Time // guarded by the pools' mutex, as are:
	requests int       // that have it
	retired  bool      // it gets no more, and is closed after the last

	mu      sync.Mutex // guards what follows, and the connections
	open    []*connection
	dialing int
	closed  bool
}

// connection is an HTTP/2 connection. It ends when APNs says so (GOAWAY), when it
// does not answer pings, and after an hour without a request.
type connection struct {
	conn     *http.ClientConn
	madeAt   time.Time
	underWay int  // requests
	answered bool // it has answered a request
	limit    int  // the most requests at a time that it is known to have taken
	retired  bool // it gets no more requests, and is closed with the last answer
}

func newPool(size int, roots *x509.CertPool, credential *Credential, base string) (*pool, error) {
	target, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, VerifyConnection: checkProtocol}
	if credential.certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return credential.certificate, nil }
	}
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	return &pool{
		transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSClientConfig:        config,
			TLSHandshakeTimeout:    tlsHandshakeTimeout,
			Protocols:              &protocols,
			DisableCompression:     true,
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: maxHeaderBytes,
			HTTP2: &http.HTTP2Config{
				SendPingTimeout:           pingAfter,
				PingTimeout:               pingTimeout,
				MaxReceiveBufferPerStream: maxStreamBytes,
			},
		},
		address: net.JoinHostPort(target.Hostname(), cmp.Or(target.Port(), "443")),
		size:    size,
	}, nil
}

var errNotHTTP2 = errors.New("the push service does not speak HTTP/2")

func checkProtocol(state tls.ConnectionState) error {
	if state.NegotiatedProtocol != "h2" {
		return errNotHTTP2
	}
	return nil
}

// take gives a connection with room for one request, to be given back.
func (p *pool) take(ctx context.Context, now time.Time) (*connection, error) {
	for {
		changed := p.changed.next()
		c, dial := p.pick()
		switch {
		case c != nil:
			return c, nil
		case dial:
			return p.dial(ctx, now)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// pick finds the connection with the fewest requests under way that takes one more,
// or says whether to open another.
func (p *pool) pick() (c *connection, dial bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range slices.Clone(p.open) {
		if c.ended() {
			p.retire(c)
		}
	}
	slices.SortStableFunc(p.open, func(a, b *connection) int { return a.underWay - b.underWay })
	for _, c := range p.open {
		if c.reserve() {
			return c, false
		}
	}
	if len(p.open)+p.dialing < p.size {
		p.dialing++
		return nil, true
	}
	return nil, false
}

// dial opens a connection, on which the caller has the first request.
func (p *pool) dial(ctx context.Context, now time.Time) (*connection, error) {
	conn, err := p.transport.NewClientConn(ctx, "https", p.address)
	p.mu.Lock()
	defer p.changed.raise()
	defer p.mu.Unlock()
	p.dialing--
	if err != nil {
		return nil, err
	}
	c := &connection{conn: conn, madeAt: now, retired: p.closed}
	if !c.reserve() {
		conn.Close()
		return nil, net.ErrClosed
	}
	if !p.closed {
		p.open = append(p.open, c)
	}
	conn.SetStateHook(func(*http.ClientConn) { p.changed.raise() })
	return c, nil
}

// give takes a connection back, with what became of the request.
func (p *pool) give(c *connection, err error) {
	p.mu.Lock()
	c.underWay--
	c.answered = c.answered || err == nil
	if unprocessed(err) {
		p.retire(c)
	}
	c.closeIfDone()
	p.mu.Unlock()
	p.changed.raise()
}

// replace retires a connection on which APNs refused the credential: it looks up
// once for a connection what a key may be used for, and wants new ones when that
// has changed, or when a key was revoked.
func (p *pool) replace(c *connection, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(c.madeAt) >= replaceEvery {
		p.retire(c)
	}
}

func (p *pool) closeIfDone() {
	if p.retired && p.requests == 0 {
		p.close()
	}
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range slices.Clone(p.open) {
		p.retire(c)
	}
}

// retire takes a connection out of the pool. Its requests are finished first.
func (p *pool) retire(c *connection) {
	p.open = slices.DeleteFunc(p.open, func(other *connection) bool { return other == c })
	c.retired = true
	c.closeIfDone()
}

func (c *connection) closeIfDone() {
	if c.retired && c.underWay == 0 {
		c.conn.Close()
	}
}

// reserve takes room for a request, if there is any. The first has the connection
// to itself until it is answered: before that nobody knows how many requests APNs
// takes, and with provider tokens it takes a single one.
func (c *connection) reserve() bool {
	if !c.answered && c.underWay > 0 || c.conn.Reserve() != nil {
		return false
	}
	c.underWay++
	return true
}

// ended tells whether a connection is broken, or APNs has sent GOAWAY: then it has
// no room although it holds fewer requests than it has held.
func (c *connection) ended() bool {
	if c.conn.Err() != nil {
		return true
	}
	before := c.conn.InFlight() // it only falls meanwhile, for the pool's mutex is held
	available := c.conn.Available()
	if !c.answered {
		return available == 0 && before == 0
	}
	c.limit = max(c.limit, available+c.conn.InFlight())
	return available == 0 && before < c.limit
}

// signal wakes all who wait for something to change.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

// next is closed by the next raise.
func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) raise() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

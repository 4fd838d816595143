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
	pingTimeout         = 5 * time.Second
	idleTimeout         = time.Hour   // one that carried nothing for so long is closed
	replaceEvery        = time.Minute // one that was refused is replaced no more often
	redialAfter         = time.Second // of a dial that failed; until then nobody dials
	maxHeaderBytes      = 16 << 10
	maxStreamBytes      = 64 << 10 // of an answer received before it is read
)

// pool is the connections of one credential to one host. It opens one when none of
// those open takes a request now, and there are not all yet; when there are, a
// request waits. When a dial fails and none is open, all who wait get its error, and
// so does who comes within redialAfter: APNs is not to be dialled for each of them.
//
// A connection has one provider token from its first request to its last, for APNs
// counts the changes of each: requests that took turns at the end of a window would
// be TooManyProviderTokenUpdates. When the token changes, all connections do.
//
// It is not the pool of an http.Transport, which does not wait for the peer's limit
// of requests at a time, or not without stalling (Go issue 70809).
type pool struct {
	credential *Credential
	tokens     *tokens
	now        func() time.Time
	transport  *http.Transport // it only dials
	address    string          // host:port
	size       int
	changed    signal // a connection might take a request now

	usedAt   time.Time // guarded by the pools' mutex, as are:
	requests int       // that have it
	retired  bool      // it gets no more, and is closed after the last

	mu       sync.Mutex // guards what follows, and the connections
	open     []*connection
	dialing  int
	failure  error // of the last dial that failed; nil after one that did not
	failedAt time.Time
	closed   bool
}

func newPool(size int, roots *x509.CertPool, tokens *tokens, now func() time.Time, credential *Credential, base string) (*pool, error) {
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
		credential: credential,
		tokens:     tokens,
		now:        now,
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

var (
	errNotHTTP2 = errors.New("the push service does not speak HTTP/2")
	errUnsigned = errors.New("the key cannot sign a provider token")
)

func checkProtocol(state tls.ConnectionState) error {
	if state.NegotiatedProtocol != "h2" {
		return errNotHTTP2
	}
	return nil
}

// take gives a connection with room for one request, to be given back.
func (p *pool) take(ctx context.Context) (*connection, error) {
	for {
		changed := p.changed.next()
		c, dial, err := p.pick()
		switch {
		case c != nil || err != nil:
			return c, err
		case dial:
			if c, err := p.dial(ctx); c != nil || err != nil {
				return c, err
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// pick finds the connection with the fewest requests under way that takes one more,
// or says whether to open another. Without either, a request waits.
func (p *pool) pick() (c *connection, dial bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	token, err := p.token()
	if err != nil {
		return nil, false, err
	}
	for _, c := range slices.Clone(p.open) {
		if c.token != token || c.ended() {
			p.retire(c)
		}
	}
	slices.SortStableFunc(p.open, func(a, b *connection) int { return a.underWay - b.underWay })
	for _, c := range p.open {
		if c.reserve() {
			return c, false, nil
		}
	}
	failing := p.failure != nil && p.now().Sub(p.failedAt) < redialAfter
	switch {
	case failing && len(p.open) == 0:
		return nil, false, p.failure
	case !failing && len(p.open)+p.dialing < p.size:
		p.dialing++
		return nil, true, nil
	default:
		return nil, false, nil
	}
}

// token is the provider token to use now; empty with a certificate. The mutex is
// held, so no connection gets an older one than those before it.
func (p *pool) token() (string, error) {
	if p.credential.key == nil {
		return "", nil
	}
	token, err := p.tokens.current(p.credential, p.now())
	if err != nil {
		return "", errUnsigned
	}
	return token, nil
}

// dial opens a connection, on which the caller has the first request. When that
// fails and others are open, it gives neither: the caller waits for one of them.
func (p *pool) dial(ctx context.Context) (*connection, error) {
	conn, err := p.transport.NewClientConn(ctx, "https", p.address)
	p.mu.Lock()
	defer p.changed.raise()
	defer p.mu.Unlock()
	p.dialing--
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, err // it says nothing about APNs
	case err != nil:
		p.failure, p.failedAt = err, p.now()
		if len(p.open) > 0 {
			return nil, nil
		}
		return nil, err
	}
	token, err := p.token() // now: dialling takes time
	if err != nil {
		conn.Close()
		return nil, err
	}
	c := &connection{conn: conn, token: token, madeAt: p.now(), retired: p.closed}
	if !c.reserve() {
		conn.Close()
		p.failure, p.failedAt = net.ErrClosed, p.now()
		return nil, p.failure
	}
	p.failure = nil
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
func (p *pool) replace(c *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now().Sub(c.madeAt) >= replaceEvery {
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

package apns

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/belfryhq/belfry/push/pool"
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
	maxHeaderBytes      = 16 << 10
	maxStreamBytes      = 64 << 10 // of an answer received before it is read
)

// pools holds the connections, a few for each credential and host. A credential
// never gets another one's connection: APNs takes the first request's for the
// owner of the whole.
//
// A connection has one provider token from its first request to its last, for APNs
// counts the changes of each: requests that took turns at the end of a window would
// be TooManyProviderTokenUpdates. Its first request has it to itself: before that
// is answered nobody knows how many requests APNs takes, and with provider tokens it
// takes a single one.
type pools struct {
	size    int
	roots   *x509.CertPool
	tokens  *tokens
	now     func() time.Time
	timeout time.Duration // of one Send
	change  func(*http.Transport)
	set     pool.Set[poolName]

	mu      sync.Mutex
	retired map[*Credential]time.Time // since when; as long as a Send may know it
}

type poolName struct {
	credential *Credential
	base       string
}

func newPools(config Config, tokens *tokens) *pools {
	return &pools{
		size: config.Connections, roots: config.RootCAs, tokens: tokens, now: config.now, timeout: config.Timeout, change: config.transport,
		set: pool.Set[poolName]{Idle: idleTimeout}, retired: make(map[*Credential]time.Time),
	}
}

// take gives the pool of a credential and a host for one request, to be given back.
// One for a retired credential is not kept beyond the request.
func (p *pools) take(credential *Credential, base string, now time.Time) (*pool.Member[poolName], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	since, known := p.retired[credential]
	retired := known && now.Sub(since) <= p.timeout
	return p.set.Take(poolName{credential, base}, !retired, now, func() (*pool.Pool, error) { return p.open(credential, base) })
}

func (p *pools) open(credential *Credential, base string) (*pool.Pool, error) {
	target, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	transport := newTransport(credential, p.roots)
	if p.change != nil {
		p.change(transport)
	}
	return pool.New(pool.Config{
		Transport: transport,
		Scheme:    "https",
		Address:   net.JoinHostPort(target.Hostname(), cmp.Or(target.Port(), "443")),
		Size:      p.size,
		Identity:  func() (string, error) { return p.token(credential) },
		Introduce: true,
		Idle:      idleTimeout,
		Now:       p.now,
	}), nil
}

// token is the provider token to use now; empty with a certificate.
func (p *pools) token(credential *Credential) (string, error) {
	if credential.key == nil {
		return "", nil
	}
	token, err := p.tokens.current(credential, p.now())
	if err != nil {
		return "", errUnsigned
	}
	return token, nil
}

// retire lets go of the pools of a credential.
func (p *pools) retire(credential *Credential, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for other, since := range p.retired {
		if now.Sub(since) > p.timeout {
			delete(p.retired, other)
		}
	}
	p.retired[credential] = now
	p.set.Retire(func(name poolName) bool { return name.credential == credential })
}

// newTransport makes what opens connections: HTTP/2 alone, no proxy.
func newTransport(credential *Credential, roots *x509.CertPool) *http.Transport {
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, VerifyConnection: checkProtocol}
	if credential.certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return credential.certificate, nil }
	}
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	return &http.Transport{
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
	}
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

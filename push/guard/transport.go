package guard

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"
)

// IdleTimeout is how long a connection is kept that carries nothing.
const IdleTimeout = 90 * time.Second

// Bounds of a connection. That of a whole request is its context's.
const (
	dialTimeout         = 10 * time.Second // resolving the name and TCP
	tlsHandshakeTimeout = 10 * time.Second
	pingAfter           = 15 * time.Second // an HTTP/2 connection silent for so long is asked whether it lives
	pingTimeout         = 10 * time.Second
	maxIdleConns        = 512
	maxHeaderBytes      = 16 << 10
	maxStreamBytes      = 64 << 10 // of an HTTP/2 body received before it is read
)

// TransportConfig says how requests are carried.
type TransportConfig struct {
	MaxConnsPerHost int            // connections to one host; 0 for no bound
	RootCAs         *x509.CertPool // what certificates are checked against; nil for the system's
	Resolver        *net.Resolver  // what names are resolved with; nil for the system's
}

// Transports carry requests: Free those to where the operator allows it, Guarded
// all others. They are two, because a connection serves whoever asks for its
// host: one that was made freely for an app that may go there must never carry
// what another app sends.
//
// They are to be used by RoundTrip: an http.Client would follow redirects, and put
// the URL into its errors.
type Transports struct{ Guarded, Free *http.Transport }

// Transports makes them. They are to be closed.
func (g *Guard) Transports(config TransportConfig) Transports {
	return Transports{
		Guarded: newTransport(config, &net.Dialer{Timeout: dialTimeout, Resolver: config.Resolver, Control: g.Control}),
		Free:    newTransport(config, &net.Dialer{Timeout: dialTimeout, Resolver: config.Resolver}),
	}
}

// For gives the one for what Check told of a target.
func (t Transports) For(free bool) *http.Transport {
	if free {
		return t.Free
	}
	return t.Guarded
}

// Close closes the connections that are idle. It is for after the last request.
func (t Transports) Close() {
	t.Guarded.CloseIdleConnections()
	t.Free.CloseIdleConnections()
}

// newTransport makes the HTTP client side: HTTP/2 where it is spoken, no proxy,
// no compression to unpack.
func newTransport(config TransportConfig, dialer *net.Dialer) *http.Transport {
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: config.RootCAs},
		TLSHandshakeTimeout:    tlsHandshakeTimeout,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxConnsPerHost:        config.MaxConnsPerHost,
		MaxIdleConnsPerHost:    config.MaxConnsPerHost,
		MaxIdleConns:           maxIdleConns,
		IdleConnTimeout:        IdleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout:           pingAfter,
			PingTimeout:               pingTimeout,
			MaxReceiveBufferPerStream: maxStreamBytes,
		},
	}
}

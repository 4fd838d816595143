package webpush

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// Bounds of a connection. That of a whole request is Config.Timeout.
const (
	dialTimeout         = 10 * time.Second // resolving the name and TCP
	tlsHandshakeTimeout = 10 * time.Second
	idleConnTimeout     = 90 * time.Second
	pingAfter           = 15 * time.Second // an HTTP/2 connection silent for so long is asked whether it lives
	pingTimeout         = 10 * time.Second
	maxIdleConns        = 512
	maxHeaderBytes      = 16 << 10
	maxStreamBytes      = 64 << 10 // of an HTTP/2 body received before it is read
)

// transports carry the requests: free those to hosts the operator allowed,
// guarded all others. They are two, because a connection serves whoever asks for
// its host: one that was made freely for an app that may go there must never
// carry what another app sends.
type transports struct{ guarded, free *http.Transport }

func newTransports(config Config, guard *guard) transports {
	return transports{
		guarded: newTransport(config, &net.Dialer{Timeout: dialTimeout, Resolver: config.resolver, Control: guard.control}),
		free:    newTransport(config, &net.Dialer{Timeout: dialTimeout, Resolver: config.resolver}),
	}
}

func (t transports) close() {
	t.guarded.CloseIdleConnections()
	t.free.CloseIdleConnections()
}

// newTransport makes the HTTP client side: HTTP/2 where it is spoken, no proxy,
// no compression to unpack.
func newTransport(config Config, dialer *net.Dialer) *http.Transport {
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: config.RootCAs},
		TLSHandshakeTimeout:    tlsHandshakeTimeout,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxConnsPerHost:        config.MaxConnsPerHost,
		MaxIdleConnsPerHost:    config.MaxConnsPerHost,
		MaxIdleConns:           maxIdleConns,
		IdleConnTimeout:        idleConnTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout:           pingAfter,
			PingTimeout:               pingTimeout,
			MaxReceiveBufferPerStream: maxStreamBytes,
		},
	}
}

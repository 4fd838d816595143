package webpush

import (
	"context"
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

// newTransport makes the HTTP client side: HTTP/2 where it is spoken, no proxy,
// no compression to unpack, and every address checked by the guard when it is
// dialled. A host the operator allowed is dialled freely.
func newTransport(config Config, guard *guard) *http.Transport {
	free := &net.Dialer{Timeout: dialTimeout, Resolver: config.resolver}
	guarded := &net.Dialer{Timeout: dialTimeout, Resolver: config.resolver, Control: guard.control}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if guard.allows(address) {
				return free.DialContext(ctx, network, address)
			}
			return guarded.DialContext(ctx, network, address)
		},
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

package fcm

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"time"
)

// Bounds of a connection. That of a whole Send is Config.Timeout.
const (
	dialTimeout         = 10 * time.Second // resolving the name and TCP
	tlsHandshakeTimeout = 10 * time.Second
	idleConnTimeout     = 5 * time.Minute
	pingAfter           = 15 * time.Second // an HTTP/2 connection silent for so long is asked whether it lives
	pingTimeout         = 10 * time.Second
	maxHeaderBytes      = 16 << 10
	maxStreamBytes      = 64 << 10 // of an HTTP/2 body received before it is read

	// maxAnswerBytes is as much of an answer's body as is read.
	maxAnswerBytes = 8 << 10
)

// newLine makes the HTTP client side of one connection: HTTP/2, no proxy, no
// compression to unpack.
func newLine(config Config) *line {
	l := &line{open: make(map[net.Conn]struct{})}
	l.transport = &http.Transport{
		DialContext:            l.dial,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: config.RootCAs},
		TLSHandshakeTimeout:    tlsHandshakeTimeout,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxConnsPerHost:        1,
		IdleConnTimeout:        idleConnTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout:           pingAfter,
			PingTimeout:               pingTimeout,
			MaxReceiveBufferPerStream: maxStreamBytes,
		},
	}
	return l
}

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	s := &socket{Conn: conn, of: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		conn.Close()
		return nil, net.ErrClosed
	}
	l.open[s] = struct{}{}
	return s, nil
}

// close ends the connections. The transport alone would leave open what it has
// not yet seen to be idle.
func (l *line) close() {
	l.transport.CloseIdleConnections()
	l.mu.Lock()
	l.closed = true
	open := slices.Collect(maps.Keys(l.open))
	l.mu.Unlock()
	for _, conn := range open {
		conn.Close()
	}
}

// socket is a TCP connection that is known as long as it is open.
type socket struct {
	net.Conn
	of *line
}

func (s *socket) Close() error {
	s.of.mu.Lock()
	delete(s.of.open, s)
	s.of.mu.Unlock()
	return s.Conn.Close()
}

// response is what FCM answered.
type response struct {
	status int
	header http.Header
	body   []byte
}

// post makes one request and reads the answer.
//
// It speaks to the transport rather than through an http.Client, which would
// follow redirects and put addresses into its errors.
func (c *client) post(ctx context.Context, accessToken string, body []byte) (response, error) {
	line, err := c.take(ctx)
	if err != nil {
		return response{}, err
	}
	defer c.release(line)

	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.credential.endpoint(), bytes.NewReader(body))
	if err != nil {
		return response{}, fmt.Errorf("make the request: %w", err)
	}
	request.Header = http.Header{
		"Authorization": {"Bearer " + accessToken},
		"Content-Type":  {"application/json; charset=UTF-8"},
		"User-Agent":    {"belfry"},
		// Google's own libraries send it, and get details of errors for it.
		"X-Goog-Api-Format-Version": {"2"},
	}
	answer, err := line.transport.RoundTrip(request)
	if err != nil {
		return response{}, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswerBytes))
	if err != nil && answer.StatusCode/100 != 2 {
		return response{}, err // what the status means depends on the body
	}
	return response{status: answer.StatusCode, header: answer.Header, body: text}, nil
}

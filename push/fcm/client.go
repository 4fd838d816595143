package fcm

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// streamsPerLine is how many messages are under way on one connection. FCM
	// allows 100; a stream that has just ended may still be counted.
	streamsPerLine = 96

	// clientLife is how long connections and an access token are kept for a
	// credential that nothing is sent with: one that was replaced, mostly.
	clientLife = time.Hour
)

// clients are the credentials in use, with their connections.
type clients struct {
	config Config
	open   *lifetime

	mu  sync.Mutex
	all map[*Credential]*client
}

func newClients(config Config) *clients {
	return &clients{config: config, open: newLifetime(config.Timeout), all: make(map[*Credential]*client)}
}

// of finds the client of a credential, or makes it. Making one is the occasion
// to forget those that are no longer in use.
func (s *clients) of(credential *Credential) *client {
	now := s.config.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.all[credential]
	if c == nil {
		for key, other := range s.all {
			if now.Sub(other.usedAt) > clientLife {
				delete(s.all, key)
				other.close()
			}
		}
		c = newClient(credential, s.config, s.open)
		s.all[credential] = c
	}
	c.usedAt = now
	return c
}

func (s *clients) close() {
	s.open.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.all {
		c.close()
	}
}

// client sends with one credential.
type client struct {
	credential *Credential
	tokens     *tokens
	now        func() time.Time
	usedAt     time.Time // guarded by clients

	slots chan struct{} // one for each message under way
	mu    sync.Mutex
	lines []*line
}

// line is a transport that opens one connection.
//
// An http.Transport alone does not bound HTTP/2 connections: when one is full it
// is forgotten and another is opened, whatever MaxConnsPerHost says; and with
// StrictMaxConcurrentRequests, requests in excess of the limit wait for each
// other for ever (Go issue 70809). So no line is ever given more than it can carry; only
// a server that allows fewer streams than FCM gets more connections.
type line struct {
	transport *http.Transport
	busy      int // messages under way, at most streamsPerLine; guarded by client

	mu   sync.Mutex
	open map[net.Conn]struct{} // to FCM, and to the token endpoint
}

func newClient(credential *Credential, config Config, open *lifetime) *client {
	c := &client{credential: credential, now: config.now, slots: make(chan struct{}, config.MaxConns*streamsPerLine)}
	for range config.MaxConns {
		c.lines = append(c.lines, newLine(config))
	}
	c.tokens = &tokens{fetch: c.fetchToken, now: config.now, open: open}
	return c
}

// close ends the connections. Nothing is under way on them any more.
func (c *client) close() {
	for _, line := range c.lines {
		line.close()
	}
}

// take waits for room on a line. The first lines are filled first, so that there
// are no more connections than are needed.
func (c *client) take(ctx context.Context) (*line, error) {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i := 0
	for c.lines[i].busy == streamsPerLine {
		i++ // a slot was free, so some line has room
	}
	c.lines[i].busy++
	return c.lines[i], nil
}

func (c *client) release(line *line) {
	c.mu.Lock()
	line.busy--
	c.mu.Unlock()
	<-c.slots
}

// lifetime bounds what goes on beside the Sends.
type lifetime struct {
	ctx     context.Context
	cancel  context.CancelFunc
	timeout time.Duration // of each
	running sync.WaitGroup
}

func newLifetime(timeout time.Duration) *lifetime {
	ctx, cancel := context.WithCancel(context.Background())
	return &lifetime{ctx: ctx, cancel: cancel, timeout: timeout}
}

// run calls f in a goroutine, with a context that ends in time.
func (l *lifetime) run(f func(ctx context.Context)) {
	l.running.Go(func() {
		ctx, cancel := context.WithTimeout(l.ctx, l.timeout)
		defer cancel()
		f(ctx)
	})
}

// end stops what goes on, and waits for it.
func (l *lifetime) end() {
	l.cancel()
	l.running.Wait()
}

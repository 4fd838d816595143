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
	// credential that nothing is sent with.
	clientLife = time.Hour
)

// clients are the credentials in use, with their connections.
type clients struct {
	config Config
	open   *lifetime

	mu      sync.Mutex
	all     map[*Credential]*client
	retired map[*Credential]time.Time // since when; as long as a Send may know it
}

func newClients(config Config) *clients {
	return &clients{config: config, open: newLifetime(config.Timeout), all: make(map[*Credential]*client), retired: make(map[*Credential]time.Time)}
}

// take finds the client of a credential for one Send, or makes it, which is the
// occasion to forget those that are no longer in use. It is to be given back. One
// for a retired credential is not kept beyond that.
func (s *clients) take(credential *Credential) *client {
	now := s.config.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.all[credential]
	if c == nil {
		for key, other := range s.all {
			if now.Sub(other.usedAt) > clientLife {
				s.drop(key, other)
			}
		}
		c = newClient(credential, s.config, s.open)
		since, known := s.retired[credential]
		if c.retired = known && now.Sub(since) <= s.config.Timeout; !c.retired {
			s.all[credential] = c
		}
	}
	c.usedAt = now
	c.sends++
	return c
}

// give takes a client back after a Send.
func (s *clients) give(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.sends--
	c.closeIfDone()
}

// retire lets go of the client of a credential.
func (s *clients) retire(credential *Credential) {
	now := s.config.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for other, since := range s.retired {
		if now.Sub(since) > s.config.Timeout {
			delete(s.retired, other)
		}
	}
	s.retired[credential] = now
	if c := s.all[credential]; c != nil {
		s.drop(credential, c)
	}
}

// drop forgets a client, which ends after the last Send that has it.
func (s *clients) drop(credential *Credential, c *client) {
	delete(s.all, credential)
	c.retired = true
	c.closeIfDone()
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

	usedAt  time.Time // guarded by clients, as are:
	sends   int       // under way
	retired bool      // it is closed after the last of them

	throttled throttled

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

	mu     sync.Mutex
	open   map[net.Conn]struct{} // to FCM, and to the token endpoint
	closed bool
}

func newClient(credential *Credential, config Config, open *lifetime) *client {
	c := &client{credential: credential, now: config.now, slots: make(chan struct{}, config.MaxConns*streamsPerLine)}
	for range config.MaxConns {
		c.lines = append(c.lines, newLine(config))
	}
	c.tokens = &tokens{fetch: c.fetchToken, now: config.now, open: open}
	return c
}

func (c *client) closeIfDone() {
	if c.retired && c.sends == 0 {
		c.close()
	}
}

// close ends the connections. No Send is under way on them any more; a renewal of
// the access token may be, for nobody.
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

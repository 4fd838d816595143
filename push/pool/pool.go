// Package pool keeps connections to the hosts that messages go to: as few as
// carry what is under way, and for as long as they are of use.
//
//	Do ──▶ a connection with room? ──▶ request, answer ──▶ its room is free again
//	        │ no                ▲                              │
//	        ├─▶ wait in line ───┤◀─────────────────────────────┘
//	        └─▶ one dial ───────┘  at a time, if there are not all yet
//
// A Pool is of one host, a Set of many. They stand on http.ClientConn, so HTTP/2
// is net/http's, and so is HTTP/1.1, of which a connection has room for one
// request. They are not the pool of an http.Transport. That one dials for every
// request that finds no room: 900 messages at once, for which four connections
// are enough, opened 30 to 50. And when it may not, requests wait without hearing
// that there is room again (Go issues 34944 and 70809).
//
// Everything here may be used by many goroutines at once.
package pool

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// RedialAfter is how long nobody dials after a dial failed. Until then all who
	// come get its error, unless another connection is open: a host is not to be
	// dialled for each message.
	RedialAfter = time.Second

	// anotherAfter is when another connection is opened although the latest one has
	// answered nothing yet, so that its first request may hang and hold up nobody.
	anotherAfter = 100 * time.Millisecond

	// knownAfter is when a host has certainly said how many requests it takes at a
	// time. It has if it has answered one. Until then net/http takes it for 100, and
	// if it is fewer, those that were too many stand in each other's way.
	knownAfter = 500 * time.Millisecond

	// maxResends is how often a request that was not processed goes out on another
	// connection, before the attempt is given up.
	maxResends = 4
)

// Config says whose connections a Pool has.
type Config struct {
	// Transport opens connections, and is used for nothing else. Required, without
	// MaxConnsPerHost: net/http would count down what it never counted.
	Transport *http.Transport

	// Scheme is http or https, Address host:port. Required.
	Scheme, Address string

	// Size is how many connections there are at most. Required.
	Size int

	// Identity is who a request would come from now. A connection has one
	// identity from its first request to its last: when it changes, all
	// connections do. An error is that of all who ask. Default: always the same.
	Identity func() (string, error)

	// Introduce lets the first request have a connection to itself until it is
	// answered, however long that takes. Default: for half a second at most.
	Introduce bool

	// Idle is how long a connection is kept that carries nothing, at least.
	// Required: net/http closes no idle ones of HTTP/1.1 by itself.
	Idle time.Duration

	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Pool is the connections to one host. Close it after the last Do.
type Pool struct {
	config Config
	ctx    context.Context // of dials; ends with Close
	end    context.CancelFunc
	waits  atomic.Int32 // who stands in the line, or is about to
	woken  atomic.Bool  // somebody is about to serve the line

	mu       sync.Mutex // guards what follows, and the connections
	open     []*Conn
	line     []*waiter
	dialing  bool
	dials    sync.WaitGroup
	failure  error // of the last dial that failed; nil after one that did not
	failedAt time.Time
	draining int         // connections that get no more requests, and have some
	sweeper  *time.Timer // nil while nothing is open
	later    *time.Timer // serves the line; nil while it is not set
	closed   bool
}

// waiter is a request in the line.
type waiter struct{ ready chan handed }

// handed is a connection with room reserved, or why there is none.
type handed struct {
	conn *Conn
	err  error
}

// New makes a Pool. It opens no connection yet.
func New(config Config) *Pool {
	if config.Identity == nil {
		config.Identity = func() (string, error) { return "", nil }
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	p := &Pool{config: config}
	p.ctx, p.end = context.WithCancel(context.Background())
	return p
}

// Do makes a request on one of the connections. The request is made anew for each
// connection that is tried, with the identity that it has; read gets the answer,
// whose body is closed afterwards. What the host has certainly not processed, because
// the connection ended meanwhile, goes out again on another one.
//
// The error is that of the dial or of the exchange. The connection is for Replace;
// nil if none was had.
func (p *Pool) Do(ctx context.Context, request func(identity string) *http.Request, read func(*http.Response)) (*Conn, error) {
	for resends := 0; ; resends++ {
		conn, err := p.take(ctx)
		if err != nil {
			return nil, err
		}
		err = conn.exchange(request(conn.identity), read)
		p.give(conn, err)
		if err == nil || !unprocessed(err) || resends == maxResends {
			return conn, err
		}
	}
}

// take gives a connection with room for one request, to be given back.
func (p *Pool) take(ctx context.Context) (*Conn, error) {
	p.mu.Lock()
	p.waits.Add(1) // before it looks, so that room that comes while it looks is told
	if len(p.line) == 0 {
		if conn, err := p.pick(); conn != nil || err != nil {
			p.waits.Add(-1)
			p.mu.Unlock()
			return conn, err
		}
	}
	w := &waiter{ready: make(chan handed, 1)}
	p.line = append(p.line, w)
	p.serve() // there may be room that those in the line have not been given yet
	p.mu.Unlock()
	select {
	case h := <-w.ready:
		if ctx.Err() == nil || h.conn == nil {
			return h.conn, h.err
		}
		p.giveUnused(h.conn) // a request would be reset at once, and hosts do not like that
		return nil, ctx.Err()
	case <-ctx.Done():
		p.leave(w)
		return nil, ctx.Err()
	}
}

// leave takes a waiter out of the line, or gives back what it was handed meanwhile.
func (p *Pool) leave(w *waiter) {
	p.mu.Lock()
	if i := slices.Index(p.line, w); i >= 0 {
		p.line = slices.Delete(p.line, i, i+1)
		p.waits.Add(-1)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	if h := <-w.ready; h.conn != nil {
		p.giveUnused(h.conn)
	}
}

// giveUnused takes a connection back on which no request was made.
func (p *Pool) giveUnused(c *Conn) {
	c.conn.Release()
	p.give(c, context.Canceled)
}

// pick reserves room on the connection with the fewest requests under way, if any
// has room. Who comes while dials fail and none is open gets their error. The mutex
// is held.
func (p *Pool) pick() (*Conn, error) {
	identity, err := p.config.Identity()
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(p.open); {
		if c := p.open[i]; c.identity != identity || c.ended() {
			p.retire(c)
		} else {
			i++
		}
	}
	slices.SortStableFunc(p.open, func(a, b *Conn) int { return a.underWay - b.underWay })
	now := p.config.Now()
	for _, c := range p.open {
		known := c.answered || !p.config.Introduce && now.Sub(c.madeAt) >= knownAfter
		if (known || c.underWay == 0) && c.reserve() {
			return c, nil
		}
	}
	if p.failing() && len(p.open) == 0 {
		return nil, p.failure
	}
	return nil, nil
}

func (p *Pool) failing() bool {
	return p.failure != nil && p.config.Now().Sub(p.failedAt) < RedialAfter
}

// serve hands out what room there is to those in the line, first come, first
// served. The mutex is held.
func (p *Pool) serve() {
	for len(p.line) > 0 {
		conn, err := p.pick()
		if conn == nil && err == nil {
			break
		}
		p.line[0].ready <- handed{conn, err}
		p.line[0] = nil
		p.line = p.line[1:]
		p.waits.Add(-1)
	}
	p.dialIfUseful()
}

// dialIfUseful opens a connection for those in the line. It is opened beside them,
// so that nobody's giving up ends it. Before that, it is to be known what the latest
// one is good for. The mutex is held.
func (p *Pool) dialIfUseful() {
	now := p.config.Now()
	switch {
	case len(p.line) == 0 || p.dialing || len(p.open) >= p.config.Size:
	case len(p.open)+p.draining >= 2*p.config.Size: // or a host could have any number, by ending each after a few requests
	case p.failing():
		p.serveIn(RedialAfter)
	case slices.ContainsFunc(p.open, func(c *Conn) bool { return !c.answered && now.Sub(c.madeAt) < anotherAfter }):
		p.serveIn(anotherAfter)
	default:
		p.dialing = true
		p.dials.Go(p.dial)
	}
}

// serveIn has the line served when some time has passed, or before. The mutex is held.
func (p *Pool) serveIn(d time.Duration) {
	if p.later != nil || p.closed {
		return
	}
	p.later = time.AfterFunc(d, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.later = nil
		p.serve()
	})
}

func (p *Pool) dial() {
	conn, err := p.config.Transport.NewClientConn(p.ctx, p.config.Scheme, p.config.Address)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialing, p.failure = false, nil
	identity, unknown := p.config.Identity() // now: dialling takes time
	switch {
	case err != nil:
		p.failure, p.failedAt = err, p.config.Now()
	case unknown != nil:
		conn.Close()
	default:
		c := &Conn{conn: conn, identity: identity, madeAt: p.config.Now(), usedAt: p.config.Now()}
		p.open = append(p.open, c)
		if p.sweeper == nil {
			p.sweeper = time.AfterFunc(p.config.Idle, p.sweep)
		}
		conn.SetStateHook(func(*http.ClientConn) { p.wake() })
	}
	p.serve()
	if p.closed {
		p.retireAll()
	}
}

// sweep retires connections that have carried nothing for long.
func (p *Pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.config.Now()
	for _, c := range slices.Clone(p.open) {
		if c.underWay == 0 && now.Sub(c.usedAt) >= p.config.Idle || c.ended() {
			p.retire(c)
		}
	}
	p.sweeper = nil
	if len(p.open) > 0 {
		p.sweeper = time.AfterFunc(p.config.Idle, p.sweep)
	}
}

// wake has the line served soon, because there may be room. net/http calls it in
// the middle of things, perhaps with the mutex held, so it waits for nothing.
func (p *Pool) wake() {
	if p.waits.Load() > 0 && p.woken.CompareAndSwap(false, true) {
		go func() {
			p.woken.Store(false)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.serve()
		}()
	}
}

// give takes a connection back, with what became of the request.
func (p *Pool) give(c *Conn, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.underWay--
	c.usedAt = p.config.Now()
	c.answered = c.answered || err == nil
	if unprocessed(err) {
		p.retire(c)
	}
	p.closeIfDone(c)
	if len(p.line) > 0 {
		p.serve()
	}
}

// Replace retires a connection that is at least so old. Its requests are finished first.
func (p *Pool) Replace(c *Conn, age time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.config.Now().Sub(c.madeAt) >= age {
		p.retire(c)
	}
}

// Close retires all connections, and ends the dial under way. Requests that are
// under way are finished.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.retireAll()
	for _, timer := range []*time.Timer{p.sweeper, p.later} {
		if timer != nil {
			timer.Stop()
		}
	}
	p.mu.Unlock()
	p.end()
	p.dials.Wait()
}

func (p *Pool) retireAll() {
	for _, c := range slices.Clone(p.open) {
		p.retire(c)
	}
}

// retire takes a connection out of the pool. The mutex is held.
func (p *Pool) retire(c *Conn) {
	if c.retired {
		return
	}
	p.open = slices.DeleteFunc(p.open, func(other *Conn) bool { return other == c })
	c.retired = true
	p.draining++
	p.closeIfDone(c)
}

func (p *Pool) closeIfDone(c *Conn) {
	if c.retired && c.underWay == 0 && !c.closed {
		c.closed = true
		p.draining--
		c.conn.Close()
	}
}

// unprocessed tells whether the host has certainly not processed a request, so that
// it can be sent again at once (RFC 9113 §8.7): its stream was refused, or is beyond
// the last one that GOAWAY names, or there was no connection any more. net/http
// does not export these errors. They are told by their whole text, for others quote
// what the host said.
func unprocessed(err error) bool {
	if err == nil {
		return false
	}
	switch text := err.Error(); text {
	case "http2: client conn not usable", "http2: Transport received Server's graceful shutdown GOAWAY", "http: server closed idle connection":
		return true
	default:
		return refusedStream.MatchString(text)
	}
}

var refusedStream = regexp.MustCompile(`^stream error: stream ID [0-9]+; REFUSED_STREAM(; received from peer)?$`)

// Conns are the connections that requests may go out on, for who looks at them.
func (p *Pool) Conns() []*http.ClientConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	conns := make([]*http.ClientConn, len(p.open))
	for i, c := range p.open {
		conns[i] = c.conn
	}
	return conns
}

// Waiting is how many requests wait for a connection.
func (p *Pool) Waiting() int { return int(p.waits.Load()) }

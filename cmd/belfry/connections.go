package main

import (
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

const (
	connectionsMax = 10_000 // to the public listener: some 150 MB, with a request on each 250 MB, with TLS 400 MB
	operatorsMax   = 1_000  // to the admin listener, so that nobody on the other one keeps the operator out
)

// fittingConnections is how many connections a listener may have: at most so
// many, and half of the files that the process may have open. The others are for
// push services and the database.
func fittingConnections(most int) int {
	if files := openFilesMax(); files > 0 {
		return min(most, files/2)
	}
	return most
}

// connections keeps a server to a number of them. For one too many, that is
// closed of which nothing new was heard for longest: its last request began, or
// ended, before that of all others. Who only holds connections, or holds back what
// belongs to a request, keeps nobody out. Requests of who has an API key may take
// their time.
type connections struct {
	max int

	mu    sync.Mutex
	open  map[net.Conn]*connection
	loose *list.List // of *connection that may be closed, what was heard of longest ago first
}

// connection is one that is open.
type connection struct {
	net.Conn
	asking bool          // it has a request
	place  *list.Element // in loose; nil if it is kept
}

func newConnections(most int) *connections {
	return &connections{max: most, open: make(map[net.Conn]*connection), loose: list.New()}
}

// changed is an http.Server's ConnState.
func (c *connections) changed(conn net.Conn, to http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.open[conn]
	switch {
	case to == http.StateNew:
		one = &connection{Conn: conn}
		one.place = c.loose.PushBack(one)
		c.open[conn] = one
		c.makeRoom()
	case one == nil: // it made room
	case to == http.StateActive || to == http.StateIdle:
		one.asking = to == http.StateActive
		c.loosen(one)
	default:
		c.forget(one)
	}
}

// loosen puts a connection where it is the last to be closed.
func (c *connections) loosen(one *connection) {
	if one.place != nil {
		c.loose.MoveToBack(one.place)
		return
	}
	one.place = c.loose.PushBack(one)
}

func (c *connections) forget(one *connection) {
	if one.place != nil {
		c.loose.Remove(one.place)
	}
	delete(c.open, one.Conn)
}

// keep has a connection stay for as long as it has a request.
func (c *connections) keep(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one := c.open[conn]; one != nil && one.asking && one.place != nil {
		c.loose.Remove(one.place)
		one.place = nil
	}
}

// makeRoom closes a connection if there is one too many. If all others are kept,
// that is the newest.
func (c *connections) makeRoom() {
	if len(c.open) <= c.max {
		return
	}
	one := c.loose.Front().Value.(*connection)
	c.forget(one)
	conn := one.Conn
	if encrypted, ok := conn.(*tls.Conn); ok {
		conn = encrypted.NetConn() // without a last word, which may have to wait
	}
	conn.Close() //nolint:errcheck // whoever held it is gone
}

// keeperKey is how a request finds what keeps its connection: of a connection,
// net/http hands on nothing but a context.
type keeperKey struct{}

// remember is an http.Server's ConnContext.
func (c *connections) remember(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, keeperKey{}, func() { c.keep(conn) })
}

// keepConnection has the connection of a request stay until it is answered.
func keepConnection(r *http.Request) {
	if keep, ok := r.Context().Value(keeperKey{}).(func()); ok {
		keep()
	}
}

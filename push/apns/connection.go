package apns

import (
	"net/http"
	"time"
)

// connection is an HTTP/2 connection. It ends when APNs says so (GOAWAY), when it
// does not answer pings, when the provider token changes, and after an hour without
// a request. The pool's mutex guards it.
type connection struct {
	conn     *http.ClientConn
	token    string // the provider token of all its requests; empty with a certificate
	madeAt   time.Time
	underWay int  // requests
	answered bool // it has answered a request
	limit    int  // the most requests that it was seen to have room for
	retired  bool // it gets no more requests, and is closed with the last answer
}

func (c *connection) closeIfDone() {
	if c.retired && c.underWay == 0 {
		c.conn.Close()
	}
}

// reserve takes room for a request, if there is any. The first has the connection
// to itself until it is answered: before that nobody knows how many requests APNs
// takes, and with provider tokens it takes a single one.
func (c *connection) reserve() bool {
	if !c.answered && c.underWay > 0 || c.conn.Reserve() != nil {
		return false
	}
	c.underWay++
	return true
}

// ended tells whether a connection is broken, or APNs has sent GOAWAY: then it has
// no room although it holds nothing, or fewer requests than it had room for. What
// it holds does not tell how much that is, for net/http counts a request that was
// cancelled until APNs is known to have heard of it, for a moment twice.
func (c *connection) ended() bool {
	if c.conn.Err() != nil {
		return true
	}
	before := c.conn.InFlight() // nobody reserves meanwhile, for the pool's mutex is held
	available := c.conn.Available()
	if c.answered {
		c.limit = max(c.limit, available)
	}
	return available == 0 && (before == 0 || before < c.limit)
}

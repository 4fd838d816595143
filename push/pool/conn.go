package pool

import (
	"net/http"
	"time"
)

// Conn is a connection. It ends when the host says so (GOAWAY), when it does not
// answer pings, when the identity changes, and when it was idle for as long as its
// transport has it. The pool's mutex guards it.
type Conn struct {
	conn     *http.ClientConn
	identity string
	madeAt   time.Time
	usedAt   time.Time // when it was made, or the last request on it ended
	underWay int       // requests
	answered bool      // it has answered a request
	limit    int       // the most requests that it was seen to have room for
	retired  bool      // it gets no more requests, and is closed with the last answer
	closed   bool
}

// Identity is that of all its requests.
func (c *Conn) Identity() string { return c.identity }

// reserve takes room for a request, if there is any.
func (c *Conn) reserve() bool {
	if c.conn.Reserve() != nil {
		return false
	}
	c.underWay++
	return true
}

// ended tells whether a connection is broken, or the host has sent GOAWAY: then it
// has no room although it holds nothing, or fewer requests than it had room for.
// What it holds does not tell how much that is, for net/http counts a request that
// was cancelled until the host is known to have heard of it, for a moment twice. That
// moment may fall between two questions, but GOAWAY stays: so it is asked a few times.
func (c *Conn) ended() bool {
	if c.conn.Err() != nil {
		return true
	}
	for range 3 {
		before := c.conn.InFlight() // nobody reserves meanwhile, for the pool's mutex is held
		available := c.conn.Available()
		if c.answered {
			c.limit = max(c.limit, available)
		}
		if available > 0 || before > 0 && before >= c.limit {
			return false
		}
	}
	return true
}

// exchange makes the request, for which room is reserved, and reads the answer.
func (c *Conn) exchange(request *http.Request, read func(*http.Response)) error {
	response, err := c.conn.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	read(response)
	return nil
}

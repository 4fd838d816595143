package main

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

const (
	connectionsMax = 10_000 // to the public listener: some 150 MB, with TLS 400 MB
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
// closed which has been without a request for longest: who only holds
// connections keeps nobody out.
type connections struct {
	max int

	mu   sync.Mutex
	open map[net.Conn]*list.Element // in idle; nil with a request
	idle *list.List                 // of net.Conn, by since when, the longest first
}

func newConnections(most int) *connections {
	return &connections{max: most, open: make(map[net.Conn]*list.Element), idle: list.New()}
}

// changed is an http.Server's ConnState.
func (c *connections) changed(conn net.Conn, to http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	place, known := c.open[conn]
	if known && place != nil {
		c.idle.Remove(place)
	}
	switch {
	case to == http.StateNew:
		c.open[conn] = c.idle.PushBack(conn)
		c.makeRoom()
	case !known: // it made room
	case to == http.StateIdle:
		c.open[conn] = c.idle.PushBack(conn)
	case to == http.StateActive:
		c.open[conn] = nil
	default:
		delete(c.open, conn)
	}
}

// makeRoom closes a connection if there is one too many. If all others have
// requests, that is the newest.
func (c *connections) makeRoom() {
	if len(c.open) <= c.max {
		return
	}
	conn := c.idle.Remove(c.idle.Front()).(net.Conn)
	delete(c.open, conn)
	if encrypted, ok := conn.(*tls.Conn); ok {
		conn = encrypted.NetConn() // without a last word, which may have to wait
	}
	conn.Close() //nolint:errcheck // whoever held it is gone
}

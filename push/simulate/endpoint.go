package simulate

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
)

// Endpoint is one push endpoint of a WebPush: a simulated browser's, or a real
// one's. It records what it is sent.
type Endpoint struct {
	URL string // RFC 8030 §2: the push resource

	service *WebPush // its mutex guards what follows
	browser *Browser // the simulated browser that decrypts; nil for none
	profile *profile // the real browser whose it is; nil for a simulated one
	channel string   // the browser's name for it

	key      []byte // the VAPID key it is bound to; nil for any
	expired  bool
	script   []Answer
	receipts []Receipt
	acks     []Ack
	changed  chan struct{} // closed and made anew whenever receipts or acks grow
}

// Receipt is one request that reached an endpoint, whatever was answered.
type Receipt struct {
	At        time.Time
	Header    http.Header
	Body      []byte
	Status    int    // what was answered; 0 as long as it is held, and after a cut connection
	MessageID string // names the message if it was accepted: see Ack
}

// Ack is what a real browser said about a message.
type Ack struct {
	At        time.Time
	MessageID string
	Code      int // see Decrypted
}

// The codes of an Ack, in Mozilla's autopush protocol.
const (
	Decrypted      = 100 // the browser decrypted it and its service worker's push event was fired
	NotDecrypted   = 101 // the browser could not decrypt it
	NotDelivered   = 102 // the browser decrypted it and had no use for it
	WorkerThrew    = 301 // the service worker's listener threw
	WorkerRejected = 302 // a promise given to waitUntil was rejected
)

// BindTo binds the endpoint to a VAPID public key (65 bytes, an uncompressed
// P-256 point), as a browser does that subscribes with an
// applicationServerKey: a sender with any other key gets 403.
func (e *Endpoint) BindTo(key []byte) {
	e.service.mu.Lock()
	defer e.service.mu.Unlock()
	e.key = slices.Clone(key)
}

// Script adds answers for the next well-formed requests; see NewEndpoint.
func (e *Endpoint) Script(answers ...Answer) {
	e.service.mu.Lock()
	defer e.service.mu.Unlock()
	e.script = append(e.script, answers...)
}

// Expire ends the subscription: from now on every request gets 410.
func (e *Endpoint) Expire() {
	e.service.mu.Lock()
	defer e.service.mu.Unlock()
	e.expired = true
}

// Expired tells whether the subscription is over: by Expire, because the
// browser unsubscribed, or because the browser was forgotten.
func (e *Endpoint) Expired() bool {
	e.service.mu.Lock()
	defer e.service.mu.Unlock()
	return e.expired
}

// Receipts gives what was received so far, in order of arrival.
func (e *Endpoint) Receipts() []Receipt {
	e.service.mu.Lock()
	defer e.service.mu.Unlock()
	return slices.Clone(e.receipts)
}

// Await waits until at least n requests were received, and gives all there
// are then. A request counts when it arrives, before it is answered.
func (e *Endpoint) Await(ctx context.Context, n int) ([]Receipt, error) {
	err := e.await(ctx, func() (bool, string) {
		return len(e.receipts) >= n, fmt.Sprintf("%d of %d requests received", len(e.receipts), n)
	})
	return e.Receipts(), err
}

// AwaitAck waits until the real browser behind the endpoint acknowledged at
// least n messages, and gives all acks there are then.
func (e *Endpoint) AwaitAck(ctx context.Context, n int) ([]Ack, error) {
	err := e.await(ctx, func() (bool, string) {
		return len(e.acks) >= n, fmt.Sprintf("%d of %d messages acknowledged", len(e.acks), n)
	})
	e.service.mu.Lock()
	defer e.service.mu.Unlock()
	return slices.Clone(e.acks), err
}

func (e *Endpoint) await(ctx context.Context, done func() (bool, string)) error {
	for {
		e.service.mu.Lock()
		ok, progress := done()
		changed := e.changed
		e.service.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("simulate: %s: %w", progress, ctx.Err())
		}
	}
}

// grew wakes those who wait. The service's mutex is held.
func (e *Endpoint) grew() {
	close(e.changed)
	e.changed = make(chan struct{})
}

// Answer is what an endpoint answers to one request.
type Answer struct {
	status  int
	header  http.Header
	body    string
	release <-chan struct{}
}

// Status answers with an HTTP status. With a 2xx the message is accepted.
func Status(status int) Answer { return Answer{status: status} }

// Cut reads the request and cuts the connection: nobody knows whether it was
// accepted. It was not.
func Cut() Answer { return Answer{} }

// With adds a header, as in Status(429).With("Retry-After", "3").
func (a Answer) With(name, value string) Answer {
	a.header = maps.Clone(a.header)
	if a.header == nil {
		a.header = http.Header{}
	}
	a.header.Set(name, value)
	return a
}

// Saying adds a body.
func (a Answer) Saying(body string) Answer {
	a.body = body
	return a
}

// When holds the answer back until release is closed, or the sender gives up,
// or the service stops.
func (a Answer) When(release <-chan struct{}) Answer {
	a.release = release
	return a
}

package browsertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// object is a JSON object on its way to the browser.
type object map[string]any

// connection is a WebDriver BiDi connection: calls and their answers, and events
// for one listener, if there is one.
type connection struct {
	socket *websocket.Conn
	done   chan struct{} // closed when the reader ended

	mu       sync.Mutex
	last     int
	pending  map[int]chan answer
	listener func(method string, params json.RawMessage)
}

type answer struct {
	ID      int             `json:"id"`
	Type    string          `json:"type"` // success, error or event
	Result  json.RawMessage `json:"result"`
	Error   string          `json:"error"`
	Message string          `json:"message"`
	Method  string          `json:"method"` // of an event
	Params  json.RawMessage `json:"params"` // of an event
}

func dial(ctx context.Context, address string) (*connection, error) {
	socket, _, err := websocket.Dial(ctx, address, nil)
	if err != nil {
		return nil, fmt.Errorf("connect to its remote control: %w", err)
	}
	socket.SetReadLimit(64 << 20) // screenshots
	c := &connection{socket: socket, done: make(chan struct{}), pending: map[int]chan answer{}}
	go c.read()
	return c, nil
}

// call makes one call and decodes its result into out, unless that is nil.
func (c *connection) call(ctx context.Context, method string, params object, out any) error {
	id, answered, err := c.expect()
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	if err := wsjson.Write(ctx, c.socket, object{"id": id, "method": method, "params": params}); err != nil {
		c.forget(id)
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case a, ok := <-answered:
		switch {
		case !ok:
			return fmt.Errorf("%s: %w", method, errGone)
		case a.Type == "error":
			return fmt.Errorf("%s: %s: %s", method, a.Error, a.Message)
		case out == nil:
			return nil
		}
		return json.Unmarshal(a.Result, out)
	case <-ctx.Done():
		c.forget(id)
		return fmt.Errorf("%s: no answer: %w", method, ctx.Err())
	}
}

var errGone = errors.New("the browser is gone")

// listen gives every event to a function, in place of the one before; nil for
// nobody.
func (c *connection) listen(listener func(method string, params json.RawMessage)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listener = listener
}

// expect opens a place for an answer.
func (c *connection) expect() (int, <-chan answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending == nil {
		return 0, nil, errGone
	}
	c.last++
	answered := make(chan answer, 1)
	c.pending[c.last] = answered
	return c.last, answered, nil
}

func (c *connection) forget(id int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

// read hands out answers until the connection ends.
func (c *connection) read() {
	defer close(c.done)
	for {
		var a answer
		if err := wsjson.Read(context.Background(), c.socket, &a); err != nil {
			break
		}
		c.mu.Lock()
		listener := c.listener
		if answered := c.pending[a.ID]; answered != nil && a.Type != "event" {
			delete(c.pending, a.ID)
			answered <- a
		}
		c.mu.Unlock()
		if a.Type == "event" && listener != nil {
			listener(a.Method, a.Params)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, answered := range c.pending {
		close(answered)
	}
	c.pending = nil
}

func (c *connection) close() {
	c.socket.CloseNow()
	<-c.done
}

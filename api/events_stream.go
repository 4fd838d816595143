package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/belfryhq/belfry/push"
)

const (
	streamBeat  = 15 * time.Second      // between signs of life when nothing happens
	streamWrite = 30 * time.Second      // for a client to take what was written
	streamPause = 50 * time.Millisecond // between two reads: what comes meanwhile is read together
	seatsMax    = 100                   // streams and long polls of an app at a time
	eventType   = "text/event-stream"   // of server-sent events (WHATWG HTML §9.2)
)

// wantsStream tells whether an Accept header (RFC 9110 §12.5.1) prefers
// server-sent events to JSON.
func wantsStream(accept []string) bool {
	var stream, page float64
	for media := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		name, params, err := mime.ParseMediaType(media)
		if err != nil {
			continue
		}
		quality := 1.0
		if q, given := params["q"]; given {
			if quality, err = strconv.ParseFloat(q, 64); err != nil {
				continue
			}
		}
		switch name {
		case eventType:
			stream = quality
		case "application/json":
			page = quality
		}
	}
	return stream > 0 && stream >= page
}

// eventStream is the answer that does not end by itself. It ends when the client
// goes, or does not read for streamWrite; when the client's key is revoked; when
// the system drains; and when the store fails. The client comes again then, with
// Last-Event-ID. It holds one page at a time.
type eventStream struct {
	server *Server
	ctx    context.Context // the request's
	query  feedQuery
}

// VisitListEventsResponse writes the stream. An error means that nothing was
// written.
func (e *eventStream) VisitListEventsResponse(w http.ResponseWriter) error {
	leave, err := e.server.seats.take(e.query.app)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := untilRevoked(e.ctx)
	defer cancel()
	out := &frames{to: w, control: http.NewResponseController(w)}
	beat := time.NewTimer(streamBeat)
	defer beat.Stop()
	for due, open := true, true; open; {
		coming := e.server.config.System.EventsComing(e.query.app)
		events, more, err := e.server.readEvents(ctx, &e.query)
		if err != nil {
			return e.failed(ctx, err, out.begun)
		}
		out.add(events)
		if due {
			out.beat(e.query.after)
		}
		if out.page.Len() > 0 {
			if out.flush() != nil {
				return nil // the client has gone, or does not read
			}
			beat.Reset(streamBeat)
		}
		if due = false; !more {
			due, open = e.pause(ctx, coming, beat.C)
		}
	}
	return nil
}

// failed is what becomes of a stream whose events cannot be read, or may not be
// any more.
func (e *eventStream) failed(ctx context.Context, err error, begun bool) error {
	if !begun {
		return err
	}
	if ctx.Err() == nil {
		e.server.config.Log.ErrorContext(ctx, "a stream of events ends early", "app", e.query.app, "error", err)
	}
	return nil
}

// pause waits until there is something to read, or a sign of life is due. The
// stream is no longer open when it is to end.
func (e *eventStream) pause(ctx context.Context, coming <-chan struct{}, beat <-chan time.Time) (due, open bool) {
	drain := time.NewTicker(drainLook)
	defer drain.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, false
		case <-drain.C:
			if e.server.config.System.Draining() {
				return false, false
			}
		case <-beat:
			return true, true
		case <-coming:
			select {
			case <-ctx.Done():
				return false, false
			case <-time.After(streamPause):
				return false, true
			}
		}
	}
}

// frames writes server-sent events (WHATWG HTML §9.2), a page at a time.
type frames struct {
	to      http.ResponseWriter
	control *http.ResponseController
	page    bytes.Buffer // what is not written yet
	begun   bool
}

// add puts events on the page.
func (f *frames) add(events []push.Event) {
	for _, event := range events {
		shown := ShownEvent(event)
		data, err := json.Marshal(shown) // without a line break
		if err != nil {
			panic(fmt.Errorf("encode an event: %w", err)) // it has nothing that does not encode
		}
		fmt.Fprintf(&f.page, "id: %s\nevent: %s\ndata: %s\n\n", shown.Id, shown.Type, data)
	}
}

// beat puts a sign of life on the page, with which the client's Last-Event-ID
// moves on: what it does not want to see grows old, too.
func (f *frames) beat(after push.ID) {
	fmt.Fprintf(&f.page, ": %s\nid: %s\n\n", time.Now().UTC().Format(time.RFC3339), after)
}

// flush writes the page. The error says that the client did not take it in time.
func (f *frames) flush() error {
	if !f.begun {
		f.begin()
	}
	if err := f.control.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
		return err
	}
	_, err := f.to.Write(f.page.Bytes())
	f.page.Reset()
	if err != nil {
		return err
	}
	return f.control.Flush()
}

func (f *frames) begin() {
	f.begun = true
	header := f.to.Header()
	header.Set("Content-Type", eventType)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would keep it back
	header.Set("X-Content-Type-Options", "nosniff")
}

// seats bounds what goes on for long, by app.
type seats struct {
	mu    sync.Mutex
	taken map[string]int
}

func newSeats() *seats { return &seats{taken: make(map[string]int)} }

// take takes a seat of an app's, until leave is called.
func (s *seats) take(app string) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[app] >= seatsMax {
		return nil, problem{
			status: http.StatusTooManyRequests, code: "too_many_streams", retryAfter: 5 * time.Second,
			detail: fmt.Sprintf("The app has %d streams and waiting requests open, and may have no more. Close some, or let one reader serve several.", seatsMax),
		}
	}
	s.taken[app]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.taken[app]--; s.taken[app] == 0 {
			delete(s.taken, app)
		}
	}, nil
}

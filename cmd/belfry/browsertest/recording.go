package browsertest

import (
	"context"
	"encoding/json"
	"sync"
)

// Recording is what a tab does while it is kept. Its methods may be called from
// many goroutines.
type Recording struct {
	bidi *connection

	mu       sync.Mutex
	errors   []string
	requests []string
}

// Record begins to keep what goes wrong in the tab, and what it asks for. Stop ends it.
func (p *Page) Record(ctx context.Context) (*Recording, error) {
	r := &Recording{bidi: p.bidi}
	p.bidi.listen(func(method string, params json.RawMessage) { r.add(p.context, method, params) })
	err := p.bidi.call(ctx, "session.subscribe", object{"events": recorded, "contexts": []string{p.context}}, nil)
	return r, err
}

var recorded = []string{"log.entryAdded", "network.beforeRequestSent"}

func (r *Recording) add(context, method string, params json.RawMessage) {
	var event struct {
		Level, Text string                   // of a log entry
		Source      struct{ Context string } // the same
		Context     string                   // of a request
		Request     struct{ URL string }
	}
	if json.Unmarshal(params, &event) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case method == "log.entryAdded" && event.Source.Context == context && event.Level == "error":
		r.errors = append(r.errors, event.Text)
	case method == "network.beforeRequestSent" && event.Context == context:
		r.requests = append(r.requests, event.Request.URL)
	}
}

// Errors gives the errors on the console, uncaught exceptions included.
func (r *Recording) Errors() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.errors...)
}

// Requests gives the URLs that were asked for.
func (r *Recording) Requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.requests...)
}

// Stop ends it. What was kept stays.
func (r *Recording) Stop() { r.bidi.listen(nil) }

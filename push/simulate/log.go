package simulate

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Entry is one request that a simulator got, and what it answers. It is there
// before the answer, which a fault may delay or keep back.
type Entry struct {
	Number     int             `json:"number"`            // from 1, in the order in which they were decided on
	At         time.Time       `json:"at"`                // when it had arrived, before it was looked at
	Connection string          `json:"connection"`        // the sender's address: one for each connection
	Target     string          `json:"target"`            // the device token or endpoint
	ID         string          `json:"id,omitempty"`      // what the push service calls the message: apns-id, name
	Header     http.Header     `json:"header"`            // without Authorization
	Payload    json.RawMessage `json:"payload,omitempty"` // as the device gets it: decrypted, where it is encrypted
	Status     int             `json:"status"`            // 0 if the stream was reset
	Reason     string          `json:"reason,omitempty"`
	Taken      bool            `json:"taken"` // the device gets the message, whatever the sender was told
}

// journal is what was received, as long as the simulator runs; or, if it keeps
// no entries, how much.
type journal struct {
	keeps    bool
	requests atomic.Int64
	taken    atomic.Int64

	mu      sync.Mutex
	entries []Entry
	changed chan struct{} // closed and made anew whenever there is more
}

func newJournal(keeps bool) *journal {
	return &journal{keeps: keeps, changed: make(chan struct{})}
}

func (j *journal) counts() (requests, taken int) {
	return int(j.requests.Load()), int(j.taken.Load())
}

func (j *journal) add(e Entry, r *http.Request) {
	j.requests.Add(1)
	if e.Taken {
		j.taken.Add(1)
	}
	if !j.keeps {
		return
	}
	e.Connection, e.Header = r.RemoteAddr, r.Header.Clone()
	e.Header.Del("Authorization")
	j.mu.Lock()
	defer j.mu.Unlock()
	e.Number = len(j.entries) + 1
	j.entries = append(j.entries, e)
	close(j.changed)
	j.changed = make(chan struct{})
}

func (j *journal) after(number int) ([]Entry, chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries[min(max(number, 0), len(j.entries)):]), j.changed
}

// await waits until there are n entries that match, and gives those.
func (j *journal) await(ctx context.Context, n int, match func(Entry) bool) ([]Entry, error) {
	for {
		all, changed := j.after(0)
		found := slices.DeleteFunc(all, func(e Entry) bool { return !match(e) })
		if len(found) >= n {
			return found, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return found, fmt.Errorf("simulate: %d of %d messages received: %w", len(found), n, ctx.Err())
		}
	}
}

package simulate

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Fault is a push service's bad day, on demand. It meets requests that are
// well-formed; others are refused as ever.
type Fault struct {
	Target string  `json:"target,omitempty"` // the device token or endpoint it is for; empty for any
	Times  int     `json:"times,omitempty"`  // how many requests meet it; 0 for all, until it is cleared
	Share  float64 `json:"share,omitempty"`  // the part of the requests that meet it, by chance; 0 for all

	Status      int               `json:"status,omitempty"`      // answered instead of taking the message; 0 to take it
	Reason      string            `json:"reason,omitempty"`      // with Status: the push service's own word, in its own form
	RetryAfter  int               `json:"retry_after,omitempty"` // with Status: the Retry-After header, in seconds
	Header      map[string]string `json:"header,omitempty"`      // with Status
	Body        string            `json:"body,omitempty"`        // with Status: instead of the form that Reason gets
	DelayMillis int               `json:"delay_ms,omitempty"`    // before the answer
	GoAway      bool              `json:"goaway,omitempty"`      // this answer is the connection's last: HTTP/2 GOAWAY
	Reset       bool              `json:"reset,omitempty"`       // no answer: the stream is reset. With a Status of 2xx or 0 the message was taken
}

func (f Fault) validate() error {
	switch {
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("status is %d: use 200 to 599, or 0 to take the message", f.Status)
	case f.Share < 0 || f.Share > 1:
		return fmt.Errorf("share is %v: use 0 to 1", f.Share)
	case f.Times < 0 || f.DelayMillis < 0 || f.RetryAfter < 0:
		return errors.New("times, delay_ms and retry_after must not be negative")
	}
	return nil
}

// takes tells whether the message is taken in spite of the fault.
func (f *Fault) takes() bool { return f == nil || f.Status == 0 || f.Status/100 == 2 }

// faults are those in force, in the order in which they were given.
type faults struct {
	mu  sync.Mutex
	all []*Fault
}

func (fs *faults) add(f Fault) error {
	if err := f.validate(); err != nil {
		return err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.all = append(fs.all, &f)
	return nil
}

func (fs *faults) clear() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.all = nil
}

// next gives the first fault that a request for target meets, or nil.
func (fs *faults) next(target string) *Fault {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for i, f := range fs.all {
		if f.Target != "" && f.Target != target || f.Share > 0 && rand.Float64() >= f.Share {
			continue
		}
		met := *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				fs.all = slices.Delete(fs.all, i, i+1)
			}
		}
		return &met
	}
	return nil
}

// meet waits as long as the fault says, and prepares the answer's header. It
// panics with http.ErrAbortHandler when there is to be none.
func (f *Fault) meet(w http.ResponseWriter, r *http.Request) {
	if f == nil {
		return
	}
	if f.DelayMillis > 0 {
		select {
		case <-time.After(time.Duration(f.DelayMillis) * time.Millisecond):
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	if f.Reset {
		panic(http.ErrAbortHandler)
	}
	if f.GoAway {
		w.Header().Set("Connection", "close") // net/http says GOAWAY with it
	}
	for name, value := range f.Header {
		w.Header().Set(name, value)
	}
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
}

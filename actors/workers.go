package actors

import "sync"

const (
	idleWorkers = 1024 // at most so many wait for something to do; some 8 KiB each
	turnMax     = 300  // messages that an actor handles before others get their turn
)

// workers run actors and sends in goroutines that are used again. Starting one
// costs little, but its stack is small, and growing it for every message and every
// send took a fifth of what delivering without a network does.
//
// It is the library's Dispatcher too.
type workers struct {
	mu     sync.Mutex
	idle   []chan func() // the last that became idle is the first to work again: it is warm
	closed bool
}

// Schedule runs do soon, beside the caller.
func (w *workers) Schedule(do func()) {
	w.mu.Lock()
	last := len(w.idle) - 1
	if last < 0 {
		w.mu.Unlock()
		go w.work(do)
		return
	}
	worker := w.idle[last]
	w.idle = w.idle[:last]
	w.mu.Unlock()
	worker <- do
}

// Throughput is actor.Dispatcher's.
func (w *workers) Throughput() int { return turnMax }

// work does one thing after the other, until there is nothing and enough others wait.
func (w *workers) work(do func()) {
	next := make(chan func(), 1)
	for {
		do()
		w.mu.Lock()
		if w.closed || len(w.idle) >= idleWorkers {
			w.mu.Unlock()
			return
		}
		w.idle = append(w.idle, next)
		w.mu.Unlock()
		do = <-next
		if do == nil {
			return
		}
	}
}

// close lets those go that are idle, and the others when they are. What is
// scheduled afterwards is run all the same.
func (w *workers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, worker := range w.idle {
		worker <- nil
	}
	w.idle = nil
}

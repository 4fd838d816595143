package api

import (
	"context"
	"sync"
	"time"
)

const (
	pingTimeout = 2 * time.Second // for the store to answer a readiness check
	pingKept    = time.Second     // as long as an answer is good for others who ask
)

// pings asks the store whether it answers, in the name of all who want to know:
// anybody may, as often as they like, and what they ask waits for the connection
// that commits.
type pings struct {
	ask func(context.Context) error

	mu   sync.Mutex
	last *ping
}

// ping is one question.
type ping struct {
	done chan struct{} // closed with the answer
	at   time.Time     // when it came
	err  error
}

// answer gives what the store said within the last second, or says now. The error
// is the store's, or ctx's.
func (p *pings) answer(ctx context.Context) error {
	last, mine := p.join(time.Now())
	if mine {
		defer close(last.done)
		last.err = doWithin(context.WithoutCancel(ctx), pingTimeout, p.ask)
		last.at = time.Now()
		return last.err
	}
	select {
	case <-last.done:
		return last.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// join gives the question that is under way or was answered lately, or a new one,
// which is the caller's to ask.
func (p *pings) join(now time.Time) (last *ping, mine bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil || p.last.isOld(now) {
		p.last, mine = &ping{done: make(chan struct{})}, true
	}
	return p.last, mine
}

func (p *ping) isOld(now time.Time) bool {
	select {
	case <-p.done:
		return now.Sub(p.at) >= pingKept
	default:
		return false
	}
}

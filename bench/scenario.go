package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// scenario is one thing that is measured.
type scenario struct {
	name  string
	about string // a line for the table
	run   func(ctx context.Context, b *bench) error
}

// scenarios are all there are, in the order in which they run.
var scenarios = []scenario{
	{"encode", "one Web Push message encrypted and its headers made, up to the POST; one core", runEncode},
	{"send", "one Web Push message up to the answer: 900 in flight, answers after 50 ms", runSend},
	{"apns", "one APNs message up to the answer: 3,000 in flight, answers after 50 ms", runAPNs},
	{"accept", "one notification a call until it is durable, without HTTP and delivery", runAccept},
	{"lifecycle", "one notification a call until its outcome is durable, on PostgreSQL, with a sender that does nothing", runLifecycle},
	{"cold", "one notification for each of 100,000 users, with a sender that does nothing", runCold},
	{"path", "the real program: POST /v1/notifications, store, actors, Web Push, outcome stored", runPath},
	{"latency", "the real program, idle: from the POST until the push service has the message", runLatency},
	{"memory", "what an actor takes, and the real program with 1,000,000 registered users", runMemory},
}

// contender is one way to do what a scenario measures.
type contender interface {
	called() string
	// round does it for about so long.
	round(ctx context.Context, d time.Duration) (figures, error)
	stop() error
}

// bench is a run: its settings, and what was found so far.
type bench struct {
	rounds  int
	length  time.Duration // of a round
	quick   bool          // much less of everything: to see that it works
	dir     string        // for files; goes with the run
	root    string        // of Belfry's sources
	program string        // belfry, if it is not to be built from them
	say     func(format string, args ...any)

	current string               // scenario
	found   map[string][]*series // by scenario
	notes   []string
}

// runAll runs the scenarios that are wanted; without any, all. One that fails does
// not keep the next ones from running.
func (b *bench) runAll(ctx context.Context, wanted []string) (failed error) {
	for _, s := range scenarios {
		if ctx.Err() != nil || len(wanted) > 0 && !slices.Contains(wanted, s.name) {
			continue
		}
		b.current = s.name
		b.say("%s: %s", s.name, s.about)
		if err := s.run(ctx, b); err != nil {
			b.say("%s: %v", s.name, err)
			failed = errors.Join(failed, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	return failed
}

// scaled is n, or a little of it in a quick run.
func (b *bench) scaled(n int) int {
	if b.quick {
		return max(1, n/100)
	}
	return n
}

func (b *bench) note(format string, args ...any) {
	note := b.current + ": " + fmt.Sprintf(format, args...)
	b.notes = append(b.notes, note)
	b.say("  note: %s", note)
}

// add keeps what a contender's round came to.
func (b *bench) add(contender string, found figures) {
	b.seriesOf(contender).add(found)
}

func (b *bench) seriesOf(contender string) *series {
	for _, s := range b.found[b.current] {
		if s.Contender == contender {
			return s
		}
	}
	s := &series{Contender: contender, Rounds: map[string][]float64{}}
	b.found[b.current] = append(b.found[b.current], s)
	return s
}

// alternate has the contenders make their rounds in turns, each of them first as
// often as last, after one short round each that does not count.
func (b *bench) alternate(ctx context.Context, contenders ...contender) error {
	for _, c := range contenders {
		if _, err := c.round(ctx, b.length/4); err != nil {
			return fmt.Errorf("%s, warming up: %w", c.called(), err)
		}
	}
	for i := range b.rounds {
		for j := range contenders {
			c := contenders[(i+j)%len(contenders)]
			found, err := c.round(ctx, b.length)
			if err != nil {
				return fmt.Errorf("%s, round %d: %w", c.called(), i+1, err)
			}
			b.add(c.called(), found)
			b.say("  %d/%d %-28s %s", i+1, b.rounds, c.called(), oneLine(found))
		}
	}
	return nil
}

// with starts contenders, does something with them, and stops them.
func with(do func(all ...contender) error, starts ...func() (contender, error)) (err error) {
	var all []contender
	defer func() {
		for _, c := range all {
			err = errors.Join(err, c.stop())
		}
	}()
	for _, start := range starts {
		c, err := start()
		if err != nil {
			return err
		}
		all = append(all, c)
	}
	return do(all...)
}

// folder makes a new directory for files of the run.
func (b *bench) folder(name string) (string, error) {
	dir, err := os.MkdirTemp(b.dir, name+"-")
	if err != nil {
		return "", err
	}
	return filepath.Abs(dir)
}

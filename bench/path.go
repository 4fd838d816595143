package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/belfryhq/belfry/push/simulate"
)

func runPath(ctx context.Context, b *bench) error {
	server, err := b.startPostgres()
	if err != nil {
		return err
	}
	defer server.Remove() //nolint:errcheck // it is a temporary directory
	start := func(name string, flags func() ([]string, error)) func() (contender, error) {
		return func() (contender, error) {
			given, err := flags()
			if err != nil {
				return nil, err
			}
			d, err := b.daemonWithBrowsers(ctx, name, simulatorSettings{}, given...)
			if err != nil {
				return nil, err
			}
			return &whole{daemon: d}, nil
		}
	}
	return with(func(all ...contender) error { return b.alternate(ctx, all...) },
		func() (contender, error) { return b.startSender(ctx, senderAlone, "send-belfry") },
		start("Belfry on SQLite", func() ([]string, error) { return nil, nil }),
		start("Belfry on PostgreSQL", func() ([]string, error) {
			url, err := server.CreateDatabase()
			return []string{"--database-url", url}, err
		}))
}

// daemonWithBrowsers starts the program, with a user's browser for each of sendUsers.
func (b *bench) daemonWithBrowsers(ctx context.Context, name string, settings simulatorSettings, flags ...string) (*daemon, error) {
	service, err := b.startPushService(ctx, "simulate-webpush", settings)
	if err != nil {
		return nil, err
	}
	dir, err := b.folder("data")
	if err != nil {
		return nil, err
	}
	d, err := b.startDaemon(ctx, name, dir, service, flags...)
	if err != nil {
		return nil, err
	}
	return d, d.register(ctx, sendUsers, settings.Log)
}

const pathCallers = 64

// senderAlone is that of the scenario send. It takes turns with the whole, for the
// machine may be a third slower than it was a minute ago.
const senderAlone = "the sender alone"

// whole is a daemon that is sent notifications, one in each request.
type whole struct {
	*daemon
	sent int
}

// round ends when the last outcome is stored.
func (w *whole) round(ctx context.Context, d time.Duration) (figures, error) {
	before, err := processCPU(w.pid())
	if err != nil {
		return nil, err
	}
	began := time.Now()
	found, err := closedLoop(ctx, pathCallers, int64(w.sent), d, func(ctx context.Context, call int64) error {
		return w.notify(ctx, notificationFor(userNumber(int(call%sendUsers)).ID))
	})
	if err != nil {
		return nil, err
	}
	w.sent += found.Ops
	if err := w.settled(ctx, w.sent); err != nil {
		return nil, err
	}
	after, err := processCPU(w.pid())
	found.TookMillis, found.CPUMillis = millis(time.Since(began)), millis(after-before)
	return found.figures(), err
}

func runLatency(ctx context.Context, b *bench) error {
	return with(func(all ...contender) error { return b.alternate(ctx, all...) }, func() (contender, error) {
		d, err := b.daemonWithBrowsers(ctx, "Belfry on SQLite", simulatorSettings{Log: true})
		if err != nil {
			return nil, err
		}
		return &quiet{daemon: d}, nil
	})
}

// quiet is a daemon that has little to do.
type quiet struct {
	*daemon
	sent int
}

// round sends one notification after the other, with pauses, and asks the push
// service when it had each. Both go by the clock of this machine.
func (q *quiet) round(ctx context.Context, d time.Duration) (figures, error) {
	first := q.sent
	commits, waited, err := q.observed(ctx, "belfry_commit_seconds")
	if err != nil {
		return nil, err
	}
	var posted []time.Time
	for began := time.Now(); time.Since(began) < d; {
		time.Sleep(time.Duration(5+rand.N(10)) * time.Millisecond)
		posted = append(posted, time.Now())
		if err := q.notify(ctx, notificationFor(userNumber(q.sent%sendUsers).ID)); err != nil {
			return nil, err
		}
		q.sent++
	}
	if err := q.settled(ctx, q.sent); err != nil {
		return nil, err
	}
	var log struct{ Entries []simulate.Entry }
	if err := q.service.get(ctx, fmt.Sprintf("/simulator/log?after=%d", first), &log); err != nil {
		return nil, err
	}
	if len(log.Entries) != len(posted) {
		return nil, fmt.Errorf("the push service got %d messages of %d", len(log.Entries), len(posted))
	}
	took := make([]time.Duration, len(posted))
	for i, entry := range log.Entries { // a user each, and in the order in which they were sent
		took[i] = entry.At.Sub(posted[i])
	}
	found, err := sampleOf(took, time.Second)
	if err != nil {
		return nil, err
	}
	committed, waitedNow, err := q.observed(ctx, "belfry_commit_seconds")
	return figures{p50: found.P50Millis, p99: found.P99Millis, commitMS: (waitedNow - waited) / (committed - commits) * 1000}, err
}

// commitMS is how long a commit took of that, on average.
const commitMS = "ms a commit"

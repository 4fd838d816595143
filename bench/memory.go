package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"time"

	"github.com/prometheus/procfs"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

const (
	registeredUsers = 1_000_000
	activeUsers     = 100_000
	activeWithin    = time.Minute
	leavesAfter     = 10 * time.Second
)

// Figures of memory.
const (
	bytesEach    = "bytes an actor, beyond its data"
	dataEach     = "bytes of its data"
	residentPeak = "most users in memory"
	residentEnd  = "users in memory afterwards"
	startRSS     = "MB at the start"
	peakRSS      = "most MB"
)

func runMemory(ctx context.Context, b *bench) error {
	file, err := b.newFile()
	if err != nil {
		return err
	}
	w, err := startWorker(ctx, "a user's actor", "memory-of-an-actor", coldSettings{file, b.scaled(activeUsers)})
	if err != nil {
		return err
	}
	found, err := w.round(ctx, 0)
	if err := errors.Join(err, w.stop()); err != nil {
		return err
	}
	b.add(w.name, found)
	b.say("  %s: %s", w.name, oneLine(found))
	return b.crowd(ctx)
}

// crowd is the real program with very many registered users, of whom a tenth gets
// something within a minute.
func (b *bench) crowd(ctx context.Context) error {
	registered, active := b.scaled(registeredUsers), b.scaled(activeUsers)
	service, err := b.startPushService(ctx, "simulate-webpush", simulatorSettings{})
	if err != nil {
		return err
	}
	dir, err := b.folder("data")
	if err != nil {
		return err
	}
	name := "Belfry on SQLite"
	d, err := b.startDaemon(ctx, name, dir, service)
	if err != nil {
		return err
	}
	vapid, err := d.vapidKey(ctx)
	if err := errors.Join(err, d.end()); err != nil {
		return err
	}
	b.say("  registering %d users …", registered)
	if err := seedSubscriptions(ctx, filepath.Join(dir, "belfry.db"), service.url, registered, vapid); err != nil {
		return err
	}
	if d, err = b.startDaemon(ctx, name, dir, service, "--idle-after", leavesAfter.String()); err != nil {
		return err
	}
	found, err := d.crowded(ctx, registered, active, b)
	if err := errors.Join(err, d.stop()); err != nil {
		return err
	}
	b.add(name, found)
	b.say("  %s: %s", name, oneLine(found))
	return nil
}

func (d *daemon) crowded(ctx context.Context, registered, active int, b *bench) (figures, error) {
	found := figures{}
	var err error
	if found[startRSS], _, err = d.residentMB(); err != nil {
		return nil, err
	}
	began, most := time.Now(), 0.0
	for from := 0; from < active; from += draftsACall {
		users := make([]string, 0, draftsACall)
		for i := from; i < min(from+draftsACall, active); i++ {
			users = append(users, userNumber(i*(registered/active)).ID) // from all over
		}
		if err := d.notify(ctx, notificationFor("", users...)); err != nil {
			return nil, err
		}
		resident, err := d.metric(ctx, "belfry_actors", "kind", "user")
		if err != nil {
			return nil, err
		}
		most = max(most, resident)
	}
	if err := d.settled(ctx, active); err != nil {
		return nil, err
	}
	if took := time.Since(began); took > activeWithin {
		b.note("the %d users were served in %s rather than within a minute", active, took.Round(time.Second))
	}
	found[residentPeak] = most
	err = d.await(ctx, "idle users leave", func() (bool, error) {
		left, err := d.metric(ctx, "belfry_actors", "kind", "user")
		found[residentEnd] = left
		return left == 0 || time.Since(began) > time.Minute+3*leavesAfter, err
	})
	if err != nil {
		return nil, err
	}
	_, found[peakRSS], err = d.residentMB()
	return found, err
}

// residentMB is what the process has in memory now, and had at most.
func (d *daemon) residentMB() (now, most float64, err error) {
	process, err := procfs.NewProc(d.pid())
	if err != nil {
		return 0, 0, err
	}
	status, err := process.NewStatus()
	if err != nil {
		return 0, 0, fmt.Errorf("look at the program: %w", err)
	}
	return float64(status.VmRSS) / 1e6, float64(status.VmHWM) / 1e6, nil
}

// actorMemory holds users in memory who have nothing to do.
type actorMemory struct {
	store store.Store
	users []push.User
}

func openActorMemory(ctx context.Context, s coldSettings) (*actorMemory, error) {
	c, err := openCold(ctx, s)
	if err != nil {
		return nil, err
	}
	return &actorMemory{c.store, c.users}, nil
}

func (m *actorMemory) ready() map[string]string { return nil }

func (m *actorMemory) round(ctx context.Context, _ time.Duration) (found sample, err error) {
	before := heap()
	data, err := m.read(ctx)
	if err != nil {
		return sample{}, err
	}
	ofData := heap() - before
	runtime.KeepAlive(data)
	data = nil

	before = heap()
	ended := newTally()
	system, err := actors.Start(ctx, actors.Config{
		Store: finishing{m.store, ended}, Window: coldWindow, IdleAfter: time.Hour,
		Providers: map[push.Kind]push.Provider{push.WebPush: noService{}},
	})
	if err != nil {
		return sample{}, err
	}
	defer func() { err = errors.Join(err, system.Abandon()) }()
	if err := mailing(system, m.users); err != nil {
		return sample{}, err
	}
	if err := ended.await(ctx, len(m.users)); err != nil {
		return sample{}, err
	}
	overview, err := system.Overview(ctx)
	if err != nil {
		return sample{}, err
	}
	resident := overview.Actors["user"]
	if resident < len(m.users)*99/100 {
		return sample{}, fmt.Errorf("only %d of %d users are in memory", resident, len(m.users))
	}
	each := float64(heap()-before) / float64(resident)
	perUser := float64(ofData) / float64(len(m.users))
	return sample{More: map[string]float64{bytesEach: each - perUser, dataEach: perUser}}, nil
}

// read gives all the subscriptions, as actors keep them.
func (m *actorMemory) read(ctx context.Context) (all [][]push.Subscription, err error) {
	for from := 0; from < len(m.users); from += draftsACall {
		found, err := m.store.ListSubscriptions(ctx, m.users[from:min(from+draftsACall, len(m.users))])
		if err != nil {
			return nil, err
		}
		for _, subscriptions := range found {
			all = append(all, subscriptions)
		}
	}
	return all, nil
}

// heap is what is in use after a collection.
func heap() int64 {
	for range 3 { // finalizers and pools take more than one
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func (m *actorMemory) close() error { return m.store.Close() }

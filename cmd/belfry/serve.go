package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/sealed"
)

const drainTimeout = 7 * time.Second // for sends under way to finish, after SIGTERM

type serveCommand struct {
	serveFlags `embed:""`
	Check      bool `help:"Check the configuration and that the database can be reached, and exit."`
}

// Run serves until it is told to stop, and then drains.
func (c *serveCommand) Run(ctx context.Context, to streams) error {
	if err := c.check(); err != nil {
		return err
	}
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	if err := c.checkMasterKey(ctx, db); err != nil {
		return errors.Join(err, db.Close())
	}
	if c.Check {
		fmt.Fprintln(to.out, "The configuration is fine, and the database can be reached.")
		return db.Close()
	}
	boundMemory()
	log := c.logger(to.err)
	front, err := c.listen(log)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	defer front.close()
	fmt.Fprintf(to.out, "Belfry %s is listening on %s\n", versionString(), front.public.url())
	if front.admin != nil {
		fmt.Fprintf(to.out, "  Admin       %s\n", front.admin.url())
	}
	var greeted sync.Once
	greet := func(made firstRun) { greeted.Do(func() { c.greet(to, front, made) }) }
	see, err := c.observation(ctx, log)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	defer see.close()
	for {
		err := c.serve(ctx, db, front, to, see, greet)
		if !errors.Is(err, errLost) {
			return err
		}
		log.Warn("waiting to be active again", "reason", err)
		if db, err = c.reopen(ctx); err != nil {
			return err
		}
	}
}

// errLost ends a term as the active process, and with it the wiring: it is
// made anew when this process is active again.
var errLost = errors.New("the database no longer vouches that this process is the active one")

const reopenPause = time.Second // before the database is tried again

// reopen opens a database that was reached before, as soon as it can be reached.
func (c *serveCommand) reopen(ctx context.Context) (store.Store, error) {
	for {
		db, err := c.open(ctx)
		if err == nil {
			return db, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(reopenPause):
		}
	}
}

// serve is the wiring, from the bottom to the top, of one term as the active
// process. It is stopped in reverse.
func (c *serveCommand) serve(ctx context.Context, db store.Store, front *doors, to streams, see *observation, greet func(firstRun)) error {
	defer db.Close()
	log := see.log
	front.standBy("it waits for the database, or for another process that is active on it", db, see)
	if err := c.acquire(ctx, db, log); err != nil {
		return err
	}
	front.wait("it is starting")
	if _, err := db.Migrate(ctx); err != nil {
		return err
	}
	key, err := c.ensureMasterKey(ctx, db, to.out, log)
	if err != nil {
		return err
	}
	db = sealed.New(db, key)
	made, err := c.bootstrap(ctx, db, log)
	if err != nil {
		return err
	}
	made.show(to.out) // whatever comes next, it was made and will not be shown again
	apps, err := api.LoadDirectory(ctx, db, log)
	if err != nil {
		return err
	}
	senders, err := c.senders(apps)
	if err != nil {
		return err
	}
	defer senders.Close()
	webhooks, err := c.webhooks()
	if err != nil {
		return err
	}
	defer webhooks.Close()
	system, err := actors.Start(ctx, actors.Config{
		Store:          db,
		Providers:      senders.providers(),
		Webhooks:       see.metrics.counted(webhooks),
		Observe:        see.observer(),
		Log:            c.libraryLog(log),
		Writers:        c.writers(),
		RestAfter:      c.RestAfter,
		Backlog:        c.MaxBacklog,
		IdleAfter:      c.IdleAfter,
		Retention:      c.Retention,
		EventRetention: c.eventRetention(),
		UnusedAfter:    c.UnusedAfter,
	})
	if err != nil {
		return err
	}
	defer see.metrics.watch(system, apps, db)()
	server, err := api.New(api.Config{
		Store:     db,
		Directory: apps,
		System:    system,
		Checkers:  senders.checkers(),
		Webhooks:  webhooks,
		Changed: func(change api.Change) {
			senders.changed(change)
			system.Reconsider(change.App)
			system.WebhooksChanged(change.App)
		},
		Log:            newBounded(log),
		Demo:           c.demo(front.public.loopback()),
		Metrics:        see.metrics.registry,
		Version:        versionString(),
		Observe:        see.metrics.observeRequest,
		Known:          keepConnection,
		Traces:         see.traces != nil,
		KeyRate:        c.KeyRate,
		EventRetention: c.eventRetention(),
	})
	if err != nil {
		return errors.Join(err, drain(system))
	}
	defer server.Close()
	front.serve(server)
	log.Info("serving", "address", front.public.listener.Addr().String(), "version", versionString())
	greet(made)

	select {
	case <-ctx.Done():
		log.Info("draining")
		defer front.close()
		return drain(system)
	case <-system.Done():
		defer front.close()
		return errors.Join(system.Err(), drain(system))
	case <-db.Lost():
		// Another process may be active already: not one more row, not one more send.
		front.wait("it is no longer the active process")
		return errors.Join(errLost, system.Abandon())
	}
}

// acquire waits until this process is the active one. A standby ends at once
// when there are secrets by now that it could not read.
func (c *serveCommand) acquire(ctx context.Context, db store.Store, log *slog.Logger) error {
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	wrongKey := make(chan error)
	go func() {
		defer close(wrongKey)
		if err := c.watchMasterKey(waiting, db, log); err != nil {
			stop()
			wrongKey <- err
		}
	}()
	err := db.Acquire(waiting)
	stop()
	if wrong, ok := <-wrongKey; ok {
		return wrong
	}
	return err
}

func drain(system *actors.System) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := system.Drain(ctx); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	return nil
}

// greet tells a person where to go next.
func (c *serveCommand) greet(to streams, front *doors, made firstRun) {
	if c.demo(front.public.loopback()) != api.DemoOff {
		fmt.Fprintf(to.out, "  Demo        %s/demo\n", front.public.url())
	}
	fmt.Fprintf(to.out, "  Debug page  %s/debug/\n", cmp.Or(front.admin, front.public).url())
	if made.noSubject {
		fmt.Fprintln(to.out, "  For use     set BELFRY_VAPID_SUBJECT to mailto:you@your.domain, so that push services can reach you")
	}
}

package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/belfryhq/belfry/store"
)

// directory holds the apps. Only this process changes apps, by the methods of
// its Server, so what it holds is true. Where the store could not say what a
// change came to, what was known before goes on being used, and the next to
// ask looks again.
type directory struct {
	store Store

	mu      sync.RWMutex
	tenants map[string]tenant
	doubted map[string]bool // apps that may be others by now
	changes int             // what was read before one is not kept after it

	changing sync.Mutex // held by who makes a change
}

// openDirectory reads all apps.
func openDirectory(ctx context.Context, from Store) (*directory, error) {
	d := &directory{store: from, tenants: make(map[string]tenant), doubted: make(map[string]bool)}
	apps, err := from.ListApps(ctx)
	if err != nil {
		return nil, err
	}
	for _, app := range apps {
		if _, err := d.reload(ctx, app.Name); err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
	}
	return d, nil
}

// get finds an app by name: store.ErrNotFound, or actors.ErrUnavailable if that
// cannot be told now.
func (d *directory) get(ctx context.Context, name string) (tenant, error) {
	d.mu.RLock()
	known, ok := d.tenants[name]
	doubted := d.doubted[name]
	d.mu.RUnlock()
	if doubted {
		ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
		defer cancel()
		fresh, err := d.reload(ctx, name)
		if err == nil || !ok || errors.Is(err, store.ErrNotFound) {
			return fresh, stored(err)
		}
	}
	if !ok {
		return tenant{}, store.ErrNotFound
	}
	return known, nil
}

// list gives all apps by name.
func (d *directory) list(ctx context.Context) ([]tenant, error) {
	d.mu.RLock()
	doubted := slices.Collect(maps.Keys(d.doubted))
	d.mu.RUnlock()
	for _, name := range doubted {
		if _, err := d.reload(ctx, name); err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, stored(err)
		}
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	var all []tenant
	for _, name := range slices.Sorted(maps.Keys(d.tenants)) {
		all = append(all, d.tenants[name])
	}
	return all, nil
}

// allowsOrigin tells whether pages of a web origin may register browsers for
// any of the apps.
func (d *directory) allowsOrigin(origin string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, app := range d.tenants {
		if slices.Contains(app.Origins, origin) {
			return true
		}
	}
	return false
}

// reload takes up what the store has of an app now.
func (d *directory) reload(ctx context.Context, name string) (tenant, error) {
	d.mu.RLock()
	changes := d.changes
	d.mu.RUnlock()
	fresh, err := readTenant(ctx, d.store, name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return tenant{}, fmt.Errorf("read the app %s: %w", name, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changes == changes {
		delete(d.doubted, name)
		if err == nil {
			d.tenants[name] = fresh
		}
	}
	return fresh, err
}

const changeTimeout = 15 * time.Second // for the store to make a change of an app

// change makes a change of an app, one at a time and whether or not the caller
// waits for it. It takes effect before change returns, also if the store did
// not say that it was made, for then it may have been.
func (s *Server) change(ctx context.Context, app string, do func(ctx context.Context) error) error {
	s.apps.changing.Lock()
	defer s.apps.changing.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeTimeout)
	defer cancel()
	err := do(ctx)
	if errors.As(err, new(problem)) {
		return err // nothing was asked of the store but to read
	}
	s.apps.doubt(app)
	if _, err := s.apps.reload(ctx, app); err != nil {
		s.config.Log.WarnContext(ctx, "what changed of an app could not be read; it is tried again", "app", app, "error", err)
	}
	if s.config.Changed != nil {
		s.config.Changed(app)
	}
	return stored(err)
}

// doubt notes that an app may be another by now.
func (d *directory) doubt(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changes++
	d.doubted[name] = true
}

package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push/apns"
	"github.com/belfryhq/belfry/push/fcm"
	"github.com/belfryhq/belfry/push/webpush"
	"github.com/belfryhq/belfry/store"
)

// Directory holds all apps in memory, with what they prove themselves with:
// requests ask it, and every send does. Only this process changes apps, by the
// methods of its Server, so what it holds is true. Where the store did not say
// what a change came to, the app is stale: what was known before goes on being
// used but for its push hosts, which are none, until the Server could read it.
//
// It never asks the store on behalf of who asks it, and may be asked from many
// goroutines. The zero Directory has no apps.
type Directory struct {
	store Store
	log   *slog.Logger

	mu    sync.RWMutex
	apps  map[string]tenant
	stale map[string]bool // apps that changed, or may have, and were not read since
}

// LoadDirectory reads all apps. A credential that cannot be used is logged and
// serves nothing; an error is the store's. Without a log, nothing is logged.
func LoadDirectory(ctx context.Context, from Store, log *slog.Logger) (*Directory, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	d := &Directory{store: from, log: log, apps: make(map[string]tenant), stale: make(map[string]bool)}
	apps, err := from.ListApps(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the apps: %w", err)
	}
	for _, app := range apps {
		loaded, err := readTenant(ctx, from, app.Name, tenant{}, log)
		switch {
		case errors.Is(err, store.ErrNotFound): // it was not made to the end
		case err != nil:
			return nil, fmt.Errorf("read the app %s: %w", app.Name, err)
		default:
			d.apps[app.Name] = loaded
		}
	}
	return d, nil
}

// VAPIDKey finds the private half of one of an app's keys, and the subject. The
// error is webpush.ErrUnknownKey.
func (d *Directory) VAPIDKey(_ context.Context, app string, public []byte) (webpush.Key, error) {
	known, _ := d.find(app)
	for _, key := range known.vapidKeys {
		if slices.Equal(key.Public, public) {
			return webpush.Key{Private: key.Private, Subject: known.VAPIDSubject}, nil
		}
	}
	return webpush.Key{}, webpush.ErrUnknownKey
}

// PushHosts are those of the operator's network that an app may use: none while
// it is not known which they are.
func (d *Directory) PushHosts(app string) []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.stale[app] {
		return nil
	}
	return d.apps[app].PushHosts
}

// ReceiptSecret is what an app's receipt tokens are made with: its token secret,
// or nil if there is no such app.
func (d *Directory) ReceiptSecret(app string) []byte {
	known, _ := d.find(app)
	return known.TokenSecret
}

// APNs finds what serves a topic. It is the same pointer as long as what it was
// made of is. The error is apns.ErrNoCredential.
func (d *Directory) APNs(_ context.Context, app, topic string) (*apns.Credential, error) {
	known, _ := d.find(app)
	for _, c := range known.credentials {
		if c.apns != nil && c.apns.Serves(topic) {
			return c.apns, nil
		}
	}
	return nil, apns.ErrNoCredential
}

// FCM finds what serves a Firebase project. It is the same pointer as long as
// what it was made of is. The error is fcm.ErrNoCredential.
func (d *Directory) FCM(_ context.Context, app, project string) (*fcm.Credential, error) {
	known, _ := d.find(app)
	for _, c := range known.credentials {
		if c.fcm != nil && c.fcm.Settings().Project == project {
			return c.fcm, nil
		}
	}
	return nil, fcm.ErrNoCredential
}

func (d *Directory) find(app string) (known tenant, ok bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	known, ok = d.apps[app]
	return known, ok
}

// get finds an app by name: store.ErrNotFound, or actors.ErrUnavailable if that
// cannot be told now.
func (d *Directory) get(app string) (tenant, error) {
	known, ok := d.find(app)
	switch {
	case ok:
		return known, nil
	case d.isStale(app):
		return tenant{}, fmt.Errorf("%w: the app %s may have been made, and could not be read since", actors.ErrUnavailable, app)
	default:
		return tenant{}, store.ErrNotFound
	}
}

// list gives all apps by name.
func (d *Directory) list() []tenant {
	d.mu.RLock()
	defer d.mu.RUnlock()
	all := make([]tenant, 0, len(d.apps))
	for _, name := range slices.Sorted(maps.Keys(d.apps)) {
		all = append(all, d.apps[name])
	}
	return all
}

// allowsOrigin tells whether pages of a web origin may register browsers for
// any of the apps.
func (d *Directory) allowsOrigin(origin string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, app := range d.apps {
		if slices.Contains(app.Origins, origin) {
			return true
		}
	}
	return false
}

// isStale tells whether an app may be another by now than what is known of it.
func (d *Directory) isStale(app string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.stale[app]
}

// refresh takes up what the store has of an app now, and tells what changed by
// that. If the store does not say, the app is stale. Only one call for an app may
// be under way.
func (d *Directory) refresh(ctx context.Context, app string) (Change, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	before, _ := d.find(app)
	fresh, err := readTenant(ctx, d.store, app, before, d.log)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case errors.Is(err, store.ErrNotFound):
		delete(d.apps, app)
	case err != nil:
		if !d.stale[app] {
			d.stale[app] = true
			d.log.WarnContext(ctx, "what changed of an app could not be read; what was known goes on being used, and it is tried again", "app", app, "error", err)
		}
		return Change{}, fmt.Errorf("read the app %s: %w", app, err)
	default:
		d.apps[app] = fresh
	}
	delete(d.stale, app)
	return before.changeTo(app, fresh), nil
}

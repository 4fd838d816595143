package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/webpush"
	"github.com/belfryhq/belfry/store"
)

// firstRun is what was made that has to be shown, and what is to be done.
type firstRun struct {
	adminKey  string
	noSubject bool // nobody has said yet how push services reach the operator
}

// show prints what will not be shown again.
func (r firstRun) show(to io.Writer) {
	if r.adminKey != "" {
		fmt.Fprintf(to, "  Admin key   %s\n              It is shown only now. Keep it, for example: export BELFRY_KEY=%s\n", r.adminKey, r.adminKey)
	}
}

// bootstrap makes what the service cannot do without, and is not there yet:
// the default app, its VAPID key and an admin key. What the flags say about
// the default app takes effect.
func (f *serveFlags) bootstrap(ctx context.Context, db store.Store, log *slog.Logger) (firstRun, error) {
	subject, err := f.ensureApp(ctx, db)
	if err != nil {
		return firstRun{}, fmt.Errorf("set up the app %s: %w", push.DefaultApp, err)
	}
	if err := f.ensureVAPIDKey(ctx, db, log); err != nil {
		return firstRun{}, fmt.Errorf("set up the VAPID key: %w", err)
	}
	made, err := f.ensureAdminKey(ctx, db, log)
	if err != nil {
		return firstRun{}, fmt.Errorf("set up the admin key: %w", err)
	}
	made.noSubject = subject == defaultSubject
	return made, nil
}

// ensureApp makes the default app, or sets of it what is given. What is not
// given stays as it was stored. It returns the app's VAPID subject.
func (f *serveFlags) ensureApp(ctx context.Context, db store.Store) (subject string, err error) {
	app, err := db.GetApp(ctx, push.DefaultApp)
	if errors.Is(err, store.ErrNotFound) {
		app = api.NewTenant(push.DefaultApp, time.Now())
		app.Origins, app.VAPIDSubject = f.AllowedOrigins, cmp.Or(f.VAPIDSubject, defaultSubject)
		return app.VAPIDSubject, db.CreateApp(ctx, app)
	}
	if err != nil {
		return "", err
	}
	before := app
	if len(f.AllowedOrigins) > 0 {
		app.Origins = f.AllowedOrigins
	}
	app.VAPIDSubject = cmp.Or(f.VAPIDSubject, app.VAPIDSubject)
	if slices.Equal(app.Origins, before.Origins) && app.VAPIDSubject == before.VAPIDSubject {
		return app.VAPIDSubject, nil
	}
	return app.VAPIDSubject, db.UpdateApp(ctx, app)
}

// ensureVAPIDKey makes a key if there is none, or adds the given one, which is
// the current key then. Older ones stay: subscriptions were made with them. A
// given key that a newer one has replaced stays replaced.
func (f *serveFlags) ensureVAPIDKey(ctx context.Context, db store.Store, log *slog.Logger) error {
	keys, err := db.ListVAPIDKeys(ctx, push.DefaultApp)
	if err != nil {
		return err
	}
	key := store.VAPIDKey{App: push.DefaultApp, CreatedAt: time.Now()}
	switch {
	case f.VAPIDPrivateKey != "":
		if key.Private, err = webpush.ParsePrivateKey(f.VAPIDPrivateKey); err != nil {
			return err
		}
		if key.Public, err = webpush.PublicKey(key.Private); err != nil {
			return err
		}
	case len(keys) == 0:
		if key.Public, key.Private, err = webpush.GenerateKey(); err != nil {
			return err
		}
	default:
		return nil
	}
	if err := db.CreateVAPIDKey(ctx, key); !errors.Is(err, store.ErrExists) {
		return err
	}
	if len(keys) > 0 && !slices.Equal(keys[0].Public, key.Public) {
		log.Warn("a newer VAPID key than that of BELFRY_VAPID_PRIVATE_KEY is current: the variable can be unset", "app", push.DefaultApp)
	}
	return nil
}

// ensureAdminKey sees to it that the given key, and no key given before, is an
// admin's; without one it makes a key when there is none at all.
func (f *serveFlags) ensureAdminKey(ctx context.Context, db store.Store, log *slog.Logger) (firstRun, error) {
	keys, err := db.ListAPIKeys(ctx, push.DefaultApp)
	if err != nil {
		return firstRun{}, err
	}
	switch {
	case f.AdminKey == "" && len(keys) == 0:
		key, secret := api.NewAPIKey(push.DefaultApp, api.FirstKeyName, []string{"admin"}, time.Now())
		return firstRun{adminKey: secret}, db.CreateAPIKey(ctx, key)
	case f.AdminKey == "":
		return firstRun{}, endGivenKeys(ctx, db, keys, log)
	}
	given := api.APIKeyOf(push.DefaultApp, api.GivenKeyName, f.AdminKey, []string{"admin"}, time.Now())
	known := false
	for _, key := range keys {
		switch {
		case key.Hash == given.Hash && isAdmin(key):
			known = true
		case key.Hash == given.Hash, key.Name == api.GivenKeyName:
			if err := db.DeleteAPIKey(ctx, push.DefaultApp, key.ID); err != nil {
				return firstRun{}, err
			}
		}
	}
	if known {
		return firstRun{}, nil
	}
	return firstRun{}, db.CreateAPIKey(ctx, given)
}

// endGivenKeys ends what BELFRY_ADMIN_KEY gave when it was set, unless nobody could
// get in then.
func endGivenKeys(ctx context.Context, db store.Store, keys []store.APIKey, log *slog.Logger) error {
	others := slices.ContainsFunc(keys, func(key store.APIKey) bool { return key.Name != api.GivenKeyName && isAdmin(key) })
	for _, key := range keys {
		switch {
		case key.Name != api.GivenKeyName:
		case !others:
			log.Warn("BELFRY_ADMIN_KEY is no longer set, and the key it gave goes on, for no other has the scope admin: make one with belfry keys create --scope admin, and start again", "id", key.ID)
		default:
			if err := db.DeleteAPIKey(ctx, push.DefaultApp, key.ID); err != nil {
				return err
			}
			log.Warn("BELFRY_ADMIN_KEY is no longer set: the key it gave has ended", "id", key.ID)
		}
	}
	return nil
}

func isAdmin(key store.APIKey) bool { return slices.Contains(key.Scopes, "admin") }

package api

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// tenant is an app with its VAPID public keys, the current one first.
type tenant struct {
	store.App
	vapidKeys [][]byte
}

// vapidKey is the current key, which new subscriptions are made with.
func (t tenant) vapidKey() []byte { return t.vapidKeys[0] }

// vapidKeyOf finds the key that a browser says it subscribed with.
func (t tenant) vapidKeyOf(given string) ([]byte, error) {
	if given == "" {
		return t.vapidKey(), nil
	}
	if public, err := push.DecodeBase64(given); err == nil {
		for _, key := range t.vapidKeys {
			if bytes.Equal(key, public) {
				return key, nil
			}
		}
	}
	return nil, invalid("vapid_public_key", "vapid_public_key is not one of this app's keys. Subscribe again, with the key from GET /v1/config.")
}

// tenants are the apps, by name. They are read once: nothing changes them
// while the server runs.
type tenants map[string]tenant

func loadTenants(ctx context.Context, from Store) (tenants, error) {
	apps, err := from.ListApps(ctx)
	if err != nil {
		return nil, err
	}
	all := make(tenants, len(apps))
	for _, app := range apps {
		keys, err := from.ListVAPIDKeys(ctx, app.Name)
		if err != nil {
			return nil, err
		}
		if len(keys) == 0 {
			return nil, fmt.Errorf("the app %s has no VAPID key", app.Name)
		}
		t := tenant{App: app}
		for _, key := range keys {
			t.vapidKeys = append(t.vapidKeys, key.Public)
		}
		all[app.Name] = t
	}
	return all, nil
}

// allowsOrigin tells whether pages of a web origin may register browsers for
// any of the apps.
func (t tenants) allowsOrigin(origin string) bool {
	for _, app := range t {
		if slices.Contains(app.Origins, origin) {
			return true
		}
	}
	return false
}

// GetConfig gives the caller's app, or the default one, its public settings.
func (s *Server) GetConfig(ctx context.Context, _ GetConfigRequestObject) (GetConfigResponseObject, error) {
	name := callerOf(ctx).app
	if name == "" {
		name = push.DefaultApp
	}
	app, ok := s.tenants[name]
	if !ok {
		return nil, errNotFound
	}
	return GetConfig200JSONResponse{VapidPublicKey: push.EncodeBase64(app.vapidKey())}, nil
}

package api

import (
	"bytes"
	"context"
	"log/slog"
	"slices"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// tenant is an app as it is kept in memory, ready for use. Its secrets are those
// of its user tokens and VAPID keys, and what its credentials hold. It is not
// changed once it is made.
type tenant struct {
	store.App
	vapidKeys   []store.VAPIDKey // the newest, which is the current one, first
	credentials []credential     // by name
	webhooks    []store.Webhook  // by name, as they were given: how far they are, they tell
	kinds       []push.Kind      // what it can send with: Web Push, and what it has a usable credential for
}

// vapidKey is the current key, which new subscriptions are made with.
func (t tenant) vapidKey() []byte { return t.vapidKeys[0].Public }

// vapidKeyOf finds the key that a browser says it subscribed with.
func (t tenant) vapidKeyOf(given string) ([]byte, error) {
	if public, err := push.DecodeBase64(given); err == nil {
		for _, key := range t.vapidKeys {
			if bytes.Equal(key.Public, public) {
				return key.Public, nil
			}
		}
	}
	return nil, invalid("vapid_public_key", "vapid_public_key is not one of this app's keys. Subscribe again, with the key from GET /v1/config.")
}

// topics are what the app's credentials for APNs serve.
func (t tenant) topics() []string {
	var all []string
	for _, c := range t.credentials {
		if c.apns != nil {
			all = append(all, c.apple.Topics...)
		}
	}
	return all
}

// projects are what the app's credentials for FCM serve.
func (t tenant) projects() []string {
	var all []string
	for _, c := range t.credentials {
		if c.fcm != nil {
			all = append(all, c.google.Project)
		}
	}
	return all
}

// credential finds one by name.
func (t tenant) credential(name string) (c credential, ok bool) {
	i := slices.IndexFunc(t.credentials, func(c credential) bool { return c.Name == name })
	if i < 0 {
		return credential{}, false
	}
	return t.credentials[i], true
}

// changeTo is the change that made the app what it is now.
func (t tenant) changeTo(name string, now tenant) Change {
	change := Change{App: name}
	for _, old := range t.credentials {
		switch kept := slices.ContainsFunc(now.credentials, func(c credential) bool { return c.apns == old.apns && c.fcm == old.fcm }); {
		case kept:
		case old.apns != nil:
			change.APNs = append(change.APNs, old.apns)
		case old.fcm != nil:
			change.FCM = append(change.FCM, old.fcm)
		}
	}
	return change
}

// readTenant reads an app from the store. One without a VAPID key is not made
// to the end, and as good as none. What has not changed since before is taken
// from there. A credential that cannot be used is logged.
func readTenant(ctx context.Context, from Store, name string, before tenant, log *slog.Logger) (tenant, error) {
	app, err := from.GetApp(ctx, name)
	if err != nil {
		return tenant{}, err
	}
	t := tenant{App: app, kinds: []push.Kind{push.WebPush}}
	if t.vapidKeys, err = from.ListVAPIDKeys(ctx, name); err != nil {
		return tenant{}, err
	}
	if len(t.vapidKeys) == 0 {
		return tenant{}, store.ErrNotFound
	}
	rows, err := from.ListCredentials(ctx, name)
	if err != nil {
		return tenant{}, err
	}
	for _, row := range rows {
		c, known := before.kept(row)
		if !known {
			if c, err = readCredential(row); err != nil {
				log.ErrorContext(ctx, "a credential cannot be used; give it again, or remove it", "app", name, "credential", row.Name, "error", err)
			}
		}
		t.credentials = append(t.credentials, c)
		if c.usable() && !slices.Contains(t.kinds, c.Kind) {
			t.kinds = append(t.kinds, c.Kind)
		}
	}
	slices.Sort(t.kinds)
	if t.webhooks, err = from.ListWebhooks(ctx, name); err != nil {
		return tenant{}, err
	}
	return t, nil
}

// tenantOf is the caller's app.
func (s *Server) tenantOf(ctx context.Context) (tenant, error) {
	return s.apps.get(callerOf(ctx).app)
}

// GetConfig gives the caller's app, or the default one, its public settings.
func (s *Server) GetConfig(ctx context.Context, _ GetConfigRequestObject) (GetConfigResponseObject, error) {
	name := callerOf(ctx).app
	if name == "" {
		name = push.DefaultApp
	}
	app, err := s.apps.get(name)
	if err != nil {
		return nil, err
	}
	return GetConfig200JSONResponse{VapidPublicKey: push.EncodeBase64(app.vapidKey())}, nil
}

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/apns"
	"github.com/belfryhq/belfry/push/fcm"
	"github.com/belfryhq/belfry/store"
)

// tenant is an app as requests need it. Its one secret is that of its user
// tokens. It is not changed once it is made.
type tenant struct {
	store.App
	vapidKeys   []store.VAPIDKey // the newest, which is the current one, first; without the private halves
	credentials []shownCredential
	kinds       []push.Kind // what it can send with: Web Push, and what it has a credential for
}

// shownCredential is what may be shown of a credential.
type shownCredential struct {
	store.Credential               // without the secret
	apns             apns.Settings // with the kind APNs
	fcm              fcm.Settings  // with the kind FCM
}

func showCredential(c store.Credential) (shownCredential, error) {
	c.Secret = nil
	shown := shownCredential{Credential: c}
	var err error
	switch c.Kind {
	case push.APNs:
		err = json.Unmarshal(c.Settings, &shown.apns)
	case push.FCM:
		err = json.Unmarshal(c.Settings, &shown.fcm)
	default:
		err = fmt.Errorf("it is for %s", c.Kind)
	}
	if err != nil {
		return shownCredential{}, fmt.Errorf("read the settings of the credential %s: %w", c.Name, err)
	}
	return shown, nil
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
		all = append(all, c.apns.Topics...)
	}
	return all
}

// projects are what the app's credentials for FCM serve.
func (t tenant) projects() []string {
	var all []string
	for _, c := range t.credentials {
		if c.Kind == push.FCM {
			all = append(all, c.fcm.Project)
		}
	}
	return all
}

// readTenant reads an app from the store. One without a VAPID key is not made
// to the end, and as good as none.
func readTenant(ctx context.Context, from Store, name string) (tenant, error) {
	app, err := from.GetApp(ctx, name)
	if err != nil {
		return tenant{}, err
	}
	keys, err := from.ListVAPIDKeys(ctx, name)
	if err != nil {
		return tenant{}, err
	}
	if len(keys) == 0 {
		return tenant{}, store.ErrNotFound
	}
	t := tenant{App: app, kinds: []push.Kind{push.WebPush}}
	for _, key := range keys {
		key.Private = nil
		t.vapidKeys = append(t.vapidKeys, key)
	}
	credentials, err := from.ListCredentials(ctx, name)
	if err != nil {
		return tenant{}, err
	}
	for _, c := range credentials {
		shown, err := showCredential(c)
		if err != nil {
			return tenant{}, err
		}
		t.credentials = append(t.credentials, shown)
		if !slices.Contains(t.kinds, c.Kind) {
			t.kinds = append(t.kinds, c.Kind)
		}
	}
	slices.Sort(t.kinds)
	return t, nil
}

// tenantOf is the caller's app.
func (s *Server) tenantOf(ctx context.Context) (tenant, error) {
	return s.apps.get(ctx, callerOf(ctx).app)
}

// GetConfig gives the caller's app, or the default one, its public settings.
func (s *Server) GetConfig(ctx context.Context, _ GetConfigRequestObject) (GetConfigResponseObject, error) {
	name := callerOf(ctx).app
	if name == "" {
		name = push.DefaultApp
	}
	app, err := s.apps.get(ctx, name)
	if err != nil {
		return nil, err
	}
	return GetConfig200JSONResponse{VapidPublicKey: push.EncodeBase64(app.vapidKey())}, nil
}

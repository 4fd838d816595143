package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/apns"
	"github.com/belfryhq/belfry/push/fcm"
	"github.com/belfryhq/belfry/push/webpush"
	"github.com/belfryhq/belfry/store"
)

const reloadTimeout = 5 * time.Second // for the store to say what changed

// credentials finds what apps prove themselves with to push services. Every
// send asks, so it is kept in memory; it is read again when an app changes,
// which only this process does.
type credentials struct {
	store store.Store
	log   *slog.Logger

	mu      sync.RWMutex
	apps    map[string]*appCredentials
	changes int // what was read before one is not kept after it
}

// appCredentials is one app's. It is not changed once it is made.
type appCredentials struct {
	subject string
	hosts   []string
	vapid   []store.VAPIDKey
	kept    []keptCredential
	stale   bool // it changed, and could not be read since
}

// keptCredential is one for APNs or FCM, parsed. Providers take the pointer for
// the identity, so it stays the same as long as what it was made of does.
type keptCredential struct {
	of   store.Credential
	apns *apns.Credential
	fcm  *fcm.Credential
}

// loadCredentials reads those of all apps.
func loadCredentials(ctx context.Context, db store.Store, log *slog.Logger) (*credentials, error) {
	c := &credentials{store: db, log: log, apps: make(map[string]*appCredentials)}
	apps, err := db.ListApps(ctx)
	if err != nil {
		return nil, err
	}
	for _, app := range apps {
		if c.apps[app.Name], err = c.read(ctx, app.Name, nil); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// changed takes up what an app has now. If the store does not say, what was
// known goes on being used, and the next to ask tries again.
func (c *credentials) changed(app string) {
	c.mu.Lock()
	c.changes++
	if known := c.apps[app]; known != nil {
		outdated := *known
		outdated.stale = true
		c.apps[app] = &outdated
	}
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), reloadTimeout)
	defer cancel()
	if _, err := c.of(ctx, app); err != nil {
		c.log.Warn("what changed of an app could not be read; it is tried again", "app", app, "error", err)
	}
}

// of gives an app's credentials.
func (c *credentials) of(ctx context.Context, app string) (*appCredentials, error) {
	c.mu.RLock()
	known, changes := c.apps[app], c.changes
	c.mu.RUnlock()
	if known != nil && !known.stale {
		return known, nil
	}
	fresh, err := c.read(ctx, app, known)
	switch {
	case err != nil && known != nil:
		return known, nil
	case err != nil:
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changes == changes {
		c.apps[app] = fresh
	}
	return fresh, nil
}

func (c *credentials) read(ctx context.Context, app string, before *appCredentials) (*appCredentials, error) {
	found, err := c.store.GetApp(ctx, app)
	if err != nil {
		return nil, err
	}
	fresh := &appCredentials{subject: found.VAPIDSubject, hosts: found.PushHosts}
	if fresh.vapid, err = c.store.ListVAPIDKeys(ctx, app); err != nil {
		return nil, err
	}
	list, err := c.store.ListCredentials(ctx, app)
	if err != nil {
		return nil, err
	}
	for _, one := range list {
		kept, err := keep(one, before)
		if err != nil {
			c.log.Error("a credential cannot be used; give it again", "app", app, "credential", one.Name, "error", err)
			continue
		}
		fresh.kept = append(fresh.kept, kept)
	}
	return fresh, nil
}

// keep parses a credential, unless it is as before.
func keep(one store.Credential, before *appCredentials) (keptCredential, error) {
	if before != nil {
		for _, kept := range before.kept {
			if kept.of.Kind == one.Kind && bytes.Equal(kept.of.Settings, one.Settings) && bytes.Equal(kept.of.Secret, one.Secret) {
				return keptCredential{of: one, apns: kept.apns, fcm: kept.fcm}, nil
			}
		}
	}
	kept := keptCredential{of: one}
	switch one.Kind {
	case push.APNs:
		var settings apns.Settings
		err := json.Unmarshal(one.Settings, &settings)
		if err == nil {
			kept.apns, err = apns.Load(settings, one.Secret)
		}
		return kept, err
	case push.FCM:
		var settings fcm.Settings
		err := json.Unmarshal(one.Settings, &settings)
		if err == nil {
			kept.fcm, err = fcm.Load(settings, one.Secret)
		}
		return kept, err
	default:
		return keptCredential{}, fmt.Errorf("it is for %s", one.Kind)
	}
}

// vapid finds the private half of a key, and the subject.
func (c *credentials) vapid(ctx context.Context, app string, public []byte) (webpush.Key, error) {
	own, err := c.of(ctx, app)
	if err != nil {
		return webpush.Key{}, err
	}
	for _, key := range own.vapid {
		if slices.Equal(key.Public, public) {
			return webpush.Key{Private: key.Private, Subject: own.subject}, nil
		}
	}
	return webpush.Key{}, webpush.ErrUnknownKey
}

// hosts are those of the operator's network that an app may use.
func (c *credentials) hosts(app string) []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if own := c.apps[app]; own != nil {
		return own.hosts
	}
	return nil
}

// apns finds what serves a topic.
func (c *credentials) apns(ctx context.Context, app, topic string) (*apns.Credential, error) {
	own, err := c.of(ctx, app)
	if err != nil {
		return nil, err
	}
	for _, kept := range own.kept {
		if kept.apns != nil && kept.apns.Serves(topic) {
			return kept.apns, nil
		}
	}
	return nil, apns.ErrNoCredential
}

// fcm finds what serves a Firebase project.
func (c *credentials) fcm(ctx context.Context, app, project string) (*fcm.Credential, error) {
	own, err := c.of(ctx, app)
	if err != nil {
		return nil, err
	}
	for _, kept := range own.kept {
		if kept.fcm != nil && kept.fcm.Settings().Project == project {
			return kept.fcm, nil
		}
	}
	return nil, fcm.ErrNoCredential
}

package sealed

import (
	"context"

	"github.com/belfryhq/belfry/store"
)

// Check opens every secret of inner that is sealed, and gives how many there
// are. It is ErrWrongKey if one was encrypted with another key.
func Check(ctx context.Context, inner store.Store, key Key) (opened int, err error) {
	s := sealedStore{Store: inner, sealer: newSealer(key)}
	err = eachApp(ctx, inner, func(app store.App, keys []store.VAPIDKey) error {
		if _, err := s.openApp(app); err != nil {
			return err
		}
		if !isPlain(app.TokenSecret) {
			opened++
		}
		for _, key := range keys {
			if _, err := s.openVAPIDKey(key); err != nil {
				return err
			}
			if !isPlain(key.Private) {
				opened++
			}
		}
		credentials, err := s.ListCredentials(ctx, app.Name)
		if err != nil {
			return err
		}
		webhooks, err := s.ListWebhooks(ctx, app.Name)
		opened += len(credentials) + len(webhooks)
		return err
	})
	return opened, err
}

// SealOlder seals, once and for all, the secrets of inner that are older than
// sealing, and gives how many there were. It can be stopped at any point, and
// called again.
func SealOlder(ctx context.Context, inner store.Store, key Key) (n int, err error) {
	s := New(inner, key)
	err = eachApp(ctx, inner, func(app store.App, keys []store.VAPIDKey) error {
		if isPlain(app.TokenSecret) {
			if err := s.UpdateTokenSecret(ctx, app); err != nil {
				return err
			}
			n++
		}
		for _, key := range keys {
			if !isPlain(key.Private) {
				continue
			}
			if err := s.UpdateVAPIDKey(ctx, key); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, err
}

// eachApp goes over the apps and their VAPID keys, as they are kept.
func eachApp(ctx context.Context, inner store.Store, do func(store.App, []store.VAPIDKey) error) error {
	apps, err := inner.ListApps(ctx)
	if err != nil {
		return err
	}
	for _, app := range apps {
		keys, err := inner.ListVAPIDKeys(ctx, app.Name)
		if err != nil {
			return err
		}
		if err := do(app, keys); err != nil {
			return err
		}
	}
	return nil
}

// isPlain tells what was kept before there was sealing.
func isPlain(secret []byte) bool { return len(secret) == plainLength }

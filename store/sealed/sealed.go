// Package sealed keeps the secrets of a store encrypted at rest: who has the
// database, or a copy of it, and not the master key, cannot send in an app's
// name or sign its users' tokens.
//
//	apps         TokenSecret
//	vapid_keys   Private
//	credentials  Secret
//	webhooks     Secret
//
// It stands in front of any kind of store, keeps the same promises, and has no
// rows of its own. All else passes through it as it is: contents, and where
// users can be reached, are not encrypted.
//
// A sealed secret is
//
//	1 byte    the version of this form, 1
//	12 bytes  nonce, random
//	n bytes   the secret of n bytes, encrypted with AES-256-GCM (NIST SP 800-38D)
//	16 bytes  its tag
//
// The row that it is for is authenticated with it: moved to another row, it is
// as useless as with another key.
//
// Apps and VAPID keys are older than sealing. What is exactly as long as their
// secrets, 32 bytes, is not sealed and is read as it is: a sealed one is longer.
// SealOlder seals them.
package sealed

import (
	"context"
	"fmt"

	"github.com/belfryhq/belfry/store"
)

// plainLength is that of a TokenSecret and of a VAPID key's private half.
const plainLength = 32 // bytes

// New gives a store that keeps its secrets in inner, encrypted with key. Closing
// it closes inner.
//
// Reading a secret that was encrypted with another key is ErrWrongKey.
func New(inner store.Store, key Key) store.Store {
	return sealedStore{Store: inner, sealer: newSealer(key)}
}

type sealedStore struct {
	store.Store
	sealer sealer
}

// CreateApp adds an app, with its TokenSecret sealed.
func (s sealedStore) CreateApp(ctx context.Context, app store.App) error {
	app.TokenSecret = s.sealer.seal(app.TokenSecret, rowOfApp(app))
	return s.Store.CreateApp(ctx, app)
}

// GetApp finds an app by name.
func (s sealedStore) GetApp(ctx context.Context, name string) (store.App, error) {
	app, err := s.Store.GetApp(ctx, name)
	if err != nil {
		return store.App{}, err
	}
	return s.openApp(app)
}

// UpdateTokenSecret replaces TokenSecret alone, sealed.
func (s sealedStore) UpdateTokenSecret(ctx context.Context, app store.App) error {
	app.TokenSecret = s.sealer.seal(app.TokenSecret, rowOfApp(app))
	return s.Store.UpdateTokenSecret(ctx, app)
}

// ListApps gives all apps by name.
func (s sealedStore) ListApps(ctx context.Context) ([]store.App, error) {
	apps, err := s.Store.ListApps(ctx)
	return openAll(apps, err, s.openApp)
}

// CreateVAPIDKey adds a key pair, with its private half sealed.
func (s sealedStore) CreateVAPIDKey(ctx context.Context, key store.VAPIDKey) error {
	key.Private = s.sealer.seal(key.Private, rowOfVAPIDKey(key))
	return s.Store.CreateVAPIDKey(ctx, key)
}

// UpdateVAPIDKey replaces the private half, sealed.
func (s sealedStore) UpdateVAPIDKey(ctx context.Context, key store.VAPIDKey) error {
	key.Private = s.sealer.seal(key.Private, rowOfVAPIDKey(key))
	return s.Store.UpdateVAPIDKey(ctx, key)
}

// ListVAPIDKeys gives an app's key pairs, the newest first.
func (s sealedStore) ListVAPIDKeys(ctx context.Context, app string) ([]store.VAPIDKey, error) {
	keys, err := s.Store.ListVAPIDKeys(ctx, app)
	return openAll(keys, err, s.openVAPIDKey)
}

// PutCredential adds or replaces a credential, with its Secret sealed.
func (s sealedStore) PutCredential(ctx context.Context, credential store.Credential) (created bool, err error) {
	credential.Secret = s.sealer.seal(credential.Secret, rowOfCredential(credential))
	return s.Store.PutCredential(ctx, credential)
}

// ListCredentials gives an app's credentials by name.
func (s sealedStore) ListCredentials(ctx context.Context, app string) ([]store.Credential, error) {
	credentials, err := s.Store.ListCredentials(ctx, app)
	return openAll(credentials, err, s.openCredential)
}

// PutWebhook adds or replaces a webhook, with its Secret sealed.
func (s sealedStore) PutWebhook(ctx context.Context, webhook store.Webhook) (created bool, err error) {
	webhook.Secret = s.sealer.seal(webhook.Secret, rowOfWebhook(webhook))
	return s.Store.PutWebhook(ctx, webhook)
}

// ListWebhooks gives an app's webhooks by name.
func (s sealedStore) ListWebhooks(ctx context.Context, app string) ([]store.Webhook, error) {
	webhooks, err := s.Store.ListWebhooks(ctx, app)
	return openAll(webhooks, err, s.openWebhook)
}

func (s sealedStore) openApp(app store.App) (store.App, error) {
	secret, err := s.openOrPlain(app.TokenSecret, rowOfApp(app))
	if err != nil {
		return store.App{}, fmt.Errorf("the token secret of app %q %w", app.Name, err)
	}
	app.TokenSecret = secret
	return app, nil
}

func (s sealedStore) openVAPIDKey(key store.VAPIDKey) (store.VAPIDKey, error) {
	private, err := s.openOrPlain(key.Private, rowOfVAPIDKey(key))
	if err != nil {
		return store.VAPIDKey{}, fmt.Errorf("the VAPID key of app %q %w", key.App, err)
	}
	key.Private = private
	return key, nil
}

func (s sealedStore) openCredential(credential store.Credential) (store.Credential, error) {
	secret, err := s.sealer.open(credential.Secret, rowOfCredential(credential))
	if err != nil {
		return store.Credential{}, fmt.Errorf("the credential %q of app %q %w", credential.Name, credential.App, err)
	}
	credential.Secret = secret
	return credential, nil
}

func (s sealedStore) openWebhook(webhook store.Webhook) (store.Webhook, error) {
	secret, err := s.sealer.open(webhook.Secret, rowOfWebhook(webhook))
	if err != nil {
		return store.Webhook{}, fmt.Errorf("the secret of webhook %q of app %q %w", webhook.Name, webhook.App, err)
	}
	webhook.Secret = secret
	return webhook, nil
}

// openOrPlain opens what is sealed, and gives what is older than sealing.
func (s sealedStore) openOrPlain(value []byte, row row) ([]byte, error) {
	if isPlain(value) {
		return value, nil
	}
	return s.sealer.open(value, row)
}

func openAll[T any](rows []T, err error, open func(T) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	for i := range rows {
		if rows[i], err = open(rows[i]); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func rowOfApp(app store.App) row { return row{"apps", app.Name, ""} }

func rowOfVAPIDKey(key store.VAPIDKey) row { return row{"vapid_keys", key.App, string(key.Public)} }

func rowOfCredential(credential store.Credential) row {
	return row{"credentials", credential.App, credential.Name}
}

func rowOfWebhook(webhook store.Webhook) row { return row{"webhooks", webhook.App, webhook.Name} }

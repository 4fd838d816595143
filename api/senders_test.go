package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/apns"
	"github.com/belfryhq/belfry/push/fcm"
	"github.com/belfryhq/belfry/push/simulate"
	"github.com/belfryhq/belfry/push/webpush"
	"github.com/belfryhq/belfry/store"
)

// senders are real providers of every kind, with what the store has at the
// moment that they ask.
type senders struct {
	store     store.Store
	authority *simulate.Authority // of simulators
	web       *webpush.Provider
	apple     *apns.Provider
	google    *fcm.Provider
	parsed    sync.Map // by name, settings and secret: a provider takes the pointer for the identity
}

func newSenders(t *testing.T, r *rig) *senders {
	s := &senders{store: r.store}
	var err error
	s.authority, err = simulate.NewAuthority()
	require.NoError(t, err)
	s.web, err = webpush.New(webpush.Config{
		Key:        s.vapid,
		AllowHosts: []string{strings.TrimPrefix(r.service.Origin(), "http://")},
		AppHosts: func(app string) []string {
			found, _ := r.store.GetApp(context.Background(), app)
			return found.PushHosts
		},
	})
	require.NoError(t, err)
	t.Cleanup(s.web.Close)
	s.apple, err = apns.New(apns.Config{Credential: s.apns, RootCAs: s.authority.Pool()})
	require.NoError(t, err)
	t.Cleanup(s.apple.Close)
	s.google, err = fcm.New(fcm.Config{Credential: s.fcm, RootCAs: s.authority.Pool()})
	require.NoError(t, err)
	t.Cleanup(s.google.Close)
	return s
}

func (s *senders) providers() map[push.Kind]push.Provider {
	return map[push.Kind]push.Provider{push.WebPush: s.web, push.APNs: s.apple, push.FCM: s.google}
}

func (s *senders) checkers() map[push.Kind]push.Checker {
	return map[push.Kind]push.Checker{push.WebPush: s.web, push.APNs: s.apple, push.FCM: s.google}
}

func (s *senders) vapid(ctx context.Context, app string, public []byte) (webpush.Key, error) {
	keys, err := s.store.ListVAPIDKeys(ctx, app)
	for _, key := range keys {
		if bytes.Equal(key.Public, public) {
			return webpush.Key{Private: key.Private, Subject: "mailto:operator@belfry.dev"}, nil
		}
	}
	return webpush.Key{}, err
}

func (s *senders) apns(ctx context.Context, app, topic string) (*apns.Credential, error) {
	list, err := s.store.ListCredentials(ctx, app)
	for _, c := range list {
		var settings apns.Settings
		if c.Kind != push.APNs || json.Unmarshal(c.Settings, &settings) != nil {
			continue
		}
		loaded, err := apns.Load(settings, c.Secret)
		if err != nil {
			return nil, err
		}
		if loaded.Serves(topic) {
			kept, _ := s.parsed.LoadOrStore(c.App+" "+string(c.Settings)+string(c.Secret), loaded)
			return kept.(*apns.Credential), nil
		}
	}
	if err == nil {
		err = apns.ErrNoCredential
	}
	return nil, err
}

func (s *senders) fcm(ctx context.Context, app, project string) (*fcm.Credential, error) {
	list, err := s.store.ListCredentials(ctx, app)
	for _, c := range list {
		var settings fcm.Settings
		if c.Kind != push.FCM || json.Unmarshal(c.Settings, &settings) != nil || settings.Project != project {
			continue
		}
		loaded, err := fcm.Load(settings, c.Secret)
		if err != nil {
			return nil, err
		}
		kept, _ := s.parsed.LoadOrStore(c.App+" "+string(c.Settings)+string(c.Secret), loaded)
		return kept.(*fcm.Credential), nil
	}
	if err == nil {
		err = fcm.ErrNoCredential
	}
	return nil, err
}

// appleKey is what a person gives of a key for APNs.
func appleKey(topics ...string) (body map[string]any, key simulate.APNsKey) {
	p8, key := simulate.NewAPNsKey()
	return map[string]any{"kind": "apns", "key": string(p8), "key_id": key.KeyID, "team_id": key.TeamID, "topics": topics}, key
}

// rsaKey is a service account's; making one takes a while.
var rsaKey = sync.OnceValue(func() string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
})

// googleAccount is what a person gives of a Firebase project's service account.
func googleAccount(project string) map[string]any {
	return map[string]any{"kind": "fcm", "service_account": map[string]any{
		"type": "service_account", "project_id": project, "private_key_id": "0123456789abcdef", "private_key": rsaKey(),
		"client_email": "belfry@" + project + ".iam.gserviceaccount.com", "token_uri": "https://oauth2.googleapis.com/token",
	}}
}

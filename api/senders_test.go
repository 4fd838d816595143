package api_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/apns"
	"github.com/belfryhq/belfry/push/fcm"
	"github.com/belfryhq/belfry/push/simulate"
	"github.com/belfryhq/belfry/push/webpush"
)

// senders are real providers of every kind, wired to the directory of the Server
// that was made last.
type senders struct {
	apps      atomic.Pointer[api.Directory]
	authority *simulate.Authority // of simulators
	web       *webpush.Provider
	apple     *apns.Provider
	google    *fcm.Provider
}

func newSenders(t *testing.T, r *rig) *senders {
	var s senders
	var err error
	s.authority, err = simulate.NewAuthority()
	require.NoError(t, err)
	s.web, err = webpush.New(webpush.Config{
		Key: func(ctx context.Context, app string, public []byte) (webpush.Key, error) {
			return s.apps.Load().VAPIDKey(ctx, app, public)
		},
		ReceiptSecret: func(app string) []byte { return s.apps.Load().ReceiptSecret(app) },
		AllowHosts:    []string{strings.TrimPrefix(r.service.Origin(), "http://")},
		AppHosts:      func(app string) []string { return s.apps.Load().PushHosts(app) },
	})
	require.NoError(t, err)
	t.Cleanup(s.web.Close)
	s.apple, err = apns.New(apns.Config{RootCAs: s.authority.Pool(), Credential: func(ctx context.Context, app, topic string) (*apns.Credential, error) {
		return s.apps.Load().APNs(ctx, app, topic)
	}})
	require.NoError(t, err)
	t.Cleanup(s.apple.Close)
	s.google, err = fcm.New(fcm.Config{RootCAs: s.authority.Pool(), Credential: func(ctx context.Context, app, project string) (*fcm.Credential, error) {
		return s.apps.Load().FCM(ctx, app, project)
	}})
	require.NoError(t, err)
	t.Cleanup(s.google.Close)
	return &s
}

// changed is what the wiring does.
func (s *senders) changed(change api.Change) {
	s.web.Forget(change.App)
	for _, old := range change.APNs {
		s.apple.Retire(old)
	}
	for _, old := range change.FCM {
		s.google.Retire(old)
	}
}

func (s *senders) providers() map[push.Kind]push.Provider {
	return map[push.Kind]push.Provider{push.WebPush: s.web, push.APNs: s.apple, push.FCM: s.google}
}

func (s *senders) checkers() map[push.Kind]push.Checker {
	return map[push.Kind]push.Checker{push.WebPush: s.web, push.APNs: s.apple, push.FCM: s.google}
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

package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/apns"
	"github.com/belfryhq/belfry/push/fcm"
	"github.com/belfryhq/belfry/push/webpush"
)

// senders are what reaches browsers and phones.
type senders struct {
	web    *webpush.Provider
	apple  *apns.Provider
	google *fcm.Provider
}

// senders makes them, with the credentials of the apps.
func (f *serveFlags) senders(apps *api.Directory) (*senders, error) {
	roots, err := f.pushAuthorities()
	if err != nil {
		return nil, err
	}
	var s senders
	if s.web, err = webpush.New(webpush.Config{Key: apps.VAPIDKey, ReceiptSecret: apps.ReceiptSecret, AllowHosts: f.AllowPushHosts, AppHosts: apps.PushHosts, RootCAs: roots}); err != nil {
		return nil, fmt.Errorf("--allow-push-hosts (BELFRY_ALLOW_PUSH_HOSTS): %w", err)
	}
	if s.apple, err = apns.New(apns.Config{Credential: apps.APNs, RootCAs: roots}); err != nil {
		return nil, err
	}
	if s.google, err = fcm.New(fcm.Config{Credential: apps.FCM, RootCAs: roots}); err != nil {
		return nil, err
	}
	return &s, nil
}

func (s *senders) providers() map[push.Kind]push.Provider {
	return map[push.Kind]push.Provider{push.WebPush: s.web, push.APNs: s.apple, push.FCM: s.google}
}

func (s *senders) checkers() map[push.Kind]push.Checker {
	return map[push.Kind]push.Checker{push.WebPush: s.web, push.APNs: s.apple, push.FCM: s.google}
}

// changed makes them let go of what an app no longer uses.
func (s *senders) changed(change api.Change) {
	s.web.Forget(change.App)
	for _, old := range change.APNs {
		s.apple.Retire(old)
	}
	for _, old := range change.FCM {
		s.google.Retire(old)
	}
}

// Close closes their connections. It is for after the last send.
func (s *senders) Close() {
	s.web.Close()
	s.apple.Close()
	s.google.Close()
}

// pushAuthorities are those that push services' certificates are checked
// against: the system's, and those of the file given. nil is the system's.
func (f *serveFlags) pushAuthorities() (*x509.CertPool, error) {
	if f.PushCAFile == "" {
		return nil, nil
	}
	const flag = "--push-ca-file (BELFRY_PUSH_CA_FILE)"
	text, err := os.ReadFile(f.PushCAFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a system without any
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, errors.New(flag + ": there is no certificate in the file; give authorities in PEM, as a simulator's ca.pem")
	}
	return roots, nil
}

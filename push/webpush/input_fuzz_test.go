package webpush

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

// What a browser sends is refused by the name of a field, or can be encrypted for.
func FuzzCheckSubscription(f *testing.F) {
	public, _, err := GenerateKey()
	require.NoError(f, err)
	f.Add("https://push.example.com/1", public, make([]byte, 16))
	f.Add("https://127.0.0.1/1", public, make([]byte, 15))
	f.Add("", append([]byte{4}, make([]byte, 64)...), []byte(nil))
	f.Add("https://push.example.com/\x00", append([]byte{2}, make([]byte, 32)...), make([]byte, 17))
	provider, err := New(Config{Key: func(context.Context, string, []byte) (Key, error) { return Key{}, ErrUnknownKey }})
	require.NoError(f, err)
	f.Cleanup(provider.Close)
	f.Fuzz(func(t *testing.T, endpoint string, p256dh, auth []byte) {
		sub := push.Subscription{User: push.User{App: push.DefaultApp, ID: "ann"}, Kind: push.WebPush, Endpoint: push.Endpoint(endpoint), P256dh: p256dh, Auth: auth}
		if err := provider.CheckSubscription(t.Context(), sub); err != nil {
			var invalid *push.InvalidError
			require.True(t, errors.As(err, &invalid), "%v", err)
			require.Contains(t, []string{"endpoint", "keys.p256dh", "keys.auth"}, invalid.Field)
			if len(endpoint) > 20 {
				require.NotContains(t, err.Error(), endpoint, "it is a secret")
			}
			return
		}
		to, err := parseRecipient(p256dh, auth)
		require.NoError(t, err)
		body, err := to.encrypt([]byte("hello"), paddedSize(5))
		require.NoError(t, err)
		require.False(t, bytes.Contains(body, []byte("hello")))
	})
}

// A VAPID key and subject are refused without repeating the key, or are of use.
func FuzzVAPID(f *testing.F) {
	for _, seed := range []string{"yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw", "", "AAAA", "mailto:you@your.domain", "https://your.domain", "mailto:@x", "https://%zz", "mailto:a@b@c.d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if private, err := ParsePrivateKey(text); err == nil {
			public, err := PublicKey(private)
			require.NoError(t, err)
			require.Len(t, public, 65)
		} else if len(text) > 20 {
			require.NotContains(t, err.Error(), text)
		}
		if ValidateSubject(text) == nil {
			subject, err := url.Parse(text)
			require.NoError(t, err)
			require.Contains(t, []string{"mailto", "https"}, subject.Scheme)
			require.False(t, strings.ContainsAny(text, "\r\n\x00"), "it goes into a token")
		}
	})
}

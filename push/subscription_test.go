package push_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

const secret = "fPq2-THE-SECRET-PART"

// Whoever knows an endpoint can send to it.
func TestEndpoint_NeverShowsItself(t *testing.T) {
	endpoint := push.Endpoint("https://push.example.com/send/" + secret + "?token=" + secret)
	subscription := push.Subscription{
		Kind: push.WebPush, Endpoint: endpoint, Digest: push.DigestOf(endpoint), Auth: []byte("0123456789abcdef"),
	}
	message := push.Message{Subscription: subscription}
	for _, value := range []any{endpoint, &endpoint, []push.Endpoint{endpoint}, subscription, &subscription, []push.Subscription{subscription}, message} {
		for _, shown := range everyForm(t, value) {
			require.NotContains(t, shown, secret)
			require.NotContains(t, shown, "send/")
			require.NotContains(t, shown, "MDEyMzQ1Njc4OWFiY2RlZg", "the auth secret in base64")
			require.NotContains(t, shown, "48 49 50 51", "the auth secret in decimal")
			require.NotContains(t, shown, "0x30, 0x31", "the auth secret as Go source")
			require.NotContains(t, shown, "0123456789abcdef", "the auth secret")
		}
	}
	require.Equal(t, "push.example.com/…"+push.DigestOf(endpoint).Short(), endpoint.String())
	require.Equal(t, "webpush push.example.com/…"+push.DigestOf(endpoint).Short(), subscription.String())
}

// everyForm shows a value in every way that it might reach a log or an answer.
func everyForm(t *testing.T, value any) []string {
	t.Helper()
	var text, structured bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("shown", "value", value)
	slog.New(slog.NewJSONHandler(&structured, nil)).Info("shown", "value", value)
	encoded, err := json.Marshal(value)
	require.NoError(t, err)
	return []string{
		fmt.Sprintf("%v", value), fmt.Sprintf("%+v", value), fmt.Sprintf("%#v", value), fmt.Sprintf("%s", value), fmt.Sprintf("%q", value),
		fmt.Errorf("send to %v: %w", value, errors.New("no")).Error(), text.String(), structured.String(), string(encoded),
	}
}

func TestEndpoint_HostIsThatOfItsOrigin(t *testing.T) {
	for endpoint, host := range map[push.Endpoint]string{
		"https://push.example.com/1":      "push.example.com",
		"https://PUSH.example.com:443/1":  "push.example.com",
		"https://push.example.com:8443/1": "push.example.com:8443",
		"http://localhost:8080/1":         "localhost:8080",
		"http://localhost:80/1":           "localhost",
		"https://[2001:DB8::1]:443/1":     "[2001:db8::1]",
		"0123456789abcdef":                "",
		"https://push.example.com:x/":     "",
		"":                                "",
	} {
		require.Equal(t, host, endpoint.Host(), "%q", string(endpoint))
		require.Equal(t, host, push.Subscription{Endpoint: endpoint}.Host())
	}
}

func TestDigest_ReadsWhatItWrites(t *testing.T) {
	digest := push.DigestOf("abc")
	require.Equal(t, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", digest.String()) // FIPS 180
	require.Equal(t, "ba7816bf8f01cfea", digest.Short())
	require.False(t, digest.IsZero())
	require.True(t, push.Digest{}.IsZero())

	parsed, err := push.ParseDigest(digest.String())
	require.NoError(t, err)
	require.Equal(t, digest, parsed)
	text, err := digest.MarshalText()
	require.NoError(t, err)
	require.Equal(t, digest.String(), string(text))

	for _, s := range []string{"", digest.Short(), digest.String() + "0", "x" + digest.String()[1:]} {
		_, err := push.ParseDigest(s)
		require.Error(t, err, s)
	}
}

func TestInvalidError_NamesTheField(t *testing.T) {
	var err error = fmt.Errorf("register: %w", &push.InvalidError{Field: "keys.auth", Detail: "Send 16 bytes."})
	var invalid *push.InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, "keys.auth", invalid.Field)
	require.EqualError(t, err, "register: keys.auth: Send 16 bytes.")
}

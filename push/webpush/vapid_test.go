package webpush

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	reference "github.com/SherClockHolmes/webpush-go"
	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

func TestKey_IsReadInEveryFormOtherToolsWrite(t *testing.T) {
	public, private, err := GenerateKey()
	require.NoError(t, err)
	require.Len(t, public, 65)
	require.Len(t, private, 32)
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		read, err := ParsePrivateKey(encoding.EncodeToString(private))
		require.NoError(t, err)
		require.Equal(t, private, read)
	}
	derived, err := PublicKey(private)
	require.NoError(t, err)
	require.Equal(t, public, derived)

	theirPrivate, theirPublic, err := reference.GenerateVAPIDKeys()
	require.NoError(t, err)
	read, err := ParsePrivateKey(theirPrivate)
	require.NoError(t, err)
	derived, err = PublicKey(read)
	require.NoError(t, err)
	require.Equal(t, theirPublic, push.EncodeBase64(derived))
}

func TestKey_ErrorsDoNotRepeatIt(t *testing.T) {
	_, private, err := GenerateKey()
	require.NoError(t, err)
	secret := push.EncodeBase64(private)
	for _, s := range []string{"", "!" + secret, secret[:40], secret + secret, push.EncodeBase64(make([]byte, 32))} {
		_, err := ParsePrivateKey(s)
		require.Error(t, err, s)
		require.NotContains(t, err.Error(), secret[:40])
	}
}

func TestKey_NeverShowsItsPrivateHalf(t *testing.T) {
	key := Key{Private: []byte("0123456789abcdef0123456789abcdef"), Subject: "mailto:ops@example.com"}
	for _, value := range []any{key, &key, []Key{key}, struct{ Key Key }{key}} {
		var text, structured bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("shown", "value", value)
		slog.New(slog.NewJSONHandler(&structured, nil)).Info("shown", "value", value)
		encoded, err := json.Marshal(value)
		require.NoError(t, err)
		for _, shown := range []string{
			fmt.Sprintf("%v", value), fmt.Sprintf("%+v", value), fmt.Sprintf("%#v", value), fmt.Sprintf("%s", value), fmt.Sprintf("%q", value), fmt.Sprintf("%x", value),
			fmt.Errorf("sign with %v: %w", value, ErrUnknownKey).Error(), text.String(), structured.String(), string(encoded),
		} {
			require.NotContains(t, shown, "0123456789abcdef", "the key")
			require.NotContains(t, shown, "MDEyMzQ1Njc4OWFiY2RlZg", "in base64")
			require.NotContains(t, shown, "48 49 50 51", "in decimal")
			require.NotContains(t, shown, "0x30, 0x31", "as Go source")
			require.NotContains(t, shown, "30313233", "in hexadecimal")
		}
	}
	require.Equal(t, "VAPID key of mailto:ops@example.com", key.String())
	require.Equal(t, "VAPID key of no subject", Key{}.String())
}

func TestValidateSubject_TakesWhatAppleTakes(t *testing.T) {
	for _, s := range []string{
		"mailto:ops@example.com", "mailto:first.last+push@mail.example.co.uk", "https://example.com", "https://github.com/belfryhq/belfry",
		"https://EXAMPLE.com/contact?x=1", "mailto:ops@xn--bcher-kva.example.com",
	} {
		require.NoError(t, ValidateSubject(s), s)
	}
	for _, s := range []string{
		"", "ops@example.com", "mailto:", "mailto:ops", "mailto:@example.com", "mailto:mailto:ops@example.com", "mailto:ops@localhost",
		"mailto:ops@mail.local", "mailto:ops@belfry.internal", "mailto:ops@example.invalid", "mailto:ops@x.test", "mailto:ops@push.example",
		"mailto:ops@10.0.0.1", "mailto:ops@[::1]", "mailto:a@b@example.com", "mailto://ops@example.com", "http://example.com", "https://localhost:8080",
		"https://belfry", "https://127.0.0.1", "https://[::1]/", "https://", "https:example.com", "tel:+4930123456", "https://example.com:x", "https://bücher.com",
	} {
		require.ErrorContains(t, ValidateSubject(s), "write mailto:you@your.domain", s)
	}
	longest := "mailto:" + strings.Repeat("x", 255-len("mailto:@example.com")) + "@example.com"
	require.NoError(t, ValidateSubject(longest))
	require.EqualError(t, ValidateSubject("mailto:x"+longest[7:]), "the VAPID subject has 256 bytes, and at most 255 are taken: write mailto:you@your.domain or https://your.domain")
}

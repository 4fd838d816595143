package simulate

import (
	"bytes"
	"crypto/ecdh"
	"encoding/base64"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

// RFC 8291 §5 and Appendix A.
const exampleBody = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml" +
	"mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT" +
	"pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"

func exampleBrowser(t *testing.T) *Browser {
	t.Helper()
	private, err := ecdh.P256().NewPrivateKey(unbase64(t, "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"))
	require.NoError(t, err)
	return &Browser{endpoint: "https://push.example.net/1", private: private, auth: unbase64(t, "BTBZMqHH6r4Tts7J_aSIgg")}
}

func unbase64(t *testing.T, s string) []byte {
	t.Helper()
	decoded, err := base64.RawURLEncoding.DecodeString(s)
	require.NoError(t, err)
	return decoded
}

func TestBrowser_ReadsTheExampleOfRFC8291(t *testing.T) {
	payload, err := exampleBrowser(t).Decrypt(unbase64(t, exampleBody))
	require.NoError(t, err)
	require.Equal(t, "When I grow up, I want to be a watermelon", string(payload))
}

func TestBrowser_ReadsNothingThatIsNotWholly(t *testing.T) {
	browser := exampleBrowser(t)
	for name, change := range map[string]func([]byte) []byte{
		"another salt":          func(b []byte) []byte { b[0] ^= 1; return b },
		"another record":        func(b []byte) []byte { b[len(b)-20] ^= 1; return b },
		"another tag":           func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"a key off the curve":   func(b []byte) []byte { b[85] ^= 1; return b },
		"a shorter key id":      func(b []byte) []byte { b[20] = 64; return b },
		"no key id":             func(b []byte) []byte { b[20] = 0; return b },
		"cut within the salt":   func(b []byte) []byte { return b[:15] },
		"cut within the key":    func(b []byte) []byte { return b[:60] },
		"no record":             func(b []byte) []byte { return b[:86] },
		"more after the record": func(b []byte) []byte { return append(b, 0) },
		"too long a body":       func(b []byte) []byte { return append(b, make([]byte, 4096)...) },
		"a record size too small for any record": func(b []byte) []byte {
			binary.BigEndian.PutUint32(b[16:], 17)
			return b
		},
		"a record size that the one record fills": func(b []byte) []byte {
			binary.BigEndian.PutUint32(b[16:], uint32(len(b)-86))
			return b
		},
	} {
		_, err := browser.Decrypt(change(unbase64(t, exampleBody)))
		require.Error(t, err, name)
	}
	_, err := NewBrowser("https://push.example.net/1").Decrypt(unbase64(t, exampleBody))
	require.ErrorContains(t, err, "open the record", "another browser")
}

func TestBrowser_TakesPaddingOffALastRecordAlone(t *testing.T) {
	for padded, want := range map[string]string{
		"\x02": "", "hi\x02": "hi", "hi\x02\x00\x00": "hi", "hi\x00\x02\x00": "hi\x00", "hi\x02\x02": "hi\x02",
	} {
		got, err := unpad([]byte(padded))
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
	for _, padded := range []string{"", "\x00", "\x00\x00", "hi", "hi\x01", "hi\x01\x00", "hi\x03"} {
		_, err := unpad([]byte(padded))
		require.Error(t, err, "%q", padded)
	}
}

func TestBrowser_SubscribesWithItsOwnKeys(t *testing.T) {
	browser := NewBrowser("https://push.example.net/1")
	user := push.User{App: push.DefaultApp, ID: "alice"}
	subscription := browser.Subscription(user, []byte("key"))
	require.Equal(t, user, subscription.User)
	require.Equal(t, push.WebPush, subscription.Kind)
	require.Equal(t, push.DigestOf("https://push.example.net/1"), subscription.Digest)
	require.Len(t, subscription.P256dh, 65)
	require.Len(t, subscription.Auth, 16)

	clear(subscription.Auth)
	require.False(t, bytes.Equal(subscription.Auth, browser.Subscription(user, nil).Auth), "slices of its own")
	require.NotEqual(t, subscription.P256dh, NewBrowser("").Subscription(user, nil).P256dh)
}

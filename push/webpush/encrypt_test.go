package webpush

import (
	"bytes"
	"crypto/ecdh"
	"io"
	"net/http"
	"testing"

	reference "github.com/SherClockHolmes/webpush-go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

// RFC 8291 §5 and Appendix A.
func TestEncrypt_GivesTheExampleOfRFC8291(t *testing.T) {
	ephemeral, err := ecdh.P256().NewPrivateKey(unbase64(t, "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"))
	require.NoError(t, err)
	to, err := parseRecipient(
		unbase64(t, "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
		unbase64(t, "BTBZMqHH6r4Tts7J_aSIgg"),
	)
	require.NoError(t, err)
	payload := []byte("When I grow up, I want to be a watermelon")

	body, err := to.seal(payload, len(payload)+overhead, ephemeral, [saltBytes]byte(unbase64(t, "DGv6ra1nlYgDCS1FRnbzlw")))
	require.NoError(t, err)
	require.Equal(t, "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml"+
		"mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"+
		"pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN", push.EncodeBase64(body))
}

func unbase64(t *testing.T, s string) []byte {
	t.Helper()
	decoded, err := push.DecodeBase64(s)
	require.NoError(t, err)
	return decoded
}

func TestEncrypt_IsReadByABrowserAtEverySize(t *testing.T) {
	browser, to := newRecipient(t)
	check := func(payload []byte) {
		body, err := to.encrypt(payload, paddedSize(len(payload)))
		require.NoError(t, err)
		require.Len(t, body, paddedSize(len(payload)))
		read, err := browser.Decrypt(body)
		require.NoError(t, err)
		require.Equal(t, payload, read)
	}
	for _, size := range []int{0, 1, 15, 16, 17, 408, 409, 410, 2640, 2641, 2642, 3992, 3993} {
		check(bytes.Repeat([]byte{0xA5}, size))
		check(make([]byte, size)) // a payload that ends like padding
		check(bytes.Repeat([]byte{lastRecord}, size))
	}
	rapid.Check(t, func(t *rapid.T) {
		check(rapid.SliceOfN(rapid.Byte(), 0, push.MaxWebPayload).Draw(t, "payload"))
	})
}

// The common decrypter reads what another implementation writes, too.
func TestEncrypt_AgreesWithWebpushGo(t *testing.T) {
	browser, to := newRecipient(t)
	subscription := browser.Subscription(push.User{}, nil)
	keys := reference.Keys{P256dh: push.EncodeBase64(subscription.P256dh), Auth: push.EncodeBase64(subscription.Auth)}
	check := func(payload []byte) {
		theirs, err := browser.Decrypt(encryptWithWebpushGo(t, payload, keys))
		require.NoError(t, err)
		body, err := to.encrypt(payload, paddedSize(len(payload)))
		require.NoError(t, err)
		ours, err := browser.Decrypt(body)
		require.NoError(t, err)
		require.Equal(t, theirs, ours)
		require.Equal(t, payload, ours)
	}
	for _, size := range []int{0, 1, 2641, 3993} {
		check(bytes.Repeat([]byte("x"), size))
	}
	rapid.Check(t, func(t *rapid.T) {
		check(rapid.SliceOfN(rapid.Byte(), 0, push.MaxWebPayload).Draw(t, "payload"))
	})
}

func encryptWithWebpushGo(t testing.TB, payload []byte, keys reference.Keys) []byte {
	t.Helper()
	private, public, err := reference.GenerateVAPIDKeys()
	require.NoError(t, err)
	var sent capture
	_, err = reference.SendNotification(bytes.Clone(payload),
		&reference.Subscription{Endpoint: "https://push.example.com/1", Keys: keys},
		&reference.Options{HTTPClient: &sent, Subscriber: "ops@example.com", TTL: 60, VAPIDPublicKey: public, VAPIDPrivateKey: private})
	require.NoError(t, err)
	return sent.body
}

// capture is an HTTP client that keeps the body and answers 201.
type capture struct{ body []byte }

func (c *capture) Do(r *http.Request) (*http.Response, error) {
	var err error
	c.body, err = io.ReadAll(r.Body)
	return &http.Response{StatusCode: 201, Body: http.NoBody}, err
}

func TestEncrypt_PadsToFewSizes(t *testing.T) {
	for payload, want := range map[int]int{
		0: 512, 1: 512, 409: 512, 410: 1024, 921: 1024, 922: 2048, 1945: 2048, 1946: 2744, 2641: 2744,
		2642: 2745, 3000: 3103, 3993: 4096, // longer than what Firefox for Android takes in any case
	} {
		require.Equal(t, want, paddedSize(payload), "payload of %d bytes", payload)
	}
}

func TestEncrypt_NeverGivesTheSameBodyTwice(t *testing.T) {
	_, to := newRecipient(t)
	one, err := to.encrypt([]byte("hi"), 512)
	require.NoError(t, err)
	two, err := to.encrypt([]byte("hi"), 512)
	require.NoError(t, err)
	require.NotEqual(t, one[:saltBytes], two[:saltBytes])
	require.NotEqual(t, one[saltBytes+5:headerBytes], two[saltBytes+5:headerBytes])
	require.NotEqual(t, one[headerBytes:], two[headerBytes:])
}

func TestEncrypt_RefusesATooLongPayload(t *testing.T) {
	_, to := newRecipient(t)
	_, err := to.encrypt(make([]byte, push.MaxWebPayload+1), paddedSize(push.MaxWebPayload+1))
	require.EqualError(t, err, "the payload has 3994 bytes: push services take at most 3993")
}

func newRecipient(t testing.TB) (*simulate.Browser, recipient) {
	t.Helper()
	browser := simulate.NewBrowser("https://push.example.com/1")
	subscription := browser.Subscription(push.User{}, nil)
	to, err := parseRecipient(subscription.P256dh, subscription.Auth)
	require.NoError(t, err)
	return browser, to
}

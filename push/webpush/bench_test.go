package webpush

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"testing"
	"time"

	reference "github.com/SherClockHolmes/webpush-go"
	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

// The payload of these benchmarks is a common one, of about 230 bytes.
func benchMessage(b *testing.B) (push.Message, *sender) {
	b.Helper()
	sender := newSender(b)
	message, _ := messageTo(b, sender, "https://push.example.com/send/abcdefghijklmnopqrstuvwxyz")
	content, err := push.Content{
		Title: "Your table is ready", Body: "Alice, the table for four by the window is laid. See you at eight.",
		URL: "https://example.com/bookings/123456", Tag: "booking-123456",
	}.Encode()
	require.NoError(b, err)
	message.Notification.Content = content
	return message, sender
}

// BenchmarkPrimitives is the least that a message costs: two P-256 operations,
// HKDF and AES-GCM.
func BenchmarkPrimitives(b *testing.B) {
	message, _ := benchMessage(b)
	browser, err := ecdh.P256().NewPublicKey(message.Subscription.P256dh)
	require.NoError(b, err)
	size := paddedSize(len(message.Notification.WebPayload("")))
	record := make([]byte, size-headerBytes-tagBytes, size)
	salt := make([]byte, saltBytes)
	info := string(make([]byte, len(keyInfo)+2*publicKeyBytes))
	b.ReportAllocs()
	for b.Loop() {
		ephemeral, _ := ecdh.P256().GenerateKey(rand.Reader)
		shared, _ := ephemeral.ECDH(browser)
		secret, _ := hkdf.Key(sha256.New, shared, message.Subscription.Auth, info, sha256.Size)
		random, _ := hkdf.Extract(sha256.New, secret, salt)
		key, _ := hkdf.Expand(sha256.New, random, contentKeyInfo, 16)
		nonce, _ := hkdf.Expand(sha256.New, random, nonceInfo, 12)
		block, _ := aes.NewCipher(key)
		gcm, _ := cipher.NewGCM(block)
		gcm.Seal(record[:0], nonce, record, nil)
	}
}

// BenchmarkEncrypt is a payload's way to a body.
func BenchmarkEncrypt(b *testing.B) {
	message, _ := benchMessage(b)
	payload := message.Notification.WebPayload("")
	b.ReportAllocs()
	for b.Loop() {
		to, err := parseRecipient(message.Subscription.P256dh, message.Subscription.Auth)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := to.encrypt(payload, paddedSize(len(payload))); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncode is all that Send does before it posts.
func BenchmarkEncode(b *testing.B) {
	message, sender := benchMessage(b)
	provider, err := New(Config{Key: sender.key})
	require.NoError(b, err)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		target, _, err := provider.guard.Check(message.Subscription.User.App, string(message.Subscription.Endpoint))
		if err != nil {
			b.Fatal(err)
		}
		to, err := parseRecipient(message.Subscription.P256dh, message.Subscription.Auth)
		if err != nil {
			b.Fatal(err)
		}
		authorization, err := provider.tokens.authorize(ctx, message.Subscription.User.App, message.Subscription.VAPIDKey, target)
		if err != nil {
			b.Fatal(err)
		}
		payload := message.Notification.WebPayload("")
		if _, err := to.encrypt(payload, paddedSize(len(payload))); err != nil {
			b.Fatal(err)
		}
		headerOf(message, authorization, target, payload)
	}
}

// BenchmarkWebpushGo is the same with webpush-go and a client that only reads.
func BenchmarkWebpushGo(b *testing.B) {
	message, sender := benchMessage(b)
	subscription := &reference.Subscription{
		Endpoint: string(message.Subscription.Endpoint),
		Keys:     reference.Keys{P256dh: push.EncodeBase64(message.Subscription.P256dh), Auth: push.EncodeBase64(message.Subscription.Auth)},
	}
	options := &reference.Options{
		HTTPClient: new(capture), Subscriber: "ops@example.com", Topic: message.Notification.Topic(), TTL: 90, Urgency: reference.UrgencyHigh,
		VAPIDPublicKey: push.EncodeBase64(sender.public), VAPIDPrivateKey: push.EncodeBase64(sender.private),
		VapidExpiration: time.Now().Add(12 * time.Hour),
	}
	b.ReportAllocs()
	for b.Loop() {
		payload := message.Notification.WebPayload("")
		if _, err := reference.SendNotification(bytes.Clone(payload), subscription, options); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkToken is what a token costs when none is cached.
func BenchmarkToken(b *testing.B) {
	sender := newSender(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sign(Key{Private: sender.private, Subject: subject}, sender.public, "https://push.example.com", time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}

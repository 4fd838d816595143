package simulate

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/belfryhq/belfry/push"
)

// Browser is the receiving end of Web Push: a key pair and an authentication
// secret, as a browser makes them for each subscription (RFC 8291 §2). It may be
// used by many goroutines at once.
type Browser struct {
	endpoint push.Endpoint
	private  *ecdh.PrivateKey
	auth     []byte
}

// NewBrowser makes a browser with keys of its own, subscribed at endpoint.
func NewBrowser(endpoint push.Endpoint) *Browser {
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		panic(fmt.Errorf("make a browser's key pair: %w", err)) // crypto/rand never fails
	}
	auth := make([]byte, 16)
	rand.Read(auth)
	return &Browser{endpoint: endpoint, private: private, auth: auth}
}

// Subscription is what the browser would register for user, made with our
// VAPID public key. Every call gives slices of its own.
func (b *Browser) Subscription(user push.User, vapidPublic []byte) push.Subscription {
	now := time.Now().Truncate(time.Millisecond)
	return push.Subscription{
		User:         user,
		Kind:         push.WebPush,
		Digest:       push.DigestOf(b.endpoint),
		Endpoint:     b.endpoint,
		P256dh:       b.private.PublicKey().Bytes(),
		Auth:         bytes.Clone(b.auth),
		VAPIDKey:     bytes.Clone(vapidPublic),
		CreatedAt:    now,
		RegisteredAt: now,
		SeenAt:       now,
	}
}

// MarshalJSON gives what PushSubscription.toJSON() gives in a browser, ready to
// be registered (W3C Push API, PushSubscriptionJSON).
func (b *Browser) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{
		"endpoint":       string(b.endpoint),
		"expirationTime": nil,
		"keys": map[string]string{
			"p256dh": base64.RawURLEncoding.EncodeToString(b.private.PublicKey().Bytes()),
			"auth":   base64.RawURLEncoding.EncodeToString(b.auth),
		},
	})
}

// Decrypt reads the body of a Web Push request (RFC 8291 §3, RFC 8188 §2) and
// gives the payload without its padding. It is as strict as the standards let
// a receiver be: one record, shorter than the record size announced, in a body
// of at most 4096 bytes, from a key on the curve.
func (b *Browser) Decrypt(body []byte) ([]byte, error) {
	if len(body) > 4096 {
		return nil, fmt.Errorf("the body has %d bytes: a push service need not take more than 4096", len(body))
	}
	if len(body) < 16+4+1 {
		return nil, fmt.Errorf("the body has %d bytes: too short for a header", len(body))
	}
	salt, rest := body[:16], body[16:]
	size, rest := binary.BigEndian.Uint32(rest), rest[4:]
	idLength, rest := int(rest[0]), rest[1:]
	if size < 18 {
		return nil, fmt.Errorf("the record size is %d: it must be at least 18", size)
	}
	if idLength != 65 || len(rest) < idLength {
		return nil, fmt.Errorf("the key id has %d of %d bytes: it must be the sender's key, 65 bytes", len(rest), idLength)
	}
	senderKey, record := rest[:idLength], rest[idLength:]
	if uint64(len(record)) >= uint64(size) {
		return nil, fmt.Errorf("the record has %d bytes: a single one must be shorter than the record size, %d", len(record), size)
	}
	sender, err := ecdh.P256().NewPublicKey(senderKey)
	if err != nil {
		return nil, fmt.Errorf("the sender's key: %w", err)
	}
	padded, err := b.open(sender, salt, record)
	if err != nil {
		return nil, err
	}
	return unpad(padded)
}

// open derives the keys of RFC 8291 §3.4 and authenticates the record.
func (b *Browser) open(sender *ecdh.PublicKey, salt, record []byte) ([]byte, error) {
	shared, err := b.private.ECDH(sender)
	if err != nil {
		return nil, fmt.Errorf("agree on a secret: %w", err)
	}
	combined := mac(b.auth, shared)
	input := mac(combined, []byte("WebPush: info\x00"), b.private.PublicKey().Bytes(), sender.Bytes(), []byte{1})
	random := mac(salt, input)
	key := mac(random, []byte("Content-Encoding: aes128gcm\x00\x01"))[:16]
	nonce := mac(random, []byte("Content-Encoding: nonce\x00\x01"))[:12]

	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("set up AES: %w", err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("set up GCM: %w", err)
	}
	padded, err := gcm.Open(nil, nonce, record, nil)
	if err != nil {
		return nil, fmt.Errorf("open the record: %w", err)
	}
	return padded, nil
}

// unpad removes the zeros and the delimiter of a last record (RFC 8188 §2).
func unpad(padded []byte) ([]byte, error) {
	content := bytes.TrimRight(padded, "\x00")
	if len(content) == 0 {
		return nil, errors.New("the record has no delimiter")
	}
	end := len(content) - 1
	if content[end] != 2 {
		return nil, fmt.Errorf("the delimiter is %d: that of the last record is 2", content[end])
	}
	return content[:end], nil
}

// mac is HMAC-SHA-256 over the parts. It is also HKDF's extract step and, with
// a counter byte for its last part, the first block of its expand step.
func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(nil)
}

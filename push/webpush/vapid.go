package webpush

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/belfryhq/belfry/push"
)

const (
	// tokenLife is how long a token is valid. RFC 8292 §2 allows 24 hours;
	// half of that leaves room for clocks that are wrong.
	tokenLife = 12 * time.Hour

	// tokenRenewal is the age at which a token is replaced.
	tokenRenewal = tokenLife / 2

	// maxTokens bounds the tokens kept: every push host of a stranger's
	// choosing takes one. One is about half a kilobyte.
	maxTokens = 4096
)

// ErrUnknownKey is what Config.Key answers when the app has no such key.
var ErrUnknownKey = errors.New("unknown VAPID key")

// errUnusableKey means that a key pair was found and cannot sign.
var errUnusableKey = errors.New("unusable VAPID key")

// Key signs the VAPID tokens of an app.
type Key struct {
	Private []byte // 32 bytes, big-endian scalar
	Subject string // how push services reach the operator: see ValidateSubject; empty to say nothing
}

// GenerateKey makes a VAPID key pair: the public key, which browsers subscribe
// with, as an uncompressed P-256 point of 65 bytes, and the private one as a
// big-endian scalar of 32 bytes.
func GenerateKey() (public, private []byte, err error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generate a VAPID key: %w", err)
	}
	return key.PublicKey().Bytes(), key.Bytes(), nil
}

// ParsePrivateKey reads a private key as other Web Push tools print it: base64
// of 32 bytes, in any of its forms. The error does not repeat the input.
func ParsePrivateKey(s string) ([]byte, error) {
	private, err := push.DecodeBase64(s)
	if err != nil {
		return nil, fmt.Errorf("read a VAPID private key: %w", err)
	}
	if _, err := PublicKey(private); err != nil {
		return nil, err
	}
	return private, nil
}

// PublicKey computes the public key, 65 bytes, from the private one.
func PublicKey(private []byte) ([]byte, error) {
	key, err := ecdh.P256().NewPrivateKey(private)
	if err != nil {
		return nil, errors.New("not a VAPID private key: 32 bytes, a scalar of P-256")
	}
	return key.PublicKey().Bytes(), nil
}

// ValidateSubject tells whether push services will accept s as the subject of
// an app's tokens (RFC 8292 §2.1): a mailto: or https: URL on a public domain.
// Apple refuses anything else, and every message with it.
func ValidateSubject(s string) error {
	const remedy = "write mailto:you@your.domain or https://your.domain"
	subject, err := url.Parse(s)
	if err != nil {
		return fmt.Errorf("the VAPID subject %q is not a URL: %s", s, remedy)
	}
	host := subject.Hostname()
	switch subject.Scheme {
	case "mailto":
		user, domain, _ := strings.Cut(subject.Opaque, "@")
		if user == "" || strings.ContainsAny(user, ":/?") {
			return fmt.Errorf("the VAPID subject %q has no mail address: %s", s, remedy)
		}
		host = domain
	case "https":
	default:
		return fmt.Errorf("the VAPID subject %q is neither a mailto: nor an https: URL: %s", s, remedy)
	}
	if !publicDomain(strings.ToLower(host)) {
		return fmt.Errorf("the VAPID subject %q is not on a public domain, which Apple requires: %s", s, remedy)
	}
	return nil
}

// publicDomain tells whether a host is a name that could be registered.
func publicDomain(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil || !validName(host) {
		return false
	}
	dot := strings.LastIndexByte(host, '.')
	top := host[dot+1:]
	return dot > 0 && !numeric(top) && !privateSuffixes[top] && !reservedSuffixes[top]
}

// reservedSuffixes are the top-level names of documentation and tests
// (RFC 2606).
var reservedSuffixes = map[string]bool{"test": true, "example": true, "invalid": true}

// tokens makes the Authorization headers (RFC 8292 §3) and keeps them: one says
// nothing about the message, so it serves all that go to the same origin with
// the same key. When one has to be made, sends that need it at the same moment
// may each make it; the last one stays.
type tokens struct {
	key func(ctx context.Context, app string, public []byte) (Key, error)

	mu   sync.RWMutex
	kept map[tokenName]token
}

// tokenName is what a token depends on: the key, and the push service's origin.
type tokenName struct {
	app          string
	public       [publicKeyBytes]byte
	scheme, host string
}

type token struct {
	authorization string
	madeAt        int64 // seconds of Unix time, so that a stepped clock shows
}

// fresh tells whether the token is to be used now. One from the future was made
// before the clock was set back, and lives longer than push services accept.
func (t token) fresh(now int64) bool {
	return t.madeAt <= now && now < t.madeAt+int64(tokenRenewal/time.Second)
}

func newTokens(key func(context.Context, string, []byte) (Key, error)) *tokens {
	return &tokens{key: key, kept: make(map[tokenName]token)}
}

// authorize gives the Authorization header for a request to target.
func (t *tokens) authorize(ctx context.Context, app string, public []byte, target *url.URL) (string, error) {
	name, ok := nameOf(app, public, target)
	if !ok {
		return "", ErrUnknownKey
	}
	now := time.Now()
	t.mu.RLock()
	kept, ok := t.kept[name]
	t.mu.RUnlock()
	if ok && kept.fresh(now.Unix()) {
		return kept.authorization, nil
	}

	key, err := t.key(ctx, app, bytes.Clone(public))
	if err != nil {
		return "", fmt.Errorf("look up the VAPID key: %w", err)
	}
	authorization, err := sign(key, public, target.Scheme+"://"+target.Host, now.Add(tokenLife))
	if err != nil {
		return "", err
	}
	t.keep(name, token{authorization: authorization, madeAt: now.Unix()})
	return authorization, nil
}

// forget drops a token that was refused, so that the next send takes the key
// and its subject as they are by then.
func (t *tokens) forget(app string, public []byte, target *url.URL) {
	if name, ok := nameOf(app, public, target); ok {
		t.mu.Lock()
		delete(t.kept, name)
		t.mu.Unlock()
	}
}

// keep remembers a token. When there is no room, any other one goes: it is made
// again when it is needed.
func (t *tokens) keep(name tokenName, made token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for other := range t.kept {
		if len(t.kept) < maxTokens {
			break
		}
		delete(t.kept, other)
	}
	t.kept[name] = made
}

func nameOf(app string, public []byte, target *url.URL) (tokenName, bool) {
	if len(public) != publicKeyBytes {
		return tokenName{}, false
	}
	return tokenName{app: app, public: [publicKeyBytes]byte(public), scheme: target.Scheme, host: target.Host}, true
}

// jwtHeader is the base64url of {"typ":"JWT","alg":"ES256"}.
const jwtHeader = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9"

// sign makes an Authorization header: a JSON Web Token signed with ES256 (RFC
// 7519, RFC 7518 §3.4) and the public key that verifies it.
func sign(key Key, public []byte, audience string, expires time.Time) (string, error) {
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), key.Private)
	if err != nil {
		return "", fmt.Errorf("%w: the private key is not a scalar of P-256", errUnusableKey)
	}
	if own, err := private.PublicKey.Bytes(); err != nil || !bytes.Equal(own, public) {
		return "", fmt.Errorf("%w: the private key does not belong to the public key", errUnusableKey)
	}
	claims, err := json.Marshal(struct {
		Audience string `json:"aud"`
		Expires  int64  `json:"exp"`
		Subject  string `json:"sub,omitempty"`
	}{audience, expires.Unix(), key.Subject})
	if err != nil {
		return "", fmt.Errorf("encode VAPID claims: %w", err)
	}

	signed := jwtHeader + "." + push.EncodeBase64(claims)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, private, digest[:])
	if err != nil {
		return "", fmt.Errorf("sign a VAPID token: %w", err)
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return "vapid t=" + signed + "." + push.EncodeBase64(signature[:]) + ", k=" + push.EncodeBase64(public), nil
}

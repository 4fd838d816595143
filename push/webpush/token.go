package webpush

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/url"
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
	// choosing takes one. One is about half a kilobyte, or some 700 bytes with
	// the longest subject. maxAppTokens bounds those of one app, whose strangers
	// are not to take the room of all the others.
	maxTokens    = 4096
	maxAppTokens = maxTokens / 4
)

// tokens makes the Authorization headers (RFC 8292 §3) and keeps them: one says
// nothing about the message, so it serves all that go to the same origin with
// the same key. When one has to be made, sends that need it at the same moment
// may each make it; the last one stays.
type tokens struct {
	key func(ctx context.Context, app string, public []byte) (Key, error)

	mu      sync.RWMutex
	kept    map[string]map[tokenName]token // by app, of which none is empty
	count   int                            // of all apps
	forgets int                            // how often an app's were forgotten
}

// tokenName is what an app's token depends on: the key, and the push service's
// origin.
type tokenName struct {
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
	return &tokens{key: key, kept: make(map[string]map[tokenName]token)}
}

// authorize gives the Authorization header for a request to target.
func (t *tokens) authorize(ctx context.Context, app string, public []byte, target *url.URL) (string, error) {
	name, ok := nameOf(public, target)
	if !ok {
		return "", ErrUnknownKey
	}
	now := time.Now()
	t.mu.RLock()
	kept, ok := t.kept[app][name]
	forgets := t.forgets
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
	t.keep(app, name, token{authorization: authorization, madeAt: now.Unix()}, forgets)
	return authorization, nil
}

// forget drops a token that was refused, so that the next send takes the key
// and its subject as they are by then.
func (t *tokens) forget(app string, public []byte, target *url.URL) {
	if name, ok := nameOf(public, target); ok {
		t.mu.Lock()
		t.drop(app, name)
		t.mu.Unlock()
	}
}

// forgetAll drops an app's tokens, and those that are being made.
func (t *tokens) forgetAll(app string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count -= len(t.kept[app])
	delete(t.kept, app)
	t.forgets++
}

// keep remembers a token, unless some were forgotten since its key was looked up.
// When there is no room, one of the app's own goes, or one of the app that has the
// most: it is made again when it is needed.
func (t *tokens) keep(app string, name tokenName, made token, forgets int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if forgets != t.forgets {
		return
	}
	t.drop(app, name)
	switch {
	case len(t.kept[app]) >= maxAppTokens:
		t.dropAny(app)
	case t.count >= maxTokens:
		t.dropAny(t.greediest())
	}
	if t.kept[app] == nil {
		t.kept[app] = make(map[tokenName]token)
	}
	t.kept[app][name] = made
	t.count++
}

func (t *tokens) drop(app string, name tokenName) {
	if _, ok := t.kept[app][name]; !ok {
		return
	}
	t.count--
	if delete(t.kept[app], name); len(t.kept[app]) == 0 {
		delete(t.kept, app)
	}
}

func (t *tokens) dropAny(app string) {
	for name := range t.kept[app] {
		t.drop(app, name)
		return
	}
}

// greediest is the app with the most tokens.
func (t *tokens) greediest() (app string) {
	for other, kept := range t.kept {
		if len(kept) > len(t.kept[app]) {
			app = other
		}
	}
	return app
}

func nameOf(public []byte, target *url.URL) (tokenName, bool) {
	if len(public) != publicKeyBytes {
		return tokenName{}, false
	}
	return tokenName{public: [publicKeyBytes]byte(public), scheme: target.Scheme, host: target.Host}, true
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

package apns

import (
	"crypto"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/belfryhq/belfry/push"
)

// What Apple says of provider tokens ("Establishing a token-based connection to
// APNs"): refused when older than an hour, and not to be changed more often than
// every 20 minutes.
const (
	tokenWindow = 50 * time.Minute // a token serves for so long …
	tokenLimit  = 55 * time.Minute // … or this, when another one would come too soon
	tokenRest   = 20 * time.Minute // the shortest time between two changes
	clockStep   = 5 * time.Minute  // a clock set back by less does not bring an old token back
)

// tokens makes the provider tokens: JSON Web Tokens signed with ES256 (RFC 7515,
// RFC 7518 §3.4).
//
//	{"alg":"ES256","kid":"<key ID>"} . {"iss":"<team ID>","iat":<seconds>} . <signature>
//
// All that is in one depends on the key and the time: it is issued at the start of
// the current one of the 50-minute windows that follow each other since the Unix
// epoch, and the signature is deterministic (RFC 6979). So everybody who has the
// key makes the same token, and none needs to be stored or shared.
//
// When APNs says ExpiredProviderToken all the same, the clocks disagree. Then a
// token is issued now, and serves until the next window has begun and it has
// served 20 minutes.
type tokens struct {
	mu   sync.Mutex
	kept map[tokenName]*providerToken
}

// tokenName is what a token depends on beside the time. The public key is in it
// because two apps may give the same IDs and different keys, of which one is
// wrong.
type tokenName struct {
	team, key string
	public    [sha256.Size]byte
}

// providerToken is the token in use of one key.
type providerToken struct {
	text      string
	issuedAt  time.Time
	changedAt time.Time // when it took another one's place; zero for the first
}

func newTokens() *tokens { return &tokens{kept: make(map[tokenName]*providerToken)} }

// current gives the token to use now.
func (t *tokens) current(c *Credential, now time.Time) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	window := windowOf(now)
	kept := t.kept[c.name]
	if kept != nil && !kept.due(window, now) {
		return kept.text, nil
	}
	text, err := sign(c, window)
	if err != nil {
		return "", err
	}
	fresh := &providerToken{text: text, issuedAt: window}
	if kept != nil {
		fresh.changedAt = now
	}
	t.keep(c.name, fresh, now)
	return text, nil
}

// windowOf is the start of the window that a time is in.
func windowOf(now time.Time) time.Time {
	seconds := int64(tokenWindow / time.Second)
	return time.Unix(now.Unix()/seconds*seconds, 0)
}

// due tells whether the token of the current window is to take this one's place.
func (p *providerToken) due(window, now time.Time) bool {
	age := now.Sub(p.issuedAt)
	switch {
	case age < -clockStep || age >= tokenLimit:
		return true
	case now.Sub(p.changedAt) < tokenRest:
		return false
	default:
		return window.After(p.issuedAt)
	}
}

// renew gives another token than the one that APNs called expired, or false if
// there has been a change too recently for that.
func (t *tokens) renew(c *Credential, expired string, now time.Time) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := t.kept[c.name]
	switch {
	case kept == nil:
		return "", false
	case kept.text != expired:
		return kept.text, true // another send was first
	case now.Sub(kept.changedAt) < tokenRest:
		return "", false
	}
	text, err := sign(c, now)
	if err != nil {
		return "", false
	}
	t.keep(c.name, &providerToken{text: text, issuedAt: now, changedAt: now}, now)
	return text, true
}

// keep puts a token in use. Those of keys that are no longer used go.
func (t *tokens) keep(name tokenName, fresh *providerToken, now time.Time) {
	for other, kept := range t.kept {
		if now.Sub(kept.issuedAt) > 2*tokenWindow {
			delete(t.kept, other)
		}
	}
	t.kept[name] = fresh
}

// sign makes the token issued at a time.
func sign(c *Credential, issuedAt time.Time) (string, error) {
	header, err := json.Marshal(struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
	}{"ES256", c.settings.KeyID})
	if err != nil {
		return "", fmt.Errorf("encode a provider token: %w", err)
	}
	claims, err := json.Marshal(struct {
		Issuer   string `json:"iss"`
		IssuedAt int64  `json:"iat"`
	}{c.settings.TeamID, issuedAt.Unix()})
	if err != nil {
		return "", fmt.Errorf("encode a provider token: %w", err)
	}
	signed := push.EncodeBase64(header) + "." + push.EncodeBase64(claims)
	digest := sha256.Sum256([]byte(signed))
	encoded, err := c.key.Sign(nil, digest[:], crypto.SHA256) // nil: deterministic
	if err != nil {
		return "", fmt.Errorf("sign a provider token: %w", err)
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(encoded, &pair); err != nil {
		return "", fmt.Errorf("sign a provider token: %w", err)
	}
	var signature [64]byte
	pair.R.FillBytes(signature[:32])
	pair.S.FillBytes(signature[32:])
	return signed + "." + push.EncodeBase64(signature[:]), nil
}

package webpush

import (
	"cmp"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/guard"
)

// maxSubjectBytes is the longest subject. It is in every request.
const maxSubjectBytes = 255

// ErrUnknownKey is what Config.Key answers when the app has no such key.
var ErrUnknownKey = errors.New("unknown VAPID key")

// errUnusableKey means that a key pair was found and cannot sign.
var errUnusableKey = errors.New("unusable VAPID key")

// Key signs the VAPID tokens of an app. It does not show its private half when it
// is printed, logged or encoded as JSON.
type Key struct {
	Private []byte `json:"-"` // 32 bytes, big-endian scalar
	Subject string // how push services reach the operator: see ValidateSubject; empty to say nothing
}

// String names it without its private half.
func (k Key) String() string { return "VAPID key of " + cmp.Or(k.Subject, "no subject") }

// GoString keeps %#v from giving the private half away.
func (k Key) GoString() string { return k.String() }

// LogValue keeps logs from giving the private half away.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

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
// an app's tokens (RFC 8292 §2.1): a mailto: or https: URL on a public domain, of
// 255 bytes at most.
// Apple refuses anything else, and every message with it.
func ValidateSubject(s string) error {
	const remedy = "write mailto:you@your.domain or https://your.domain"
	if len(s) > maxSubjectBytes {
		return fmt.Errorf("the VAPID subject has %d bytes, and at most %d are taken: %s", len(s), maxSubjectBytes, remedy)
	}
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
	top := host[strings.LastIndexByte(host, '.')+1:]
	return guard.RegistrableName(host) && !reservedSuffixes[top]
}

// reservedSuffixes are the top-level names of documentation and tests
// (RFC 2606).
var reservedSuffixes = map[string]bool{"test": true, "example": true, "invalid": true}

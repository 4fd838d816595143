package sealed

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"

	"github.com/belfryhq/belfry/push"
)

var errNotAKey = errors.New("it is not a key: 64 hexadecimal digits, or 32 bytes in base64")

// Key is the master key: an AES-256 key. It redacts itself when it is printed,
// logged or encoded as JSON.
type Key [32]byte

// newKey makes a random key.
func newKey() (key Key) {
	rand.Read(key[:]) // never fails (crypto/rand)
	return key
}

// ParseKey reads a key: 64 hexadecimal digits, or 32 bytes in base64 or
// base64url. The error does not repeat s.
func ParseKey(s string) (Key, error) {
	decoded, err := hex.DecodeString(s)
	if err != nil || len(decoded) != len(Key{}) {
		decoded, err = push.DecodeBase64(s)
	}
	if err != nil || len(decoded) != len(Key{}) {
		return Key{}, errNotAKey
	}
	return Key(decoded), nil
}

// String does not show the key.
func (Key) String() string { return "[master key]" }

// GoString keeps %#v from giving the key away.
func (k Key) GoString() string { return k.String() }

// LogValue keeps logs from giving the key away.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText keeps JSON from giving the key away.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

package push

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"
)

// Subscription is one place a user can be reached: a browser, a phone.
//
// Its identity within the app is the Digest of its endpoint. The same
// subscription registered for another user moves to that user: two people who
// share a computer never see each other's notifications.
type Subscription struct {
	User     User
	Kind     Kind
	Digest   Digest
	Endpoint Endpoint

	P256dh   []byte // Web Push: the browser's public key, 65 bytes, uncompressed P-256 point
	Auth     []byte `json:"-"` // Web Push: the browser's authentication secret, 16 bytes
	VAPIDKey []byte // Web Push: our public key it was made with, 65 bytes, uncompressed P-256 point

	Topic       string      // APNs: what the token is for: the app's bundle ID, with a suffix for some push types
	Environment Environment // APNs: which of Apple's two services made the token
	Project     string      // FCM: the ID of the Firebase project that made the token

	CreatedAt    time.Time // when this user registered it first
	RegisteredAt time.Time // when this user registered it last
	SeenAt       time.Time // when there was a sign of life last: a registration, now and then a delivery
	ExpiresAt    time.Time // when the browser says it ends; zero if it does not say

	Rest Rest // from a failed attempt until all that waited for the next one was sent

	// KeyMismatch: the push service says that it was made with another VAPID
	// key than VAPIDKey, or the app has VAPIDKey no longer. Nothing reaches it
	// before the browser subscribes anew.
	KeyMismatch bool
}

// Rest says that a subscription is left alone for a while, since it failed or
// its push host did. What is accepted meanwhile waits behind the notification
// that failed, so that the order holds. The zero Rest is none.
type Rest struct {
	Until        time.Time // the next attempt
	Notification ID        // what goes first then
	Attempts     int       // made with that one so far
	Status       int       // of the last of them, or of what closed the push host; see Result
	Reason       string    // likewise
}

// IsZero tells whether r is none.
func (r Rest) IsZero() bool { return r.Until.IsZero() }

// Host is the push host, with its port when it is not the scheme's own. It is
// safe to log. For APNs and FCM it is the service's own, also when a
// credential leads elsewhere.
func (s Subscription) Host() string {
	switch s.Kind {
	case APNs:
		return s.Environment.Host()
	case FCM:
		return FCMHost
	default:
		return s.Endpoint.Host()
	}
}

// Account is what of the app's credentials sends to it, where there may be
// several at one push host: APNs' topic, FCM's project; empty for Web Push.
func (s Subscription) Account() string {
	switch s.Kind {
	case APNs:
		return s.Topic
	case FCM:
		return s.Project
	default:
		return ""
	}
}

// String names the subscription without its secrets.
func (s Subscription) String() string {
	return s.Kind.String() + " " + s.Host() + "/…" + DigestOf(s.Endpoint).Short()
}

// GoString keeps %#v from giving the secrets away.
func (s Subscription) GoString() string { return s.String() }

// LogValue keeps logs from giving the secrets away.
func (s Subscription) LogValue() slog.Value { return slog.StringValue(s.String()) }

// SameKeys tells whether messages for s are right for other too: the browser's
// keys and ours are the same, and so is the service that made the token.
func (s Subscription) SameKeys(other Subscription) bool {
	return bytes.Equal(s.P256dh, other.P256dh) && bytes.Equal(s.Auth, other.Auth) && bytes.Equal(s.VAPIDKey, other.VAPIDKey) &&
		s.Topic == other.Topic && s.Environment == other.Environment && s.Project == other.Project
}

// Digest is a subscription's identity: the SHA-256 of its endpoint or token.
// Unlike the endpoint it is no secret. The zero Digest names no subscription.
type Digest [sha256.Size]byte

// DigestOf computes the identity of an endpoint or a device token.
func DigestOf(endpoint Endpoint) Digest { return sha256.Sum256([]byte(endpoint)) }

// ParseDigest reads 64 hexadecimal digits.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if len(s) != hex.EncodedLen(len(d)) {
		return Digest{}, fmt.Errorf("%q is not a subscription id (64 hexadecimal digits)", s)
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return Digest{}, fmt.Errorf("%q is not a subscription id (64 hexadecimal digits)", s)
	}
	return d, nil
}

// String gives 64 lower-case hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Short gives the first 16 hexadecimal digits: enough to tell subscriptions
// apart in an actor's name or a log line, not enough to name one.
func (d Digest) Short() string { return hex.EncodeToString(d[:8]) }

// IsZero tells whether d names no subscription.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText gives 64 hexadecimal digits, for JSON and logs.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Endpoint is a push endpoint (RFC 8030 §2: a capability URL) or a device
// token. Whoever knows it can send to it, so it redacts itself when it is
// printed, logged or encoded as JSON: only an explicit string(e) gives it away.
type Endpoint string

// Host is the host of the endpoint's URL, in lower case and with its port when
// that is not the scheme's own. It is empty for a device token or a URL that
// does not parse.
func (e Endpoint) Host() string {
	u, err := url.Parse(string(e))
	if err != nil {
		return ""
	}
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		return strings.TrimSuffix(host, ":443")
	case "http":
		return strings.TrimSuffix(host, ":80")
	default:
		return host
	}
}

// String gives the host and the start of the digest, never the endpoint.
func (e Endpoint) String() string {
	return e.Host() + "/…" + DigestOf(e).Short()
}

// GoString keeps %#v from giving the endpoint away.
func (e Endpoint) GoString() string { return e.String() }

// LogValue keeps logs from giving the endpoint away.
func (e Endpoint) LogValue() slog.Value { return slog.StringValue(e.String()) }

// MarshalText keeps JSON from giving the endpoint away. There is no
// UnmarshalText: what is read is an endpoint, what is written no longer is.
func (e Endpoint) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

package simulate

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"regexp"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var vapidForm = regexp.MustCompile(`^vapid t=([A-Za-z0-9._-]+), ?k=([A-Za-z0-9_-]+)$`)

// checkVAPID holds the Authorization header to RFC 8292: an ES256 token for
// this origin that ends within a day, signed with the key it names, which is
// the one the subscription is bound to.
func checkVAPID(authorization []string, origin string, bound []byte, now time.Time) *refusal {
	if len(authorization) != 1 {
		return refused(badToken, "Authorization must be given once")
	}
	parts := vapidForm.FindStringSubmatch(authorization[0])
	if parts == nil {
		return refused(badToken, "Authorization must have the form vapid t=…, k=…")
	}
	point, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return refused(badToken, "k is not base64url: %v", err)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return refused(badToken, "k is not an uncompressed P-256 point: %v", err)
	}

	var claims jwt.RegisteredClaims
	_, err = jwt.ParseWithClaims(parts[1], &claims,
		func(*jwt.Token) (any, error) { return key, nil },
		jwt.WithValidMethods([]string{"ES256"}),
		jwt.WithExpirationRequired(),
		jwt.WithAudience(origin),
		jwt.WithTimeFunc(func() time.Time { return now }))
	switch {
	case err != nil:
		return refused(badToken, "the VAPID token is wrong: %v", err)
	case claims.ExpiresAt.After(now.Add(24 * time.Hour)):
		return refused(badToken, "the VAPID token ends more than 24 hours from now")
	case !subjectForm.MatchString(claims.Subject):
		return refused(badToken, "sub must be a mailto: or https: URL; got %q", claims.Subject)
	case bound != nil && !bytes.Equal(bound, point):
		return refused(otherKey, "the subscription is bound to another VAPID key")
	}
	return nil
}

// Apple refuses anything else with BadJwtToken, mailto:mailto: included.
var subjectForm = regexp.MustCompile(`^(mailto:[^:@]+@[^:@]+|https://.+)$`)

package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/belfryhq/belfry/push"
)

// Of a secret (Standard Webhooks, "Signature scheme").
const (
	secretPrefix = "whsec_"
	secretBytes  = 32 // of one that is made here
	secretMin    = 24 // bytes of one that is given
	secretMax    = 64
)

// MakeSecret makes a secret of 32 random bytes.
func MakeSecret() []byte {
	secret := make([]byte, secretBytes)
	rand.Read(secret) // never fails (crypto/rand)
	return secret
}

// FormatSecret gives the form in which people and libraries have a secret: whsec_
// and base64.
func FormatSecret(secret []byte) string {
	return secretPrefix + base64.StdEncoding.EncodeToString(secret)
}

// ParseSecret reads what FormatSecret writes, of 24 to 64 bytes. The error is a
// *push.InvalidError of the field secret that does not repeat it.
func ParseSecret(text string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(text, secretPrefix)
	secret, err := base64.StdEncoding.Strict().DecodeString(encoded)
	switch {
	case !ok || err != nil || strings.ContainsAny(encoded, "\r\n"):
		return nil, badSecret("The secret is not of the form of one.")
	case len(secret) < secretMin || len(secret) > secretMax:
		return nil, badSecret(fmt.Sprintf("The secret has %d bytes.", len(secret)))
	}
	return secret, nil
}

func badSecret(what string) error {
	return &push.InvalidError{Field: "secret", Detail: fmt.Sprintf("%s Write %s and %d to %d random bytes in base64, or leave it out and one is made.", what, secretPrefix, secretMin, secretMax)}
}

// sign gives the value of the header webhook-signature.
func sign(secret []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s.", id, timestamp)
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

package push

import (
	"encoding/base64"
	"errors"
	"strings"
)

var errNotBase64 = errors.New("not base64")

// DecodeBase64 reads a key as browsers, SDKs and operators write it: base64 or
// base64url (RFC 4648 §4, §5), with its padding or without. It takes no white
// space and no bits after the end. The error does not repeat the input, which
// may be a secret.
func DecodeBase64(s string) ([]byte, error) {
	unpadded := strings.TrimRight(s, "=")
	padding := len(s) - len(unpadded)
	if padding > 2 || padding > 0 && len(s)%4 != 0 || strings.ContainsAny(s, "\r\n") {
		return nil, errNotBase64
	}
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(urlAlphabet.Replace(unpadded))
	if err != nil {
		return nil, errNotBase64
	}
	return decoded, nil
}

// EncodeBase64 writes a key the way Web Push does: base64url without padding.
func EncodeBase64(key []byte) string {
	return base64.RawURLEncoding.EncodeToString(key)
}

var urlAlphabet = strings.NewReplacer("+", "-", "/", "_")

package apns

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"slices"
	"unicode/utf16"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/belfryhq/belfry/push"
)

// maxIterations is how often a .p12 file may have its password hashed. Keychain
// Access and OpenSSL write some thousands; a million take about a second.
const maxIterations = 1_000_000

var (
	errManyIterations = &push.InvalidError{
		Field: "certificate", Detail: "The file takes too long to open, for it has its password hashed more than a million times: export it again from Keychain Access.",
	}
	errHiddenKey = &push.InvalidError{
		Field: "key", Detail: "The file has no private key, or has it encrypted twice: export the certificate and its key together from Keychain Access as .p12.",
	}
	errNotP12 = errors.New("not a .p12 file")
)

// decodeP12 is pkcs12.DecodeChain, in bounded time. The leaf comes first. The
// error is a *push.InvalidError, errNotP12 or the library's.
//
// A .p12 file (RFC 7292) says itself how often its password is to be hashed: for
// the code that authenticates it, for each part that is encrypted, and for each
// key, which is encrypted by itself. The library does as it is told, so the
// counts are read first (safe). That of a key within an encrypted part cannot be
// read. Nobody puts one there, so there must be one elsewhere; and since the
// library decrypts no second key after the first, the part with that one is put
// before the other.
func decodeP12(file []byte, password string) (key any, chain []*x509.Certificate, err error) {
	var outer pfx
	if err := unmarshal(file, &outer); err != nil {
		return nil, nil, err
	}
	parts, err := outer.safe()
	if err != nil {
		return nil, nil, err
	}
	keyed := slices.IndexFunc(parts, func(p part) bool { return p.keyed })
	switch hidden := slices.ContainsFunc(parts, func(p part) bool { return p.encrypted }); {
	case keyed < 0 && hidden:
		return nil, nil, errHiddenKey
	case keyed <= 0 || !hidden:
		return decodeChain(file, password)
	}

	// Of a trust store there is one part, so the library checks the password
	// and goes no further.
	var checked pkcs12.NotImplementedError
	if _, err := pkcs12.DecodeTrustStore(file, password); !errors.As(err, &checked) {
		return nil, nil, err
	}
	for _, secret := range secretsOf(password) {
		var swapped []byte
		if swapped, err = outer.rearranged(parts[1], parts[0], secret); err != nil {
			return nil, nil, err
		}
		if key, chain, err = decodeChain(swapped, password); err == nil {
			break
		}
	}
	return key, chain, err
}

func decodeChain(file []byte, password string) (any, []*x509.Certificate, error) {
	key, leaf, chain, err := pkcs12.DecodeChain(file, password)
	return key, append([]*x509.Certificate{leaf}, chain...), err
}

// secretsOf gives the password as it is hashed (RFC 7292 appendix B.1): in UTF-16
// with a zero at the end. Of the empty password some make no bytes at all.
func secretsOf(password string) [][]byte {
	var secret []byte
	for _, unit := range append(utf16.Encode([]rune(password)), 0) {
		secret = binary.BigEndian.AppendUint16(secret, unit)
	}
	if password == "" {
		return [][]byte{secret, nil}
	}
	return [][]byte{secret}
}

// rearranged is the file with its parts in another order. Its code, which
// authenticates the parts, is made anew for a password that was found right.
func (p pfx) rearranged(first, second part, secret []byte) ([]byte, error) {
	safe, err := asn1.Marshal([]asn1.RawValue{first.raw, second.raw})
	if err != nil {
		return nil, errNotP12
	}
	content, err := asn1.Marshal(safe)
	if err != nil {
		return nil, errNotP12
	}
	p.AuthSafe.Content = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: content}
	if p.MacData.Mac.Algorithm.Algorithm != nil {
		mac := hmac.New(sha1.New, macKey(secret))
		mac.Write(safe)
		p.MacData = macData{Mac: digestInfo{Algorithm: pkix.AlgorithmIdentifier{Algorithm: oidSHA1}, Digest: mac.Sum(nil)}, MacSalt: []byte{}, Iterations: 1}
	}
	encoded, err := asn1.Marshal(p)
	if err != nil {
		return nil, errNotP12
	}
	return encoded, nil
}

// macKey is the key of an HMAC with SHA-1 (RFC 7292 appendix B.2), without salt
// and hashed once.
func macKey(secret []byte) []byte {
	const (
		block   = 64
		purpose = 3 // a key for integrity
	)
	hashed := bytes.Repeat([]byte{purpose}, block)
	if len(secret) > 0 {
		length := (len(secret) + block - 1) / block * block
		hashed = append(hashed, bytes.Repeat(secret, length/len(secret)+1)[:length]...)
	}
	key := sha1.Sum(hashed)
	return key[:]
}

package apns

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/belfryhq/belfry/push"
)

const (
	// maxCertificateBytes is the longest file read. One has about 4 KiB.
	maxCertificateBytes = 64 << 10

	// maxKeyBits is the longest RSA key taken. A signature, of which each new
	// connection wants one, takes time with the cube of the length: 0.2 s for
	// this one. Apple's certificates are for keys of 2,048 bits.
	maxKeyBits = 8192
)

var (
	oidUserID = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}
	oidTopics = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 6}
)

// ParseCertificate reads a certificate for APNs with its key: a .p12 file, as
// Keychain Access exports it, or PEM with both in one file and the key not
// encrypted. Settings has the topics that it is to be used for; empty for all
// that it names. An error is a *push.InvalidError that names the field:
// certificate, password, key, topics, team_id, key_id, host or sandbox_host.
func ParseCertificate(file []byte, password string, settings Settings) (*Credential, error) {
	credential, err := loadCertificate(file, password, settings)
	if err != nil {
		return nil, err
	}
	const day = time.DateOnly
	switch now := time.Now(); {
	case now.Before(credential.since):
		return nil, &push.InvalidError{Field: "certificate", Detail: "The certificate is not valid before " + credential.since.Format(day) + "."}
	case now.After(credential.settings.Expires):
		return nil, &push.InvalidError{Field: "certificate", Detail: "The certificate expired on " + credential.settings.Expires.Format(day) + ": make a new one in the developer account."}
	}
	return credential, nil
}

// loadCertificate is ParseCertificate at any time.
func loadCertificate(file []byte, password string, settings Settings) (*Credential, error) {
	key, chain, err := parsePair(file, password)
	if err != nil {
		return nil, err
	}
	leaf, chain, err := leafOf(key, chain)
	if err != nil {
		return nil, err
	}
	if settings, err = certified(settings, leaf); err != nil {
		return nil, err
	}
	secret, err := encodePair(key, chain)
	if err != nil {
		return nil, err
	}
	certificate := &tls.Certificate{PrivateKey: key, Leaf: leaf}
	for _, one := range chain {
		certificate.Certificate = append(certificate.Certificate, one.Raw)
	}
	return &Credential{settings: settings, secret: secret, certificate: certificate, since: leaf.NotBefore}, nil
}

// parsePair reads a key and certificates. The error is a *push.InvalidError.
func parsePair(file []byte, password string) (crypto.Signer, []*x509.Certificate, error) {
	if len(file) > maxCertificateBytes {
		return nil, nil, &push.InvalidError{Field: "certificate", Detail: "The file is too long for a certificate and its key."}
	}
	var (
		key   crypto.Signer
		chain []*x509.Certificate
		err   error
	)
	if bytes.Contains(file, []byte("-----BEGIN ")) {
		key, chain, err = parsePEM(file)
	} else {
		key, chain, err = parseP12(file, password)
	}
	if err != nil {
		return nil, nil, err
	}
	if key, ok := key.(*rsa.PrivateKey); ok && key.N.BitLen() > maxKeyBits {
		return nil, nil, &push.InvalidError{Field: "key", Detail: fmt.Sprintf("The RSA key has %d bits: at most %d are taken.", key.N.BitLen(), maxKeyBits)}
	}
	return key, chain, nil
}

func parseP12(file []byte, password string) (crypto.Signer, []*x509.Certificate, error) {
	key, chain, err := decodeP12(file, password)
	var invalid *push.InvalidError
	switch {
	case errors.As(err, &invalid):
		return nil, nil, err
	case errors.Is(err, pkcs12.ErrIncorrectPassword), errors.Is(err, pkcs12.ErrDecryption):
		return nil, nil, &push.InvalidError{Field: "password", Detail: "The password does not open the file."}
	case err != nil && strings.Contains(err.Error(), "private key missing"):
		return nil, nil, errNoKey
	case err != nil:
		if _, err := x509.ParseCertificate(file); err == nil {
			return nil, nil, errNoKey // a .cer file
		}
		return nil, nil, &push.InvalidError{Field: "certificate", Detail: "The file is neither .p12 nor PEM, or it is damaged: export the certificate and its key from Keychain Access as .p12."}
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, nil, errOddKey
	}
	return signer, chain, nil
}

var (
	errNoKey = &push.InvalidError{
		Field: "key", Detail: "The file has a certificate and no private key: export both together, from the Mac that asked for the certificate.",
	}
	errOddKey = &push.InvalidError{Field: "key", Detail: "The private key cannot be read: send an RSA or ECDSA key."}
)

func parsePEM(file []byte) (key crypto.Signer, chain []*x509.Certificate, err error) {
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "CERTIFICATE":
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, &push.InvalidError{Field: "certificate", Detail: "The certificate is damaged."}
			}
			chain = append(chain, certificate)
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return nil, nil, &push.InvalidError{Field: "key", Detail: "The key in the PEM file is encrypted: send the .p12 file with its password instead."}
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			if key, err = parseSigner(block.Bytes); err != nil {
				return nil, nil, err
			}
		}
	}
	switch {
	case len(chain) == 0:
		return nil, nil, &push.InvalidError{Field: "certificate", Detail: "The PEM file has no certificate: put the certificate and its key into one file."}
	case key == nil:
		return nil, nil, errNoKey
	}
	return key, chain, nil
}

// parseSigner reads a private key in any of the encodings that PEM files have.
func parseSigner(der []byte) (crypto.Signer, error) {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		if signer, ok := key.(crypto.Signer); ok {
			return signer, nil
		}
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	return nil, errOddKey
}

// leafOf finds the certificate that the key is for, and puts it first.
func leafOf(key crypto.Signer, chain []*x509.Certificate) (*x509.Certificate, []*x509.Certificate, error) {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return nil, nil, errOddKey
	}
	i := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return public.Equal(c.PublicKey) })
	if i < 0 {
		return nil, nil, &push.InvalidError{Field: "key", Detail: "The private key does not belong to the certificate: export both together."}
	}
	leaf := chain[i]
	return leaf, append([]*x509.Certificate{leaf}, slices.Delete(chain, i, i+1)...), nil
}

// encodePair is what parsePEM reads.
func encodePair(key crypto.Signer, chain []*x509.Certificate) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, errOddKey
	}
	encoded := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	for _, certificate := range chain {
		encoded = append(encoded, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})...)
	}
	return encoded, nil
}

// certified gives the settings with what the certificate says. The error is a
// *push.InvalidError.
func certified(settings Settings, leaf *x509.Certificate) (Settings, error) {
	if settings.KeyID != "" {
		return Settings{}, &push.InvalidError{Field: "key_id", Detail: "It goes with a .p8 key: leave it out with a certificate."}
	}
	if settings.TeamID == "" && len(leaf.Subject.OrganizationalUnit) > 0 && idFormat.MatchString(leaf.Subject.OrganizationalUnit[0]) {
		settings.TeamID = leaf.Subject.OrganizationalUnit[0]
	}
	if settings.TeamID != "" && !idFormat.MatchString(settings.TeamID) {
		return Settings{}, &push.InvalidError{Field: "team_id", Detail: "The team ID has 10 characters of A–Z and 0–9; with a certificate it may be left out."}
	}
	named := topicsOf(leaf)
	if len(settings.Topics) == 0 {
		settings.Topics = named
	}
	for _, topic := range settings.Topics {
		if len(named) > 0 && !servedBy(named, topic) {
			return Settings{}, &push.InvalidError{
				Field:  "topics",
				Detail: fmt.Sprintf("The certificate is for %s and not for %.60q: leave the topics out, or name those.", listed(named), topic),
			}
		}
	}
	settings.Expires = leaf.NotAfter.UTC()
	return settings.checked()
}

// listed names the first of some topics.
func listed(topics []string) string {
	const most = 5
	if len(topics) > most {
		return strings.Join(topics[:most], ", ") + " and others"
	}
	return strings.Join(topics, ", ")
}

// topicsOf gives the topics that a certificate is for: those of Apple's
// extension, a sequence of topics, each followed by a sequence of words for what
// it is; or else the subject's user ID, which is the bundle ID. What has not the
// form of a topic is left out.
func topicsOf(leaf *x509.Certificate) []string {
	var topics []string
	for _, extension := range leaf.Extensions {
		var elements []asn1.RawValue
		if !extension.Id.Equal(oidTopics) {
			continue
		}
		if _, err := asn1.Unmarshal(extension.Value, &elements); err != nil {
			continue
		}
		for _, element := range elements {
			if element.Class == asn1.ClassUniversal && element.Tag == asn1.TagUTF8String && checkTopic(string(element.Bytes)) == nil {
				topics = append(topics, string(element.Bytes))
			}
		}
	}
	if len(topics) > 0 {
		return topics
	}
	for _, name := range leaf.Subject.Names {
		if id, ok := name.Value.(string); ok && name.Type.Equal(oidUserID) && checkTopic(id) == nil {
			return []string{id}
		}
	}
	return nil
}

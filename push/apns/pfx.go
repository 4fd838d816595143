package apns

import (
	"crypto/x509/pkix"
	"encoding/asn1"
)

// What is read of a .p12 file before it is opened (RFC 7292 §4; RFC 8018 appendix
// A). The types are those of the library that opens it, so that nothing is one
// thing here and another there.
type (
	pfx struct {
		Version  int
		AuthSafe contentInfo
		MacData  macData `asn1:"optional"`
	}
	contentInfo struct {
		ContentType asn1.ObjectIdentifier
		Content     asn1.RawValue `asn1:"tag:0,explicit,optional"`
	}
	macData struct {
		Mac        digestInfo
		MacSalt    []byte
		Iterations int `asn1:"optional,default:1"`
	}
	digestInfo struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}
	encryptedData struct {
		Version int
		Content encryptedContent
	}
	encryptedContent struct {
		ContentType asn1.ObjectIdentifier
		Algorithm   pkix.AlgorithmIdentifier
		Content     []byte `asn1:"tag:0,optional"`
	}
	safeBag struct {
		ID         asn1.ObjectIdentifier
		Value      asn1.RawValue  `asn1:"tag:0,explicit"`
		Attributes []bagAttribute `asn1:"set,optional"`
	}
	bagAttribute struct {
		ID    asn1.ObjectIdentifier
		Value asn1.RawValue `asn1:"set"`
	}
	encryptedKey struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	pbes1Params struct {
		Salt       []byte
		Iterations int
	}
	pbes2Params struct { // PBMAC1's too
		KDF, Scheme pkix.AlgorithmIdentifier
	}
	pbkdf2Params struct {
		Salt       asn1.RawValue
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
)

var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidEncryptedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 6}
	oidKey           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 1}
	oidEncryptedKey  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 2}
	oidPBES2         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBMAC1        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 14}
	oidSHA1          = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
)

// part is one of the parts of a file's safe, of which there are one or two.
type part struct {
	raw       asn1.RawValue
	encrypted bool
	keyed     bool // not encrypted, and has a key, which is encrypted by itself or not
}

// safe gives the parts of a file, all of whose counts are within bounds, but
// for those within encrypted parts. The error is errManyIterations or errNotP12.
func (p pfx) safe() ([]part, error) {
	if err := p.MacData.check(); err != nil {
		return nil, err
	}
	var content asn1.RawValue
	if err := unmarshal(p.AuthSafe.Content.Bytes, &content); err != nil {
		return nil, err
	}
	var raws []asn1.RawValue
	if err := unmarshal(content.Bytes, &raws); err != nil {
		return nil, err
	}
	if len(raws) < 1 || len(raws) > 2 {
		return nil, errNotP12
	}
	var parts []part
	for _, raw := range raws {
		part, err := partOf(raw)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, nil
}

func partOf(raw asn1.RawValue) (part, error) {
	var info contentInfo
	if err := unmarshal(raw.FullBytes, &info); err != nil {
		return part{}, err
	}
	switch {
	case info.ContentType.Equal(oidEncryptedData):
		var data encryptedData
		if err := unmarshal(info.Content.Bytes, &data); err != nil {
			return part{}, err
		}
		return part{raw: raw, encrypted: true}, checkAlgorithm(data.Content.Algorithm)
	case info.ContentType.Equal(oidData):
		keyed, err := checkBags(info.Content.Bytes)
		return part{raw: raw, keyed: keyed}, err
	default:
		return part{}, errNotP12
	}
}

// checkBags checks the keys of a part that is not encrypted, and tells whether
// there are any.
func checkBags(encoded []byte) (keyed bool, err error) {
	var (
		data []byte
		bags []safeBag
	)
	if err := unmarshal(encoded, &data); err != nil {
		return false, err
	}
	if err := unmarshal(data, &bags); err != nil {
		return false, err
	}
	for _, bag := range bags {
		keyed = keyed || bag.ID.Equal(oidKey) || bag.ID.Equal(oidEncryptedKey)
		if !bag.ID.Equal(oidEncryptedKey) {
			continue
		}
		var key encryptedKey
		if err := unmarshal(bag.Value.Bytes, &key); err != nil {
			return false, err
		}
		if err := checkAlgorithm(key.Algorithm); err != nil {
			return false, err
		}
	}
	return keyed, nil
}

func (m macData) check() error {
	if m.Mac.Algorithm.Algorithm.Equal(oidPBMAC1) {
		return checkPBKDF2(m.Mac.Algorithm)
	}
	return checkCount(m.Iterations)
}

// checkAlgorithm checks the count of a way to encrypt with a password.
func checkAlgorithm(algorithm pkix.AlgorithmIdentifier) error {
	if algorithm.Algorithm.Equal(oidPBES2) {
		return checkPBKDF2(algorithm)
	}
	var params pbes1Params
	if err := unmarshal(algorithm.Parameters.FullBytes, &params); err != nil {
		return err
	}
	return checkCount(params.Iterations)
}

// checkPBKDF2 checks the count of PBES2 or PBMAC1: they know no other way to make
// a key of a password that the library does.
func checkPBKDF2(algorithm pkix.AlgorithmIdentifier) error {
	var params pbes2Params
	if err := unmarshal(algorithm.Parameters.FullBytes, &params); err != nil {
		return err
	}
	var derivation pbkdf2Params
	if err := unmarshal(params.KDF.Parameters.FullBytes, &derivation); err != nil {
		return err
	}
	return checkCount(derivation.Iterations)
}

func checkCount(iterations int) error {
	if iterations > maxIterations {
		return errManyIterations
	}
	return nil
}

// unmarshal reads a value with nothing behind it. The error is errNotP12.
func unmarshal(encoded []byte, into any) error {
	if rest, err := asn1.Unmarshal(encoded, into); err != nil || len(rest) > 0 {
		return errNotP12
	}
	return nil
}

package apns

import (
	"bytes"
	"crypto/cipher"
	"crypto/des"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/belfryhq/belfry/push"
)

// forAges is a count that no test waits for.
const forAges = math.MaxInt32

// opened is a file as it was written, for tests that write it again.
func opened(t testing.TB, file []byte) (pfx, []part) {
	t.Helper()
	var outer pfx
	require.NoError(t, unmarshal(file, &outer))
	parts, err := outer.safe()
	require.NoError(t, err)
	return outer, parts
}

func der(t testing.TB, value any) []byte {
	t.Helper()
	encoded, err := asn1.Marshal(value)
	require.NoError(t, err)
	return encoded
}

func explicit(encoded []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: encoded}
}

// partIn makes a part that is not encrypted.
func partIn(t testing.TB, bags ...safeBag) part {
	info := contentInfo{ContentType: oidData, Content: explicit(der(t, der(t, bags)))}
	return part{raw: asn1.RawValue{FullBytes: der(t, info)}}
}

// bagsOf reads such a part.
func bagsOf(t testing.TB, p part) []safeBag {
	t.Helper()
	var (
		info contentInfo
		data []byte
		bags []safeBag
	)
	require.NoError(t, unmarshal(p.raw.FullBytes, &info))
	require.NoError(t, unmarshal(info.Content.Bytes, &data))
	require.NoError(t, unmarshal(data, &bags))
	return bags
}

// encryptedIn makes an encrypted part for the password of no bytes, which without
// salt and hashed once is simple: Triple DES, with the key and vector of RFC 7292
// appendix B.2.
func encryptedIn(t testing.TB, bags ...safeBag) part {
	t.Helper()
	key, vector := sha1.Sum(bytes.Repeat([]byte{1}, 64)), sha1.Sum(bytes.Repeat([]byte{2}, 64))
	block, err := des.NewTripleDESCipher(append(key[:], key[:4]...))
	require.NoError(t, err)
	text := der(t, bags)
	pad := 8 - len(text)%8
	text = append(text, bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, vector[:8]).CryptBlocks(text, text)
	info := contentInfo{ContentType: oidEncryptedData, Content: explicit(der(t, encryptedData{Content: encryptedContent{
		ContentType: oidData, Algorithm: tripleDES(t, 1), Content: text,
	}}))}
	return part{raw: asn1.RawValue{FullBytes: der(t, info)}, encrypted: true}
}

func tripleDES(t testing.TB, iterations int) pkix.AlgorithmIdentifier {
	return pkix.AlgorithmIdentifier{
		Algorithm:  asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1, 3},
		Parameters: asn1.RawValue{FullBytes: der(t, pbes1Params{Salt: []byte{}, Iterations: iterations})},
	}
}

// hashing is an algorithm of PBES2's form.
func hashing(t testing.TB, oid asn1.ObjectIdentifier, salt asn1.RawValue, iterations int) pkix.AlgorithmIdentifier {
	derivation := pkix.AlgorithmIdentifier{
		Algorithm:  asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12},
		Parameters: asn1.RawValue{FullBytes: der(t, pbkdf2Params{Salt: salt, Iterations: iterations, KeyLength: 32})},
	}
	scheme := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42} // AES
	if oid.Equal(oidPBMAC1) {
		scheme = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9} // HMAC
	}
	return pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.RawValue{FullBytes: der(t, pbes2Params{
		KDF: derivation, Scheme: pkix.AlgorithmIdentifier{Algorithm: scheme},
	})}}
}

// slowKey is a key that takes ages to decrypt.
func slowKey(t testing.TB, algorithm pkix.AlgorithmIdentifier) safeBag {
	return safeBag{ID: oidEncryptedKey, Value: explicit(der(t, encryptedKey{Algorithm: algorithm, Data: make([]byte, 16)}))}
}

// plain is a certificate and its key, each in a part that is not encrypted.
func plain(t testing.TB) (outer pfx, certificate, key part) {
	t.Helper()
	private := ecKey(t)
	file, err := pkcs12.Passwordless.Encode(private, issue(t, private), nil, "")
	require.NoError(t, err)
	outer, parts := opened(t, file)
	require.Len(t, parts, 2)
	require.True(t, parts[1].keyed)
	outer.MacData.Mac.Algorithm.Algorithm = oidSHA1 // to be made
	return outer, parts[0], parts[1]
}

func TestParseCertificate_HashesNoPasswordForAges(t *testing.T) {
	outer, certificate, key := plain(t)
	salt := asn1.RawValue{Tag: asn1.TagOctetString, Bytes: []byte("salt")}
	oddSalt := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: asn1.TagOctetString, Bytes: []byte("salt")}
	slowPart := func(algorithm pkix.AlgorithmIdentifier) part {
		info := contentInfo{ContentType: oidEncryptedData, Content: explicit(der(t, encryptedData{Content: encryptedContent{
			ContentType: oidData, Algorithm: algorithm, Content: make([]byte, 16),
		}}))}
		return part{raw: asn1.RawValue{FullBytes: der(t, info)}}
	}
	for name, test := range map[string]struct {
		mac           *macData
		first, second part
		want          string
	}{
		"the code's": {
			mac:   &macData{Mac: digestInfo{Algorithm: pkix.AlgorithmIdentifier{Algorithm: oidSHA1}, Digest: make([]byte, 20)}, MacSalt: []byte{}, Iterations: forAges},
			first: certificate, second: key, want: "more than a million times",
		},
		"the code's, PBMAC1": {
			mac:   &macData{Mac: digestInfo{Algorithm: hashing(t, oidPBMAC1, salt, forAges), Digest: make([]byte, 32)}, MacSalt: []byte{}, Iterations: 1},
			first: certificate, second: key, want: "more than a million times",
		},
		"the certificates', PBES1":                 {first: slowPart(tripleDES(t, forAges)), second: key, want: "more than a million times"},
		"the certificates', PBES2":                 {first: slowPart(hashing(t, oidPBES2, salt, forAges)), second: key, want: "more than a million times"},
		"with a salt of another class":             {first: slowPart(hashing(t, oidPBES2, oddSalt, forAges)), second: key, want: "more than a million times"},
		"the second part's":                        {first: key, second: slowPart(hashing(t, oidPBES2, salt, forAges)), want: "more than a million times"},
		"the key's, PBES1":                         {first: certificate, second: partIn(t, slowKey(t, tripleDES(t, forAges))), want: "more than a million times"},
		"the key's, PBES2":                         {first: certificate, second: partIn(t, slowKey(t, hashing(t, oidPBES2, salt, forAges))), want: "more than a million times"},
		"just above the bound":                     {first: certificate, second: partIn(t, slowKey(t, tripleDES(t, maxIterations+1))), want: "more than a million times"},
		"a second key's":                           {first: certificate, second: partIn(t, append(bagsOf(t, key), slowKey(t, tripleDES(t, forAges)))...), want: "more than a million times"},
		"a hidden key's":                           {first: certificate, second: encryptedIn(t, slowKey(t, tripleDES(t, forAges))), want: "encrypted twice"},
		"a hidden key's, in front":                 {first: encryptedIn(t, slowKey(t, tripleDES(t, forAges))), second: certificate, want: "encrypted twice"},
		"a hidden key's, with another before":      {first: key, second: encryptedIn(t, append(bagsOf(t, certificate), slowKey(t, tripleDES(t, forAges)))...), want: "it is damaged"},
		"a hidden key's, with another to follow":   {first: encryptedIn(t, append(bagsOf(t, certificate), slowKey(t, tripleDES(t, forAges)))...), second: key, want: "it is damaged"},
		"a hidden key's, PBES2, and one to follow": {first: encryptedIn(t, slowKey(t, hashing(t, oidPBES2, salt, forAges))), second: key, want: "it is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := outer.rearranged(test.first, test.second, nil)
			require.NoError(t, err)
			if test.mac != nil {
				changed, _ := opened(t, file)
				changed.MacData = *test.mac
				file = der(t, changed)
			}
			_, err = ParseCertificate(file, "", Settings{})
			require.ErrorAs(t, err, new(*push.InvalidError))
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestParseCertificate_ReadsWhatTheParametersOfOthersAllow(t *testing.T) {
	private := ecKey(t)
	leaf := issue(t, private)
	for name, encoder := range map[string]*pkcs12.Encoder{
		"LegacyRC2": pkcs12.LegacyRC2, "LegacyDES": pkcs12.LegacyDES, "Modern2023": pkcs12.Modern2023,
		"many iterations": pkcs12.Modern2023.WithIterations(100_000),
	} {
		for _, secret := range []string{"", password, "pässwörd"} {
			file, err := encoder.Encode(private, leaf, nil, secret)
			require.NoError(t, err)
			outer, parts := opened(t, file)
			require.True(t, parts[0].encrypted, "as Keychain Access has it, too")
			credential, err := ParseCertificate(file, secret, Settings{})
			require.NoError(t, err, "%s with %q", name, secret)
			require.Equal(t, leaf.Raw, credential.certificate.Leaf.Raw)
			_, err = ParseCertificate(file, "another", Settings{})
			requireInvalid(t, err, "password")

			file, err = outer.rearranged(parts[1], parts[0], secretsOf(secret)[0])
			require.NoError(t, err)
			_, err = ParseCertificate(file, secret, Settings{})
			require.NoError(t, err, "%s with %q, the key first", name, secret)
		}
	}
	file, err := pkcs12.Passwordless.Encode(private, leaf, nil, "")
	require.NoError(t, err)
	_, err = ParseCertificate(file, "", Settings{})
	require.NoError(t, err)
}

// Windows hashes no bytes for the empty password, where others hash two zeros.
func TestParseCertificate_ReadsBothFormsOfTheEmptyPassword(t *testing.T) {
	outer, certificate, key := plain(t)
	hidden := encryptedIn(t, bagsOf(t, certificate)...)
	for name, parts := range map[string][2]part{"the key first": {key, hidden}, "the key last": {hidden, key}} {
		file, err := outer.rearranged(parts[0], parts[1], nil)
		require.NoError(t, err)
		_, err = ParseCertificate(file, "", Settings{})
		require.NoError(t, err, name)
		_, err = ParseCertificate(file, "another", Settings{})
		requireInvalid(t, err, "password")
	}
}

func TestParseCertificate_TakesNoRSAKeyThatSignsForAges(t *testing.T) {
	for bits, ok := range map[int]bool{maxKeyBits: true, maxKeyBits + 8: false} {
		key := rsaOf(t, bits)
		authority := ecKey(t)
		template := issue(t, authority)
		encoded, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), authority)
		require.NoError(t, err)
		leaf, err := x509.ParseCertificate(encoded)
		require.NoError(t, err)
		for _, file := range [][]byte{append(pemOf(leaf), p8Of(t, key)...), p12Of(t, key, leaf)} {
			_, err := ParseCertificate(file, password, Settings{})
			if ok {
				require.NoError(t, err)
				continue
			}
			requireInvalid(t, err, "key")
			require.ErrorContains(t, err, "8200 bits")
		}
	}
}

// rsaOf makes a key that can be read and is good for nothing: two real primes of
// this length take minutes to find.
func rsaOf(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	one, e := big.NewInt(1), big.NewInt(65537)
	half := func() *big.Int {
		for {
			p, err := rand.Int(rand.Reader, new(big.Int).Lsh(one, uint(bits/2)))
			require.NoError(t, err)
			p.SetBit(p, bits/2-1, 1).SetBit(p, bits/2-2, 1).SetBit(p, 0, 1)
			if new(big.Int).GCD(nil, nil, e, new(big.Int).Sub(p, one)).Cmp(one) == 0 {
				return p
			}
		}
	}
	p, q := half(), half()
	for new(big.Int).GCD(nil, nil, p, q).Cmp(one) != 0 {
		q = half()
	}
	p1, q1 := new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)
	d := new(big.Int).ModInverse(e, new(big.Int).Mul(p1, q1))
	key, err := x509.ParsePKCS1PrivateKey(der(t, struct {
		Version                int
		N                      *big.Int
		E                      int
		D, P, Q, DP, DQ, QInvP *big.Int
	}{0, new(big.Int).Mul(p, q), 65537, d, p, q, new(big.Int).Mod(d, p1), new(big.Int).Mod(d, q1), new(big.Int).ModInverse(q, p)}))
	require.NoError(t, err)
	return key
}

package apns

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

const password = "correct horse"

// issue makes a certificate as Apple does, changed as asked.
func issue(t testing.TB, key crypto.Signer, change ...func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject: pkix.Name{
			CommonName: "Apple Push Services: " + bundle, OrganizationalUnit: []string{"TEAM000001"},
			ExtraNames: []pkix.AttributeTypeAndValue{{Type: oidUserID, Value: bundle}},
		},
		NotBefore: time.Now().Add(-time.Hour),
		NotAfter:  time.Now().Add(365 * 24 * time.Hour),
	}
	for _, f := range change {
		f(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return certificate
}

// naming puts topics into Apple's extension.
func naming(t testing.TB, topics ...string) func(*x509.Certificate) {
	var elements []asn1.RawValue
	for _, topic := range topics {
		kind, err := asn1.Marshal([]asn1.RawValue{{Tag: asn1.TagUTF8String, Bytes: []byte("app")}})
		require.NoError(t, err)
		elements = append(elements, asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(topic)}, asn1.RawValue{FullBytes: kind})
	}
	value, err := asn1.Marshal(elements)
	require.NoError(t, err)
	return func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{{Id: oidTopics, Value: value}} }
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func p12Of(t testing.TB, key crypto.PrivateKey, certificate *x509.Certificate, chain ...*x509.Certificate) []byte {
	t.Helper()
	file, err := pkcs12.Legacy.Encode(key, certificate, chain, password)
	require.NoError(t, err)
	return file
}

func pemOf(certificates ...*x509.Certificate) []byte {
	var file []byte
	for _, certificate := range certificates {
		file = append(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})...)
	}
	return file
}

// certificateOf is a credential with a certificate.
func certificateOf(t *testing.T, change ...func(*x509.Certificate)) *Credential {
	t.Helper()
	key := ecKey(t)
	credential, err := ParseCertificate(append(pemOf(issue(t, key, change...)), p8Of(t, key)...), "", Settings{})
	require.NoError(t, err)
	return credential
}

func TestParseCertificate_ReadsEveryFormOfFile(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	leaf, authority := issue(t, rsaKey), issue(t, ecKey(t))
	modern, err := pkcs12.Modern.Encode(rsaKey, leaf, []*x509.Certificate{authority}, password)
	require.NoError(t, err)
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)})

	want := append(append(p8Of(t, rsaKey), pemOf(leaf)...), pemOf(authority)...)
	for name, test := range map[string]struct {
		file     []byte
		password string
	}{
		"p12":              {p12Of(t, rsaKey, leaf, authority), password},
		"p12, modern":      {modern, password},
		"p12, other order": {p12Of(t, rsaKey, authority, leaf), password},
		"PEM":              {append(pemOf(leaf, authority), p8Of(t, rsaKey)...), ""},
		"PEM, key first":   {append(pkcs1, pemOf(authority, leaf)...), "not needed"},
		"PEM, with words":  {append([]byte("Bag Attributes\n    friendlyName: me\n"), append(pemOf(leaf, authority), pkcs1...)...), ""},
	} {
		t.Run(name, func(t *testing.T) {
			credential, err := ParseCertificate(test.file, test.password, Settings{})
			require.NoError(t, err)
			require.Equal(t, string(want), string(credential.Secret()))
			require.Equal(t, Settings{TeamID: "TEAM000001", Topics: []string{bundle}, Expires: leaf.NotAfter}, credential.Settings())
		})
	}

	key := ecKey(t)
	sec1, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	_, err = ParseCertificate(append(pemOf(issue(t, key)), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})...), "", Settings{})
	require.NoError(t, err)
}

func TestParseCertificate_TellsEveryMistakeApart(t *testing.T) {
	key, other := ecKey(t), ecKey(t)
	leaf := issue(t, key)
	trust, err := pkcs12.Modern.EncodeTrustStore([]*x509.Certificate{leaf}, password)
	require.NoError(t, err)
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})
	legacy := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: []byte("x")})
	ended := issue(t, key, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) })
	future := issue(t, key, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })

	for name, test := range map[string]struct {
		file     []byte
		password string
		settings Settings
		field    string
		says     string
	}{
		"wrong password":    {file: p12Of(t, key, leaf), password: "no", field: "password", says: "does not open"},
		"no password":       {file: p12Of(t, key, leaf), field: "password", says: "does not open"},
		"p12 without key":   {file: trust, password: password, field: "key", says: "no private key"},
		"PEM without key":   {file: pemOf(leaf), field: "key", says: "no private key"},
		".cer":              {file: leaf.Raw, field: "key", says: "no private key"},
		"encrypted key":     {file: append(pemOf(leaf), encrypted...), field: "key", says: "encrypted"},
		"encrypted of old":  {file: append(pemOf(leaf), legacy...), field: "key", says: "encrypted"},
		"odd key":           {file: append(pemOf(leaf), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})...), field: "key", says: "cannot be read"},
		"another key":       {file: append(pemOf(leaf), p8Of(t, other)...), field: "key", says: "does not belong"},
		"another key, p12":  {file: p12Of(t, other, leaf), password: password, field: "key", says: "does not belong"},
		"a .p8 file":        {file: p8Of(t, key), field: "certificate", says: "no certificate"},
		"damaged":           {file: append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), p8Of(t, key)...), field: "certificate", says: "damaged"},
		"nothing":           {field: "certificate", says: "neither"},
		"noise":             {file: []byte("noise"), field: "certificate", says: "neither"},
		"too long":          {file: make([]byte, maxCertificateBytes+1), field: "certificate", says: "too long"},
		"expired":           {file: p12Of(t, key, ended), password: password, field: "certificate", says: "expired on"},
		"not yet valid":     {file: p12Of(t, key, future), password: password, field: "certificate", says: "not valid before"},
		"another topic":     {file: p12Of(t, key, leaf), password: password, settings: Settings{Topics: []string{"com.example.other"}}, field: "topics", says: "is for com.example.app"},
		"a key id":          {file: p12Of(t, key, leaf), password: password, settings: Settings{KeyID: "KEY0000001"}, field: "key_id", says: ".p8"},
		"an odd team":       {file: p12Of(t, key, leaf), password: password, settings: Settings{TeamID: "x"}, field: "team_id", says: "10 characters"},
		"an odd host":       {file: p12Of(t, key, leaf), password: password, settings: Settings{Host: "x"}, field: "host", says: "https://"},
		"no topic anywhere": {file: append(pemOf(issue(t, key, func(c *x509.Certificate) { c.Subject.ExtraNames = nil })), p8Of(t, key)...), field: "topics", says: "bundle IDs"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseCertificate(test.file, test.password, test.settings)
			requireInvalid(t, err, test.field)
			require.ErrorContains(t, err, test.says)
			require.NotContains(t, err.Error(), password)
		})
	}
}

func TestParseCertificate_TakesTheTopicsThatAppleNames(t *testing.T) {
	all := certificateOf(t, naming(t, bundle, bundle+".voip", bundle+".complication"))
	require.Equal(t, []string{bundle, bundle + ".voip", bundle + ".complication"}, all.Settings().Topics)

	key := ecKey(t)
	file := append(pemOf(issue(t, key)), p8Of(t, key)...)
	some, err := ParseCertificate(file, "", Settings{Topics: []string{bundle + ".voip"}})
	require.NoError(t, err)
	require.True(t, some.Serves(bundle+".voip"))
	require.False(t, some.Serves(bundle))

	nameless := append(pemOf(issue(t, key, func(c *x509.Certificate) { c.Subject.ExtraNames = nil })), p8Of(t, key)...)
	told, err := ParseCertificate(nameless, "", Settings{Topics: []string{"com.example.other"}})
	require.NoError(t, err)
	require.True(t, told.Serves("com.example.other"))

	partly := certificateOf(t, naming(t, "two words", bundle, "x\nlevel=ERROR", strings.Repeat("x", 256), "<b>"))
	require.Equal(t, []string{bundle}, partly.Settings().Topics)
	_, err = ParseCertificate(append(pemOf(issue(t, key, naming(t, topics(300)...))), p8Of(t, key)...), "", Settings{})
	requireInvalid(t, err, "topics")
	_, err = ParseCertificate(append(pemOf(issue(t, key, naming(t, topics(300)...))), p8Of(t, key)...), "", Settings{Topics: []string{bundle}})
	requireInvalid(t, err, "topics")
	require.ErrorContains(t, err, "com.example.app4 and others")
	require.Less(t, len(err.Error()), 300)

	odd := certificateOf(t, func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{{Id: oidTopics, Value: []byte("x")}} })
	require.Equal(t, []string{bundle}, odd.Settings().Topics, "what cannot be read names nothing")
}

func TestSend_ProvesItselfByACertificate(t *testing.T) {
	credential := certificateOf(t)
	r := newRig(t, func(c *simulate.APNsConfig) {
		c.Now = time.Now
		c.Certificates = []*x509.Certificate{credential.certificate.Leaf}
	})
	r.clock.advance(time.Since(noon))
	settings := credential.Settings()
	settings.Host = r.production.URL()
	var err error
	r.credential, err = Load(settings, credential.Secret())
	require.NoError(t, err)
	require.Equal(t, push.Delivered, r.send().Outcome)
	require.Empty(t, r.tokens.kept, "no provider token beside it")

	r.credential, err = Load(settings, credential.Secret())
	require.NoError(t, err)
	r.clock.advance(366 * 24 * time.Hour)
	result := r.send()
	require.Equal(t, push.Refused, result.Outcome)
	require.Equal(t, "the certificate expired on "+settings.Expires.Format(time.DateOnly), result.Reason)
	r.clock.advance(-367 * 24 * time.Hour)
	require.Contains(t, r.send().Reason, "the certificate is not valid before ")
	require.Len(t, r.production.Log(), 1)
}

func TestSend_IsRefusedWithAnUnknownCertificate(t *testing.T) {
	r := newRig(t)
	r.credential = certificateOf(t)
	r.credential.settings.Host = r.production.URL()
	r.clock.advance(time.Since(noon))
	result := r.send()
	require.Equal(t, push.Refused, result.Outcome)
	require.Equal(t, "BadCertificate", result.Reason)
}

// APNs may also refuse a certificate before there is a request to answer.
func TestSend_IsRefusedInTLS(t *testing.T) {
	strict := httptest.NewUnstartedServer(http.NotFoundHandler())
	strict.EnableHTTP2 = true
	strict.Config.ErrorLog = log.New(io.Discard, "", 0)
	strict.TLS = &tls.Config{
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool(),
		MaxVersion: tls.VersionTLS12, // with 1.3 the refusal may come before or after the request is sent
	}
	strict.StartTLS()
	defer strict.Close()
	for name, test := range map[string]struct {
		credential *Credential
		want       push.Result
	}{
		"a certificate": {certificateOf(t), push.Result{Outcome: push.Refused, Reason: "the push service does not take the certificate"}},
		"a key":         {keyed(t), push.Result{Outcome: push.Retry, Reason: "the push service does not speak TLS as it should"}},
	} {
		t.Run(name, func(t *testing.T) {
			test.credential.settings.Host = strict.URL
			provider, err := New(Config{
				Credential: func(context.Context, string, string) (*Credential, error) { return test.credential, nil },
				RootCAs:    strict.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs,
			})
			require.NoError(t, err)
			defer provider.Close()
			require.Equal(t, test.want, provider.Send(t.Context(), messageOf(t)))
		})
	}
}

func FuzzParseCertificate(f *testing.F) {
	key := ecKey(f)
	leaf := issue(f, key)
	f.Add(p12Of(f, key, leaf), password)
	f.Add(append(pemOf(leaf), p8Of(f, key)...), "")
	f.Add(leaf.Raw, "")
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), "\xff")
	f.Fuzz(func(t *testing.T, file []byte, password string) {
		credential, err := ParseCertificate(file, password, Settings{})
		if err != nil {
			require.ErrorAs(t, err, new(*push.InvalidError))
			return
		}
		again, err := Load(credential.Settings(), credential.Secret())
		require.NoError(t, err)
		require.Equal(t, credential.Secret(), again.Secret())
	})
}

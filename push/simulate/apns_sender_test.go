package simulate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

func TestAPNs_WantsOneKeyAndFewTokensOnAConnection(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	_, sibling := NewAPNsKey()
	p8, stranger := NewAPNsKey()
	p := startAPNs(t, func(c *APNsConfig) {
		c.Now = func() time.Time { return now }
		sibling.TeamID = c.Keys[0].TeamID
		sibling.Public = c.Keys[0].Public
		c.Keys = append(c.Keys, sibling, stranger)
	})
	use := func(authorization string) string {
		_, reason := p.send(t, with("authorization", authorization))
		return reason
	}
	require.Empty(t, use(p.token(t, now)))
	require.Empty(t, use(p.token(t, now.Add(-time.Second))), "the first change")
	require.Equal(t, "TooManyProviderTokenUpdates", use(p.token(t, now.Add(-2*time.Second))))
	now = now.Add(20 * time.Minute)
	require.Empty(t, use(p.token(t, now)))

	require.Equal(t, "UnrelatedKeyIdInToken", use(p.token(t, now, func(t *jwt.Token, _ jwt.MapClaims) { t.Header["kid"] = sibling.KeyID })))
	other := &provider{key: signingKey(t, p8), known: stranger}
	require.Equal(t, "Forbidden", use(other.token(t, now)))
}

func TestAPNs_TakesCertificatesThatItKnows(t *testing.T) {
	known, unknown := clientCertificate(t, bundle), clientCertificate(t, bundle)
	p := startAPNs(t, func(c *APNsConfig) { c.Certificates = []*x509.Certificate{known.Leaf} })
	bare := func(r *http.Request) { r.Header.Del("authorization") }

	p.client = h2Client(t, p.apns.config.Authority, &unknown)
	_, reason := p.send(t, bare)
	require.Equal(t, "BadCertificate", reason)

	p.client = h2Client(t, p.apns.config.Authority, &known)
	status, _ := p.send(t, bare)
	require.Equal(t, 200, status)
	status, _ = p.send(t, bare, func(r *http.Request) { r.Header.Del("apns-topic") })
	require.Equal(t, 200, status, "the certificate has one topic")
	_, reason = p.send(t, bare, with("apns-topic", bundle+".voip"), with("apns-push-type", "voip"))
	require.Equal(t, "TopicDisallowed", reason, "the certificate does not name it")
	_, reason = p.send(t, bare, with("apns-push-type", "liveactivity"), with("apns-topic", bundle+".push-type.liveactivity"))
	require.Equal(t, "MissingProviderToken", reason)
}

// clientCertificate is one that Apple might have given for a topic.
func clientCertificate(t *testing.T, topic string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier(oidUserID), Value: topic}}},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

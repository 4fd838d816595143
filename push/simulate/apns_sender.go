package simulate

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	providerTokenLife   = time.Hour        // a provider token is refused when it is older
	providerTokenChange = 20 * time.Minute // and may change no more often than this
)

// apnsSender is who sends a request, and what to.
type apnsSender struct {
	topics []string // bundle IDs, or a certificate's topics; empty for any
	exact  bool     // by certificate: a topic has to be listed as it is
}

// authenticate finds out who sends: by the provider token or, without one, by
// the certificate of the TLS connection.
func (s *APNs) authenticate(r *http.Request) (apnsSender, *apnsAnswer) {
	authorization := r.Header.Get("Authorization")
	if authorization != "" {
		return s.byToken(r, authorization)
	}
	if len(r.TLS.PeerCertificates) == 0 {
		return apnsSender{}, refused403("MissingProviderToken")
	}
	if pushType := r.Header.Get("apns-push-type"); pushType == "location" || pushType == "liveactivity" {
		return apnsSender{}, refused403("MissingProviderToken") // they go with tokens alone
	}
	return s.byCertificate(r.TLS.PeerCertificates[0])
}

func (s *APNs) byCertificate(certificate *x509.Certificate) (apnsSender, *apnsAnswer) {
	now := s.config.Now()
	known := slices.ContainsFunc(s.config.Certificates, certificate.Equal)
	if !known || now.Before(certificate.NotBefore) || now.After(certificate.NotAfter) {
		return apnsSender{}, refused403("BadCertificate")
	}
	return apnsSender{topics: certificateTopics(certificate), exact: true}, nil
}

// byToken checks a provider token: "Establishing a token-based connection to
// APNs".
func (s *APNs) byToken(r *http.Request, authorization string) (apnsSender, *apnsAnswer) {
	token, ok := strings.CutPrefix(authorization, "bearer ")
	if !ok {
		return apnsSender{}, refused403("InvalidProviderToken")
	}
	if s.station.config.Bulk && s.good.has(authorization, s.config.Now()) {
		return apnsSender{}, nil
	}
	var key APNsKey
	var claims jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		i := slices.IndexFunc(s.config.Keys, func(k APNsKey) bool { return k.KeyID == t.Header["kid"] })
		if i < 0 {
			return nil, fmt.Errorf("no such key")
		}
		key = s.config.Keys[i]
		return key.Public, nil
	}, jwt.WithValidMethods([]string{"ES256"}), jwt.WithoutClaimsValidation())
	if err != nil || claims.Issuer != key.TeamID || claims.IssuedAt == nil {
		return apnsSender{}, refused403("InvalidProviderToken")
	}
	now := s.config.Now()
	if age := now.Sub(claims.IssuedAt.Time); age > providerTokenLife || age < 0 {
		return apnsSender{}, refused403("ExpiredProviderToken")
	}
	if refusal := connectionOf(r).tokens.use(key, token, now); refusal != nil {
		return apnsSender{}, refusal
	}
	if len(key.Topics) == 0 {
		s.good.add(authorization, now)
	}
	return apnsSender{topics: key.Topics}, nil
}

// providerTokens is what one connection saw of them. It belongs to the key and
// the team of the first.
type providerTokens struct {
	mu        sync.Mutex
	key       APNsKey
	token     string
	changedAt time.Time // zero until another one came
}

func (p *providerTokens) use(key APNsKey, token string, now time.Time) *apnsAnswer {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.token == "":
		p.key, p.token = key, token
	case key.TeamID != p.key.TeamID:
		return refused403("Forbidden")
	case key.KeyID != p.key.KeyID:
		return refused403("UnrelatedKeyIdInToken")
	case token != p.token && !p.changedAt.IsZero() && now.Sub(p.changedAt) < providerTokenChange:
		return &apnsAnswer{Status: http.StatusTooManyRequests, Reason: "TooManyProviderTokenUpdates"}
	case token != p.token:
		p.token, p.changedAt = token, now
	}
	return nil
}

var topicFormat = regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$`)

// topicOf gives what a request is for: the apns-topic header, or the topic of a
// certificate that has a single one.
func (a apnsSender) topicOf(h http.Header) (string, *apnsAnswer) {
	topic := h.Get("apns-topic")
	switch {
	case topic == "" && a.exact && len(a.topics) == 1:
		return a.topics[0], nil
	case topic == "":
		return "", refused400("MissingTopic")
	case !topicFormat.MatchString(topic):
		return "", refused400("BadTopic")
	}
	bundle, _ := bundleOf(topic)
	if a.exact {
		bundle = topic
	}
	if (a.exact || len(a.topics) > 0) && !slices.Contains(a.topics, bundle) {
		return "", refused400("TopicDisallowed")
	}
	return topic, nil
}

var (
	oidUserID     = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}
	oidAPNsTopics = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 6}
)

// certificateTopics gives the topics of a sender's certificate: those of Apple's
// extension, or the subject's user ID.
func certificateTopics(certificate *x509.Certificate) []string {
	for _, extension := range certificate.Extensions {
		if extension.Id.Equal(oidAPNsTopics) {
			return extensionTopics(extension)
		}
	}
	for _, name := range certificate.Subject.Names {
		if id, ok := name.Value.(string); ok && name.Type.Equal(oidUserID) {
			return []string{id}
		}
	}
	return nil
}

// extensionTopics reads a sequence of topics, each followed by a sequence of
// what it is for.
func extensionTopics(extension pkix.Extension) []string {
	var elements []asn1.RawValue
	if _, err := asn1.Unmarshal(extension.Value, &elements); err != nil {
		return nil
	}
	var topics []string
	for _, element := range elements {
		if element.Tag == asn1.TagUTF8String {
			topics = append(topics, string(element.Bytes))
		}
	}
	return topics
}

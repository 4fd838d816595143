package apns

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/belfryhq/belfry/push"
)

// Settings is what of a credential may be shown.
type Settings struct {
	TeamID string   `json:"team_id,omitempty"` // 10 characters; with a certificate, if it says
	KeyID  string   `json:"key_id,omitempty"`  // 10 characters; empty with a certificate
	Topics []string `json:"topics"`            // bundle IDs, 256 at most; with a certificate, whatever it is for

	// Host is what stands in for both of Apple's hosts, as
	// https://127.0.0.1:4711: a simulator or a relay. Empty for Apple.
	Host string `json:"host,omitempty"`
	// SandboxHost stands in for the sandbox's, where Host does for production's.
	// Without it Host is both, and there is no other environment to try.
	SandboxHost string `json:"sandbox_host,omitempty"`

	Expires time.Time `json:"expires,omitzero"` // a certificate's end; zero for a key, which has none
}

// Credential is what an app authenticates with to APNs: a key that signs
// provider tokens, or a certificate. It never changes, and never shows its
// secret but by Secret.
type Credential struct {
	settings    Settings
	secret      []byte
	key         *ecdsa.PrivateKey // nil with a certificate
	name        tokenName         // of the key's provider tokens
	certificate *tls.Certificate  // nil with a key
	since       time.Time         // the certificate's beginning
}

// ParseToken reads a key for provider tokens as Apple gives it: the file
// AuthKey_<key id>.p8, a P-256 key in PEM and PKCS #8. Settings has the team's
// and the key's IDs and the bundle IDs that it is for. An error is a
// *push.InvalidError that names the field: key, team_id, key_id, topics, host or
// sandbox_host.
func ParseToken(p8 []byte, settings Settings) (*Credential, error) {
	key, err := parseKey(p8)
	if err != nil {
		return nil, err
	}
	switch {
	case !idFormat.MatchString(settings.TeamID):
		return nil, &push.InvalidError{Field: "team_id", Detail: "The team ID has 10 characters of A–Z and 0–9: it stands in the membership details of the developer account."}
	case !idFormat.MatchString(settings.KeyID):
		return nil, &push.InvalidError{Field: "key_id", Detail: "The key ID has 10 characters of A–Z and 0–9: it is part of the file's name, AuthKey_<key ID>.p8."}
	}
	if settings, err = settings.checked(); err != nil {
		return nil, err
	}
	settings.Expires = time.Time{}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, &push.InvalidError{Field: "key", Detail: "The key cannot be written again."}
	}
	public, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, &push.InvalidError{Field: "key", Detail: "The key has no public half."}
	}
	return &Credential{
		settings: settings,
		secret:   pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		key:      key,
		name:     tokenName{team: settings.TeamID, key: settings.KeyID, public: sha256.Sum256(public)},
	}, nil
}

var idFormat = regexp.MustCompile(`^[A-Z0-9]{10}$`)

// parseKey reads a .p8 file. The error is a *push.InvalidError.
func parseKey(p8 []byte) (*ecdsa.PrivateKey, error) {
	const remedy = "send the file AuthKey_<key ID>.p8 as Apple gave it."
	block, rest := pem.Decode(p8)
	switch {
	case block == nil:
		return nil, &push.InvalidError{Field: "key", Detail: "The key is not PEM: " + remedy}
	case block.Type != "PRIVATE KEY" || len(bytes.TrimSpace(rest)) > 0:
		return nil, &push.InvalidError{Field: "key", Detail: "The file is not one private key alone: " + remedy}
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, &push.InvalidError{Field: "key", Detail: "The key is damaged: " + remedy}
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, &push.InvalidError{Field: "key", Detail: "The key is not one of the curve P-256: " + remedy}
	}
	return key, nil
}

// Load reads a credential again from what Settings and Secret gave. Unlike
// ParseCertificate it takes a certificate that has expired meanwhile, for Send to
// say so.
func Load(settings Settings, secret []byte) (*Credential, error) {
	if !bytes.Contains(secret, []byte("-----BEGIN CERTIFICATE-----")) {
		return ParseToken(secret, settings)
	}
	return loadCertificate(secret, "", settings)
}

// Settings is what of it may be shown.
func (c *Credential) Settings() Settings {
	settings := c.settings
	settings.Topics = slices.Clone(settings.Topics)
	return settings
}

// Secret is what Load wants beside the Settings: PEM, and not encrypted.
func (c *Credential) Secret() []byte { return bytes.Clone(c.secret) }

// Serves tells whether it is for a topic: one of its own, or one of its bundle
// IDs with what Apple puts behind it for some push types, as .voip.
func (c *Credential) Serves(topic string) bool {
	return servedBy(c.settings.Topics, topic)
}

func servedBy(topics []string, topic string) bool {
	return slices.Contains(topics, topic) || slices.Contains(topics, BundleID(topic))
}

// String names it without its secret. Its receiver is a value, as those of the two
// below, so that a copy does not show the secret either.
func (c Credential) String() string {
	if c.certificate != nil {
		return "APNs certificate for " + listed(c.settings.Topics)
	}
	return fmt.Sprintf("APNs key %s of team %s for %s", c.settings.KeyID, c.settings.TeamID, listed(c.settings.Topics))
}

// GoString keeps %#v from giving the secret away.
func (c Credential) GoString() string { return c.String() }

// LogValue keeps logs from giving the secret away.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// unusable says why a certificate is of no use now; empty when it is.
func (c *Credential) unusable(now time.Time) string {
	switch {
	case c.certificate == nil:
		return ""
	case now.After(c.settings.Expires):
		return "the certificate expired on " + c.settings.Expires.Format(time.DateOnly)
	case now.Before(c.since):
		return "the certificate is not valid before " + c.since.Format(time.DateOnly)
	default:
		return ""
	}
}

// base is the URL that leads to an environment.
func (c *Credential) base(environment push.Environment) string {
	switch {
	case c.settings.Host == "":
		return "https://" + environment.Host()
	case c.settings.SandboxHost != "" && environment == push.Sandbox:
		return c.settings.SandboxHost
	default:
		return c.settings.Host
	}
}

const (
	maxTopics     = 256 // of one credential: a key is for all of a team's apps
	maxTopicBytes = 255
	maxHostBytes  = 255
)

// checked gives the settings in the form that they are kept in: topics once each,
// URLs without a path. The error is a *push.InvalidError.
func (s Settings) checked() (Settings, error) {
	if len(s.Topics) == 0 {
		return Settings{}, &push.InvalidError{Field: "topics", Detail: "Name the bundle IDs of the apps that it is for, as com.example.app."}
	}
	var topics []string
	for _, topic := range s.Topics {
		if checkTopic(topic) != nil {
			return Settings{}, &push.InvalidError{Field: "topics", Detail: fmt.Sprintf("%.60q is not a bundle ID: write it as com.example.app.", topic)}
		}
		if !slices.Contains(topics, topic) {
			topics = append(topics, topic)
		}
	}
	if len(topics) > maxTopics {
		return Settings{}, &push.InvalidError{Field: "topics", Detail: fmt.Sprintf("There are %d topics: at most %d are taken. Leave out those of push types, as .voip, and add a second credential for the rest.", len(topics), maxTopics)}
	}
	s.Topics = topics
	var err error
	if s.Host, err = baseURL("host", s.Host); err != nil {
		return Settings{}, err
	}
	if s.SandboxHost, err = baseURL("sandbox_host", s.SandboxHost); err != nil {
		return Settings{}, err
	}
	if s.SandboxHost != "" && s.Host == "" {
		return Settings{}, &push.InvalidError{Field: "sandbox_host", Detail: "It goes with host: give both, or neither."}
	}
	return s, nil
}

// topicFormat is that of bundle IDs (Apple's CFBundleIdentifier).
var topicFormat = regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$`)

// checkTopic tells whether a topic has the form of one. The error is a
// *push.InvalidError.
func checkTopic(topic string) error {
	if len(topic) > maxTopicBytes || !topicFormat.MatchString(topic) {
		return &push.InvalidError{Field: "topic", Detail: "The topic must be the app's bundle ID, as com.example.app, for some push types with what Apple puts behind it."}
	}
	return nil
}

// baseURL gives a URL of a host alone. The error is a *push.InvalidError.
func baseURL(field, value string) (string, error) {
	if value == "" {
		return "", nil
	}
	u, err := url.Parse(value)
	if err != nil || len(value) > maxHostBytes || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return "", &push.InvalidError{Field: field, Detail: "It must be https:// and a host, with a port if need be, as https://127.0.0.1:4711."}
	}
	return "https://" + u.Host, nil
}

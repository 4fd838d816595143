package fcm

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"

	"github.com/belfryhq/belfry/push"
)

const (
	googleHost = "https://" + push.FCMHost

	// maxAccountBytes is the longest service account taken. Google's have some
	// 2,400 bytes.
	maxAccountBytes = 16 << 10

	// minKeyBits is the shortest key that may sign RS256 (RFC 7518 §3.3), and
	// maxKeyBits the longest taken: a signature takes time with the cube of
	// the length, 0.2 s for this one. Google's keys have 2,048 bits.
	minKeyBits = 2048
	maxKeyBits = 8192

	maxEmailBytes = 254 // RFC 5321 §4.5.3.1.3, without the angle brackets
	maxHostBytes  = 255
)

// googleTokenHosts are where Google gives access tokens for service accounts,
// now and since there are such.
var googleTokenHosts = map[string]bool{"oauth2.googleapis.com": true, "www.googleapis.com": true, "accounts.google.com": true}

// projectForm is a project's ID: 6 to 30 lower-case letters, digits and hyphens;
// old ones have a domain before a colon.
var projectForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.:-]{1,99}$`)

// emailForm and keyIDForm are what may stand in Settings, hence in answers and logs.
var (
	emailForm = regexp.MustCompile(`^[!-?A-~]+@[!-?A-~]+$`)
	keyIDForm = regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)
)

// Settings is what of a Credential may be shown.
type Settings struct {
	Project     string `json:"project"`        // the Firebase project's ID
	ClientEmail string `json:"client_email"`   // the service account's name
	KeyID       string `json:"key_id"`         // which of its keys it is
	Host        string `json:"host,omitempty"` // the base URL instead of https://fcm.googleapis.com; empty for that
}

// Credential is the service account of one Firebase project. It is immutable.
type Credential struct {
	settings Settings
	tokenURL string
	key      []byte // PEM, RSA
	secret   []byte
}

// Parse reads a service account: the JSON file that the Firebase console gives
// under Project settings, Service accounts. Host is the base URL of an FCM that
// is not Google's, as in "https://127.0.0.1:4711", and empty for Google's.
//
// The error is a *push.InvalidError for the field service_account or host. It
// repeats nothing of the file but names of members.
func Parse(serviceAccount []byte, host string) (*Credential, error) {
	host, err := parseHost(host)
	if err != nil {
		return nil, err
	}
	if len(serviceAccount) > maxAccountBytes {
		return nil, badAccount(fmt.Sprintf("it has %d bytes, and at most %d are taken", len(serviceAccount), maxAccountBytes))
	}
	var account struct {
		Type         string `json:"type"`
		ProjectID    string `json:"project_id"`
		PrivateKeyID string `json:"private_key_id"`
		PrivateKey   string `json:"private_key"`
		ClientEmail  string `json:"client_email"`
		TokenURI     string `json:"token_uri"`
	}
	if json.Unmarshal(serviceAccount, &account) != nil {
		return nil, badAccount("it is not the JSON of one")
	}
	if account.Type != "service_account" {
		return nil, badAccount(`its type is not "service_account"`)
	}
	for _, member := range []struct{ name, value string }{
		{"project_id", account.ProjectID}, {"private_key_id", account.PrivateKeyID}, {"private_key", account.PrivateKey},
		{"client_email", account.ClientEmail}, {"token_uri", account.TokenURI},
	} {
		if member.value == "" {
			return nil, badAccount("it has no " + member.name)
		}
	}
	switch {
	case !projectForm.MatchString(account.ProjectID):
		return nil, badAccount("its project_id is not the ID of a project")
	case len(account.ClientEmail) > maxEmailBytes || !emailForm.MatchString(account.ClientEmail):
		return nil, badAccount("its client_email is not a mail address")
	case !keyIDForm.MatchString(account.PrivateKeyID):
		return nil, badAccount("its private_key_id is not the ID of a key")
	}
	if fault := checkKey([]byte(account.PrivateKey)); fault != "" {
		return nil, badAccount(fault)
	}
	if target, ok := parseHTTPS(account.TokenURI); !ok || target.Fragment != "" {
		return nil, badAccount("its token_uri is not an https:// URL")
	}
	return &Credential{
		settings: Settings{Project: account.ProjectID, ClientEmail: account.ClientEmail, KeyID: account.PrivateKeyID, Host: host},
		tokenURL: account.TokenURI,
		key:      []byte(account.PrivateKey),
		secret:   bytes.Clone(serviceAccount),
	}, nil
}

// Load makes a Credential of what Settings and Secret gave.
func Load(settings Settings, secret []byte) (*Credential, error) {
	credential, err := Parse(secret, settings.Host)
	if err != nil {
		return nil, err
	}
	if credential.settings.Project != settings.Project {
		return nil, fmt.Errorf("fcm: the settings are of the project %q, the service account is of %q", settings.Project, credential.settings.Project)
	}
	return credential, nil
}

// Settings is what may be shown of it.
func (c *Credential) Settings() Settings { return c.settings }

// Secret is the service account's JSON, as Parse got it.
func (c *Credential) Secret() []byte { return bytes.Clone(c.secret) }

// Foreign tells whether it leads elsewhere than to Google: its token_uri, or its
// Host. Messages and a signed proof of who sends go there.
func (c *Credential) Foreign() bool {
	target, _ := parseHTTPS(c.tokenURL)
	port := target.Port()
	return c.settings.Host != "" || !googleTokenHosts[strings.ToLower(target.Hostname())] || port != "" && port != "443"
}

// String names it without its secrets.
func (c Credential) String() string {
	return "service account " + c.settings.ClientEmail + " of the Firebase project " + c.settings.Project
}

// GoString keeps %#v from giving the secrets away.
func (c Credential) GoString() string { return c.String() }

// LogValue keeps logs from giving the secrets away.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// endpoint is where its messages go.
func (c *Credential) endpoint() string {
	base := c.settings.Host
	if base == "" {
		base = googleHost
	}
	return base + "/v1/projects/" + c.settings.Project + "/messages:send"
}

// checkKey says what is wrong with a private key; nothing if it can sign.
func checkKey(text []byte) string {
	block, _ := pem.Decode(text)
	if block == nil {
		return "its private_key is not PEM"
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	switch {
	case err != nil || !ok:
		return "its private_key is not an RSA key"
	case key.N.BitLen() > maxKeyBits:
		return fmt.Sprintf("its private_key has %d bits, and at most %d are taken", key.N.BitLen(), maxKeyBits)
	case key.N.BitLen() < minKeyBits:
		return fmt.Sprintf("its private_key has %d bits, and at least %d are needed", key.N.BitLen(), minKeyBits)
	}
	return ""
}

// parseHost brings a base URL into one form: empty for Google's.
func parseHost(host string) (string, error) {
	if host == "" {
		return "", nil
	}
	target, ok := parseHTTPS(host)
	if !ok || len(host) > maxHostBytes || strings.Trim(target.Path, "/") != "" || target.RawQuery != "" || target.ForceQuery || strings.Contains(host, "#") {
		return "", &push.InvalidError{Field: "host", Detail: "The host is not the base URL of a server: write https://name or https://name:port, or leave it out for Google's."}
	}
	base := "https://" + strings.TrimSuffix(strings.ToLower(target.Host), ":443")
	if base == googleHost {
		return "", nil
	}
	return base, nil
}

// parseHTTPS reads an https:// URL with a host and without a user.
func parseHTTPS(text string) (*url.URL, bool) {
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }) {
		return &url.URL{}, false
	}
	target, err := url.Parse(text)
	if err != nil || target.Scheme != "https" || target.Hostname() == "" || target.User != nil || strings.HasSuffix(target.Host, ":") {
		return &url.URL{}, false
	}
	return target, true
}

func badAccount(fault string) error {
	return &push.InvalidError{
		Field:  "service_account",
		Detail: "This is not a service account that can be used: " + fault + ". Send the JSON file that the Firebase console gives under Project settings, Service accounts, unchanged.",
	}
}

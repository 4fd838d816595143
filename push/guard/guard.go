// Package guard decides where requests may go whose URL a stranger gave us, such
// as a push endpoint or a webhook: to the public internet over https, and to the
// hosts that the operator allowed. Without it, whoever may register a URL has
// Belfry knock at the doors of the operator's own network (server-side request
// forgery).
//
// It judges twice. Check looks at the URL's text, when it is registered and
// again when it is used. Control looks at the address that a name resolved to, at
// the moment when it is dialled, because a name can be made to point anywhere,
// and elsewhere tomorrow. Transports puts both into practice: redirects are not
// followed, and the environment's proxies are not used.
//
// The judgement on addresses is that of code.dny.dev/ssrf: IANA's registries of
// special-purpose addresses, of which none is public. This is the one place that
// imports it.
//
// A Guard may be used by many goroutines at once.
package guard

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"

	"github.com/belfryhq/belfry/push"
)

// MaxBytes is the longest URL taken. The longest push endpoints seen, Windows',
// are a third of it.
const MaxBytes = 2048

// ErrNotPublic: a name resolved to an address that is not on the public internet,
// so it was not dialled. The texts of errors that wrap it hold addresses.
var ErrNotPublic = errors.New("not an address on the public internet")

// Config says what a Guard judges by. Field and Remedy are required.
type Config struct {
	Field  string // what its errors name, as the API spells it: "endpoint"
	Remedy string // what to give instead of something that is no URL, the end of a sentence

	// AllowHosts are hosts within the operator's own network, each "host" (any
	// port) or "host:port". For these alone plain http, private addresses and any
	// port are allowed. Entries are compared whole, without regard to case; there
	// are no patterns. Default: none.
	AllowHosts []string

	// AppHosts gives the hosts that one app may use in addition, in the same
	// form. It is asked at every Check, so it must not take long; nil is for none.
	// What it gives is only read, and an entry that ParseHost refuses counts for
	// nothing. Default: no app has any.
	AppHosts func(app string) []string
}

// Guard judges URLs, and addresses.
type Guard struct {
	config    Config
	allowed   map[string]bool // "host" or "host:port", as ParseHost gives it
	addresses *ssrf.Guardian
}

var schemePorts = map[string]string{"http": "80", "https": "443"}

// azureHost answers for Azure's platform from every virtual machine there, at a
// public address. The other clouds use link-local or shared ones.
var azureHost = netip.MustParsePrefix("168.63.129.16/32")

// New makes a Guard. The error names the entry of AllowHosts that is none.
func New(config Config) (*Guard, error) {
	allowed := make(map[string]bool, len(config.AllowHosts))
	for i, entry := range config.AllowHosts {
		host, err := ParseHost(entry)
		if err != nil {
			return nil, fmt.Errorf("AllowHosts[%d]: %w", i, err)
		}
		allowed[host] = true
	}
	return &Guard{
		config:    config,
		allowed:   allowed,
		addresses: ssrf.New(ssrf.WithAnyPort(), ssrf.WithDeniedV4Prefixes(azureHost)),
	}, nil
}

// Check reads a URL and tells whether the app's requests may go there, as far as
// its text shows. The target's host is that of its origin. It may be dialled
// freely if the operator allowed the host; otherwise its address is judged when
// it is dialled. The error is a *push.InvalidError that does not repeat the URL.
func (g *Guard) Check(app, text string) (target *url.URL, free bool, err error) {
	if target, err = g.parse(text); err != nil {
		return nil, false, err
	}
	host, port := target.Hostname(), portOf(target)
	if g.allows(app, host, port) {
		return target, true, nil
	}
	if target.Scheme != "https" {
		return nil, false, g.refuse("The URL must start with https://, unless the operator allows its host.")
	}
	if n, _ := strconv.Atoi(port); n != 443 && n < 1024 {
		return nil, false, g.refuse("The port of the URL must be 443, or 1024 and above, unless the operator allows its host.")
	}
	if err := g.checkHost(host); err != nil {
		return nil, false, err
	}
	return target, false, nil
}

// CheckTrusted reads a URL that the operator vouches for: it may lead anywhere,
// and may be dialled freely. The error is as Check's.
func (g *Guard) CheckTrusted(text string) (*url.URL, error) {
	target, err := g.parse(text)
	if err != nil {
		return nil, err
	}
	if host := target.Hostname(); !isAddress(host) && !validName(host) {
		return nil, g.refuse("The host is not a valid name.")
	}
	return target, nil
}

// Control refuses to dial an address that is not on the public internet, with
// ErrNotPublic. It is for a net.Dialer, which calls it with the address that it
// is about to dial.
func (g *Guard) Control(network, address string, conn syscall.RawConn) error {
	if err := g.addresses.Safe(network, address, conn); err != nil {
		return fmt.Errorf("%w: %w", ErrNotPublic, err)
	}
	return nil
}

// parse checks the form of a URL, whatever host it names.
func (g *Guard) parse(text string) (*url.URL, error) {
	if text == "" {
		return nil, g.refuse("The " + g.config.Field + " is missing: " + g.config.Remedy + ".")
	}
	if len(text) > MaxBytes {
		return nil, g.refuse(fmt.Sprintf("The URL has %d bytes: at most %d are taken.", len(text), MaxBytes))
	}
	if strings.ContainsFunc(text, notInURL) {
		return nil, g.refuse("The URL has characters that a URL cannot have: send it percent-encoded, and its host as ASCII.")
	}
	target, err := url.Parse(text)
	switch {
	case err != nil || target.Opaque != "" || target.Hostname() == "" || strings.HasSuffix(target.Host, ":"):
		return nil, g.refuse("The " + g.config.Field + " is not an absolute URL with a host: " + g.config.Remedy + ".")
	case target.Scheme != "https" && target.Scheme != "http":
		return nil, g.refuse("The URL must start with https://.")
	case target.User != nil:
		return nil, g.refuse("The URL must not hold a user name or password: remove what stands before the @.")
	case strings.Contains(text, "#"):
		return nil, g.refuse("The URL must not have a fragment: remove the # and what follows it.")
	}
	target.Host = originHost(target)
	if port := target.Port(); port != "" && !validPort(port) {
		return nil, g.refuse("The port of the URL is not a number from 1 to 65535.")
	}
	return target, nil
}

// notInURL tells what must not be in a URL: white space, control characters, what
// is not ASCII, and the backslash that some readers take for a slash.
func notInURL(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }

// originHost is the host of an origin (RFC 6454 §6.2): lower case, and without
// the scheme's own port. A VAPID token's audience is compared with it to the letter.
func originHost(target *url.URL) string {
	return strings.TrimSuffix(strings.ToLower(target.Host), ":"+schemePorts[target.Scheme])
}

func portOf(target *url.URL) string {
	if port := target.Port(); port != "" {
		return port
	}
	return schemePorts[target.Scheme]
}

func (g *Guard) refuse(detail string) error {
	return &push.InvalidError{Field: g.config.Field, Detail: detail}
}

package webpush

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"

	"github.com/belfryhq/belfry/push"
)

// maxEndpointBytes is the longest endpoint taken. The longest seen, Windows',
// are a third of it.
const maxEndpointBytes = 2048

// guard decides where requests may go: to the public internet over https, and
// to the hosts the operator allowed, for all apps or for one. It judges twice,
// by the endpoint's text (check) and by the address the name resolved to when
// it is dialled (control), because a name can be made to point anywhere.
type guard struct {
	allowed   map[string]bool           // "host" or "host:port", as ParseHost gives it
	appHosts  func(app string) []string // what one app may use in addition; may be nil
	addresses *ssrf.Guardian
}

var schemePorts = map[string]string{"http": "80", "https": "443"}

// azureHost answers for Azure's platform from every virtual machine there, at a
// public address. The other clouds use link-local or shared ones.
var azureHost = netip.MustParsePrefix("168.63.129.16/32")

func newGuard(config Config) (*guard, error) {
	allowed := make(map[string]bool, len(config.AllowHosts))
	for i, entry := range config.AllowHosts {
		host, err := ParseHost(entry)
		if err != nil {
			return nil, fmt.Errorf("webpush: Config.AllowHosts[%d]: %w", i, err)
		}
		allowed[host] = true
	}
	return &guard{
		allowed:   allowed,
		appHosts:  config.AppHosts,
		addresses: ssrf.New(ssrf.WithAnyPort(), ssrf.WithDeniedV4Prefixes(azureHost)),
	}, nil
}

// ParseHost reads an entry of Config.AllowHosts or Config.AppHosts, "host" or
// "host:port", and gives it in its one spelling: lower case, IPv6 addresses
// short and in brackets only before a port. The error is a sentence that says
// what to write.
func ParseHost(entry string) (string, error) {
	host, port := strings.ToLower(entry), ""
	if inner, bracketed := strings.CutPrefix(host, "["); bracketed && strings.HasSuffix(inner, "]") {
		host = strings.TrimSuffix(inner, "]")
	} else if h, p, err := net.SplitHostPort(host); err == nil {
		host, port = h, p
		if !validPort(port) {
			return "", badHost(entry)
		}
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		host = addr.String()
	} else if !validName(host) {
		return "", badHost(entry)
	}
	if port == "" {
		return host, nil
	}
	return net.JoinHostPort(host, port), nil
}

func badHost(entry string) error {
	return fmt.Errorf(`%q is not a host: write "host" or "host:port", without scheme, path or pattern`, entry)
}

// allows tells whether the operator named this host, or it with this port, for
// all apps or for this one.
func (g *guard) allows(app, host, port string) bool {
	var own []string
	if g.appHosts != nil {
		own = g.appHosts(app)
	}
	if len(g.allowed) == 0 && len(own) == 0 {
		return false
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		host = addr.String()
	}
	hostPort := net.JoinHostPort(host, port)
	return g.allowed[host] || g.allowed[hostPort] || slices.ContainsFunc(own, func(entry string) bool {
		allowed, err := ParseHost(entry)
		return err == nil && (allowed == host || allowed == hostPort)
	})
}

// control refuses to dial an address that is not on the public internet. It is
// a net.Dialer's Control, called with the address that was resolved.
func (g *guard) control(network, address string, conn syscall.RawConn) error {
	return g.addresses.Safe(network, address, conn)
}

// check reads an endpoint and tells whether the app's requests may go there, as
// far as its text shows. The URL's host is that of its origin. It may be dialled
// freely if the operator allowed the host; otherwise its address is judged when
// it is dialled. The error is a *push.InvalidError that does not repeat the
// endpoint.
func (g *guard) check(app string, endpoint push.Endpoint) (target *url.URL, free bool, err error) {
	if target, err = parseEndpoint(string(endpoint)); err != nil {
		return nil, false, err
	}
	host, port := target.Hostname(), target.Port()
	if port == "" {
		port = schemePorts[target.Scheme]
	} else if !validPort(port) {
		return nil, false, badEndpoint("The port of the URL is not a number from 1 to 65535.")
	}
	if g.allows(app, host, port) {
		return target, true, nil
	}
	if target.Scheme != "https" {
		return nil, false, badEndpoint("The URL must start with https://, unless the operator allows its host.")
	}
	if n, _ := strconv.Atoi(port); n != 443 && n < 1024 {
		return nil, false, badEndpoint("The port of the URL must be 443, or 1024 and above, unless the operator allows its host.")
	}
	if err := g.checkHost(host); err != nil {
		return nil, false, err
	}
	return target, false, nil
}

// parseEndpoint checks the form of an endpoint, whatever host it names.
func parseEndpoint(endpoint string) (*url.URL, error) {
	if endpoint == "" {
		return nil, badEndpoint("The endpoint is missing: send what PushSubscription.toJSON() gives, unchanged.")
	}
	if len(endpoint) > maxEndpointBytes {
		return nil, badEndpoint(fmt.Sprintf("The URL has %d bytes: at most %d are taken.", len(endpoint), maxEndpointBytes))
	}
	if strings.ContainsFunc(endpoint, notInURL) {
		return nil, badEndpoint("The URL has characters that a URL cannot have: send it percent-encoded, and its host as ASCII.")
	}
	target, err := url.Parse(endpoint)
	switch {
	case err != nil || target.Opaque != "" || target.Hostname() == "" || strings.HasSuffix(target.Host, ":"):
		return nil, badEndpoint("The endpoint is not an absolute URL with a host: send what PushSubscription.toJSON() gives, unchanged.")
	case target.Scheme != "https" && target.Scheme != "http":
		return nil, badEndpoint("The URL must start with https://.")
	case target.User != nil:
		return nil, badEndpoint("The URL must not hold a user name or password: remove what stands before the @.")
	case strings.Contains(endpoint, "#"):
		return nil, badEndpoint("The URL must not have a fragment: remove the # and what follows it.")
	}
	target.Host = originHost(target)
	return target, nil
}

// originHost is the host of an origin (RFC 6454 §6.2): lower case, and without
// the scheme's own port. A token's audience is compared with it to the letter.
func originHost(target *url.URL) string {
	return strings.TrimSuffix(strings.ToLower(target.Host), ":"+schemePorts[target.Scheme])
}

// checkHost judges a host the operator did not allow. An address must be on the
// public internet and spelled in the one usual way; a name must look like one
// that is.
func (g *guard) checkHost(host string) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" || g.addresses.SafeAddr(addr) != nil {
			return badEndpoint("The host is an address that is not on the public internet; only the operator can allow it.")
		}
		return nil
	}
	if !validName(host) {
		return badEndpoint("The host is not a valid name.")
	}
	labels := strings.Split(host, ".")
	last := labels[len(labels)-1]
	switch {
	case numeric(last):
		return badEndpoint("The host is an IPv4 address in an unusual spelling: write it as four decimal numbers.")
	case len(labels) == 1 || privateSuffixes[last] || strings.HasSuffix("."+host, ".home.arpa"):
		return badEndpoint("The host is a name of a private network; only the operator can allow it.")
	}
	return nil
}

// privateSuffixes are the top-level names that never lead to the public
// internet (RFC 6761, RFC 6762, RFC 7686, RFC 8375, ICANN's .internal, and what
// routers and companies use).
var privateSuffixes = map[string]bool{
	"localhost": true, "local": true, "localdomain": true, "internal": true,
	"intranet": true, "lan": true, "home": true, "corp": true, "private": true,
	"onion": true,
}

// notInURL tells what must not be in an endpoint: white space, control
// characters, what is not ASCII, and the backslash that some readers take for a
// slash.
func notInURL(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }

// validName tells whether s has the form of a host name: labels of 1 to 63
// letters, digits, hyphens and underscores, 253 characters in all, lower case.
func validName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

// numeric tells whether the last label of a name makes a URL parser read the
// whole as an IPv4 address (WHATWG URL, "ends in a number"): decimal, octal or
// hexadecimal.
func numeric(label string) bool {
	return strings.Trim(label, "0123456789") == "" || strings.HasPrefix(label, "0x") && strings.Trim(label[2:], "0123456789abcdef") == ""
}

// validPort tells whether s is a port, spelled without leading zeros.
func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && strconv.FormatUint(n, 10) == s
}

func badEndpoint(detail string) error {
	return &push.InvalidError{Field: "endpoint", Detail: detail}
}

package guard

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

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
	switch addr, err := netip.ParseAddr(host); {
	case err == nil && (addr.Zone() == "" || validName(addr.Zone())):
		host = addr.String()
	case err == nil || !validName(host):
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
func (g *Guard) allows(app, host, port string) bool {
	var own []string
	if g.config.AppHosts != nil {
		own = g.config.AppHosts(app)
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

// checkHost judges a host the operator did not allow. An address must be on the
// public internet and spelled in the one usual way; a name must look like one
// that is.
func (g *Guard) checkHost(host string) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" || g.addresses.SafeAddr(addr) != nil {
			return g.refuse("The host is an address that is not on the public internet; only the operator can allow it.")
		}
		return nil
	}
	if !validName(host) {
		return g.refuse("The host is not a valid name.")
	}
	labels := strings.Split(host, ".")
	last := labels[len(labels)-1]
	switch {
	case numeric(last):
		return g.refuse("The host is an IPv4 address in an unusual spelling: write it as four decimal numbers.")
	case len(labels) == 1 || privateSuffixes[last] || strings.HasSuffix("."+host, ".home.arpa"):
		return g.refuse("The host is a name of a private network; only the operator can allow it.")
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

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// RegistrableName tells whether host, in lower case, is a name that somebody could
// have registered: it is no address, and not of a top-level name that never leads
// to the public internet.
func RegistrableName(host string) bool {
	dot := strings.LastIndexByte(host, '.')
	top := host[dot+1:]
	return dot > 0 && !isAddress(host) && validName(host) && !numeric(top) && !privateSuffixes[top]
}

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

package guard

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

func TestParseHost_GivesTheOneSpelling(t *testing.T) {
	for entry, want := range map[string]string{
		"ntfy.example.com":      "ntfy.example.com",
		"NTFY.example.COM:8443": "ntfy.example.com:8443",
		"localhost":             "localhost",
		"192.168.1.5:80":        "192.168.1.5:80",
		"[FD00:0::2]":           "fd00::2",
		"FD00:0::2":             "fd00::2",
		"[FD00:0::2]:443":       "[fd00::2]:443",
	} {
		got, err := ParseHost(entry)
		require.NoError(t, err, entry)
		require.Equal(t, want, got)
		again, err := ParseHost(got)
		require.NoError(t, err, got)
		require.Equal(t, got, again)
	}
}

func TestAllowHosts_AreHostsAndNothingElse(t *testing.T) {
	for _, entry := range []string{
		"", " ", "*", "*.example.com", "https://example.com", "example.com/", "user@example.com", "example.com:", "example.com:0", "example.com:65536",
		"example.com:https", "10.0.0.0/8", ".example.com", "example.com.", "a b", "[::1", "::1]", "[::1]:", "[]", "a,b", "fe80::1% ", "fe80::1%eth0\x1b[31m", "[fe80::1%a/b]:443",
	} {
		_, err := New(Config{AllowHosts: []string{"ok", entry}})
		require.ErrorContains(t, err, "AllowHosts[1]: ", "%q", entry)
		_, err = ParseHost(entry)
		require.ErrorContains(t, err, `write "host" or "host:port"`, "%q", entry)
	}
}

func TestAllowHosts_AreComparedWhole(t *testing.T) {
	guard := newGuard(t, "push.home.arpa", "localhost:8080", "192.168.1.5:443", "[fd00::1]:8443", "::1", "[FD00:0::2]", "NTFY", "push.lan")
	for text, ok := range map[string]bool{
		"https://push.home.arpa/1":              true,
		"http://push.home.arpa/1":               true,
		"http://PUSH.home.arpa:81/1":            true,
		"https://a.push.home.arpa/1":            false,
		"https://xpush.home.arpa/1":             false,
		"https://home.arpa/1":                   false,
		"http://push.home.arpa.example.com/1":   false,
		"http://example.com/push.home.arpa":     false,
		"http://example.com:81/?push.home.arpa": false,
		"http://localhost:8080/1":               true,
		"https://localhost:8080/1":              true,
		"http://localhost:8081/1":               false,
		"http://localhost:808/1":                false,
		"http://localhost:80801/1":              false,
		"http://localhost/1":                    false,
		"https://192.168.1.5/1":                 true,
		"https://192.168.1.5:443/1":             true,
		"http://192.168.1.5/1":                  false,
		"http://192.168.1.5:443/1":              true,
		"https://192.168.1.50/1":                false,
		"https://[fd00::1]:8443/1":              true,
		"https://[fd00:0:0::1]:8443/1":          true,
		"https://[fd00::1]:8444/1":              false,
		"http://[::1]:9/1":                      true,
		"http://[fd00::2]/1":                    true,
		"http://ntfy/1":                         true,
		"ftp://ntfy/1":                          false,
		"http://user@ntfy/1":                    false,
		"http://ntfy:0/1":                       false,
		"http://push.lan/1":                     true,
		"http://evil-push.lan/1":                false,
		"http://evilpush.lan/1":                 false,
		"http://evil.push.lan/1":                false,
		"http://push.lan.evil.com/1":            false,
		"http://push-lan/1":                     false,
		"http://pushxlan/1":                     false,
		"http://push.lan@evil.com/1":            false,
		"http://evil.com/http://push.lan/1":     false,
		"http://push.lan./1":                    false,
	} {
		_, free, err := guard.Check(push.DefaultApp, text)
		require.Equal(t, ok, err == nil, "%s: %v", text, err)
		require.Equal(t, ok, free, text)
	}
}

func TestAppHosts_AreTheAppsAlone(t *testing.T) {
	guard, err := New(Config{
		Field: "endpoint", Remedy: "send another",
		AllowHosts: []string{"everyones.lan"},
		AppHosts: func(app string) []string {
			return map[string][]string{"house": {"NTFY.lan", "push.example:8443", "192.168.1.5:8080", "[FD00:0::2]:443", "*", ""}}[app]
		},
	})
	require.NoError(t, err)
	for text, apps := range map[string]string{
		"http://ntfy.lan/1":                  "house",
		"http://NTFY.lan:81/1":               "house",
		"https://a.ntfy.lan/1":               "",
		"http://push.example:8443/1":         "house",
		"http://evil-push.example:8443/1":    "",
		"http://evil.push.example:8443/1":    "",
		"http://push.example.evil.com:8443/": "",
		"http://push.example:8444/1":         "",
		"http://push.example:84430/1":        "",
		"http://push.example/1":              "",
		"http://192.168.1.5:8080/1":          "house",
		"http://192.168.1.5/1":               "",
		"https://[fd00::2]/1":                "house",
		"http://everyones.lan/1":             "house shop",
		"http://*/1":                         "",
		"https://169.254.169.254/1":          "",
		"http://push.example.com/1":          "",
		"https://push.example.com/1":         "house shop",
	} {
		for _, app := range []string{"house", "shop"} {
			_, _, err := guard.Check(app, text)
			require.Equal(t, slices.Contains(strings.Fields(apps), app), err == nil, "%s for %s: %v", text, app, err)
		}
	}
}

// What most apps pay for the hosts of a few: nothing.
func TestAppHosts_CostNothingWhereThereAreNone(t *testing.T) {
	without, err := New(Config{})
	require.NoError(t, err)
	with, err := New(Config{AppHosts: func(string) []string { return nil }})
	require.NoError(t, err)
	allocations := func(g *Guard) float64 {
		return testing.AllocsPerRun(100, func() { g.Check(push.DefaultApp, "https://push.example.com/1") }) //nolint:errcheck // it passes
	}
	require.Equal(t, allocations(without), allocations(with))
}

func TestRegistrableName_IsNoAddressAndNotPrivate(t *testing.T) {
	for host, want := range map[string]bool{
		"example.com": true, "a.b.example": true,
		"": false, "example": false, ".example": false, "localhost": false, "a.lan": false, "1.1.1.1": false, "127.1": false, "a.0x1": false, "::1": false, "a b.com": false,
	} {
		require.Equal(t, want, RegistrableName(host), host)
	}
}

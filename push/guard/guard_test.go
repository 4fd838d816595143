package guard

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

func newGuard(t testing.TB, allowHosts ...string) *Guard {
	t.Helper()
	g, err := New(Config{Field: "endpoint", Remedy: "send what the browser gives", AllowHosts: allowHosts})
	require.NoError(t, err)
	return g
}

func requireInvalid(t testing.TB, err error, field string) {
	t.Helper()
	var invalid *push.InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, field, invalid.Field)
	require.True(t, strings.HasSuffix(invalid.Detail, "."), "a sentence: %q", invalid.Detail)
}

func TestCheck_TakesURLsOnThePublicInternet(t *testing.T) {
	guard := newGuard(t)
	for _, text := range []string{
		"https://fcm.googleapis.com/fcm/send/abc:APA91b-x_y",
		"https://updates.push.services.mozilla.com/wpush/v2/gAAAAABl",
		"https://wns2-par02p.notify.windows.com/w/?token=BQYAAAD%2fabc",
		"https://web.push.apple.com/QabcDEF",
		"https://ntfy.sh/upABCDEF?up=1",
		"HTTPS://Push.Example.COM:443/1",
		"https://push.example.com:8443/1",
		"https://push.example.com",
		"https://under_score.example.com/1",
		"https://xn--bcher-kva.example.com/1",
		"https://1.1.1.1/1",
		"https://[2606:4700:4700::1111]/1",
		"https://localhost.example.com/1",
		"https://10.0.0.1.example.com/1",
		"https://push.example.com/?to=http://127.0.0.1/",
		"https://push.example.com/@127.0.0.1/",
		"https://" + strings.Repeat("a.", 123) + "example/1",
		"https://push.example.com/" + strings.Repeat("x", MaxBytes-len("https://push.example.com/")),
	} {
		_, free, err := guard.Check(push.DefaultApp, text)
		require.False(t, free, text)
		require.NoError(t, err, text)
	}
}

func TestCheck_RefusesWhatIsNoPublicURL(t *testing.T) {
	guard := newGuard(t)
	for kind, texts := range map[string][]string{
		"form": {
			"", " ", "push.example.com/1", "//push.example.com/1", "/1", "https:", "https:///1", "https://:443/1", "https:push.example.com/1",
			"https://push.example.com/\n", " https://push.example.com/1", "https://push.example.com/a b", "https://push.example.com/%zz",
			"https://push.example.com\\@evil.example.net/1", "https:\\\\127.0.0.1\\1", "https:/\\127.0.0.1/1", "https://püsh.example.com/1", "https://push.example.com/é",
			"https://push.exa%6dple.com/1", "https://push.example.com\t/1", "https://push.example.com\x00/1", "https://push.example.com%00.example.net/1", "https://push.example.com%2f@127.0.0.1/1",
			"https://push.example.com./1", "https://.example.com/1", "https://push..example.com/1", "https://pu$h.example.com/1", "https://*.example.com/1",
			"https://" + strings.Repeat("a", 64) + ".example.com/1", "https://" + strings.Repeat("a.", 126) + "com/1",
			"https://push.example.com/" + strings.Repeat("x", MaxBytes+1-len("https://push.example.com/")), "https://[::1/1", "https://[push.example.com]/1", "https://::1/1",
		},
		"scheme": {
			"http://push.example.com/1", "ftp://push.example.com/1", "file:///etc/passwd", "gopher://push.example.com/1", "javascript:alert(1)",
			"ws://push.example.com/1", "unix:///run/docker.sock", "data:text/plain,1",
		},
		"parts": {
			"https://user@push.example.com/1", "https://user:pass@push.example.com/1", "https://@push.example.com/1", "https://1.1.1.1@10.0.0.1/1", "https://10.0.0.1@1.1.1.1/1",
			"https://push.example.com/1#x", "https://push.example.com/1#", "https://push.example.com#@127.0.0.1/", "https://127.0.0.1#@push.example.com/", "https://127.0.0.1?@push.example.com/",
		},
		"port": {
			"https://push.example.com:/1", "https://push.example.com:0/1", "https://push.example.com:22/1", "https://push.example.com:25/1", "https://push.example.com:80/1",
			"https://push.example.com:1023/1", "https://push.example.com:65536/1", "https://push.example.com:0443/1", "https://push.example.com:-1/1", "https://push.example.com:x/1",
			"https://push.example.com:443:22/1", "https://push.example.com:443@127.0.0.1/1",
		},
		"IPv4 in odd spellings": {
			"https://2130706433/1", "https://0x7f000001/1", "https://0x7F000001/1", "https://017700000001/1", "https://0177.0.0.1/1", "https://0x7f.0.0.1/1", "https://0x7f.1/1",
			"https://127.1/1", "https://127.0.1/1", "https://10.1/1", "https://127.0.0.0x1/1", "https://127.0.0.01/1", "https://1.2.3.4.5/1", "https://256.256.256.256/1", "https://00000127.0.0.1/1",
			"https://1.1.1.1./1", "https://127.0.0.1./1", "https://127.0.0.1../1", "https://0/1", "https://0x/1", "https://0x.0x.0/1", "https://①②⑦.⓪.⓪.①/1", "https://１２７.０.０.１/1", "https://127。0。0。1/1",
			"https://%31%32%37.0.0.1/1", "https://127%2e0%2e0%2e1/1", "https://127.0.0.1%20/1", "https://[127.0.0.1]/1", "https://2852039166/1", "https://0xA9FEA9FE/1", "https://0251.0376.0251.0376/1",
			"https://134744072/1", "https://push.example.0x1/1", // public, but who writes so?
		},
		"private names": {
			"https://localhost/1", "https://LOCALHOST/1", "https://localhost./1", "https://a.localhost/1", "https://printer.local/1", "https://router.lan/1", "https://nas.home/1",
			"https://nas.home.arpa/1", "https://home.arpa/1", "https://metadata.google.internal/1", "https://metadata/1", "https://db/1", "https://host.docker.internal/1",
			"https://kubernetes.default.svc.cluster.local/1", "https://intranet.corp/1", "https://a.private/1", "https://a.intranet/1", "https://a.localdomain/1", "https://abc.onion/1",
		},
	} {
		t.Run(kind, func(t *testing.T) {
			for _, text := range texts {
				_, _, err := guard.Check(push.DefaultApp, text)
				require.Error(t, err, "%q", text)
				requireInvalid(t, err, "endpoint")
				if host := hostIn(text); len(host) > 8 {
					require.NotContains(t, err.Error(), host)
				}
			}
		})
	}
}

// hostIn is what stands between the slashes.
func hostIn(text string) string {
	_, rest, _ := strings.Cut(text, "//")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

func TestCheck_NamesTheCallersField(t *testing.T) {
	guard, err := New(Config{Field: "url", Remedy: "write it in full"})
	require.NoError(t, err)
	for text, detail := range map[string]string{
		"":                           "The url is missing: write it in full.",
		"/hook":                      "The url is not an absolute URL with a host: write it in full.",
		"https://10.0.0.1/secret":    "The host is an address that is not on the public internet; only the operator can allow it.",
		"http://hooks.example.com/1": "The URL must start with https://, unless the operator allows its host.",
	} {
		_, _, err := guard.Check(push.DefaultApp, text)
		require.EqualError(t, err, "url: "+detail)
		requireInvalid(t, err, "url")
	}
}

func TestCheckTrusted_LeadsAnywhereThatAURLCan(t *testing.T) {
	guard := newGuard(t)
	for text, ok := range map[string]bool{
		"http://127.0.0.1:9000/hook":  true,
		"https://hooks.lan/1":         true,
		"http://hooks/1":              true,
		"http://[fd00::1]:81/1":       true,
		"https://hooks.example.com/1": true,
		"":                            false,
		"/hook":                       false,
		"ftp://hooks.lan/1":           false,
		"http://user:pass@hooks/1":    false,
		"http://hooks/1#x":            false,
		"http://hooks:0/1":            false,
		"http://ho$ks/1":              false,
		"http://hooks\\@lan/1":        false,
	} {
		_, err := guard.CheckTrusted(text)
		require.Equal(t, ok, err == nil, "%s: %v", text, err)
		if err != nil {
			requireInvalid(t, err, "endpoint")
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{
		"https://push.example.com/1", "https://127.0.0.1/1", "http://[::1]:80/", "https://0x7f.1/1", "https://a@b/1#c", "https://PUSH.example.com:443", "\x00", "https://[fe80::1%25eth0]/",
	} {
		f.Add(s)
	}
	guard := newGuard(f)
	f.Fuzz(func(t *testing.T, text string) {
		target, free, err := guard.Check(push.DefaultApp, text)
		if err != nil {
			requireInvalid(t, err, "endpoint")
			return
		}
		require.False(t, free)
		require.Equal(t, "https", target.Scheme)
		require.Nil(t, target.User)
		require.LessOrEqual(t, len(text), MaxBytes)
		require.Equal(t, strings.ToLower(target.Host), target.Host)
		require.Equal(t, push.Endpoint(text).Host(), target.Host, "lanes and tokens agree on the host")
		if addr, err := netip.ParseAddr(target.Hostname()); err == nil {
			require.True(t, addr.IsGlobalUnicast() && !addr.IsPrivate())
		} else {
			require.Contains(t, target.Hostname(), ".")
		}
		// The URL means to the HTTP client what it meant to us.
		again, err := url.Parse(target.String())
		require.NoError(t, err)
		require.Equal(t, target.Host, again.Host)
	})
}

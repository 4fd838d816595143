package webpush

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

func TestValidate_TakesEndpointsOnThePublicInternet(t *testing.T) {
	guard, err := newGuard(Config{})
	require.NoError(t, err)
	for _, endpoint := range []string{
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
		"https://" + strings.Repeat("a.", 123) + "example/1",
		"https://push.example.com/" + strings.Repeat("x", 2048-len("https://push.example.com/")),
	} {
		_, free, err := guard.check(push.DefaultApp, push.Endpoint(endpoint))
		require.False(t, free, endpoint)
		require.NoError(t, err, endpoint)
	}
}

func TestValidate_RefusesEveryOtherEndpoint(t *testing.T) {
	guard, err := newGuard(Config{})
	require.NoError(t, err)
	for kind, endpoints := range map[string][]string{
		"form": {
			"", " ", "push.example.com/1", "//push.example.com/1", "/1", "https:", "https:///1", "https://:443/1", "https:push.example.com/1",
			"https://push.example.com/\n", " https://push.example.com/1", "https://push.example.com/a b", "https://push.example.com/%zz",
			"https://push.example.com\\@evil.example.net/1", "https://püsh.example.com/1", "https://push.example.com/é", "https://push.exa%6dple.com/1",
			"https://push.example.com./1", "https://.example.com/1", "https://push..example.com/1", "https://pu$h.example.com/1", "https://*.example.com/1",
			"https://" + strings.Repeat("a", 64) + ".example.com/1", "https://" + strings.Repeat("a.", 126) + "com/1",
			"https://push.example.com/" + strings.Repeat("x", 2049-len("https://push.example.com/")), "https://[::1/1", "https://[push.example.com]/1",
		},
		"scheme": {
			"http://push.example.com/1", "ftp://push.example.com/1", "file:///etc/passwd", "gopher://push.example.com/1", "javascript:alert(1)",
			"ws://push.example.com/1", "unix:///run/docker.sock", "data:text/plain,1",
		},
		"parts": {
			"https://user@push.example.com/1", "https://user:pass@push.example.com/1", "https://@push.example.com/1", "https://1.1.1.1@10.0.0.1/1",
			"https://push.example.com/1#x", "https://push.example.com/1#",
		},
		"port": {
			"https://push.example.com:/1", "https://push.example.com:0/1", "https://push.example.com:22/1", "https://push.example.com:25/1", "https://push.example.com:80/1",
			"https://push.example.com:1023/1", "https://push.example.com:65536/1", "https://push.example.com:0443/1", "https://push.example.com:-1/1", "https://push.example.com:x/1",
		},
		"IPv4": {
			"https://127.0.0.1/1", "https://127.255.255.254/1", "https://0.0.0.0/1", "https://10.0.0.1/1", "https://172.16.0.1/1", "https://172.31.255.255/1",
			"https://192.168.0.1/1", "https://169.254.169.254/latest/meta-data/", "https://100.64.0.1/1", "https://100.100.100.200/1", "https://192.0.0.192/1",
			"https://168.63.129.16/1", "https://192.0.2.1/1", "https://198.18.0.1/1", "https://198.51.100.1/1", "https://203.0.113.1/1", "https://192.88.99.1/1",
			"https://224.0.0.1/1", "https://239.255.255.250/1", "https://240.0.0.1/1", "https://255.255.255.255/1",
		},
		"IPv4 in odd spellings": {
			"https://2130706433/1", "https://0x7f000001/1", "https://0x7F000001/1", "https://017700000001/1", "https://0177.0.0.1/1", "https://0x7f.0.0.1/1",
			"https://127.1/1", "https://127.0.1/1", "https://10.1/1", "https://127.0.0.0x1/1", "https://127.0.0.01/1", "https://1.2.3.4.5/1", "https://256.256.256.256/1",
			"https://1.1.1.1./1", "https://127.0.0.1./1", "https://0/1", "https://0x/1", "https://0x.0x.0/1", "https://①②⑦.⓪.⓪.①/1", "https://127。0。0。1/1",
			"https://134744072/1", "https://push.example.0x1/1", // public, but who writes so?
		},
		"IPv6": {
			"https://[::]/1", "https://[::1]/1", "https://[0:0:0:0:0:0:0:1]/1", "https://[fe80::1]/1", "https://[fe80::1%25eth0]/1", "https://[fc00::1]/1", "https://[fd00:ec2::254]/1",
			"https://[fec0::1]/1", "https://[ff02::1]/1", "https://[::ffff:127.0.0.1]/1", "https://[::ffff:10.0.0.1]/1", "https://[::ffff:1.1.1.1]/1", "https://[::ffff:a9fe:a9fe]/1",
			"https://[::127.0.0.1]/1", "https://[64:ff9b::7f00:1]/1", "https://[64:ff9b::a9fe:a9fe]/1", "https://[64:ff9b:1::1]/1", "https://[2002:7f00:1::]/1", "https://[2001::1]/1",
			"https://[2001:db8::1]/1", "https://[100::1]/1", "https://[3fff::1]/1", "https://[2606:4700:4700::1111%25eth0]/1",
		},
		"private names": {
			"https://localhost/1", "https://LOCALHOST/1", "https://localhost./1", "https://a.localhost/1", "https://printer.local/1", "https://router.lan/1", "https://nas.home/1",
			"https://nas.home.arpa/1", "https://metadata.google.internal/1", "https://metadata/1", "https://db/1", "https://host.docker.internal/1", "https://kubernetes.default.svc.cluster.local/1",
			"https://intranet.corp/1", "https://a.private/1", "https://a.intranet/1", "https://a.localdomain/1", "https://abc.onion/1",
		},
	} {
		t.Run(kind, func(t *testing.T) {
			for _, endpoint := range endpoints {
				_, _, err := guard.check(push.DefaultApp, push.Endpoint(endpoint))
				require.Error(t, err, "%q", endpoint)
				requireInvalid(t, err, "endpoint")
			}
		})
	}
}

// Whatever a name resolves to, these are never dialled.
func TestGuard_RefusesToDialPrivateAddresses(t *testing.T) {
	guard, err := newGuard(Config{AllowHosts: []string{"localhost"}})
	require.NoError(t, err)
	for address, ok := range map[string]bool{
		"1.1.1.1:443": true, "8.8.8.8:8443": true, "[2606:4700:4700::1111]:443": true,
		"127.0.0.1:443": false, "10.0.0.1:443": false, "172.16.0.1:443": false, "192.168.1.1:443": false, "169.254.169.254:443": false,
		"100.64.0.1:443": false, "168.63.129.16:443": false, "0.0.0.0:443": false, "224.0.0.1:443": false, "[::1]:443": false, "[fe80::1]:443": false,
		"[fd00:ec2::254]:443": false, "[::ffff:127.0.0.1]:443": false, "[::ffff:1.1.1.1]:443": false, "[64:ff9b::7f00:1]:443": false, "[ff02::1]:443": false,
	} {
		network := "tcp4"
		if strings.HasPrefix(address, "[") {
			network = "tcp6"
		}
		require.Equal(t, ok, guard.control(network, address, nil) == nil, address)
	}
	require.Error(t, guard.control("udp4", "1.1.1.1:443", nil))
	require.Error(t, guard.control("unix", "/run/docker.sock", nil))
}

func TestAllowHosts_AreComparedWhole(t *testing.T) {
	guard, err := newGuard(Config{AllowHosts: []string{"push.home.arpa", "localhost:8080", "192.168.1.5:443", "[fd00::1]:8443", "::1", "[FD00:0::2]", "NTFY"}})
	require.NoError(t, err)
	for endpoint, ok := range map[string]bool{
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
	} {
		_, free, err := guard.check(push.DefaultApp, push.Endpoint(endpoint))
		require.Equal(t, ok, err == nil, "%s: %v", endpoint, err)
		require.Equal(t, ok, free, endpoint)
	}
}

func TestAllowHosts_AreHostsAndNothingElse(t *testing.T) {
	for _, entry := range []string{
		"", " ", "*", "*.example.com", "https://example.com", "example.com/", "user@example.com", "example.com:", "example.com:0", "example.com:65536",
		"example.com:https", "10.0.0.0/8", ".example.com", "example.com.", "a b", "[::1", "::1]", "[::1]:", "[]", "a,b",
	} {
		_, err := newGuard(Config{AllowHosts: []string{entry}})
		require.ErrorContains(t, err, "Config.AllowHosts[0]", "%q", entry)
		_, err = ParseHost(entry)
		require.ErrorContains(t, err, `write "host" or "host:port"`, "%q", entry)
	}
}

func FuzzValidate(f *testing.F) {
	for _, s := range []string{
		"https://push.example.com/1", "https://127.0.0.1/1", "http://[::1]:80/", "https://0x7f.1/1", "https://a@b/1#c", "https://PUSH.example.com:443", "\x00", "https://[fe80::1%25eth0]/",
	} {
		f.Add(s)
	}
	guard, err := newGuard(Config{})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, endpoint string) {
		target, free, err := guard.check(push.DefaultApp, push.Endpoint(endpoint))
		if err != nil {
			var invalid *push.InvalidError
			require.ErrorAs(t, err, &invalid)
			return
		}
		require.False(t, free)
		require.Equal(t, "https", target.Scheme)
		require.Nil(t, target.User)
		require.LessOrEqual(t, len(endpoint), maxEndpointBytes)
		require.Equal(t, strings.ToLower(target.Host), target.Host)
		require.Equal(t, push.Endpoint(endpoint).Host(), target.Host, "lanes and tokens agree on the host")
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

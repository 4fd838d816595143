package guard

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/pushtest"
)

// addresses are one or more of every kind that there is, and whether it is
// public (IANA's IPv4 and IPv6 special-purpose address registries).
var addresses = map[string]map[string]bool{
	"public": {
		"1.1.1.1": true, "8.8.8.8": true, "9.255.255.255": true, "11.0.0.0": true, "100.63.255.255": true, "100.128.0.0": true, "126.255.255.255": true, "128.0.0.0": true,
		"168.63.129.15": true, "168.63.129.17": true, "169.253.255.255": true, "169.255.0.0": true, "172.15.255.255": true, "172.32.0.0": true, "192.167.255.255": true, "192.169.0.0": true,
		"198.17.255.255": true, "198.20.0.0": true, "223.255.255.255": true,
		"2606:4700:4700::1111": true, "2001:4860:4860::8888": true, "2400:cb00::1": true, "2a00:1450::1": true,
	},
	"this network":    {"0.0.0.0": false, "0.1.2.3": false, "0.255.255.255": false},
	"loopback":        {"127.0.0.1": false, "127.0.0.2": false, "127.255.255.254": false, "::1": false},
	"unspecified":     {"::": false},
	"private":         {"10.0.0.0": false, "10.0.0.1": false, "10.255.255.255": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.0.1": false, "192.168.255.255": false},
	"unique local":    {"fc00::1": false, "fd00::1": false, "fdff:ffff::1": false},
	"link-local":      {"169.254.0.1": false, "169.254.255.255": false, "fe80::1": false, "febf::1": false},
	"site-local":      {"fec0::1": false},
	"CGNAT":           {"100.64.0.1": false, "100.127.255.255": false},
	"cloud metadata":  {"169.254.169.254": false, "169.254.170.2": false, "100.100.100.200": false, "192.0.0.192": false, "168.63.129.16": false, "fd00:ec2::254": false, "fd20:ce::254": false},
	"protocols":       {"192.0.0.1": false, "192.0.0.170": false, "192.88.99.1": false, "192.31.196.1": false, "192.52.193.1": false, "192.175.48.1": false},
	"documentation":   {"192.0.2.1": false, "198.51.100.1": false, "203.0.113.1": false, "2001:db8::1": false, "3fff::1": false},
	"benchmarking":    {"198.18.0.1": false, "198.19.255.255": false, "2001:2::1": false},
	"multicast":       {"224.0.0.1": false, "239.255.255.250": false, "ff00::1": false, "ff02::1": false, "ff0e::1": false},
	"reserved":        {"240.0.0.1": false, "254.255.255.255": false, "4000::1": false, "e000::1": false},
	"broadcast":       {"255.255.255.255": false},
	"discard":         {"100::1": false},
	"IPv4-mapped":     {"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:169.254.169.254": false, "::ffff:a9fe:a9fe": false, "::ffff:1.1.1.1": false},
	"IPv4-compatible": {"::127.0.0.1": false, "::10.0.0.1": false, "::a9fe:a9fe": false, "::1.1.1.1": false},
	"IPv4-translated": {"::ffff:0:127.0.0.1": false, "::ffff:0:10.0.0.1": false},
	"NAT64":           {"64:ff9b::127.0.0.1": false, "64:ff9b::10.0.0.1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b::1.1.1.1": false, "64:ff9b:1::1": false, "64:ff9b:1:ffff::a00:1": false},
	"6to4":            {"2002:7f00:1::": false, "2002:a00:1::1": false, "2002:a9fe:a9fe::1": false, "2002:c0a8:101::1": false},
	"Teredo":          {"2001::1": false, "2001:0:7f00:1::": false, "2001:0:4136:e378:8000:63bf:80ff:fffe": false, "2001:0:4136:e378:8000:63bf:f5ff:fffe": false},
	"ORCHID":          {"2001:10::1": false, "2001:20::1": false},
	"with a zone":     {"fe80::1%eth0": false, "2606:4700:4700::1111%eth0": false, "::1%lo": false},
}

// What an address is decides when it is registered, and when it is dialled.
func TestAddresses_OfEveryKindAreJudgedAlikeByTextAndWhenDialled(t *testing.T) {
	guard := newGuard(t, "localhost", "hooks.lan")
	for kind, list := range addresses {
		t.Run(kind, func(t *testing.T) {
			for address, public := range list {
				network, host := "tcp4", address
				if strings.Contains(address, ":") {
					network, host = "tcp6", "["+strings.Replace(address, "%", "%25", 1)+"]"
				}
				_, free, err := guard.Check(push.DefaultApp, "https://"+host+":8443/secret-path")
				require.False(t, free, address)
				require.Equal(t, public, err == nil, "%s as text: %v", address, err)
				if err != nil {
					requireInvalid(t, err, "endpoint")
					require.NotContains(t, err.Error(), address)
				}
				err = guard.Control(network, net.JoinHostPort(address, "443"), nil)
				require.Equal(t, public, err == nil, "%s dialled: %v", address, err)
				require.Equal(t, !public, errors.Is(err, ErrNotPublic), address)
			}
		})
	}
}

func TestControl_RefusesWhatIsNotTCP(t *testing.T) {
	guard := newGuard(t)
	require.NoError(t, guard.Control("tcp4", "1.1.1.1:443", nil))
	for network, address := range map[string]string{"udp4": "1.1.1.1:443", "udp6": "[2606:4700:4700::1111]:443", "ip4": "1.1.1.1", "unix": "/run/docker.sock", "tcp4": "example.com:443"} {
		require.ErrorIs(t, guard.Control(network, address, nil), ErrNotPublic, network)
	}
}

// door is a listener on every address of this machine that counts who comes in.
type door struct {
	port    string
	knocked atomic.Int32
}

func openDoor(t *testing.T) *door {
	t.Helper()
	listener, err := net.Listen("tcp", ":0")
	require.NoError(t, err)
	d := &door{}
	_, d.port, err = net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			d.knocked.Add(1)
			conn.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	return d
}

// knock makes a request by name, with a resolver of the test's own.
func knock(t *testing.T, guard *Guard, free bool, port string, resolver *net.Resolver) error {
	t.Helper()
	target, allowed, err := guard.Check(push.DefaultApp, "https://hooks.example.com:"+port+"/1")
	require.NoError(t, err, "its text shows nothing")
	require.Equal(t, free, allowed)
	transports := guard.Transports(TransportConfig{MaxConnsPerHost: 1, Resolver: resolver})
	defer transports.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	require.NoError(t, err)
	response, err := transports.For(allowed).RoundTrip(request)
	if err == nil {
		response.Body.Close()
	}
	return err
}

func TestTransports_DialNoAddressThatIsNotPublic(t *testing.T) {
	door := openDoor(t)
	guard := newGuard(t)
	for kind, list := range addresses {
		for address, public := range list {
			// What is public is not for a test to knock at, nor what is mapped to it,
			// which is dialled instead; and names do not resolve to zones.
			if public || address == "::ffff:1.1.1.1" || strings.Contains(address, "%") {
				continue
			}
			require.ErrorIs(t, knock(t, guard, false, door.port, pushtest.Resolving(address)), ErrNotPublic, "%s %s", kind, address)
		}
	}
	require.ErrorIs(t, knock(t, guard, false, door.port, pushtest.Resolving("127.0.0.1", "127.0.0.2", "10.0.0.1", "::1")), ErrNotPublic, "each of several")
	require.Zero(t, door.knocked.Load())

	require.Error(t, knock(t, newGuard(t, "hooks.example.com"), true, door.port, pushtest.Resolving("127.0.0.1")))
	require.NotZero(t, door.knocked.Load(), "the operator may allow it: the door is there")
}

// The name leads to a public address while anybody looks, and home afterwards.
func TestTransports_AreNotFooledByANameThatChanges(t *testing.T) {
	door := openDoor(t)
	var looked atomic.Int32
	resolver := pushtest.Resolver(func(string) []netip.Addr {
		if looked.Add(1) <= 2 { // for IPv4 and IPv6
			return []netip.Addr{netip.MustParseAddr("93.184.215.14")}
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	})
	guard := newGuard(t)
	found, err := resolver.LookupNetIP(t.Context(), "ip", "hooks.example.com")
	require.NoError(t, err)
	require.NoError(t, guard.Control("tcp4", netip.AddrPortFrom(found[0], 443).String(), nil), "when it is registered it is public")

	for range 3 {
		require.ErrorIs(t, knock(t, guard, false, door.port, resolver), ErrNotPublic)
	}
	require.Zero(t, door.knocked.Load())
}

func TestTransports_UseNoProxyOfTheEnvironment(t *testing.T) {
	transports := newGuard(t).Transports(TransportConfig{})
	require.Nil(t, transports.Guarded.Proxy)
	require.Nil(t, transports.Free.Proxy)
	require.Same(t, transports.Free, transports.For(true))
	require.Same(t, transports.Guarded, transports.For(false))
}

func TestTransports_FollowNoRedirect(t *testing.T) {
	var inside atomic.Int32
	private := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside.Add(1) }))
	defer private.Close()
	front := httptest.NewServer(http.RedirectHandler(private.URL, http.StatusTemporaryRedirect))
	defer front.Close()
	guard := newGuard(t, strings.TrimPrefix(front.URL, "http://"))
	target, free, err := guard.Check(push.DefaultApp, front.URL)
	require.NoError(t, err)
	require.True(t, free)
	transports := guard.Transports(TransportConfig{})
	defer transports.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target.String(), nil)
	require.NoError(t, err)
	response, err := transports.For(free).RoundTrip(request)
	require.NoError(t, err)
	io.Copy(io.Discard, response.Body) //nolint:errcheck // there is nothing in it
	response.Body.Close()
	require.Equal(t, http.StatusTemporaryRedirect, response.StatusCode)
	require.Zero(t, inside.Load())
}

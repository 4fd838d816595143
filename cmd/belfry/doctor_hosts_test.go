package main

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hostAhead is a push host whose clock is ahead, or with a negative figure
// behind; it refuses every request, as push hosts do that nobody sent anything to.
func hostAhead(t *testing.T, ahead time.Duration) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusNotFound)
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// reach has the doctor look at push hosts, which are this machine's, with the
// certificates of some of them trusted.
func reach(t *testing.T, hosts []pushHost, trusted ...*httptest.Server) (r *report, said string) {
	t.Helper()
	var authorities bytes.Buffer
	for _, server := range trusted {
		require.NoError(t, pem.Encode(&authorities, &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	}
	flags := &serveFlags{}
	if len(trusted) > 0 {
		flags.PushCAFile = filepath.Join(t.TempDir(), "ca.pem")
		require.NoError(t, os.WriteFile(flags.PushCAFile, authorities.Bytes(), 0o600))
	}
	var out bytes.Buffer
	d := newDoctor(flags, newReport(&out))
	d.checkHosts(t.Context(), hosts)
	return d.report, out.String()
}

func TestDoctor_ReachesPushHostsAndComparesClocks(t *testing.T) {
	for ahead, want := range map[time.Duration]string{
		0:                 "ok   clock          This machine's clock agrees with that of push services.\n",
		30 * time.Second:  "look clock          This machine's clock is 29s behind that of push services. -> Have the machine's clock set by NTP",
		-30 * time.Second: "look clock          This machine's clock is 29s ahead of that of push services. -> Have the machine's clock set by NTP",
		5 * time.Minute:   "BAD  clock          This machine's clock is 4m59s behind that of push services. They refuse our tokens. -> ",
		-5 * time.Minute:  "BAD  clock          This machine's clock is 4m59s ahead of that of push services. They refuse our tokens. -> ",
	} {
		server := hostAhead(t, ahead)
		_, said := reach(t, []pushHost{{url: server.URL, trusted: true}}, server)
		require.Contains(t, said, "ok   push hosts     "+strings.TrimPrefix(server.URL, "https://")+" can be reached.\n")
		// What the header has is a whole second, and the way takes its time: seconds, on a slow machine.
		want = strings.NewReplacer("4m59s", `(4m5\ds|5m0s)`, "29s", "(2[5-9]|30)s").Replace(want)
		require.Regexp(t, want, said)
	}
}

func TestDoctor_GoesByTheMiddleOfTheClocks(t *testing.T) {
	a, b, odd := hostAhead(t, 0), hostAhead(t, 0), hostAhead(t, -24*time.Hour)
	_, said := reach(t, []pushHost{{url: a.URL, trusted: true}, {url: odd.URL, trusted: true}, {url: b.URL, trusted: true}}, a, b, odd)
	require.Contains(t, said, "agrees with that of push services")
}

func TestDoctor_SaysWhichPushHostsCannotBeReached(t *testing.T) {
	well, strange := hostAhead(t, 0), hostAhead(t, 0)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	stranger := "https://127.0.0.1:" + fmt.Sprint(strange.Listener.Addr().(*net.TCPAddr).Port)
	r, said := reach(t, []pushHost{{url: well.URL, trusted: true}, {url: "https://" + closed.Addr().String(), trusted: true}, {url: "https://push.invalid", trusted: true}}, well)
	require.ErrorIs(t, r.end(), errUnwell)
	require.Contains(t, said, strings.TrimPrefix(well.URL, "https://")+" can be reached.")
	require.Contains(t, said, "BAD  push hosts     "+closed.Addr().String()+" cannot be reached: dial tcp")
	require.Contains(t, said, "BAD  push hosts     push.invalid cannot be reached: ")
	require.Equal(t, 1, strings.Count(said, "Proxies named by the environment are not used"), "it is said once")

	_, said = reach(t, []pushHost{{url: stranger, trusted: true}})
	require.Contains(t, said, "certificate signed by unknown authority", "as with a proxy that reads TLS")
}

// A name service that leads into the own network is no way to a push host.
func TestDoctor_KeepsToPublicAddresses(t *testing.T) {
	server := hostAhead(t, 0)
	r, said := reach(t, []pushHost{{url: server.URL}}, server)
	require.ErrorIs(t, r.end(), errUnwell)
	require.Contains(t, said, " has an address that is not on the public internet, so nothing is sent there. -> Correct the name service")
}

func TestDoctor_AsksEachPushHostOnceAndNoneOffline(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(server.Close)
	host := pushHost{url: server.URL, trusted: true}
	reach(t, []pushHost{host, host, host}, server)
	require.EqualValues(t, 1, asked.Load())

	var out bytes.Buffer
	d := newDoctor(&serveFlags{Listen: "127.0.0.1:0", storeFlags: storeFlags{DataDir: t.TempDir()}}, newReport(&out))
	d.hosts, d.online = []pushHost{host}, false
	d.examine(t.Context())
	require.EqualValues(t, 1, asked.Load())
	require.NotContains(t, out.String(), "push hosts")
}

func TestSkewOf_AllowsForTheSecondAndTheWay(t *testing.T) {
	asked := time.Date(2026, time.March, 1, 9, 0, 0, 900e6, time.UTC)
	answered := asked.Add(300 * time.Millisecond)
	for date, want := range map[time.Duration]time.Duration{
		-900 * time.Millisecond:  0,                       // 9:00:00, up to 9:00:00.999
		100 * time.Millisecond:   0,                       // 9:00:01
		1100 * time.Millisecond:  800 * time.Millisecond,  // 9:00:02
		-1900 * time.Millisecond: -900 * time.Millisecond, // 8:59:59
	} {
		require.Equal(t, want, skewOf(asked.Add(date), asked, answered), "%s", date)
	}
}

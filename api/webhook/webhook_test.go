package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/pushtest"
	"github.com/belfryhq/belfry/store"
)

// Another implementation of the specification takes what is sent.
func TestCall_IsAsStandardWebhooksHasIt(t *testing.T) {
	receiver := newReceiver(t, answering(204))
	require.Equal(t, actors.CallResult{Taken: true, Status: 204}, newCaller(t).Call(t.Context(), receiver.webhook(), batch, happy))
	got := receiver.got()[0]
	require.Equal(t, http.MethodPost, got.method)
	require.Equal(t, "/hook/"+secretPath+"?key="+secretPath, got.path)
	require.Equal(t, "application/json", got.header.Get("Content-Type"))
	require.Equal(t, "belfry", got.header.Get("User-Agent"))
	require.Equal(t, batch.String(), got.header.Get("webhook-id"))

	verifier, err := standardwebhooks.NewWebhook(FormatSecret(receiver.secret))
	require.NoError(t, err)
	require.NoError(t, verifier.Verify(got.body, got.header))
	require.Error(t, verifier.Verify(append(got.body, ' '), got.header))
	stranger, err := standardwebhooks.NewWebhook(FormatSecret(MakeSecret()))
	require.NoError(t, err)
	require.Error(t, stranger.Verify(got.body, got.header))

	require.JSONEq(t, `{"type":"events","timestamp":"2026-11-22T12:00:01.005Z","data":{"events":[
		{"id":"00000000-0000-0000-0000-000000000001","type":"delivery.delivered","at":"2026-11-22T12:00:00Z"},
		{"id":"00000000-0000-0000-0000-000000000002","type":"delivery.gone","at":"2026-11-22T12:00:01.005Z"}]}}`, string(got.body))
}

func TestCall_SendsTheSameBodyAgain(t *testing.T) {
	receiver := newReceiver(t, answering(500))
	caller := newCaller(t)
	caller.Call(t.Context(), receiver.webhook(), batch, happy)
	caller.Call(t.Context(), receiver.webhook(), batch, happy)
	got := receiver.got()
	require.Equal(t, got[0].body, got[1].body)
	require.Equal(t, got[0].header.Get("webhook-id"), got[1].header.Get("webhook-id"))
}

func TestTest_SendsNoEvents(t *testing.T) {
	receiver := newReceiver(t, answering(200))
	caller := newCaller(t)
	require.Equal(t, actors.CallResult{Taken: true, Status: 200}, caller.Test(t.Context(), receiver.webhook()))
	require.True(t, caller.Test(t.Context(), receiver.webhook()).Taken)
	got := receiver.got()
	var body struct {
		Type      string
		Timestamp time.Time
		Data      struct{ Events []any }
	}
	require.NoError(t, json.Unmarshal(got[0].body, &body))
	require.Equal(t, "test", body.Type)
	require.WithinDuration(t, time.Now(), body.Timestamp, time.Minute)
	require.NotNil(t, body.Data.Events)
	require.Empty(t, body.Data.Events)
	require.NotEqual(t, got[0].header.Get("webhook-id"), got[1].header.Get("webhook-id"))
	verifier, err := standardwebhooks.NewWebhook(FormatSecret(receiver.secret))
	require.NoError(t, err)
	require.NoError(t, verifier.Verify(got[0].body, got[0].header))
}

func TestCall_SaysWhatEveryStatusMeans(t *testing.T) {
	for status := 200; status < 600; status++ {
		got := classify(status, http.Header{"Retry-After": {"7"}}, time.Now())
		require.Equal(t, status, got.Status)
		require.Equal(t, status < 300, got.Taken, status)
		require.Equal(t, status == 410, got.Ended, status)
		require.Equal(t, got.Taken, got.Reason == "", status)
		require.Equal(t, status == 429 || status == 503, got.RetryAfter == 7*time.Second, status)
	}
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "x": 0, "-5": 0, "120": 2 * time.Minute, "Sun, 22 Nov 2026 12:00:30 GMT": 30 * time.Second, "Sun, 22 Nov 2026 11:00:00 GMT": 0,
	} {
		require.Equal(t, want, classify(503, http.Header{"Retry-After": {value}}, now).RetryAfter, value)
	}
}

func TestCall_SaysWhatCameOfIt(t *testing.T) {
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	hangs := make(chan struct{})
	for what, test := range map[string]struct {
		answer http.HandlerFunc
		url    string
		want   actors.CallResult
	}{
		"fails":       {answer: answering(500), want: actors.CallResult{Status: 500, Reason: "it answered 500 Internal Server Error"}},
		"odd":         {answer: answering(599), want: actors.CallResult{Status: 599, Reason: "it answered 599"}},
		"overloaded":  {answer: answering(429, "Retry-After", "30"), want: actors.CallResult{Status: 429, Reason: "it answered 429 Too Many Requests", RetryAfter: 30 * time.Second}},
		"gone":        {answer: answering(410), want: actors.CallResult{Status: 410, Reason: "it answered 410 Gone", Ended: true}},
		"not modifed": {answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }, want: actors.CallResult{Status: 304, Reason: "it answered 304 Not Modified, and redirects are not followed"}},
		"hangs":       {answer: func(http.ResponseWriter, *http.Request) { <-hangs }, want: actors.CallResult{Reason: "the receiver did not answer in time"}},
		"breaks":      {answer: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, want: actors.CallResult{Reason: "the connection to the receiver broke"}},
		"down":        {url: down.URL + "/" + secretPath, want: actors.CallResult{Reason: "the receiver refuses connections"}},
		"no TLS":      {answer: answering(200), url: "https", want: actors.CallResult{Reason: "the receiver does not speak TLS as it should"}},
		"unfit":       {url: "ftp://hooks.lan/" + secretPath, want: actors.CallResult{Reason: "The URL must start with https://."}},
	} {
		t.Run(what, func(t *testing.T) {
			webhook, timeout := store.Webhook{Private: true, URL: test.url}, time.Minute
			if test.answer != nil {
				receiver := newReceiver(t, test.answer)
				webhook = receiver.webhook()
				if what == "hangs" {
					timeout = time.Second
					defer close(hangs)
				}
				if test.url == "https" {
					webhook.URL = strings.Replace(webhook.URL, "http:", "https:", 1)
				}
			}
			caller := newCaller(t, func(c *Config) { c.Timeout = timeout })
			got := caller.Call(t.Context(), webhook, batch, happy)
			require.Equal(t, test.want, got)
			require.NotContains(t, got.Reason, secretPath)
		})
	}
}

func TestCall_FollowsNoRedirectToAPrivateAddress(t *testing.T) {
	inside := newReceiver(t, answering(200))
	for _, status := range []int{301, 302, 303, 307, 308} {
		front := newReceiver(t, answering(status, "Location", inside.URL+"/latest/meta-data/"))
		got := newCaller(t).Call(t.Context(), front.webhook(), batch, happy)
		require.False(t, got.Taken)
		require.Equal(t, status, got.Status)
		require.NotContains(t, got.Reason, inside.URL)
	}
	require.Empty(t, inside.got())
}

func TestCall_ReadsNoAnswerToItsEnd(t *testing.T) {
	receiver := newReceiver(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	})
	began := time.Now()
	require.True(t, newCaller(t).Call(t.Context(), receiver.webhook(), batch, happy).Taken)
	require.Less(t, time.Since(began), defaultTimeout/2)
}

func TestCall_EndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	receiver := newReceiver(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	require.Equal(t, actors.CallResult{Reason: "cancelled before the receiver answered"}, newCaller(t).Call(ctx, receiver.webhook(), batch, happy))
}

// Somebody listens at every one of these addresses, and nobody comes.
func TestCall_ConnectsToNoPrivateAddress(t *testing.T) {
	listener, err := net.Listen("tcp", ":0")
	require.NoError(t, err)
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	public := store.Webhook{URL: "https://hooks.example.com:" + port + "/" + secretPath, Secret: MakeSecret()}
	const refused = "the name of the receiver resolves to an address that is not on the public internet; only the operator can allow it"
	for _, address := range []string{
		"127.0.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "168.63.129.16", "224.0.0.1", "255.255.255.255",
		"::1", "::", "fd00:ec2::254", "fe80::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::127.0.0.1", "2002:7f00:1::", "2001::1",
	} {
		caller := newCaller(t, func(c *Config) { c.resolver = pushtest.Resolving(address) })
		require.NoError(t, caller.Check(public.URL, false), "its text shows nothing")
		require.Equal(t, actors.CallResult{Reason: refused}, caller.Call(t.Context(), public, batch, happy), address)
		require.Equal(t, actors.CallResult{Reason: refused}, caller.Test(t.Context(), public), address)
	}

	var asked atomic.Int32
	rebinding := newCaller(t, func(c *Config) {
		c.resolver = pushtest.Resolver(func(string) []netip.Addr {
			if asked.Add(1) <= 2 {
				return []netip.Addr{netip.MustParseAddr("93.184.215.14")}
			}
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
		})
	})
	found, err := rebinding.config.resolver.LookupHost(t.Context(), "hooks.example.com")
	require.NoError(t, err)
	require.Equal(t, []string{"93.184.215.14"}, found, "public when it is given")
	require.Equal(t, refused, rebinding.Call(t.Context(), public, batch, happy).Reason, "and private when it is called")

	require.NoError(t, listener.(*net.TCPListener).SetDeadline(time.Now()))
	_, err = listener.Accept()
	require.ErrorContains(t, err, "timeout", "nobody connected")
}

func TestCheck_LetsTheOperatorAloneLeadHome(t *testing.T) {
	caller := newCaller(t)
	for url, private := range map[string]bool{
		"https://hooks.example.com/1": false, "https://hooks.example.com:8443/1?key=x": false, "https://1.1.1.1/1": false,
		"http://hooks.example.com/1": true, "https://10.0.0.1/1": true, "https://localhost/1": true, "http://127.0.0.1:9000/1": true, "https://hooks.lan/1": true,
		"https://[::1]/1": true, "https://169.254.169.254/": true, "https://hooks.example.com:80/1": true,
	} {
		require.NoError(t, caller.Check(url, true), url)
		err := caller.Check(url, false)
		require.Equal(t, private, err != nil, "%s: %v", url, err)
		if err != nil {
			var invalid *push.InvalidError
			require.ErrorAs(t, err, &invalid)
			require.Equal(t, "url", invalid.Field)
		}
	}
	for _, url := range []string{"", "hooks.example.com", "https://user:pass@hooks.example.com/", "https://hooks.example.com/#x", "ftp://hooks.lan/", "https://hooks.example.com\\@10.0.0.1/"} {
		require.Error(t, caller.Check(url, true), url)
		require.Error(t, caller.Check(url, false), url)
	}
}

func TestSecret_IsReadAsItIsWritten(t *testing.T) {
	secret := MakeSecret()
	require.Len(t, secret, 32)
	require.NotEqual(t, secret, MakeSecret())
	text := FormatSecret(secret)
	require.Regexp(t, `^whsec_[A-Za-z0-9+/]{43}=$`, text)
	parsed, err := ParseSecret(text)
	require.NoError(t, err)
	require.Equal(t, secret, parsed)
	for n, ok := range map[int]bool{0: false, 23: false, 24: true, 64: true, 65: false} {
		_, err := ParseSecret(FormatSecret(make([]byte, n)))
		require.Equal(t, ok, err == nil, n)
	}
	bare := strings.TrimPrefix(text, "whsec_")
	for _, bad := range []string{"", "whsec_", bare, "whsec_" + bare[:20] + "\n" + bare[20:], "WHSEC_" + bare, text + "=", "whsk_" + bare, "whsec_" + strings.Repeat("-_", 20)} {
		_, err := ParseSecret(bad)
		var invalid *push.InvalidError
		require.ErrorAs(t, err, &invalid, bad)
		require.Equal(t, "secret", invalid.Field)
		require.NotContains(t, err.Error(), bare[:10])
	}
}

func FuzzParseSecret(f *testing.F) {
	f.Add("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	f.Add("whsec_\xff")
	f.Fuzz(func(t *testing.T, text string) {
		secret, err := ParseSecret(text)
		if err == nil {
			require.Equal(t, text, FormatSecret(secret))
		}
	})
}

func TestNew_NamesTheFieldThatIsWrong(t *testing.T) {
	show := func(push.Event) any { return nil }
	for field, config := range map[string]Config{"Config.Show": {}, "Config.Timeout": {Show: show, Timeout: -1}} {
		_, err := New(config)
		require.ErrorContains(t, err, field)
	}
	require.Equal(t, 15*time.Second, newCaller(t).config.Timeout)
}

// A secret is in nothing that the package prints.
func TestWebhook_KeepsItsSecretsInResults(t *testing.T) {
	receiver := newReceiver(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(400)
		io.Copy(w, strings.NewReader(r.RequestURI+r.Header.Get("webhook-signature"))) //nolint:errcheck // it may have gone
	})
	got := fmt.Sprintf("%+v", newCaller(t).Call(t.Context(), receiver.webhook(), batch, happy))
	require.NotContains(t, got, secretPath)
	require.NotContains(t, got, "v1,")
}

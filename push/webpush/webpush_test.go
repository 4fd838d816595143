package webpush

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/pushtest"
	"github.com/belfryhq/belfry/push/simulate"
)

func TestSend_MakesTheRequestOfRFC8030(t *testing.T) {
	service := newService(t, answering(201, ""))
	provider := service.provider(t)
	message, browser := service.message(t, "/send/abc?x=1")

	require.Equal(t, push.Result{Outcome: push.Delivered, Status: 201}, provider.Send(t.Context(), message))

	require.Len(t, service.requests(), 1)
	got := service.requests()[0]
	require.Equal(t, "HTTP/2.0", got.proto)
	require.Equal(t, "POST", got.method)
	require.Equal(t, "/send/abc?x=1", got.path)
	require.Equal(t, "91", got.header.Get("TTL"))
	require.Equal(t, "high", got.header.Get("Urgency"))
	require.Equal(t, message.Notification.Topic(), got.header.Get("Topic"))
	require.Equal(t, "aes128gcm", got.header.Get("Content-Encoding"))
	require.Equal(t, "application/octet-stream", got.header.Get("Content-Type"))
	require.Equal(t, "512", got.header.Get("Content-Length"))
	require.Empty(t, got.header.Get("Crypto-Key"), "Mozilla refuses it beside aes128gcm")
	require.Empty(t, got.header.Get("Accept-Encoding"))
	require.Equal(t, service.URL, verifyToken(t, got.header.Get("Authorization"), service.sender.public)["aud"])

	payload, err := browser.Decrypt(got.body)
	require.NoError(t, err)
	require.Equal(t, message.Notification.WebPayload(""), payload)
}

func TestSend_SatisfiesAStrictPushService(t *testing.T) {
	service := pushtest.StartWebPush(t)
	sender := newSender(t)
	provider, err := New(Config{Key: sender.key, AllowHosts: []string{"127.0.0.1"}})
	require.NoError(t, err)
	defer provider.Close()

	endpoint := service.NewEndpoint()
	endpoint.BindTo(sender.public)
	message, browser := messageTo(t, sender, push.Endpoint(endpoint.URL))
	require.Equal(t, push.Result{Outcome: push.Delivered, Status: 201}, provider.Send(t.Context(), message))
	payload, err := browser.Decrypt(endpoint.Receipts()[0].Body)
	require.NoError(t, err)
	require.Equal(t, message.Notification.WebPayload(""), payload)

	endpoint.Expire()
	require.Equal(t, push.Gone, provider.Send(t.Context(), message).Outcome)
}

func TestSend_SpeaksHTTP1WhereThereIsNoOther(t *testing.T) {
	service := newUnstarted(t, answering(200, "ok"))
	service.Start()
	provider := service.provider(t)
	message, browser := service.message(t, "/1")

	require.Equal(t, push.Delivered, provider.Send(t.Context(), message).Outcome, "plain http to a host the operator allowed")
	require.Equal(t, "HTTP/1.1", service.requests()[0].proto)
	_, err := browser.Decrypt(service.requests()[0].body)
	require.NoError(t, err)
}

func TestSend_GivesTTLInWholeSecondsFromOneToFourWeeks(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "1", 0: "1", time.Millisecond: "1", time.Second: "1", 1001 * time.Millisecond: "2", 2 * time.Second: "2",
		24 * time.Hour: "86400", 28 * 24 * time.Hour: "2419200", 365 * 24 * time.Hour: "2419200",
	} {
		require.Equal(t, want, ttl(d), "%v", d)
	}
}

func TestSend_FollowsNoRedirect(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		service := newService(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", status)
		})
		message, _ := service.message(t, "/1")
		result := service.provider(t).Send(t.Context(), message)
		require.Equal(t, status, result.Status)
		require.NotEqual(t, push.Refused, result.Outcome, "anyone can register an endpoint that redirects")
		require.Len(t, service.requests(), 1)
	}
}

func TestSend_ReadsOnlyTheBeginningOfAnAnswer(t *testing.T) {
	var sent atomic.Int64
	cut := make(chan struct{})
	service := newService(t, func(w http.ResponseWriter, _ *http.Request) {
		defer close(cut)
		w.WriteHeader(400)
		chunk := []byte(strings.Repeat("no ", 1000))
		for {
			n, err := w.Write(chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	message, _ := service.message(t, "/1")
	result := service.provider(t).Send(t.Context(), message)
	require.Equal(t, push.Rejected, result.Outcome)
	require.LessOrEqual(t, len(result.Reason), push.MaxReasonBytes)
	<-cut
	require.Less(t, sent.Load(), int64(1<<20))
}

func TestSend_EndsAtItsTimeout(t *testing.T) {
	service := newService(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	provider := service.provider(t, func(c *Config) { c.Timeout = 100 * time.Millisecond })
	message, _ := service.message(t, "/1")
	result := provider.Send(t.Context(), message)
	require.Equal(t, push.Result{Outcome: push.Retry, Reason: "the push service did not answer in time"}, result)
}

func TestSend_EndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	service := newService(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	message, _ := service.message(t, "/1")
	result := service.provider(t).Send(ctx, message)
	require.Equal(t, push.Result{Outcome: push.Retry, Reason: "cancelled before the push service answered"}, result)
}

func TestSend_TriesOnceMoreWithoutPaddingWhenTooLarge(t *testing.T) {
	service := newService(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength >= 512 {
			w.WriteHeader(413)
			return
		}
		w.WriteHeader(201)
	})
	message, browser := service.message(t, "/1")
	require.Equal(t, push.Delivered, service.provider(t).Send(t.Context(), message).Outcome)

	got := service.requests()
	require.Len(t, got, 2)
	require.Len(t, got[0].body, 512)
	require.Len(t, got[1].body, len(message.Notification.WebPayload(""))+overhead)
	require.NotEqual(t, got[0].body[:headerBytes], got[1].body[:headerBytes], "a key is never used for two messages")
	for _, r := range got {
		payload, err := browser.Decrypt(r.body)
		require.NoError(t, err)
		require.Equal(t, message.Notification.WebPayload(""), payload)
	}
}

func TestSend_RemembersWhoTakesNoPadding(t *testing.T) {
	var limit atomic.Int64
	limit.Store(511)
	service := newService(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > limit.Load() {
			w.WriteHeader(413)
		}
	})
	provider := service.provider(t)
	narrow, browser := service.message(t, "/narrow")
	other, _ := service.message(t, "/other")
	sizes := func() (all []int) {
		for _, r := range service.requests() {
			all = append(all, len(r.body))
		}
		return all
	}
	unpadded := len(narrow.Notification.WebPayload("")) + overhead

	require.Equal(t, push.Delivered, provider.Send(t.Context(), narrow).Outcome)
	require.Equal(t, push.Delivered, provider.Send(t.Context(), narrow).Outcome)
	require.Equal(t, []int{512, unpadded, unpadded}, sizes())
	payload, err := browser.Decrypt(service.requests()[2].body)
	require.NoError(t, err)
	require.Equal(t, narrow.Notification.WebPayload(""), payload)

	limit.Store(512)
	require.Equal(t, push.Delivered, provider.Send(t.Context(), other).Outcome)
	require.Equal(t, []int{512, unpadded, unpadded, 512}, sizes(), "others get their padding")

	limit.Store(0)
	third, _ := service.message(t, "/third")
	require.Equal(t, push.Rejected, provider.Send(t.Context(), third).Outcome)
	require.False(t, provider.narrow.has(third.Subscription.Digest), "it was not the padding")
}

func TestNarrow_IsBounded(t *testing.T) {
	var n narrow
	var last push.Digest
	for i := range maxNarrow + 10 {
		last = push.DigestOf(push.Endpoint(strconv.Itoa(i)))
		n.add(last)
	}
	require.Len(t, n.kept, maxNarrow)
	require.True(t, n.has(last))
}

func TestSend_GivesUpWhenTooLargeWithoutPadding(t *testing.T) {
	service := newService(t, answering(413, `{"reason":"PayloadTooLarge"}`))
	provider := service.provider(t)
	message, _ := service.message(t, "/1")
	want := push.Result{Outcome: push.Rejected, Status: 413, Reason: "PayloadTooLarge"}
	require.Equal(t, want, provider.Send(t.Context(), message))
	require.Len(t, service.requests(), 2)

	message.Notification.Content = contentOf(t, 3500)
	require.Equal(t, want, provider.Send(t.Context(), message))
	require.Len(t, service.requests(), 3, "there was no padding to leave out")
}

func TestSend_TakesPayloadsUpToTheLimit(t *testing.T) {
	service := newService(t, answering(201, ""))
	provider := service.provider(t)
	message, browser := service.message(t, "/1")
	frame := len(push.Notification{}.WebPayload(""))

	message.Notification.Content = contentOf(t, push.MaxWebPayload-frame)
	require.Equal(t, push.Delivered, provider.Send(t.Context(), message).Outcome)
	require.Len(t, service.requests()[0].body, 4096)
	_, err := browser.Decrypt(service.requests()[0].body)
	require.NoError(t, err)

	message.Notification.Content = contentOf(t, push.MaxWebPayload-frame+1)
	require.Equal(t, push.Result{
		Outcome: push.Rejected,
		Reason:  "the payload has 3994 bytes: push services take at most 3993",
	}, provider.Send(t.Context(), message))
	require.Len(t, service.requests(), 1)
}

// contentOf makes a content of exactly size bytes.
func contentOf(t *testing.T, size int) []byte {
	t.Helper()
	empty, err := push.Content{}.Encode()
	require.NoError(t, err)
	content, err := push.Content{Title: strings.Repeat("x", size-len(empty))}.Encode()
	require.NoError(t, err)
	require.Len(t, content, size)
	return content
}

func TestSend_ServesManyAtOnceOverFewConnections(t *testing.T) {
	const senders, each = 32, 8
	var connections atomic.Int32
	service := newUnstarted(t, answering(201, ""))
	service.EnableHTTP2 = true
	service.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	service.StartTLS()
	provider := service.provider(t, func(c *Config) { c.MaxConnsPerHost = 2 })

	// One message for all: what Send wrote into it would be a data race.
	message, browser := service.message(t, "/1")
	var sending sync.WaitGroup
	for range senders {
		sending.Go(func() {
			for range each {
				if result := provider.Send(t.Context(), message); result.Outcome != push.Delivered {
					t.Errorf("send: %+v", result)
				}
			}
		})
	}
	sending.Wait()

	require.LessOrEqual(t, connections.Load(), int32(2))
	require.Len(t, service.requests(), senders*each)
	seen := make(map[string]bool)
	for _, r := range service.requests() {
		_, err := browser.Decrypt(r.body)
		require.NoError(t, err)
		seen[string(r.body[:headerBytes])] = true
	}
	require.Len(t, seen, senders*each, "every message has a key and a salt of its own")
}

func TestSend_KeepsItsConnection(t *testing.T) {
	for name, start := range map[string]func(*service){
		"HTTP/2":   func(s *service) { s.EnableHTTP2 = true; s.StartTLS() },
		"HTTP/1.1": func(s *service) { s.StartTLS() },
	} {
		t.Run(name, func(t *testing.T) {
			var connections atomic.Int32
			service := newUnstarted(t, answering(503, strings.Repeat("busy ", 1000)))
			service.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					connections.Add(1)
				}
			}
			start(service)
			provider := service.provider(t)
			message, _ := service.message(t, "/1")
			for range 5 {
				require.Equal(t, push.Retry, provider.Send(t.Context(), message).Outcome)
			}
			require.Equal(t, int32(1), connections.Load())
		})
	}
}

func TestSend_UsesNoProxyOfTheEnvironment(t *testing.T) {
	transports := newService(t, answering(201, "")).provider(t).transports
	require.Nil(t, transports.Guarded.Proxy)
	require.Nil(t, transports.Free.Proxy)
}

func TestSend_TakesTheKeyAnewAfterARefusal(t *testing.T) {
	var refuse atomic.Bool
	service := newService(t, func(w http.ResponseWriter, _ *http.Request) {
		if refuse.Load() {
			answering(403, `{"reason":"BadJwtToken"}`)(w, nil)
		}
	})
	provider := service.provider(t)
	message, _ := service.message(t, "/1")

	for range 3 {
		require.Equal(t, push.Delivered, provider.Send(t.Context(), message).Outcome)
	}
	require.Equal(t, int32(1), service.sender.asked.Load())

	refuse.Store(true)
	require.Equal(t, push.Result{Outcome: push.Refused, Status: 403, Reason: "BadJwtToken"}, provider.Send(t.Context(), message))
	refuse.Store(false)
	require.Equal(t, push.Delivered, provider.Send(t.Context(), message).Outcome)
	require.Equal(t, int32(2), service.sender.asked.Load())
}

func TestSend_TellsAMissingKeyFromABrokenOneAndAPassingFault(t *testing.T) {
	_, other, err := GenerateKey()
	require.NoError(t, err)
	for name, test := range map[string]struct {
		key  func(context.Context, string, []byte) (Key, error)
		want push.Result
	}{
		"missing": {
			func(context.Context, string, []byte) (Key, error) { return Key{}, ErrUnknownKey },
			push.Result{Outcome: push.Rejected, Reason: "key_mismatch: the app no longer has the VAPID key that this subscription was made with", KeyMismatch: true},
		},
		"of another pair": {
			func(context.Context, string, []byte) (Key, error) { return Key{Private: other}, nil },
			push.Result{Outcome: push.Refused, Reason: "unusable VAPID key: the private key does not belong to the public key"},
		},
		"cut short": {
			func(context.Context, string, []byte) (Key, error) { return Key{Private: other[:31]}, nil },
			push.Result{Outcome: push.Refused, Reason: "unusable VAPID key: the private key is not a scalar of P-256"},
		},
		"not to be had": {
			func(context.Context, string, []byte) (Key, error) { return Key{}, errors.New("database is locked") },
			push.Result{Outcome: push.Retry, Reason: "the app's VAPID key could not be looked up"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			service := newService(t, answering(201, ""))
			message, _ := service.message(t, "/1")
			provider := service.provider(t, func(c *Config) { c.Key = test.key })
			require.Equal(t, test.want, provider.Send(t.Context(), message))
			require.Empty(t, service.requests())
		})
	}

	service := newService(t, answering(201, ""))
	message, _ := service.message(t, "/1")
	message.Subscription.VAPIDKey = nil
	require.Equal(t, push.Rejected, service.provider(t).Send(t.Context(), message).Outcome)
}

func TestSend_RejectsASubscriptionThatCannotBeUsed(t *testing.T) {
	service := newService(t, answering(201, ""))
	provider := service.provider(t)
	good, _ := service.message(t, "/1")
	for reason, change := range map[string]func(*push.Subscription){
		"endpoint: ":    func(s *push.Subscription) { s.Endpoint = "https://10.0.0.1/capability" },
		"keys.p256dh: ": func(s *push.Subscription) { s.P256dh = make([]byte, 65) },
		"keys.auth: ":   func(s *push.Subscription) { s.Auth = nil },
	} {
		message := good
		change(&message.Subscription)
		result := provider.Send(t.Context(), message)
		require.Equal(t, push.Rejected, result.Outcome)
		require.True(t, strings.HasPrefix(result.Reason, reason), result.Reason)
		require.NotContains(t, result.Reason, "capability")
	}
	require.Empty(t, service.requests())
}

// A name is a stranger's to point anywhere, also after it was registered.
func TestSend_GoesToNoPrivateAddressThatANameResolvesTo(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)

	sender := newSender(t)
	provider, err := New(Config{Key: sender.key, resolver: pushtest.Resolving("127.0.0.1")})
	require.NoError(t, err)
	defer provider.Close()
	message, _ := messageTo(t, sender, push.Endpoint("https://rebind.example.com:"+port+"/secret"))
	require.NoError(t, provider.CheckSubscription(t.Context(), message.Subscription), "its text shows nothing")

	require.Equal(t, push.Result{
		Outcome: push.Retry,
		Reason:  "the endpoint's host resolves to an address that is not on the public internet",
	}, provider.Send(t.Context(), message))

	require.NoError(t, listener.(*net.TCPListener).SetDeadline(time.Now()))
	_, err = listener.Accept()
	require.ErrorContains(t, err, "timeout", "nobody connected")
}

func TestSend_ReachesAPrivateAddressUnderAnAllowedName(t *testing.T) {
	service := newService(t, answering(201, ""))
	_, port, err := net.SplitHostPort(service.host())
	require.NoError(t, err)
	provider := service.provider(t, func(c *Config) {
		c.AllowHosts = []string{"EXAMPLE.com:" + port} // a name in the test server's certificate
		c.resolver = pushtest.Resolving("127.0.0.1")
	})
	message, _ := messageTo(t, service.sender, push.Endpoint("https://example.com:"+port+"/1"))
	require.Equal(t, push.Delivered, provider.Send(t.Context(), message).Outcome)
}

func TestSend_RetriesWithoutAnAnswer(t *testing.T) {
	good := newService(t, answering(201, ""))
	closed := newService(t, answering(201, ""))
	closed.Close()
	hangUp := newService(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	old := newUnstarted(t, answering(201, ""))
	oldTLS(old)
	old.Config.ErrorLog = quiet
	old.StartTLS()
	distrusted := newUnstarted(t, answering(201, ""))
	distrusted.Config.ErrorLog = quiet
	distrusted.StartTLS()
	plain := newUnstarted(t, answering(201, ""))
	plain.Start()

	for name, test := range map[string]struct {
		service  *service
		endpoint string
		change   func(*Config)
		reason   string
	}{
		"refused":      {service: closed, endpoint: closed.URL, reason: "the push service refuses connections"},
		"cut off":      {service: hangUp, endpoint: hangUp.URL, reason: "the connection to the push service broke"},
		"TLS 1.1":      {service: old, endpoint: old.URL, reason: "the push service does not speak TLS as it should"},
		"not TLS":      {service: plain, endpoint: "https://" + plain.host(), reason: "the push service does not speak TLS as it should"},
		"untrusted":    {service: distrusted, endpoint: distrusted.URL, change: func(c *Config) { c.RootCAs = nil }, reason: "the certificate of the push service is not trusted"},
		"unknown name": {service: good, endpoint: "https://push.example.com", change: func(c *Config) { c.resolver = pushtest.Resolving() }, reason: "the name of the push service does not resolve"},
	} {
		t.Run(name, func(t *testing.T) {
			change := func(*Config) {}
			if test.change != nil {
				change = test.change
			}
			message, _ := messageTo(t, test.service.sender, push.Endpoint(test.endpoint+"/secret"))
			result := test.service.provider(t, change).Send(t.Context(), message)
			require.Equal(t, push.Result{Outcome: push.Retry, Reason: test.reason}, result)
		})
	}
}

// The push service says everything it was told; none of it may come through.
func TestSend_RepeatsNoSecret(t *testing.T) {
	for _, status := range []int{302, 400, 401, 403, 404, 406, 410, 413, 418, 429, 500, 503} {
		service := newService(t, func(w http.ResponseWriter, r *http.Request) {
			said := r.Header.Get("Authorization") + " https://" + r.Host + r.URL.RequestURI() + " " + r.URL.Path + " token-1234567"
			w.Header().Set("X-WNS-Error-Description", said)
			w.Header().Set("Location", said)
			w.WriteHeader(status)
			io.WriteString(w, said)
		})
		message, _ := service.message(t, "/wpush/v2/token-1234567?key=key-7654321")
		reason := service.provider(t).Send(t.Context(), message).Reason
		require.NotEmpty(t, reason)
		for _, secret := range []string{"token-1234567", "key-7654321", "wpush", "eyJ", push.EncodeBase64(service.sender.public)} {
			require.NotContains(t, reason, secret, "status %d", status)
		}
	}
}

func TestNew_NamesTheFieldThatIsWrong(t *testing.T) {
	key := newSender(t).key
	for field, config := range map[string]Config{
		"Config.Key":             {},
		"Config.Timeout":         {Key: key, Timeout: -1},
		"Config.MaxConnsPerHost": {Key: key, MaxConnsPerHost: -1},
		"Config.AllowHosts[1]":   {Key: key, AllowHosts: []string{"ok", "*.example.com"}},
	} {
		_, err := New(config)
		require.ErrorContains(t, err, field)
	}
	provider, err := New(Config{Key: key})
	require.NoError(t, err)
	require.Equal(t, 30*time.Second, provider.timeout)
	require.Equal(t, 16, provider.size)
}

func TestValidate_NamesTheKeyThatIsWrong(t *testing.T) {
	provider, err := New(Config{Key: newSender(t).key})
	require.NoError(t, err)
	good := simulate.NewBrowser("https://push.example.com/1").Subscription(push.User{App: push.DefaultApp, ID: "alice"}, nil)
	require.NoError(t, provider.CheckSubscription(t.Context(), good))

	notOnCurve := bytes.Clone(good.P256dh)
	notOnCurve[64] ^= 1
	compressed := append([]byte{2}, good.P256dh[1:33]...)
	for _, key := range [][]byte{nil, {}, {0}, good.P256dh[:64], append(bytes.Clone(good.P256dh), 0), notOnCurve, compressed, make([]byte, 65)} {
		bad := good
		bad.P256dh = key
		requireInvalid(t, provider.CheckSubscription(t.Context(), bad), "keys.p256dh")
	}
	for _, auth := range [][]byte{nil, {}, good.Auth[:15], append(bytes.Clone(good.Auth), 0), make([]byte, 32)} {
		bad := good
		bad.Auth = auth
		requireInvalid(t, provider.CheckSubscription(t.Context(), bad), "keys.auth")
	}
}

func requireInvalid(t *testing.T, err error, field string) {
	t.Helper()
	var invalid *push.InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, field, invalid.Field)
	require.True(t, strings.HasSuffix(invalid.Detail, "."), "a sentence: %s", invalid.Detail)
}

var quiet = log.New(io.Discard, "", 0)

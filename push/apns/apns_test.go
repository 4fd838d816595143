package apns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

func TestSend_MakesTheRequestThatAppleDescribes(t *testing.T) {
	r := newRig(t)
	message := messageOf(t)
	result := r.Send(t.Context(), message)

	id := messageID(message.Notification.ID, message.Subscription.Digest)
	require.Equal(t, push.Result{Outcome: push.Delivered, Status: 200, MessageID: id}, result)
	taken := r.production.Log()
	require.Len(t, taken, 1)
	require.Empty(t, r.sandbox.Log())
	require.Equal(t, tokenHex, taken[0].Target)
	require.Equal(t, id, taken[0].ID)
	require.JSONEq(t, `{"aps":{"alert":{"title":"The kettle boils","body":"Come and have tea"},"sound":"default"},
		"id":"019b0300-0000-0000-0000-000000000004","url":"https://example.com/tea"}`, string(taken[0].Payload))
	header := taken[0].Header
	require.Equal(t, bundle, header.Get("apns-topic"))
	require.Equal(t, "alert", header.Get("apns-push-type"))
	require.Equal(t, "10", header.Get("apns-priority"))
	require.Equal(t, fmt.Sprint(noon.Unix()+91), header.Get("apns-expiration"))
	require.Equal(t, message.Notification.ID.String(), header.Get("apns-collapse-id"))
	require.Equal(t, "belfry", header.Get("User-Agent"))
	require.Empty(t, header.Get("Accept-Encoding"))
}

func TestSend_NamesTheMessageAsTheSandboxDoes(t *testing.T) {
	r := newRig(t)
	result := r.send(func(m *push.Message) { m.Subscription.Environment = push.Sandbox })
	require.Equal(t, push.Delivered, result.Outcome)
	require.Regexp(t, `^[0-9a-f-]{36} [0-9a-f-]{36}$`, result.MessageID, "the apns-id and the apns-unique-id")
	require.Len(t, r.sandbox.Log(), 1)
	require.Empty(t, r.production.Log())
}

func TestSend_RepeatsTheSameMessageUnderTheSameNames(t *testing.T) {
	r := newRig(t)
	r.send()
	r.send(func(m *push.Message) { m.TTL = time.Second })
	r.send(device(numbered(1)))
	r.send(func(m *push.Message) { m.Notification.ID = push.ID{9} })
	taken := r.production.Log()
	require.Equal(t, taken[0].ID, taken[1].ID)
	require.Equal(t, taken[0].Header.Get("apns-collapse-id"), taken[1].Header.Get("apns-collapse-id"))
	require.Len(t, map[string]bool{taken[1].ID: true, taken[2].ID: true, taken[3].ID: true}, 3)
}

func TestSend_ReachesEveryPushTypeByTheTopicsSuffix(t *testing.T) {
	r := newRig(t)
	for suffix, test := range map[string]struct{ kind, aps string }{
		".complication":           {"complication", `{"aps":{}}`},
		".push-type.controls":     {"controls", `{"aps":{"content-changed":true}}`},
		".pushkit.fileprovider":   {"fileprovider", `{"aps":{}}`},
		".push-type.liveactivity": {"liveactivity", `{"aps":{"event":"end","timestamp":1795348800}}`},
		".location-query":         {"location", `{"aps":{}}`},
		".voip-ptt":               {"pushtotalk", `{"aps":{}}`},
		".voip":                   {"voip", `{"aps":{}}`},
		".push-type.widgets":      {"widgets", `{"aps":{"content-changed":true}}`},
	} {
		result := r.send(to(bundle+suffix), options(t, push.APNsOptions{Payload: raw(test.aps)}))
		require.Equal(t, push.Delivered, result.Outcome, "%s: %s", suffix, result.Reason)
		taken := r.production.Log()
		last := taken[len(taken)-1]
		require.Equal(t, test.kind, last.Header.Get("apns-push-type"))
		require.Empty(t, last.Header.Get("apns-collapse-id"), suffix)
		require.NotContains(t, string(last.Payload), "kettle", "nothing of the alert")
	}
}

func TestSend_SendsNoPushTypeToAnotherTypesTopic(t *testing.T) {
	r := newRig(t)
	result := r.send(options(t, push.APNsOptions{PushType: "voip"}))
	require.Equal(t, push.Result{
		Outcome: push.Rejected, Reason: "apns.push_type: A push of type voip does not go to the topic com.example.app.",
	}, result, "APNs would take it for a fault of the credential")
	result = r.send(to(bundle + ".push-type.liveactivity"))
	require.Equal(t, push.Rejected, result.Outcome, "an alert says nothing to a live activity")
	require.Empty(t, r.production.Log())
}

func TestSend_TellsAMissingCredentialFromAPassingFault(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Result{
		Outcome: push.Refused, Reason: "the app has no APNs credential for the topic com.example.other",
	}, r.send(to("com.example.other")))

	broken := r.provider(func(c *Config) {
		c.Credential = func(context.Context, string, string) (*Credential, error) {
			return nil, fmt.Errorf("open %s: locked", tokenHex)
		}
	})
	require.Equal(t, push.Result{
		Outcome: push.Retry, Reason: "the app's APNs credential could not be looked up",
	}, broken.Send(t.Context(), messageOf(t)))
	require.Empty(t, r.production.Log())
}

func TestSend_RetriesWithoutAnAnswer(t *testing.T) {
	r := newRig(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	refusing.Close()
	hangUp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer hangUp.Close()
	go func() {
		for {
			conn, err := hangUp.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()

	at := func(base string) func(*Config) {
		credential := *r.credential
		credential.settings.Host, credential.settings.SandboxHost = base, ""
		return func(c *Config) {
			c.Credential = func(context.Context, string, string) (*Credential, error) { return &credential, nil }
		}
	}
	for name, test := range map[string]struct {
		change func(*Config)
		reason string
	}{
		"refused":     {at("https://" + refusing.Addr().String()), "the push service refuses connections"},
		"no such":     {at("https://no-such-host.invalid"), "the name of the push service does not resolve"},
		"silent":      {func(c *Config) { at("https://" + silent.Addr().String())(c); c.Timeout = 50 * time.Millisecond }, "the push service did not answer in time"},
		"cut off":     {at("https://" + hangUp.Addr().String()), "the connection to the push service broke"},
		"not trusted": {func(c *Config) { c.RootCAs = nil }, "the certificate of the push service is not trusted"},
	} {
		t.Run(name, func(t *testing.T) {
			result := r.provider(test.change).Send(t.Context(), messageOf(t))
			require.Equal(t, push.Result{Outcome: push.Retry, Reason: test.reason}, result)
		})
	}

	require.NoError(t, r.production.Fault(simulate.Fault{Times: 1, Reset: true}))
	require.Equal(t, push.Result{Outcome: push.Retry, Reason: "the connection to the push service broke"}, r.send())
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	require.Equal(t, push.Result{
		Outcome: push.Retry, Reason: "cancelled before the push service answered",
	}, r.Send(cancelled, messageOf(t)))
}

func TestSend_OnlyReadsTheMessage(t *testing.T) {
	r := newRig(t)
	message := messageOf(t, options(t, push.APNsOptions{Payload: raw(`{"aps":{"badge":1}}`)}))
	content, native := string(message.Notification.Content), string(message.Notification.Native)
	require.Equal(t, push.Delivered, r.Send(t.Context(), message).Outcome)
	require.Equal(t, content, string(message.Notification.Content))
	require.Equal(t, native, string(message.Notification.Native))
}

func TestNew_NamesTheFieldThatIsWrong(t *testing.T) {
	find := func(context.Context, string, string) (*Credential, error) { return nil, ErrNoCredential }
	for field, config := range map[string]Config{
		"Config.Credential":  {},
		"Config.Timeout":     {Credential: find, Timeout: -1},
		"Config.Connections": {Credential: find, Connections: -1},
	} {
		_, err := New(config)
		require.ErrorContains(t, err, field)
	}
	provider, err := New(Config{Credential: find})
	require.NoError(t, err)
	require.Equal(t, 30*time.Second, provider.timeout)
	require.Equal(t, 2, provider.pools.size)
}

func TestCheckSubscription_NamesTheFieldThatIsWrong(t *testing.T) {
	r := newRig(t)
	good := messageOf(t).Subscription
	require.NoError(t, r.CheckSubscription(t.Context(), good))
	for _, token := range []string{strings.Repeat("ab", 16), strings.Repeat("ab", 200)} {
		good.Endpoint = push.Endpoint(token)
		require.NoError(t, r.CheckSubscription(t.Context(), good))
	}
	for field, changes := range map[string][]func(*push.Message){
		"token": {
			device(""), device(tokenHex[1:]), device(strings.ToUpper(tokenHex)), device("<" + tokenHex[2:] + ">"), device(tokenHex + "/.."),
			device(strings.Repeat("ab", 15)), device(strings.Repeat("ab", 201)), device("é" + tokenHex),
		},
		"environment": {
			func(m *push.Message) { m.Subscription.Environment = 0 }, func(m *push.Message) { m.Subscription.Environment = 3 },
		},
		"topic": {
			to(""), to("com.example.other"), to("com.example.app.other"), to("com example"), to("com.example.app\r\n"), to(".voip"), to(strings.Repeat("a", 256)),
		},
	} {
		for i, change := range changes {
			bad := messageOf(t, change)
			err := r.CheckSubscription(t.Context(), bad.Subscription)
			requireInvalid(t, err, field)
			require.NotContains(t, err.Error(), tokenHex[2:], "%s %d", field, i)
			result := r.Send(t.Context(), bad)
			require.Contains(t, []push.Outcome{push.Rejected, push.Refused}, result.Outcome)
			require.NotContains(t, result.Reason, tokenHex[2:])
		}
	}
	require.Empty(t, r.production.Log())

	locked := errors.New("locked")
	broken := r.provider(func(c *Config) {
		c.Credential = func(context.Context, string, string) (*Credential, error) { return nil, locked }
	})
	require.ErrorIs(t, broken.CheckSubscription(t.Context(), messageOf(t).Subscription), locked)
}

func requireInvalid(t *testing.T, err error, field string) {
	t.Helper()
	var invalid *push.InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, field, invalid.Field)
	require.True(t, strings.HasSuffix(invalid.Detail, "."), "a sentence: %s", invalid.Detail)
}

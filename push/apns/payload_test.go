package apns

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sideshow/apns2"
	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

var update = flag.Bool("update", false, "write the golden files anew")

func number(n uint32) *uint32 { return &n }

// TestPayload_IsAsInTheGoldenFiles: testdata/<name>.json is what the device gets.
func TestPayload_IsAsInTheGoldenFiles(t *testing.T) {
	full := push.Content{
		Title: "Tea & cake", Body: "At <four>", URL: "https://example.com/tea?a=1&b=2", Icon: "/icon.png", Image: "https://example.com/tea.jpg",
		Badge: "/badge.png", Tag: "tea", Actions: []push.Action{{Action: "yes", Title: "Yes"}}, Data: raw(`{"table":4,"big":12345678901234567890}`),
	}
	for name, test := range map[string]struct {
		content push.Content
		native  push.Native
		urgency push.Urgency
		kind    string
	}{
		"title":        {content: push.Content{Title: "Hello"}},
		"full":         {content: full, native: push.Native{AppBadge: number(3), Sound: "bell.caf", Thread: "tea", Category: "invitation"}, urgency: push.UrgencyHigh},
		"quiet":        {content: push.Content{Title: "Hello"}, urgency: push.UrgencyLow},
		"very-quiet":   {content: push.Content{Title: "Hello"}, urgency: push.UrgencyVeryLow},
		"quiet-sound":  {content: push.Content{Title: "Hello"}, native: push.Native{Sound: "default"}, urgency: push.UrgencyLow},
		"no-sound":     {content: push.Content{Title: "Hello"}, native: push.Native{Sound: "none"}},
		"no-badge":     {content: push.Content{Title: "Hello"}, native: push.Native{AppBadge: number(0)}},
		"mutable":      {content: push.Content{Title: "Hello"}, native: push.Native{MutableContent: true}},
		"background":   {content: full, native: push.Native{AppBadge: number(3), Sound: "bell.caf"}, kind: "background"},
		"voip":         {content: full, native: push.Native{AppBadge: number(3)}, kind: "voip"},
		"liveactivity": {content: full, native: push.Native{APNs: &push.APNsOptions{Payload: raw(`{"aps":{"timestamp":1795348800,"event":"update","content-state":{"cups":2}},"url":null,"image":null,"data":null}`)}}, kind: "liveactivity"},
		"merged":       {content: full, native: push.Native{APNs: &push.APNsOptions{Payload: raw(`{"aps":{"alert":{"subtitle":"Soon","body":null},"sound":{"critical":1,"name":"bell.caf","volume":0.50},"mutable-content":null,"interruption-level":"time-sensitive"},"data":{"table":5},"extra":[1,null]}`)}}},
	} {
		t.Run(name, func(t *testing.T) {
			kind, err := typeNamed("alert")
			require.NoError(t, err)
			if test.kind != "" {
				kind, err = typeNamed(test.kind)
				require.NoError(t, err)
			}
			n := push.Notification{ID: push.ID{1, 2, 3}, Content: contentOf(t, test.content), Urgency: test.urgency}
			encoded, err := encode(n, test.content, test.native, kind)
			require.NoError(t, err)
			var indented bytes.Buffer
			require.NoError(t, json.Indent(&indented, append(encoded, '\n'), "", "  "))
			golden := filepath.Join("testdata", name+".json")
			if *update {
				require.NoError(t, os.WriteFile(golden, indented.Bytes(), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), indented.String())
		})
	}
}

func TestCheckNotification_NamesTheFieldThatIsWrong(t *testing.T) {
	r := newRig(t)
	check := func(native push.Native, content push.Content) error {
		return r.CheckNotification(push.Notification{Content: contentOf(t, content), Native: nativeOf(t, native)})
	}
	of := func(o push.APNsOptions) error {
		return check(push.Native{APNs: &o}, push.Content{Title: "Hello"})
	}
	for _, good := range []push.APNsOptions{
		{}, {PushType: "alert", Priority: 1}, {Priority: 10}, {PushType: "background", Priority: 5}, {PushType: "background"},
		{PushType: "background", Payload: raw(`{"aps":{"badge":1}}`)},
		{PushType: "voip"}, {PushType: "liveactivity", Payload: raw(`{"aps":{"event":"end"}}`)}, {Payload: raw(`{}`)},
	} {
		require.NoError(t, of(good), "%+v", good)
	}
	for field, bad := range map[string][]push.APNsOptions{
		"apns.push_type": {{PushType: "shout"}, {PushType: "mdm"}, {PushType: "Alert"}},
		"apns.priority":  {{Priority: 7}, {Priority: -1}, {PushType: "background", Priority: 10}, {PushType: "background", Priority: 1}},
		"apns.payload": {
			{Payload: raw(`[]`)}, {Payload: raw(`"aps"`)}, {Payload: raw(`null`)}, {Payload: raw(`{"aps":null}`)}, {Payload: raw(`{"aps":[]}`)},
			{PushType: "background", Payload: raw(`{"aps":{"alert":"hi"}}`)}, {PushType: "liveactivity"}, {PushType: "widgets", Payload: raw(`{"x":1}`)},
		},
	} {
		for _, options := range bad {
			requireInvalid(t, of(options), field)
		}
	}
	requireInvalid(t, r.CheckNotification(push.Notification{Content: []byte(`{}`), Native: []byte(`{`)}), "apns")
	requireInvalid(t, r.CheckNotification(push.Notification{Content: []byte(`{`)}), "notification")
}

func TestCheckNotification_KnowsTheLongestPayload(t *testing.T) {
	r := newRig(t)
	for kind, limit := range map[string]int{"": 4096, "alert": 4096, "voip": 5120} {
		sized := func(title int) push.Notification {
			return push.Notification{
				ID: push.ID{1}, Content: contentOf(t, push.Content{Data: raw(`"` + strings.Repeat("x", title) + `"`)}),
				Native: nativeOf(t, push.Native{APNs: &push.APNsOptions{PushType: kind}}),
			}
		}
		var tooLarge *push.TooLargeError
		require.ErrorAs(t, r.CheckNotification(sized(6000)), &tooLarge)
		room := 6000 - (tooLarge.Bytes - limit)
		require.NoError(t, r.CheckNotification(sized(room)))
		require.ErrorAs(t, r.CheckNotification(sized(room+1)), &tooLarge)
		require.Equal(t, push.TooLargeError{Kind: push.APNs, Bytes: limit + 1, Max: limit}, *tooLarge)

		topic := bundle
		if kind == "voip" {
			topic += ".voip"
		}
		send := func(n push.Notification) push.Result {
			return r.send(to(topic), func(m *push.Message) { m.Notification = n })
		}
		require.Equal(t, push.Delivered, send(sized(room)).Outcome, "APNs takes as much")
		require.Equal(t, push.Rejected, send(sized(room+1)).Outcome)
	}
}

func TestHeader_FollowsTheNotification(t *testing.T) {
	header := func(change ...func(*push.Message)) *apns2.Notification {
		posting, err := compose(messageOf(t, change...), noon)
		require.NoError(t, err)
		return posting.notification
	}
	urgency := func(u push.Urgency) func(*push.Message) {
		return func(m *push.Message) { m.Notification.Urgency = u }
	}
	background := options(t, push.APNsOptions{PushType: "background"})
	require.Equal(t, 10, header().Priority)
	require.Equal(t, 10, header(urgency(push.UrgencyHigh)).Priority)
	require.Equal(t, 5, header(urgency(push.UrgencyLow)).Priority)
	require.Equal(t, 5, header(urgency(push.UrgencyVeryLow)).Priority)
	require.Equal(t, 5, header(urgency(push.UrgencyHigh), background).Priority)
	require.Equal(t, 1, header(options(t, push.APNsOptions{Priority: 1})).Priority)

	tag := func(tag string) func(*push.Message) {
		return func(m *push.Message) {
			m.Notification.Content = contentOf(t, push.Content{Title: "Hello", Tag: tag})
		}
	}
	key := func(key string) func(*push.Message) {
		return func(m *push.Message) { m.Notification.CollapseKey = key }
	}
	require.Equal(t, "019b0300-0000-0000-0000-000000000004", header().CollapseID)
	require.Equal(t, "tea", header(tag("tea")).CollapseID)
	require.Equal(t, "order-7", header(key("order-7")).CollapseID)
	require.Equal(t, "tea", header(tag("tea"), key("order-7")).CollapseID, "what is shown in place of another is what counts")
	require.Equal(t, strings.Repeat("x", 64), header(tag(strings.Repeat("x", 64))).CollapseID)
	for _, odd := range []string{strings.Repeat("x", 65), "a b", "é", "a\nb", "\x7f"} {
		require.Regexp(t, `^[A-Za-z0-9_-]{43}$`, header(tag(odd)).CollapseID, "%q", odd)
	}
	require.Equal(t, "tea", header(tag("tea"), background).CollapseID)
	require.Empty(t, header(tag("tea"), to(bundle+".voip")).CollapseID)

	ttl := func(d time.Duration) func(*push.Message) { return func(m *push.Message) { m.TTL = d } }
	for d, seconds := range map[time.Duration]int64{1: 1, time.Second: 1, time.Second + 1: 2, time.Hour: 3600} {
		require.Equal(t, noon.Unix()+seconds, header(ttl(d)).Expiration.Unix(), "%v, rounded up", d)
	}
}

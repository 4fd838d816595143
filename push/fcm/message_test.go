package fcm

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

func contentOf(t testing.TB, body int) []byte {
	t.Helper()
	content, err := push.Content{Title: "Long", Body: strings.Repeat("x", body)}.Encode()
	require.NoError(t, err)
	return content
}

// built is the message of a notification, decoded.
func built(t *testing.T, content push.Content, native push.Native, change ...func(*push.Notification)) map[string]any {
	t.Helper()
	encoded, err := encode(notificationOf(t, content, native, change...), time.Hour)
	require.NoError(t, err)
	return decode(t, encoded)
}

func notificationOf(t *testing.T, content push.Content, native push.Native, change ...func(*push.Notification)) push.Notification {
	t.Helper()
	n := push.Notification{ID: push.ID{15: 1}}
	var err error
	n.Content, err = content.Encode()
	require.NoError(t, err)
	n.Native, err = native.Encode()
	require.NoError(t, err)
	for _, f := range change {
		f(&n)
	}
	return n
}

func patched(patch string) push.Native {
	return push.Native{FCM: &push.FCMOptions{Message: json.RawMessage(patch)}}
}

func TestMessage_OfTheLeast(t *testing.T) {
	encoded, err := encode(notificationOf(t, push.Content{Title: "Hi"}, push.Native{}), time.Hour)
	require.NoError(t, err)
	require.Equal(t, `{"notification":{"title":"Hi"},"data":{"id":"00000000-0000-0000-0000-000000000001"},`+
		`"android":{"priority":"HIGH","ttl":"3600s","notification":{"tag":"`+push.Notification{ID: push.ID{15: 1}}.Topic()+`","sound":"default"}}}`, string(encoded))
}

func TestMessage_OfTheMost(t *testing.T) {
	badge := uint32(3)
	n := notificationOf(t, push.Content{
		Title: "Zug <fällt> aus", URL: "https://example.com/?a=1&b=2", Body: "日本", Icon: "/i.png", Image: "https://example.com/p.jpg", Badge: "/b.png", Tag: "train",
		Actions: []push.Action{{Action: "a", Title: "A & B", URL: "https://example.com/a"}},
		Data:    json.RawMessage(`{"n":12345678901234567890}`),
	}, push.Native{
		AppBadge: &badge, Sound: "bell", Thread: "trains", Category: "delay", MutableContent: true,
		APNs: &push.APNsOptions{Priority: 5},
		FCM:  &push.FCMOptions{Message: json.RawMessage(`{"android":{"notification":{"channel_id":"delays"}},"fcm_options":{"analytics_label":"x"}}`)},
	}, func(n *push.Notification) { n.CollapseKey = "train/7" })
	encoded, err := encode(n, 90*time.Second)
	require.NoError(t, err)
	require.Equal(t, `{"android":{"collapse_key":"train/7","notification":{"channel_id":"delays","notification_count":3,"sound":"bell","tag":"train"},"priority":"HIGH","ttl":"90s"},`+
		`"data":{"actions":"[{\"action\":\"a\",\"title\":\"A & B\",\"navigate\":\"https://example.com/a\"}]","category":"delay","data":"{\"n\":12345678901234567890}",`+
		`"id":"00000000-0000-0000-0000-000000000001","thread":"trains","url":"https://example.com/?a=1&b=2"},`+
		`"fcm_options":{"analytics_label":"x"},"notification":{"body":"日本","image":"https://example.com/p.jpg","title":"Zug <fällt> aus"}}`, string(encoded))
}

func TestMessage_HasAPriorityForEachUrgency(t *testing.T) {
	for urgency, want := range map[push.Urgency]string{
		push.UrgencyVeryLow: "NORMAL", push.UrgencyLow: "NORMAL", push.UrgencyNormal: "HIGH", push.UrgencyHigh: "HIGH",
	} {
		require.Equal(t, want, priority(urgency), "%v", urgency)
	}
}

func TestMessage_SoundsAsWanted(t *testing.T) {
	for _, test := range []struct {
		wanted  string
		urgency push.Urgency
		want    string
	}{
		{"", push.UrgencyVeryLow, ""},
		{"", push.UrgencyLow, ""},
		{"", push.UrgencyNormal, "default"},
		{"", push.UrgencyHigh, "default"},
		{"default", push.UrgencyLow, "default"},
		{"none", push.UrgencyHigh, ""},
		{"bell", push.UrgencyVeryLow, "bell"},
	} {
		require.Equal(t, test.want, sound(test.wanted, test.urgency), "%+v", test)
	}
}

func TestMessage_GivesTheTTLInWholeSecondsUpToFourWeeks(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "1s", 0: "1s", time.Millisecond: "1s", time.Second: "1s", 1001 * time.Millisecond: "2s", 2 * time.Second: "2s",
		time.Hour: "3600s", 28 * 24 * time.Hour: "2419200s", 365 * 24 * time.Hour: "2419200s",
	} {
		require.Equal(t, want, seconds(d), "%v", d)
	}
}

// A send that is repeated may be the second copy of one that arrived.
func TestMessage_ReplacesItsFirstCopy(t *testing.T) {
	tagOf := func(content push.Content, change ...func(*push.Notification)) any {
		return built(t, content, push.Native{}, change...)["android"].(map[string]any)["notification"].(map[string]any)["tag"]
	}
	collapsing := func(n *push.Notification) { n.CollapseKey = "score" }
	other := func(n *push.Notification) { n.ID = push.ID{2} }

	plain := push.Content{Title: "Hi"}
	require.Equal(t, tagOf(plain), tagOf(plain))
	require.NotEqual(t, tagOf(plain), tagOf(plain, other))
	require.Equal(t, tagOf(plain, collapsing), tagOf(plain, collapsing, other))
	require.NotEqual(t, tagOf(plain), tagOf(plain, collapsing))
	require.Equal(t, "mine", tagOf(push.Content{Title: "Hi", Tag: "mine"}, collapsing))
}

// A device keeps messages of four collapse keys, and drops those of others.
func TestMessage_MakesUpNoCollapseKey(t *testing.T) {
	require.NotContains(t, built(t, push.Content{Title: "Hi", Tag: "t"}, push.Native{})["android"], "collapse_key")
	android := built(t, push.Content{Title: "Hi"}, push.Native{}, func(n *push.Notification) { n.CollapseKey = "score" })["android"]
	require.Equal(t, "score", android.(map[string]any)["collapse_key"])
}

func TestMessage_HasOnlyAnImageThatAndroidLoads(t *testing.T) {
	for image, want := range map[string]any{"https://example.com/p.jpg": "https://example.com/p.jpg", "http://example.com/p.jpg": nil, "/p.jpg": nil, "": nil} {
		require.Equal(t, want, built(t, push.Content{Title: "Hi", Image: image}, push.Native{})["notification"].(map[string]any)["image"], image)
	}
}

func TestMessage_CountsWithinFCMsRange(t *testing.T) {
	for badge, want := range map[uint32]any{0: nil, 1: 1.0, math.MaxUint32: float64(math.MaxInt32)} {
		android := built(t, push.Content{Title: "Hi"}, push.Native{AppBadge: &badge})["android"].(map[string]any)
		require.Equal(t, want, android["notification"].(map[string]any)["notification_count"])
	}
}

func TestMessage_IsWhatThePatchMakesOfIt(t *testing.T) {
	content := push.Content{Title: "Hi", URL: "/x"}
	m := built(t, content, patched(`{"notification":null,"data":{"url":null,"score":"3:1"},"android":{"priority":"NORMAL","notification":null,"direct_boot_ok":true}}`))
	require.NotContains(t, m, "notification")
	require.Equal(t, map[string]any{"id": "00000000-0000-0000-0000-000000000001", "score": "3:1"}, m["data"])
	require.Equal(t, map[string]any{"priority": "NORMAL", "ttl": "3600s", "direct_boot_ok": true}, m["android"])

	empty, err := encode(notificationOf(t, content, patched(`{"notification":null,"data":null,"android":null}`)), time.Hour)
	require.NoError(t, err)
	require.Equal(t, `{"message":{"token":"x\"y"}}`, string(request(`x"y`, empty)))

	same, err := encode(notificationOf(t, content, push.Native{}), time.Hour)
	require.NoError(t, err)
	require.Equal(t, `{"message":{"token":"x",`+string(same[1:])+`}`, string(request("x", same)))
}

func TestCheckNotification_NamesWhatFCMWouldNotTake(t *testing.T) {
	provider := newRig(t).provider
	for patch, field := range map[string]string{
		`[]`:                                     "fcm.message",
		`"x"`:                                    "fcm.message",
		`{"token":"x"}`:                          "fcm.message.token",
		`{"token":null}`:                         "fcm.message.token",
		`{"topic":"news"}`:                       "fcm.message.topic",
		`{"condition":"'a' in topics"}`:          "fcm.message.condition",
		`{"name":"projects/x/messages/1"}`:       "fcm.message.name",
		`{"data":"x"}`:                           "fcm.message.data",
		`{"data":[]}`:                            "fcm.message.data",
		`{"data":{"score":3}}`:                   "fcm.message.data.score",
		`{"data":{"score":{"a":"b"}}}`:           "fcm.message.data.score",
		`{"data":{"from":"x"}}`:                  "fcm.message.data.from",
		`{"data":{"from":null}}`:                 "fcm.message.data.from",
		`{"data":{"message_type":"x"}}`:          "fcm.message.data.message_type",
		`{"data":{"google.x":"x"}}`:              "fcm.message.data.google.x",
		`{"data":{"googleplex":"x"}}`:            "fcm.message.data.googleplex",
		`{"data":{"gcm.notification.a":"x"}}`:    "fcm.message.data.gcm.notification.a",
		`{"android":{"data":{"from":"x"}}}`:      "fcm.message.android.data.from",
		`{"android":{"data":{"a":true}}}`:        "fcm.message.android.data.a",
		`{"android":{"data":[]},"data":{"a":1}}`: "fcm.message.data.a",
	} {
		err := provider.CheckNotification(notificationOf(t, push.Content{Title: "Hi"}, patched(patch)))
		var invalid *push.InvalidError
		require.ErrorAs(t, err, &invalid, patch)
		require.Equal(t, field, invalid.Field, patch)
		require.NotEmpty(t, invalid.Detail)
	}
	for _, patch := range []string{
		`{}`, `{"data":null}`, `{"data":{}}`, `{"data":{"score":null,"notification":"x","collapse_key":"x","fromage":"x"}}`, `{"android":null}`,
		`{"android":{"ttl":"0s","data":{"a":"b"}},"apns":{"payload":{"aps":{"badge":1}}},"webpush":{}}`,
	} {
		require.NoError(t, provider.CheckNotification(notificationOf(t, push.Content{Title: "Hi"}, patched(patch))), patch)
	}
}

func TestCheckNotification_KnowsTheLimit(t *testing.T) {
	r := newRig(t)
	unnamed := push.Notification{Content: contentOf(t, 0)}
	encoded, err := encode(unnamed, maxTTL)
	require.NoError(t, err)
	room := maxMessageBytes - len(encoded) - len(`"body":"",`)

	unnamed.Content = contentOf(t, room)
	require.NoError(t, r.provider.CheckNotification(unnamed))
	message := messageTo(t, push.Endpoint(strings.Repeat("x", 4096)))
	message.Notification.Content, message.TTL = unnamed.Content, maxTTL
	require.Equal(t, push.Delivered, r.provider.Send(t.Context(), message).Outcome, "the token does not count")

	unnamed.Content = contentOf(t, room+1)
	var large *push.TooLargeError
	require.ErrorAs(t, r.provider.CheckNotification(unnamed), &large)
	require.Equal(t, push.TooLargeError{Kind: push.FCM, Bytes: 4097, Max: 4096}, *large)

	patch := fmt.Sprintf(`{"data":{"more":%q}}`, strings.Repeat("x", 4000))
	require.ErrorAs(t, r.provider.CheckNotification(notificationOf(t, push.Content{Title: "Hi"}, patched(patch))), &large)
}

// What this package makes is what a strict FCM takes.
func TestMessage_SatisfiesAStrictFCM(t *testing.T) {
	r := newRig(t)
	badge := uint32(math.MaxUint32)
	content := push.Content{
		Title: "Hi", URL: "/x", Body: "there", Image: "https://example.com/p.jpg", Tag: "t", Actions: []push.Action{{Action: "a", Title: "A"}}, Data: json.RawMessage(`[1]`),
	}
	for name, native := range map[string]push.Native{
		"plain":   {},
		"full":    {AppBadge: &badge, Sound: "none", Thread: "t", Category: "c"},
		"patched": patched(`{"apns":{"payload":{"aps":{"sound":"bell"}}},"android":{"notification":{"channel_id":"c"}},"data":{"x":"y"}}`),
	} {
		for _, urgency := range []push.Urgency{push.UrgencyVeryLow, push.UrgencyLow, push.UrgencyNormal, push.UrgencyHigh} {
			message := messageTo(t, registrationToken)
			message.Notification = notificationOf(t, content, native, func(n *push.Notification) { n.Urgency, n.CollapseKey = urgency, "k" })
			result := r.provider.Send(t.Context(), message)
			require.Equal(t, push.Delivered, result.Outcome, "%s: %+v", name, result)
			sent := r.payload(t)
			require.Equal(t, registrationToken, sent["token"])
			require.Equal(t, "[1]", sent["data"].(map[string]any)["data"])
		}
	}
}

func FuzzMerge(f *testing.F) {
	for _, patch := range []string{`{}`, `null`, `{"data":{"a":"b"}}`, `{"data":null}`, `{"android":{"data":{"gcm":1}}}`, `{"a":{"b":{"c":null}}} x`, "\xff"} {
		f.Add([]byte(patch))
	}
	f.Fuzz(func(t *testing.T, patch []byte) {
		merged, err := merge([]byte(`{"data":{"id":"1"},"android":{"ttl":"1s"}}`), patch)
		if err != nil {
			require.ErrorAs(t, err, new(*push.InvalidError))
			return
		}
		var message struct {
			Token *string
			Data  map[string]string
		}
		require.NoError(t, json.Unmarshal(merged, &message))
		for key := range message.Data {
			require.False(t, reserved(key))
		}
	})
}

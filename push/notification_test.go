package push_test

import (
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry/push"
)

func TestWebPayload_IsDeclarativeWhenABrowserCanOpenItAlone(t *testing.T) {
	for name, test := range map[string]struct {
		content     push.Content
		declarative bool
	}{
		"an absolute URL": {push.Content{Title: "Hi", URL: "https://example.com/1"}, true},
		"no URL":          {push.Content{Title: "Hi"}, false},
		"a path":          {push.Content{Title: "Hi", URL: "/inbox"}, false},
		"http":            {push.Content{Title: "Hi", URL: "http://example.com/"}, false},
		"actions with absolute URLs": {push.Content{
			Title: "Hi", URL: "https://example.com/", Actions: []push.Action{{Action: "a", Title: "A", URL: "https://example.com/a"}},
		}, true},
		"an action without a URL": {push.Content{
			Title: "Hi", URL: "https://example.com/", Actions: []push.Action{{Action: "a", Title: "A"}},
		}, false},
		"an absolute URL in an action alone": {push.Content{
			Title: "Hi", Actions: []push.Action{{Action: "a", Title: "A", URL: "https://example.com/a"}},
		}, false},
		"an absolute URL in the data alone": {push.Content{
			Title: "Hi", Data: json.RawMessage(`{"navigate":"https://example.com/"}`),
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			content, err := test.content.Encode()
			require.NoError(t, err)
			n := push.Notification{ID: push.ID{15: 1}, Content: content}

			payload := decode(t, n.WebPayload(""))
			require.Equal(t, "00000000-0000-0000-0000-000000000001", payload["id"])
			require.Equal(t, decode(t, content), payload["notification"])
			if test.declarative {
				require.Equal(t, 8030.0, payload["web_push"])
				require.Len(t, payload, 3)
			} else {
				require.Len(t, payload, 2)
			}
			require.Len(t, push.Notification{Content: content}.WebPayload(""), len(n.WebPayload("")), "its length is known without the ID")
		})
	}
}

func TestWebPayload_CarriesTheContentToTheByte(t *testing.T) {
	content, err := push.Content{
		Title: "Zug fällt aus", URL: "https://example.com/?a=1&b=<2>", Body: "日本", Icon: "/i.png", Image: "/p.jpg", Badge: "/b.png", Tag: "t",
		Data: json.RawMessage(`{"n":12345678901234567890}`),
	}.Encode()
	require.NoError(t, err)
	payload := push.Notification{Content: content}.WebPayload("")
	require.Contains(t, string(payload), string(content))
	require.Contains(t, string(payload), "12345678901234567890")
}

func TestContent_RefusesDataThatIsNotJSON(t *testing.T) {
	_, err := push.Content{Title: "Hi", Data: json.RawMessage(`{`)}.Encode()
	require.ErrorContains(t, err, "encode content")
}

// 32 characters that decode as base64url are the one form every service takes.
func TestTopic_HasTheFormEveryPushServiceTakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := push.Notification{ID: anyID(t), CollapseKey: rapid.String().Draw(t, "key")}
		topic := n.Topic()
		require.Len(t, topic, 32)
		_, err := base64.RawURLEncoding.Strict().DecodeString(topic)
		require.NoError(t, err)
	})
}

func TestTopic_IsTheCollapseKeysOrTheNotificationsOwn(t *testing.T) {
	a, b := push.Notification{ID: push.ID{1}}, push.Notification{ID: push.ID{2}}
	require.Equal(t, a.Topic(), a.Topic())
	require.NotEqual(t, a.Topic(), b.Topic())
	a.CollapseKey, b.CollapseKey = "score", "score"
	require.Equal(t, a.Topic(), b.Topic())
	b.CollapseKey = "weather"
	require.NotEqual(t, a.Topic(), b.Topic())
}

func TestUrgency_ReadsWhatItWrites(t *testing.T) {
	for _, u := range []push.Urgency{push.UrgencyNormal, push.UrgencyVeryLow, push.UrgencyLow, push.UrgencyHigh} {
		parsed, err := push.ParseUrgency(u.String())
		require.NoError(t, err)
		require.Equal(t, u, parsed)
	}
	_, err := push.ParseUrgency("urgent")
	require.ErrorContains(t, err, "use very-low, low, normal or high")
	require.Equal(t, push.UrgencyNormal, push.Urgency(0))
}

func decode(t *testing.T, data []byte) map[string]any {
	t.Helper()
	var decoded map[string]any
	require.NoError(t, json.Unmarshal(data, &decoded), "%s", data)
	return decoded
}

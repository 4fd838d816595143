package push_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

// A browser takes a message in which anything required is missing for a plain
// one, so it must not be called declarative.
func TestWebPayload_IsDeclarativeOnlyWithAllThatTheDraftRequires(t *testing.T) {
	whole := func() push.Content {
		return push.Content{
			Title: "Hi", URL: "https://example.com/1",
			Actions: []push.Action{{Action: "a", Title: "A", URL: "https://example.com/a"}, {Action: "b", Title: "B", URL: "https://example.com/b"}},
		}
	}
	payloadOf := func(c push.Content) []byte {
		content, err := c.Encode()
		require.NoError(t, err)
		return push.Notification{Content: content}.WebPayload("")
	}

	payload := payloadOf(whole())
	require.True(t, push.Declarative(payload))
	var message struct {
		WebPush json.RawMessage `json:"web_push"`
	}
	require.NoError(t, json.Unmarshal(payload, &message))
	require.Equal(t, "8030", string(message.WebPush), "a number, not a string")

	for name, change := range map[string]func(*push.Content){
		"no title":                  func(c *push.Content) { c.Title = "" },
		"no URL":                    func(c *push.Content) { c.URL = "" },
		"a URL without a host":      func(c *push.Content) { c.URL = "https:///1" },
		"a URL that is none":        func(c *push.Content) { c.URL = "https://[/" },
		"an action without a name":  func(c *push.Content) { c.Actions[1].Action = "" },
		"an action without a title": func(c *push.Content) { c.Actions[1].Title = "" },
		"an action without a URL":   func(c *push.Content) { c.Actions[1].URL = "" },
		"an action with a path":     func(c *push.Content) { c.Actions[1].URL = "/b" },
	} {
		content := whole()
		change(&content)
		payload := payloadOf(content)
		require.False(t, push.Declarative(payload), name)
		require.NotContains(t, decode(t, payload), "web_push", name)
	}
}

func TestWebPayload_HasTheAppBadgeAtTheTop(t *testing.T) {
	zero, three := uint32(0), uint32(3)
	for _, content := range []push.Content{{Title: "Hi"}, {Title: "Hi", URL: "https://example.com/1"}} {
		encoded, err := content.Encode()
		require.NoError(t, err)
		for name, test := range map[string]struct {
			native push.Native
			want   any
		}{
			"none":                      {push.Native{}, nil},
			"three":                     {push.Native{AppBadge: &three}, 3.0},
			"zero, which takes it away": {push.Native{AppBadge: &zero, Sound: "none"}, 0.0},
			"one for APNs alone": {
				push.Native{APNs: &push.APNsOptions{Payload: json.RawMessage(`{"app_badge":9,"aps":{"badge":9}}`)}}, nil,
			},
		} {
			native, err := test.native.Encode()
			require.NoError(t, err)
			n := push.Notification{Content: encoded, Native: native}
			payload := decode(t, n.WebPayload(""))
			require.Equal(t, test.want, payload["app_badge"], name)
			require.Equal(t, decode(t, encoded), payload["notification"], "it is not within the notification")
			require.Equal(t, content.URL != "", push.Declarative(n.WebPayload("")), name)
		}
	}
}

// A browser that shows a message by itself tells nobody, so one that receipts
// are wanted of is the service worker's.
func TestWebPayload_BearsTheReceiptTokenInsteadOfBeingDeclarative(t *testing.T) {
	content, err := push.Content{Title: "Hi", URL: "https://example.com/1", Receipts: []push.ReceiptType{push.ReceiptShown}}.Encode()
	require.NoError(t, err)
	three := uint32(3)
	native, err := push.Native{AppBadge: &three}.Encode()
	require.NoError(t, err)
	n := push.Notification{ID: push.ID{15: 1}, Content: content, Native: native}
	token := push.ReceiptToken([]byte("secret"), "shop", n.ID, push.Digest{1})

	payload := n.WebPayload(token)
	require.False(t, push.Declarative(payload))
	require.Equal(t, map[string]any{
		"receipt": token, "id": n.ID.String(), "app_badge": 3.0,
		"notification": map[string]any{"title": "Hi", "navigate": "https://example.com/1", "receipts": []any{"shown"}},
	}, decode(t, payload))
	require.True(t, push.Declarative(n.WebPayload("")), "without a token nobody could tell anything")
}

// What is decided without decoding is what decoding would say.
func TestWebPayload_IsDeclarativeIfTheContentIs(t *testing.T) {
	texts := []string{"", "Tea", `"`, `\`, `a","navigate":"https://x.example`, "<é>&\u2028"}
	addresses := map[string]bool{
		"": false, "/inbox": false, "https://": false, "http://example.com": false, "HTTPS://example.com": false,
		"https://example.com/a": true, "https://example.com/?a=1&b=2": true, `https://example.com/"x`: true, `https://example.com/\x`: true,
	}
	actions := map[bool][]push.Action{true: nil, false: {{Action: "a", Title: "A"}}}
	for _, title := range texts {
		for address, navigable := range addresses {
			for _, body := range texts {
				for complete, of := range actions {
					encoded, err := push.Content{Title: title, URL: address, Body: body, Actions: of}.Encode()
					require.NoError(t, err)
					payload := push.Notification{Content: encoded}.WebPayload("")
					require.Equal(t, title != "" && navigable && complete, push.Declarative(payload), "%s", encoded)
				}
			}
		}
	}
}

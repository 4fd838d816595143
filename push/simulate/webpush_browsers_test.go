package simulate

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/SherClockHolmes/webpush-go"
	"github.com/stretchr/testify/require"
)

// vapidKeys is a sender as webpush-go has it.
type vapidKeys struct{ private, public string }

func newVAPIDKeys(t *testing.T) vapidKeys {
	private, public, err := webpush.GenerateVAPIDKeys()
	require.NoError(t, err)
	return vapidKeys{private, public}
}

// notify sends a message with webpush-go, which knows nothing of this package.
func (k vapidKeys) notify(t *testing.T, client *http.Client, text string, to *webpush.Subscription) *http.Response {
	t.Helper()
	response, err := webpush.SendNotification([]byte(text), to, &webpush.Options{
		HTTPClient: client, Subscriber: "operator@example.org", TTL: 60, Topic: "tea", VAPIDPublicKey: k.public, VAPIDPrivateKey: k.private,
	})
	require.NoError(t, err)
	t.Cleanup(func() { response.Body.Close() })
	return response
}

// subscribe does by HTTP what a page does with pushManager.subscribe.
func subscribe(t *testing.T, service *WebPush, client *http.Client, body string) (*webpush.Subscription, *http.Response) {
	t.Helper()
	response, err := client.Post(service.URL()+"/simulator/subscriptions", "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		return nil, response
	}
	var subscription struct {
		webpush.Subscription
		ExpirationTime *int64 `json:"expirationTime"`
	}
	decoder := json.NewDecoder(response.Body)
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&subscription))
	require.Nil(t, subscription.ExpirationTime)
	return &subscription.Subscription, response
}

func TestBrowsers_DecryptWhatTheyAreSentForTheLog(t *testing.T) {
	service, client := startWebPush(t), client(t)
	keys := newVAPIDKeys(t)
	subscription, _ := subscribe(t, service, client, `{"applicationServerKey":"`+keys.public+`"}`)

	require.Equal(t, 201, keys.notify(t, client, `{"title":"Tea"}`, subscription).StatusCode)
	require.Equal(t, 201, keys.notify(t, client, "no JSON", subscription).StatusCode)
	entries, err := service.Await(soon(t), 2)
	require.NoError(t, err)

	first := entries[0]
	require.Equal(t, subscription.Endpoint, first.Target)
	require.JSONEq(t, `{"title":"Tea"}`, string(first.Payload))
	require.Equal(t, 201, first.Status)
	require.True(t, first.Taken)
	require.Equal(t, "tea", first.Header.Get("Topic"))
	require.Empty(t, first.Header.Get("Authorization"))
	require.Equal(t, service.Endpoint(subscription.Endpoint).Receipts()[0].MessageID, first.ID)
	require.JSONEq(t, `"no JSON"`, string(entries[1].Payload))

	var log struct{ Entries []Entry }
	get(t, client, service.URL()+"/simulator/log?after=1", &log)
	require.Equal(t, []int{2}, []int{log.Entries[0].Number})
}

func TestBrowsers_RefuseWhatTheyCannotDecrypt(t *testing.T) {
	service, client := startWebPush(t), client(t)
	keys := newVAPIDKeys(t)
	subscription, _ := subscribe(t, service, client, "")
	other, _ := subscribe(t, service, client, "{}")
	subscription.Keys = other.Keys

	response := keys.notify(t, client, "hello", subscription)
	require.Equal(t, 400, response.StatusCode)
	require.Contains(t, body(t, response), "the browser cannot decrypt it")
	entry := service.Log()[0]
	require.False(t, entry.Taken)
	require.Empty(t, entry.Payload)
	require.Contains(t, entry.Reason, "cannot decrypt")
	require.Equal(t, 201, keys.notify(t, client, "hello", other).StatusCode, "made without a key, it takes any sender's")
}

func TestBrowsers_AreBoundToTheKeyTheySubscribedWith(t *testing.T) {
	service, client := startWebPush(t), client(t)
	keys := newVAPIDKeys(t)
	subscription, _ := subscribe(t, service, client, `{"applicationServerKey":"`+keys.public+`="}`)
	response := newVAPIDKeys(t).notify(t, client, "hello", subscription)
	require.Equal(t, 401, response.StatusCode)
	require.Contains(t, body(t, response), "VAPID public key mismatch")
	require.Equal(t, 201, keys.notify(t, client, "hello", subscription).StatusCode)

	for _, wrong := range []string{`{`, `[]`, `{"applicationServerKey":1}`, `{"applicationServerKey":"!"}`, `{"applicationServerKey":"AAAA"}`, `{"key":"x"}`} {
		_, response := subscribe(t, service, client, wrong)
		require.Equal(t, 400, response.StatusCode, wrong)
	}
}

func TestBrowsers_ExpireByHTTP(t *testing.T) {
	service, client := startWebPush(t), client(t)
	keys := newVAPIDKeys(t)
	subscription, _ := subscribe(t, service, client, "")
	remove := func(endpoint string) int {
		request, err := http.NewRequest("DELETE", service.URL()+"/simulator/subscriptions?endpoint="+url.QueryEscape(endpoint), nil)
		require.NoError(t, err)
		response, err := client.Do(request)
		require.NoError(t, err)
		response.Body.Close()
		return response.StatusCode
	}
	require.Equal(t, 204, remove(subscription.Endpoint))
	require.Equal(t, 410, keys.notify(t, client, "hello", subscription).StatusCode)
	require.Equal(t, 204, remove(subscription.Endpoint), "it is over already")
	require.Equal(t, 404, remove(subscription.Endpoint+"0"))
	require.Equal(t, 404, remove(""))
}

func TestBrowsers_AnswerAsAScriptHasIt(t *testing.T) {
	service := startWebPush(t)
	sender := newSender(t)
	endpoint, browser := service.NewBrowser(sender.point(), Status(503))
	require.Equal(t, endpoint.URL, string(browser.endpoint))
	require.Equal(t, 400, sender.post(t, endpoint.URL, nil).StatusCode, "it cannot be decrypted")

	keys := newVAPIDKeys(t)
	endpoint, browser = service.NewBrowser(nil, Status(503))
	encoded, err := json.Marshal(browser)
	require.NoError(t, err)
	var subscription webpush.Subscription
	require.NoError(t, json.Unmarshal(encoded, &subscription))
	require.Equal(t, 503, keys.notify(t, client(t), "hello", &subscription).StatusCode)
	require.Equal(t, 201, keys.notify(t, client(t), "hello", &subscription).StatusCode)
	payload, err := browser.Decrypt(endpoint.Receipts()[1].Body)
	require.NoError(t, err)
	require.Equal(t, "hello", string(payload))
}

func get(t *testing.T, client *http.Client, url string, into any) {
	t.Helper()
	response, err := client.Get(url)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, 200, response.StatusCode)
	require.NoError(t, json.NewDecoder(response.Body).Decode(into))
}

func FuzzReadKey(f *testing.F) {
	f.Add([]byte(``))
	f.Add([]byte(`{"applicationServerKey":"BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8"}`))
	f.Add([]byte(`{"applicationServerKey":"BP4z"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		key, err := readKey(bytes.NewReader(body))
		if err != nil {
			require.Nil(t, key)
			return
		}
		require.True(t, key == nil || len(key) == 65 && key[0] == 4)
	})
}

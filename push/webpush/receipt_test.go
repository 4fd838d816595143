package webpush

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

func contentWithReceipts(t testing.TB, title string) []byte {
	t.Helper()
	content, err := push.Content{Title: title, URL: "https://example.com/tea", Receipts: []push.ReceiptType{push.ReceiptShown}}.Encode()
	require.NoError(t, err)
	return content
}

func TestSend_GivesTheBrowserAReceiptTokenWhenItIsWanted(t *testing.T) {
	secret := []byte("the app's token secret")
	var asked []string
	service := newService(t, answering(201, ""))
	provider := service.provider(t, func(c *Config) {
		c.ReceiptSecret = func(app string) []byte {
			asked = append(asked, app)
			return secret
		}
	})
	message, browser := service.message(t, "/1")
	require.Equal(t, push.Delivered, provider.Send(t.Context(), message).Outcome)
	require.Empty(t, asked, "a message without receipts does not need the secret")

	message.Notification.Content = contentWithReceipts(t, "Hi")
	require.Equal(t, push.Delivered, provider.Send(t.Context(), message).Outcome)
	require.Equal(t, []string{push.DefaultApp}, asked)
	plain, err := browser.Decrypt(service.requests()[1].body)
	require.NoError(t, err)
	var got struct{ Receipt string }
	require.NoError(t, json.Unmarshal(plain, &got))
	app, err := push.ReceiptApp(got.Receipt)
	require.NoError(t, err)
	require.Equal(t, push.DefaultApp, app)
	id, digest, err := push.OpenReceiptToken(secret, got.Receipt)
	require.NoError(t, err)
	require.Equal(t, message.Notification.ID, id)
	require.Equal(t, message.Subscription.Digest, digest)
}

func TestSend_HasNoReceiptTokenWithoutASecret(t *testing.T) {
	service := newService(t, answering(201, ""))
	message, browser := service.message(t, "/1")
	message.Notification.Content = contentWithReceipts(t, "Hi")
	for i, provider := range []*Provider{
		service.provider(t),
		service.provider(t, func(c *Config) { c.ReceiptSecret = func(string) []byte { return nil } }),
	} {
		require.Equal(t, push.Delivered, provider.Send(t.Context(), message).Outcome)
		plain, err := browser.Decrypt(service.requests()[i].body)
		require.NoError(t, err)
		require.Equal(t, message.Notification.WebPayload(""), plain)
	}
}

// What is accepted can be sent, whatever the app is called.
func TestCheckNotification_LeavesRoomForTheReceiptToken(t *testing.T) {
	service := newService(t, answering(201, ""))
	provider := service.provider(t)
	n := push.Notification{Content: contentWithReceipts(t, "")}
	title := strings.Repeat("x", push.MaxWebPayload-len(n.WebPayload(strings.Repeat("t", push.MaxReceiptToken))))
	n.Content = contentWithReceipts(t, title)
	require.NoError(t, provider.CheckNotification(n))
	n.Content = contentWithReceipts(t, title+"x")
	var tooLarge *push.TooLargeError
	require.ErrorAs(t, provider.CheckNotification(n), &tooLarge)
	require.Equal(t, push.MaxWebPayload+1, tooLarge.Bytes)
}

package simulate

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// openWebPushTLS starts one with TLS, and gives a client that trusts it.
func openWebPushTLS(t *testing.T, vendor Vendor) (*WebPush, *http.Client) {
	t.Helper()
	authority, err := NewAuthority()
	require.NoError(t, err)
	service, err := OpenWebPushWith(WebPushConfig{Config: Config{Authority: authority}, Vendor: vendor})
	require.NoError(t, err)
	t.Cleanup(service.Stop)
	return service, trusting(t, authority)
}

func trusting(t *testing.T, authority *Authority) *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority.Pool()}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func TestWebPush_SpeaksTLSWithAnAuthority(t *testing.T) {
	service, client := openWebPushTLS(t, "")
	require.True(t, strings.HasPrefix(service.Origin(), "https://127.0.0.1:"))
	require.Equal(t, "wss"+strings.TrimPrefix(service.Origin(), "https")+"/", service.AutopushURL())

	keys := newVAPIDKeys(t)
	subscription, _ := subscribe(t, service, client, "")
	response := keys.notify(t, client, `{"title":"Tea"}`, subscription)
	require.Equal(t, 201, response.StatusCode)
	require.Equal(t, "HTTP/2.0", response.Proto)

	pem, err := client.Get(service.URL() + "/simulator/ca.pem")
	require.NoError(t, err)
	defer pem.Body.Close()
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM([]byte(body(t, pem))))
	require.True(t, pool.Equal(service.config.Authority.Pool()))

	connection, _, err := websocket.Dial(soon(t), service.AutopushURL(), &websocket.DialOptions{HTTPClient: client, Subprotocols: []string{"push-notification"}})
	require.NoError(t, err)
	connection.CloseNow()
}

func TestWebPush_HasNoAuthorityToShowOnPlainHTTP(t *testing.T) {
	response, err := client(t).Get(startWebPush(t).URL() + "/simulator/ca.pem")
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, 404, response.StatusCode)
}

func TestWebPush_MeetsFaults(t *testing.T) {
	service := startWebPush(t)
	sender := newSender(t)
	endpoint, other := service.NewEndpoint(Status(202)), service.NewEndpoint()

	require.NoError(t, service.Fault(Fault{Target: endpoint.URL, Times: 2, Status: 429, Reason: "slow down", RetryAfter: 3}))
	require.Equal(t, 400, sender.post(t, endpoint.URL, withTTL("soon")).StatusCode, "a malformed request meets no fault")
	require.Equal(t, 201, sender.post(t, other.URL, nil).StatusCode)
	for range 2 {
		response := sender.post(t, endpoint.URL, nil)
		require.Equal(t, 429, response.StatusCode)
		require.Equal(t, "3", response.Header.Get("Retry-After"))
		require.JSONEq(t, `{"code":429,"errno":201,"error":"Too Many Requests","message":"slow down"}`, body(t, response))
	}
	require.Equal(t, 202, sender.post(t, endpoint.URL, nil).StatusCode, "then the script goes on")

	require.NoError(t, service.Fault(Fault{Status: 500, Body: "<html>"}))
	require.Equal(t, "<html>", body(t, sender.post(t, endpoint.URL, nil)))
	service.ClearFaults()
	require.Equal(t, 201, sender.post(t, endpoint.URL, nil).StatusCode)

	require.NoError(t, service.Fault(Fault{Times: 1, Reset: true}))
	_, err := sender.try(t, endpoint.URL, nil)
	require.Error(t, err)
	require.Equal(t, Entry{Status: 0, Taken: true}, outline(service.Log()), "taken, and nobody was told")
	require.NotEmpty(t, endpoint.Receipts()[len(endpoint.Receipts())-1].MessageID)

	require.NoError(t, service.Fault(Fault{Times: 1, Status: 503, Reason: "no", Reset: true}))
	_, err = sender.try(t, endpoint.URL, nil)
	require.Error(t, err)
	require.Equal(t, Entry{Status: 0, Reason: "no"}, outline(service.Log()))

	require.NoError(t, service.Fault(Fault{Times: 1, DelayMillis: 1, Header: map[string]string{"X-Slow": "yes"}}))
	slow := sender.post(t, endpoint.URL, nil)
	require.Equal(t, 201, slow.StatusCode)
	require.Equal(t, "yes", slow.Header.Get("X-Slow"))
	require.NotEmpty(t, slow.Header.Get("Location"))
}

// outline is what became of the last request.
func outline(entries []Entry) Entry {
	last := entries[len(entries)-1]
	return Entry{Status: last.Status, Reason: last.Reason, Taken: last.Taken}
}

func TestWebPush_GoAwayEndsAConnectionWithItsNextAnswer(t *testing.T) {
	service, client := openWebPushTLS(t, "")
	keys := newVAPIDKeys(t)
	subscription, _ := subscribe(t, service, client, "")
	keys.notify(t, client, "1", subscription)
	require.Equal(t, 1, service.Connections())

	response, err := client.Post(service.URL()+"/simulator/goaway", "", nil)
	require.NoError(t, err)
	response.Body.Close()
	for until := soon(t); service.Connections() < 2; {
		require.NoError(t, until.Err(), "the client hears GOAWAY behind an answer")
		keys.notify(t, client, "2", subscription)
	}
}

func TestWebPush_LogsWhatItRefuses(t *testing.T) {
	service := startWebPush(t)
	sender := newSender(t)
	unknown := service.Origin() + "/wpush/v2/none"
	sender.post(t, unknown, nil)
	endpoint := service.NewEndpoint()
	sender.post(t, endpoint.URL, withTTL("soon"))

	log := service.Log()
	require.Len(t, log, 2)
	require.Equal(t, unknown, log[0].Target)
	require.Equal(t, 404, log[0].Status)
	require.Equal(t, 400, log[1].Status)
	require.Equal(t, `TTL must be given once, in seconds; got ["soon"]`, log[1].Reason)
}

func TestWebPush_KeepsItsLogAndFaultsOverAStop(t *testing.T) {
	service, client := openWebPushTLS(t, "")
	keys := newVAPIDKeys(t)
	subscription, _ := subscribe(t, service, client, "")
	keys.notify(t, client, "1", subscription)
	require.NoError(t, service.Fault(Fault{Status: 503}))
	require.Error(t, service.Start(), "it is running")

	origin := service.Origin()
	service.Stop()
	service.Stop()
	require.NoError(t, service.Start())
	require.Equal(t, origin, service.Origin())
	again := trusting(t, service.config.Authority) // the former client's connection is broken
	require.Equal(t, 503, keys.notify(t, again, "2", subscription).StatusCode)
	require.Len(t, service.Log(), 2)
}

func TestWebPush_StopCutsBrowsersOff(t *testing.T) {
	service := startWebPush(t)
	browser := connect(t, service, "")
	service.Stop()
	_, _, err := browser.connection.Read(soon(t))
	require.ErrorIs(t, err, io.EOF)

	require.NoError(t, service.Start())
	require.Equal(t, browser.uaid, connect(t, service, browser.uaid).uaid, "and knows them when they come back")
}

func TestVendors_EachRefusesInItsOwnForm(t *testing.T) {
	for vendor, test := range map[Vendor]struct {
		gone, mismatch int
		goneSays       string
		mismatchSays   string
	}{
		VendorMozilla: {410, 401, `{"code":410,"errno":106,"error":"Gone","message":"the subscription is over"}`, `{"code":401,"errno":109,"error":"Unauthorized","message":"VAPID public key mismatch"}`},
		VendorApple:   {410, 403, `{"reason":"Unregistered"}`, `{"reason":"VapidPkHashMismatch"}`},
		VendorGoogle:  {410, 403, "push subscription has unsubscribed or expired.", "the VAPID credentials in the authorization header do not correspond to the credentials used to create the subscriptions."},
		VendorWindows: {410, 403, "X-WNS: the subscription is over", "X-WNS: the subscription is bound to another VAPID key"},
	} {
		service := startVendor(t, vendor)
		sender := newSender(t)
		endpoint := service.NewEndpoint()
		endpoint.BindTo(newSender(t).point())
		response := sender.post(t, endpoint.URL, nil)
		require.Equal(t, test.mismatch, response.StatusCode, vendor)
		require.Equal(t, test.mismatchSays, said(t, response), vendor)

		endpoint.Expire()
		response = sender.post(t, endpoint.URL, nil)
		require.Equal(t, test.gone, response.StatusCode, vendor)
		require.Equal(t, test.goneSays, said(t, response), vendor)
	}
	_, err := OpenWebPushWith(WebPushConfig{Vendor: "acme"})
	require.ErrorContains(t, err, `"acme" is no vendor: use mozilla, apple, google or windows`)
}

func TestVendors_AFaultsReasonHasTheFormOfEach(t *testing.T) {
	for _, test := range []struct {
		vendor       Vendor
		status       int
		reason, says string
	}{
		{VendorMozilla, 410, "105 it became unavailable", `{"code":410,"errno":105,"error":"Gone","message":"it became unavailable"}`},
		{VendorMozilla, 502, "", `{"code":502,"errno":902,"error":"Bad Gateway","message":""}`},
		{VendorMozilla, 503, "202", `{"code":503,"errno":202,"error":"Service Unavailable","message":""}`},
		{VendorApple, 429, "TooManyRequests", `{"reason":"TooManyRequests"}`},
		{VendorGoogle, 400, "UnauthorizedRegistration", "UnauthorizedRegistration"},
		{VendorGoogle, 401, "UNAUTHENTICATED", `{"error":{"code":401,"message":"Unauthorized","status":"UNAUTHENTICATED"}}`},
		{VendorWindows, 401, "no token", "X-WNS: no token"},
	} {
		service := startVendor(t, test.vendor)
		require.NoError(t, service.Fault(Fault{Status: test.status, Reason: test.reason}))
		response := newSender(t).post(t, service.NewEndpoint().URL, nil)
		require.Equal(t, test.status, response.StatusCode)
		require.Equal(t, test.says, said(t, response))
	}
}

func TestVendors_NameWhatTheyTake(t *testing.T) {
	for vendor, header := range map[Vendor]string{VendorApple: "apns-id", VendorWindows: "X-WNS-Msg-ID"} {
		service := startVendor(t, vendor)
		endpoint := service.NewEndpoint()
		response := newSender(t).post(t, endpoint.URL, nil)
		require.NotEmpty(t, response.Header.Get(header))
		require.Equal(t, endpoint.Receipts()[0].MessageID, response.Header.Get(header))
		require.Equal(t, service.Log()[0].ID, response.Header.Get(header))
	}
	windows := startVendor(t, VendorWindows)
	sender := newSender(t)
	require.Equal(t, "received", sender.post(t, windows.NewEndpoint().URL, nil).Header.Get("X-WNS-Status"))

	require.NoError(t, windows.Fault(Fault{Times: 1, Status: 201, Reason: "notifications are off"}))
	dropped := sender.post(t, windows.NewEndpoint().URL, nil)
	require.Equal(t, 201, dropped.StatusCode)
	require.Equal(t, "dropped", dropped.Header.Get("X-WNS-Status"))

	require.NoError(t, windows.Fault(Fault{Times: 1, Status: 406}))
	require.Equal(t, "channelthrottled", sender.post(t, windows.NewEndpoint().URL, nil).Header.Get("X-WNS-Status"))
}

func TestVendors_WantWhatOnlyTheyWant(t *testing.T) {
	for _, test := range []struct {
		vendor Vendor
		change func(*http.Request)
		status int
	}{
		{VendorApple, withTopic("dailyreminder"), 400},
		{VendorApple, withTopic("daily-reminder"), 201},
		{VendorApple, nil, 201},
		{VendorGoogle, withTopic("dailyreminder"), 201},
		{VendorWindows, withTTL("0"), 400},
		{VendorWindows, withTTL("1"), 201},
		{VendorWindows, func(r *http.Request) {
			r.Header.Set("TTL", "0")
			r.Header.Set("X-WNS-Cache-Policy", "no-cache")
		}, 201},
		{VendorApple, withTTL("0"), 201},
	} {
		response := newSender(t).post(t, startVendor(t, test.vendor).NewEndpoint().URL, test.change)
		require.Equal(t, test.status, response.StatusCode, test.vendor)
	}
}

func startVendor(t *testing.T, vendor Vendor) *WebPush {
	t.Helper()
	service, err := OpenWebPushWith(WebPushConfig{Vendor: vendor})
	require.NoError(t, err)
	t.Cleanup(service.Stop)
	return service
}

// said is the body, or what Windows says without one.
func said(t *testing.T, response *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	if description := response.Header.Get("X-WNS-Error-Description"); description != "" {
		require.Empty(t, text)
		return "X-WNS: " + description
	}
	return strings.TrimSpace(string(text))
}

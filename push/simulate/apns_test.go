package simulate

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

const (
	deviceToken = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	bundle      = "com.example.app"
	messageUUID = "123e4567-e89b-12d3-a456-426655440000"
)

// provider is somebody who sends to an APNs.
type provider struct {
	apns   *APNs
	key    *ecdsa.PrivateKey
	known  APNsKey
	client *http.Client
	usual  string // the provider token of requests that do not care
}

func startAPNs(t *testing.T, change ...func(*APNsConfig)) *provider {
	t.Helper()
	authority, err := NewAuthority()
	require.NoError(t, err)
	p8, known := NewAPNsKey()
	known.Topics = []string{bundle}
	config := APNsConfig{Config: Config{Authority: authority}, Keys: []APNsKey{known}}
	for _, f := range change {
		f(&config)
	}
	service, err := OpenAPNs(config)
	require.NoError(t, err)
	t.Cleanup(service.Stop)
	p := &provider{apns: service, key: signingKey(t, p8), known: config.Keys[0], client: h2Client(t, authority, nil)}
	p.usual = p.token(t, time.Now())
	return p
}

func signingKey(t *testing.T, p8 []byte) *ecdsa.PrivateKey {
	block, _ := pem.Decode(p8)
	require.NotNil(t, block)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	require.NoError(t, err)
	return key.(*ecdsa.PrivateKey)
}

func h2Client(t *testing.T, authority *Authority, certificate *tls.Certificate) *http.Client {
	config := &tls.Config{RootCAs: authority.Pool()}
	if certificate != nil {
		config.Certificates = []tls.Certificate{*certificate}
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

// token is a provider token, changed as asked.
func (p *provider) token(t *testing.T, issued time.Time, change ...func(*jwt.Token, jwt.MapClaims)) string {
	claims := jwt.MapClaims{"iss": p.known.TeamID, "iat": issued.Unix()}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = p.known.KeyID
	for _, f := range change {
		f(token, claims)
	}
	signed, err := token.SignedString(p.key)
	require.NoError(t, err)
	return "bearer " + signed
}

// request is a well-formed one, changed as asked.
func (p *provider) request(t *testing.T, change ...func(*http.Request)) *http.Request {
	r, err := http.NewRequestWithContext(t.Context(), "POST", p.apns.URL()+"/3/device/"+deviceToken, strings.NewReader(`{"aps":{"alert":{"title":"hi"}}}`))
	require.NoError(t, err)
	r.Header.Set("authorization", p.usual)
	r.Header.Set("apns-topic", bundle)
	r.Header.Set("apns-push-type", "alert")
	r.Header.Set("apns-priority", "10")
	r.Header.Set("apns-expiration", "0")
	r.Header.Set("apns-collapse-id", "a")
	r.Header.Set("apns-id", messageUUID)
	for _, f := range change {
		f(r)
	}
	return r
}

// send gives the status and the reason.
func (p *provider) send(t *testing.T, change ...func(*http.Request)) (int, string) {
	t.Helper()
	response, err := p.client.Do(p.request(t, change...))
	require.NoError(t, err)
	defer response.Body.Close()
	var answer struct{ Reason string }
	json.NewDecoder(response.Body).Decode(&answer) // no body, no reason
	return response.StatusCode, answer.Reason
}

func with(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func withPath(path string) func(*http.Request) {
	return func(r *http.Request) { r.URL.Path = path }
}

func payloadOf(text string) func(*http.Request) {
	return func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	}
}

func payloadOfSize(bytes int) func(*http.Request) {
	const frame = `{"aps":{},"x":""}`
	return payloadOf(`{"aps":{},"x":"` + strings.Repeat("x", bytes-len(frame)) + `"}`)
}

func both(changes ...func(*http.Request)) func(*http.Request) {
	return func(r *http.Request) {
		for _, f := range changes {
			f(r)
		}
	}
}

func TestAPNs_TakesAndRefusesWhatAppleDoes(t *testing.T) {
	p := startAPNs(t)
	stranger, _ := NewAPNsKey()
	other := *p
	other.key = signingKey(t, stranger)

	for name, test := range map[string]struct {
		change func(*http.Request)
		status int
		reason string
	}{
		"nothing wrong":             {both(), 200, ""},
		"a short token":             {withPath("/3/device/ab"), 200, ""},
		"no priority":               {func(r *http.Request) { r.Header.Del("apns-priority") }, 200, ""},
		"priority 1":                {with("apns-priority", "1"), 200, ""},
		"the longest collapse id":   {with("apns-collapse-id", strings.Repeat("a", 64)), 200, ""},
		"the longest payload":       {payloadOfSize(4096), 200, ""},
		"the longest VoIP payload":  {both(with("apns-push-type", "voip"), with("apns-topic", bundle+".voip"), payloadOfSize(5120)), 200, ""},
		"a live activity":           {both(with("apns-push-type", "liveactivity"), with("apns-topic", bundle+".push-type.liveactivity")), 200, ""},
		"in the background":         {both(with("apns-push-type", "background"), with("apns-priority", "5")), 200, ""},
		"another path":              {withPath("/3/devices/ab"), 404, "BadPath"},
		"another method":            {func(r *http.Request) { r.Method = "PUT" }, 405, "MethodNotAllowed"},
		"no token":                  {withPath("/3/device/"), 400, "MissingDeviceToken"},
		"an odd token":              {withPath("/3/device/abc"), 400, "BadDeviceToken"},
		"a token of other letters":  {withPath("/3/device/xyxy"), 400, "BadDeviceToken"},
		"no topic":                  {func(r *http.Request) { r.Header.Del("apns-topic") }, 400, "MissingTopic"},
		"an odd topic":              {with("apns-topic", "com example"), 400, "BadTopic"},
		"another team's topic":      {with("apns-topic", "com.example.other"), 400, "TopicDisallowed"},
		"no push type":              {func(r *http.Request) { r.Header.Del("apns-push-type") }, 400, "InvalidPushType"},
		"an unknown push type":      {with("apns-push-type", "shout"), 400, "InvalidPushType"},
		"a type without its suffix": {with("apns-push-type", "voip"), 400, "InvalidPushType"},
		"a suffix without its type": {with("apns-topic", bundle+".voip"), 400, "InvalidPushType"},
		"priority 7":                {with("apns-priority", "7"), 400, "BadPriority"},
		"background at once":        {with("apns-push-type", "background"), 400, "BadPriority"},
		"a date in words":           {with("apns-expiration", "tomorrow"), 400, "BadExpirationDate"},
		"a longer collapse id":      {with("apns-collapse-id", strings.Repeat("a", 65)), 400, "BadCollapseId"},
		"an id in capitals":         {with("apns-id", strings.ToUpper(messageUUID)), 400, "BadMessageId"},
		"a header twice":            {func(r *http.Request) { r.Header.Add("apns-topic", bundle) }, 400, "DuplicateHeaders"},
		"no payload":                {payloadOf(""), 400, "PayloadEmpty"},
		"a payload that is no JSON": {payloadOf("hello"), 400, "PayloadEmpty"},
		"a payload without aps":     {payloadOf(`{"alert":"hi"}`), 400, "PayloadEmpty"},
		"a longer payload":          {payloadOfSize(4097), 413, "PayloadTooLarge"},
		"a longer VoIP payload":     {both(with("apns-push-type", "voip"), with("apns-topic", bundle+".voip"), payloadOfSize(5121)), 413, "PayloadTooLarge"},
		"nobody":                    {func(r *http.Request) { r.Header.Del("authorization") }, 403, "MissingProviderToken"},
		"another scheme":            {with("authorization", "vapid t=a, k=b"), 403, "InvalidProviderToken"},
		"another key's signature":   {with("authorization", other.token(t, time.Now())), 403, "InvalidProviderToken"},
		"another team": {with("authorization", p.token(t, time.Now(), func(_ *jwt.Token, c jwt.MapClaims) {
			c["iss"] = "0123456789"
		})), 403, "InvalidProviderToken"},
		"an unknown key": {with("authorization", p.token(t, time.Now(), func(t *jwt.Token, _ jwt.MapClaims) {
			t.Header["kid"] = "0123456789"
		})), 403, "InvalidProviderToken"},
		"no time": {with("authorization", p.token(t, time.Now(), func(_ *jwt.Token, c jwt.MapClaims) {
			delete(c, "iat")
		})), 403, "InvalidProviderToken"},
		"an old provider token":     {with("authorization", p.token(t, time.Now().Add(-61*time.Minute))), 403, "ExpiredProviderToken"},
		"one from the future":       {with("authorization", p.token(t, time.Now().Add(2*time.Minute))), 403, "ExpiredProviderToken"},
		"a topic of Apple's suffix": {both(with("apns-push-type", "pushtotalk"), with("apns-topic", bundle+".voip-ptt")), 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			each := *p
			each.client = h2Client(t, p.apns.config.Authority, nil) // a connection of its own: tokens differ
			status, reason := each.send(t, test.change)
			require.Equal(t, test.reason, reason)
			require.Equal(t, test.status, status)
		})
	}
}

func TestAPNs_SpeaksHTTP2Alone(t *testing.T) {
	p := startAPNs(t)
	p.client.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	_, err := p.client.Do(p.request(t))
	require.ErrorContains(t, err, "EOF")
	require.Empty(t, p.apns.Log())
}

func TestAPNs_LogsWhatItTookOnceForEachTime(t *testing.T) {
	p := startAPNs(t, func(c *APNsConfig) { c.Sandbox = true })
	for range 2 {
		response, err := p.client.Do(p.request(t))
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, messageUUID, response.Header.Get("apns-id"))
		require.Regexp(t, uuidForm, response.Header.Get("apns-unique-id"))
	}
	response, err := p.client.Do(p.request(t, func(r *http.Request) { r.Header.Del("apns-id") }))
	require.NoError(t, err)
	response.Body.Close()
	require.Regexp(t, uuidForm, response.Header.Get("apns-id"), "it makes one")

	taken, err := p.apns.Await(soon(t), 3)
	require.NoError(t, err)
	require.Equal(t, []string{messageUUID, messageUUID, response.Header.Get("apns-id")}, []string{taken[0].ID, taken[1].ID, taken[2].ID})
	require.Equal(t, deviceToken, taken[0].Target)
	require.JSONEq(t, `{"aps":{"alert":{"title":"hi"}}}`, string(taken[0].Payload))
	require.Equal(t, bundle, taken[0].Header.Get("apns-topic"))
	require.Empty(t, taken[0].Header.Get("Authorization"))
	require.Equal(t, 1, p.apns.Connections())
}

func TestAPNs_KnowsWhatItWasToldOfADevice(t *testing.T) {
	p := startAPNs(t)
	at := time.Date(2026, 11, 22, 12, 0, 0, 345e6, time.UTC)
	p.apns.Unregister(deviceToken, at)
	response, err := p.client.Do(p.request(t))
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, 410, response.StatusCode)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.JSONEq(t, `{"reason":"Unregistered","timestamp":1795348800345}`, string(body))
	require.False(t, p.apns.Log()[0].Taken)

	p.apns.Register(deviceToken)
	p.apns.Bind(deviceToken, bundle+".voip")
	status, reason := p.send(t)
	require.Equal(t, 400, status)
	require.Equal(t, "DeviceTokenNotForTopic", reason)

	p.apns.Bind(deviceToken, bundle)
	status, _ = p.send(t)
	require.Equal(t, 200, status)

	p.apns.Disown(deviceToken)
	_, reason = p.send(t)
	require.Equal(t, "BadDeviceToken", reason)
}

func TestAPNs_HasFaultsInItsOwnWords(t *testing.T) {
	p := startAPNs(t)
	require.NoError(t, p.apns.Fault(Fault{Times: 1, Status: 429, Reason: "TooManyRequests", RetryAfter: 7}))
	response, err := p.client.Do(p.request(t))
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, "7", response.Header.Get("Retry-After"))
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.JSONEq(t, `{"reason":"TooManyRequests"}`, string(body))

	require.NoError(t, p.apns.Fault(Fault{Times: 1, Reset: true}))
	_, err = p.client.Do(p.request(t))
	require.Error(t, err)
	last := p.apns.Log()[1]
	require.True(t, last.Taken, "the device gets it")
	require.Zero(t, last.Status, "the sender does not know")

	require.NoError(t, p.apns.Fault(Fault{Times: 1, Status: 503, Body: "<html>"}))
	_, reason := p.send(t)
	require.Empty(t, reason)
	status, _ := p.send(t)
	require.Equal(t, 200, status)
}

func TestAPNs_SaysFarewellToEveryConnection(t *testing.T) {
	p := startAPNs(t)
	for range 2 {
		status, _ := p.send(t)
		require.Equal(t, 200, status)
	}
	require.Equal(t, 1, p.apns.Connections())
	p.apns.GoAway()
	require.Eventually(t, func() bool {
		status, _ := p.send(t)
		require.Equal(t, 200, status, "what comes meanwhile is taken on another")
		return p.apns.Connections() == 2
	}, time.Minute, time.Millisecond)
}

func TestAPNs_LimitsTheRequestsAtATime(t *testing.T) {
	p := startAPNs(t, func(c *APNsConfig) { c.StreamLimit = 3 })
	conn, err := p.client.Transport.(*http.Transport).NewClientConn(soon(t), "https", strings.TrimPrefix(p.apns.URL(), "https://"))
	require.NoError(t, err)
	defer conn.Close()
	response, err := conn.RoundTrip(p.request(t))
	require.NoError(t, err)
	response.Body.Close()
	require.Eventually(t, func() bool { return conn.Available() == 3 }, time.Minute, time.Millisecond)
}

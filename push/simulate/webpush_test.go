package simulate

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/SherClockHolmes/webpush-go"
	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/belfryhq/belfry/push"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startWebPush(t *testing.T) *WebPush {
	t.Helper()
	service, err := OpenWebPush()
	require.NoError(t, err)
	t.Cleanup(service.Stop)
	return service
}

func TestWebPush_TakesWhatAnIndependentSenderSends(t *testing.T) {
	service := startWebPush(t)
	endpoint := service.NewEndpoint()
	browser := NewBrowser(push.Endpoint(endpoint.URL))
	private, public, err := webpush.GenerateVAPIDKeys()
	require.NoError(t, err)
	point, err := base64.RawURLEncoding.DecodeString(public)
	require.NoError(t, err)
	endpoint.BindTo(point)
	subscription := browser.Subscription(push.User{}, point)

	response, err := webpush.SendNotification([]byte("hello"), &webpush.Subscription{
		Endpoint: endpoint.URL,
		Keys: webpush.Keys{
			P256dh: base64.RawURLEncoding.EncodeToString(subscription.P256dh),
			Auth:   base64.RawURLEncoding.EncodeToString(subscription.Auth),
		},
	}, &webpush.Options{
		HTTPClient:      client(t),
		Subscriber:      "operator@example.org",
		TTL:             60,
		VAPIDPublicKey:  public,
		VAPIDPrivateKey: private,
	})
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, response.StatusCode, body(t, response))
	require.NotEmpty(t, response.Header.Get("Location"))

	receipts := endpoint.Receipts()
	require.Len(t, receipts, 1)
	require.Equal(t, "60", receipts[0].Header.Get("TTL"))
	plaintext, err := browser.Decrypt(receipts[0].Body)
	require.NoError(t, err)
	require.Equal(t, "hello", string(plaintext))
}

func TestWebPush_RefusesWhatSomePushServiceRefuses(t *testing.T) {
	service := startWebPush(t)
	me, somebodyElse := newSender(t), newSender(t)
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	tests := []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"nothing wrong", func(*http.Request) {}, 201},
		{"a TTL of zero", header("TTL", "0"), 201},
		{"no TTL", func(r *http.Request) { r.Header.Del("TTL") }, 400},
		{"two TTLs", func(r *http.Request) { r.Header.Add("TTL", "3") }, 400},
		{"a negative TTL", header("TTL", "-1"), 400},
		{"a TTL longer than four weeks", header("TTL", "2419201"), 400},
		{"no Content-Encoding", func(r *http.Request) { r.Header.Del("Content-Encoding") }, 400},
		{"the encoding of the draft", header("Content-Encoding", "aesgcm"), 400},
		{"a header of the draft", header("Crypto-Key", "dh=abc"), 400},
		{"a topic", header("Topic", "abcdefghijklmnopqrstuvwxyz012345"), 201},
		{"a topic that is too long", header("Topic", "abcdefghijklmnopqrstuvwxyz0123456"), 400},
		{"a topic with other characters", header("Topic", "a.b"), 400},
		{"an urgency", header("Urgency", "very-low"), 201},
		{"an unknown urgency", header("Urgency", "urgent"), 400},
		{"the longest body", withBody(4096), 201},
		{"a longer body", withBody(4097), 413},
		{"a body too short for aes128gcm", withBody(102), 400},
		{"a body without a key", func(r *http.Request) { setBody(r, make([]byte, 200)) }, 400},
		{"no authorization", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		{"another scheme", header("Authorization", "WebPush abc"), 401},
		{"a token for another origin", me.claiming(func(c jwt.MapClaims) { c["aud"] = "https://updates.push.services.mozilla.com" }), 401},
		{"a token without an end", me.claiming(func(c jwt.MapClaims) { delete(c, "exp") }), 401},
		{"a token that ended", me.claiming(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Minute).Unix() }), 401},
		{"a token for more than a day", me.claiming(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(25 * time.Hour).Unix() }), 401},
		{"a token that ends in words", me.claiming(func(c jwt.MapClaims) { c["exp"] = "tomorrow" }), 401},
		{"a token without a subject", me.claiming(func(c jwt.MapClaims) { delete(c, "sub") }), 401},
		{"mailto twice", me.claiming(func(c jwt.MapClaims) { c["sub"] = "mailto:mailto:a@example.org" }), 401},
		{"a signature of another key", func(r *http.Request) {
			r.Header.Set("Authorization", "vapid t="+somebodyElse.token(service.Origin(), nil)+", k="+me.k())
		}, 401},
		{"another key", func(r *http.Request) {
			r.Header.Set("Authorization", somebodyElse.authorization(service.Origin(), nil))
		}, 401},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			endpoint := service.NewEndpoint()
			endpoint.BindTo(me.point())
			response := me.post(t, endpoint.URL, test.change)
			require.Equal(t, test.status, response.StatusCode, body(t, response))
			require.Equal(t, test.status, endpoint.Receipts()[0].Status)
		})
	}
}

func TestWebPush_UnknownEndpointIsNotFound(t *testing.T) {
	service := startWebPush(t)
	response := newSender(t).post(t, service.Origin()+"/wpush/v2/none", nil)
	require.Equal(t, http.StatusNotFound, response.StatusCode)
	require.Nil(t, service.Endpoint(service.Origin()+"/wpush/v2/none"))
}

func TestEndpoint_ExpiredIsGone(t *testing.T) {
	endpoint := startWebPush(t).NewEndpoint()
	sender := newSender(t)
	require.Equal(t, http.StatusCreated, sender.post(t, endpoint.URL, nil).StatusCode)
	endpoint.Expire()
	require.True(t, endpoint.Expired())
	require.Equal(t, http.StatusGone, sender.post(t, endpoint.URL, nil).StatusCode)
}

func TestEndpoint_FollowsItsScriptAndThenAccepts(t *testing.T) {
	endpoint := startWebPush(t).NewEndpoint(
		Status(429).With("Retry-After", "3"),
		Status(503).Saying("overloaded"),
	)
	sender := newSender(t)

	first := sender.post(t, endpoint.URL, withTTL("1"))
	require.Equal(t, 429, first.StatusCode)
	require.Equal(t, "3", first.Header.Get("Retry-After"))
	second := sender.post(t, endpoint.URL, withTTL("2"))
	require.Equal(t, 503, second.StatusCode)
	require.Equal(t, "overloaded", body(t, second))
	require.Equal(t, 201, sender.post(t, endpoint.URL, withTTL("3")).StatusCode)

	endpoint.Script(Status(500))
	require.Equal(t, 500, sender.post(t, endpoint.URL, withTTL("4")).StatusCode)

	var ttls []string
	var statuses []int
	for _, receipt := range endpoint.Receipts() {
		ttls = append(ttls, receipt.Header.Get("TTL"))
		statuses = append(statuses, receipt.Status)
	}
	require.Equal(t, []string{"1", "2", "3", "4"}, ttls)
	require.Equal(t, []int{429, 503, 201, 500}, statuses)
}

func TestEndpoint_AMalformedRequestUsesUpNoAnswer(t *testing.T) {
	endpoint := startWebPush(t).NewEndpoint(Status(429))
	sender := newSender(t)
	require.Equal(t, 400, sender.post(t, endpoint.URL, withTTL("soon")).StatusCode)
	require.Equal(t, 429, sender.post(t, endpoint.URL, nil).StatusCode)
}

func TestEndpoint_HoldsAnAnswerUntilItIsReleased(t *testing.T) {
	release := make(chan struct{})
	service := startWebPush(t)
	endpoint := service.NewEndpoint(Status(201).When(release))
	sender := newSender(t)

	answered := make(chan int, 1)
	go func() { answered <- sender.post(t, endpoint.URL, nil).StatusCode }()
	held, err := endpoint.Await(soon(t), 1)
	require.NoError(t, err)
	require.Zero(t, held[0].Status)
	require.Empty(t, answered)

	released := time.Now()
	close(release)
	require.Equal(t, 201, <-answered)
	require.Equal(t, 201, endpoint.Receipts()[0].Status)
	require.True(t, service.Log()[0].At.Before(released), "the log has when it arrived")
}

func TestEndpoint_CutsTheConnectionAfterReading(t *testing.T) {
	endpoint := startWebPush(t).NewEndpoint(Cut())
	_, err := newSender(t).try(t, endpoint.URL, nil)
	require.ErrorIs(t, err, io.EOF)
	require.Len(t, endpoint.Receipts(), 1)
}

func TestEndpoint_AwaitEndsWithItsContext(t *testing.T) {
	endpoint := startWebPush(t).NewEndpoint()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := endpoint.Await(ctx, 1)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "0 of 1 requests received")
}

func TestWebPush_ComesBackOnItsPortWithWhatItHad(t *testing.T) {
	service := startWebPush(t)
	endpoint := service.NewEndpoint(Status(201), Status(201).When(make(chan struct{})))
	sender := newSender(t)
	require.Equal(t, 201, sender.post(t, endpoint.URL, nil).StatusCode)

	cut := make(chan error, 1)
	go func() {
		_, err := sender.try(t, endpoint.URL, nil)
		cut <- err
	}()
	_, err := endpoint.Await(soon(t), 2)
	require.NoError(t, err)
	service.Stop()
	require.Error(t, <-cut, "an answer held while the service stops is never given")
	_, err = sender.try(t, endpoint.URL, nil)
	require.ErrorAs(t, err, new(*net.OpError), "a stopped service refuses connections")

	require.NoError(t, service.Start())
	require.Equal(t, 201, sender.post(t, endpoint.URL, nil).StatusCode)
	require.Len(t, endpoint.Receipts(), 3)
}

func TestWebPush_ABrowserGetsAndAcknowledgesWhatIsSent(t *testing.T) {
	service := startWebPush(t)
	sender := newSender(t)
	browser := connect(t, service, "")
	endpoint := browser.register(sender.k())

	require.Equal(t, 401, newSender(t).post(t, endpoint.URL, nil).StatusCode, "bound to the key it was registered with")
	require.Equal(t, 201, sender.post(t, endpoint.URL, nil).StatusCode)
	got := browser.read()
	require.Equal(t, "notification", got.MessageType)
	require.Equal(t, base64.RawURLEncoding.EncodeToString(message200()), got.Data)
	require.Equal(t, map[string]string{"encoding": "aes128gcm"}, got.Headers)

	browser.ack(got, Decrypted)
	acks, err := endpoint.AwaitAck(soon(t), 1)
	require.NoError(t, err)
	require.Equal(t, Decrypted, acks[0].Code)
	require.Equal(t, endpoint.Receipts()[1].MessageID, acks[0].MessageID)
}

func TestWebPush_KeepsMessagesForABrowserThatIsAway(t *testing.T) {
	service := startWebPush(t)
	sender := newSender(t)
	browser := connect(t, service, "")
	endpoint := browser.register(sender.k())
	browser.leave()

	sender.post(t, endpoint.URL, withTTL("0"))
	sender.post(t, endpoint.URL, withTopic("old"))
	sender.post(t, endpoint.URL, withTopic("new"))
	sender.post(t, endpoint.URL, withTopic("old"))
	receipts := endpoint.Receipts()
	require.Len(t, receipts, 4)

	again := connect(t, service, browser.uaid)
	require.Equal(t, browser.uaid, again.uaid)
	require.Equal(t, receipts[2].MessageID, again.read().Version, "TTL 0 is lost, and the topic's first message is replaced")
	require.Equal(t, receipts[3].MessageID, again.read().Version)

	again.leave()
	third := connect(t, service, browser.uaid)
	require.Equal(t, receipts[2].MessageID, third.read().Version, "what was not acknowledged is sent again")
}

func TestWebPush_AnUnregisteredEndpointIsGone(t *testing.T) {
	service := startWebPush(t)
	sender := newSender(t)
	browser := connect(t, service, "")
	endpoint := browser.register(sender.k())
	browser.write(frame{MessageType: "unregister", ChannelID: "channel", Code: 200})
	require.Equal(t, "unregister", browser.read().MessageType)
	require.Equal(t, 410, sender.post(t, endpoint.URL, nil).StatusCode)
}

func TestWebPush_AForgottenBrowserGetsANewName(t *testing.T) {
	service := startWebPush(t)
	sender := newSender(t)
	browser := connect(t, service, "")
	endpoint := browser.register(sender.k())
	service.ForgetBrowsers()

	_, _, err := browser.connection.Read(soon(t))
	require.Error(t, err, "its connection is cut")
	require.Equal(t, 410, sender.post(t, endpoint.URL, nil).StatusCode)
	require.NotEqual(t, browser.uaid, connect(t, service, browser.uaid).uaid)
}

// sender is an application server, with a VAPID key of its own.
type sender struct {
	private *ecdsa.PrivateKey
	client  *http.Client
}

func newSender(t *testing.T) *sender {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return &sender{private, client(t)}
}

// point is the sender's public key, as a subscription is bound to it.
func (s *sender) point() []byte {
	point, err := s.private.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return point
}

// k is the same, as it travels.
func (s *sender) k() string { return base64.RawURLEncoding.EncodeToString(s.point()) }

// authorization is the header for one origin, with the token's claims changed as asked.
func (s *sender) authorization(origin string, change func(jwt.MapClaims)) string {
	return "vapid t=" + s.token(origin, change) + ", k=" + s.k()
}

func (s *sender) token(origin string, change func(jwt.MapClaims)) string {
	claims := jwt.MapClaims{
		"aud": origin,
		"exp": time.Now().Add(12 * time.Hour).Unix(),
		"sub": "mailto:operator@example.org",
	}
	if change != nil {
		change(claims)
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(s.private)
	if err != nil {
		panic(err)
	}
	return signed
}

// claiming changes the claims of a request's token.
func (s *sender) claiming(change func(jwt.MapClaims)) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Authorization", s.authorization(r.URL.Scheme+"://"+r.URL.Host, change))
	}
}

// try sends a well-formed push, changed as asked.
func (s *sender) try(t *testing.T, url string, change func(*http.Request)) (*http.Response, error) {
	r, err := http.NewRequest("POST", url, nil)
	require.NoError(t, err)
	setBody(r, message200())
	r.Header.Set("TTL", "60")
	r.Header.Set("Content-Encoding", "aes128gcm")
	r.Header.Set("Authorization", s.authorization(r.URL.Scheme+"://"+r.URL.Host, nil))
	if change != nil {
		change(r)
	}
	return s.client.Do(r)
}

func (s *sender) post(t *testing.T, url string, change func(*http.Request)) *http.Response {
	t.Helper()
	response, err := s.try(t, url, change)
	require.NoError(t, err)
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func withTTL(ttl string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("TTL", ttl) }
}

func withTopic(topic string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Topic", topic) }
}

func withBody(bytes int) func(*http.Request) {
	return func(r *http.Request) { setBody(r, append(message200(), make([]byte, 4096)...)[:bytes]) }
}

func setBody(r *http.Request, body []byte) {
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
}

// message200 has the form of an aes128gcm message, which is all a push service sees.
func message200() []byte {
	m := make([]byte, 200)
	m[20], m[21] = 65, 4
	return m
}

// remote is a browser's connection to the service.
type remote struct {
	t          *testing.T
	service    *WebPush
	connection *websocket.Conn
	uaid       string
}

func connect(t *testing.T, service *WebPush, uaid string) *remote {
	connection, _, err := websocket.Dial(soon(t), service.AutopushURL(), &websocket.DialOptions{
		HTTPClient:   client(t),
		Subprotocols: []string{"push-notification"},
	})
	require.NoError(t, err)
	t.Cleanup(func() { connection.CloseNow() })
	r := &remote{t: t, service: service, connection: connection}
	r.write(frame{MessageType: "hello", UAID: uaid, UseWebPush: true, Broadcasts: json.RawMessage("{}")})
	r.uaid = r.read().UAID
	return r
}

func (r *remote) register(key string) *Endpoint {
	r.write(frame{MessageType: "register", ChannelID: "channel", Key: key})
	endpoint := r.service.Endpoint(r.read().PushEndpoint)
	require.NotNil(r.t, endpoint)
	return endpoint
}

func (r *remote) ack(got frame, code int) {
	r.write(frame{MessageType: "ack", Updates: []update{{got.ChannelID, got.Version, code}}})
}

// leave goes away, and waits until the service noticed.
func (r *remote) leave() {
	r.connection.Close(websocket.StatusNormalClosure, "")
	require.Eventually(r.t, func() bool {
		r.service.mu.Lock()
		defer r.service.mu.Unlock()
		return r.service.profiles[r.uaid].session == nil
	}, time.Minute, time.Millisecond)
}

func (r *remote) write(f frame) {
	require.NoError(r.t, wsjson.Write(soon(r.t), r.connection, f))
}

func (r *remote) read() frame {
	r.t.Helper()
	var f frame
	require.NoError(r.t, wsjson.Read(soon(r.t), r.connection, &f))
	return f
}

func client(t *testing.T) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func body(t *testing.T, response *http.Response) string {
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(text)
}

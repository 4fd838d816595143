package simulate

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

const registrationToken = "eXampLe0TOKEN:APA91b_simulated-registration-token"

// fcmSender is somebody who sends to an FCM.
type fcmSender struct {
	fcm     *FCM
	account map[string]string
	key     *rsa.PrivateKey
	client  *http.Client
	access  string
}

// exampleAccount is the service account of the project example-shop: its key
// takes a while to make.
var exampleAccount = sync.OnceValue(func() []byte {
	authority, err := NewAuthority()
	if err != nil {
		panic(err)
	}
	service, err := OpenFCM(FCMConfig{Config: Config{Authority: authority}, Project: "example-shop"})
	if err != nil {
		panic(err)
	}
	defer service.Stop()
	return service.ServiceAccount()
})

func startFCM(t *testing.T, change ...func(*FCMConfig)) *fcmSender {
	t.Helper()
	authority, err := NewAuthority()
	require.NoError(t, err)
	config := FCMConfig{Config: Config{Authority: authority}, ServiceAccount: exampleAccount()}
	for _, f := range change {
		f(&config)
	}
	service, err := OpenFCM(config)
	require.NoError(t, err)
	t.Cleanup(service.Stop)

	s := &fcmSender{fcm: service, client: h2Client(t, authority, nil)}
	require.NoError(t, json.Unmarshal(service.ServiceAccount(), &s.account))
	block, _ := pem.Decode([]byte(s.account["private_key"]))
	require.NotNil(t, block)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	require.NoError(t, err)
	s.key = key.(*rsa.PrivateKey)
	return s
}

// assertion is one that the service account signs, changed as asked.
func (s *fcmSender) assertion(t *testing.T, change ...func(*jwt.Token, jwt.MapClaims)) string {
	t.Helper()
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": s.account["client_email"], "aud": s.account["token_uri"], "scope": "https://www.googleapis.com/auth/firebase.messaging",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	token.Header["kid"] = s.account["private_key_id"]
	for _, f := range change {
		f(token, claims)
	}
	signed, err := token.SignedString(s.key)
	require.NoError(t, err)
	return signed
}

// ask asks for an access token.
func (s *fcmSender) ask(t *testing.T, form url.Values) (status int, answer map[string]any) {
	t.Helper()
	response, err := s.client.PostForm(s.account["token_uri"], form)
	require.NoError(t, err)
	defer response.Body.Close()
	require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
	return response.StatusCode, answer
}

func grantOf(assertion string) url.Values {
	return url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}
}

// request is one with an access token, changed as asked.
func (s *fcmSender) request(t *testing.T, body string, change ...func(*http.Request)) *http.Request {
	t.Helper()
	if s.access == "" {
		status, answer := s.ask(t, grantOf(s.assertion(t)))
		require.Equal(t, 200, status, "%v", answer)
		s.access = answer["access_token"].(string)
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.fcm.URL()+"/v1/projects/example-shop/messages:send", strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+s.access)
	r.Header.Set("Content-Type", "application/json; charset=UTF-8")
	for _, f := range change {
		f(r)
	}
	return r
}

// fcmAnswer is what a sender is told.
type fcmAnswer struct {
	Name  string
	Error struct {
		Code    int
		Message string
		Status  string
		Details []map[string]any
	}
}

// code is the FcmError's, if there is one.
func (a fcmAnswer) code() string {
	for _, detail := range a.Error.Details {
		if detail["@type"] == "type.googleapis.com/google.firebase.fcm.v1.FcmError" {
			return detail["errorCode"].(string)
		}
	}
	return ""
}

// field is the first that the BadRequest names.
func (a fcmAnswer) field() string {
	for _, detail := range a.Error.Details {
		if violations, ok := detail["fieldViolations"].([]any); ok {
			field, _ := violations[0].(map[string]any)["field"].(string)
			return field
		}
	}
	return ""
}

func (s *fcmSender) send(t *testing.T, body string, change ...func(*http.Request)) (int, fcmAnswer) {
	t.Helper()
	response, err := s.client.Do(s.request(t, body, change...))
	require.NoError(t, err)
	defer response.Body.Close()
	var answer fcmAnswer
	require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
	return response.StatusCode, answer
}

func TestFCM_TakesAMessageOfTheReference(t *testing.T) {
	s := startFCM(t)
	body := `{"message":{"token":"` + registrationToken + `","notification":{"title":"Hi","body":"there","image":"https://example.com/i.png"},` +
		`"data":{"id":"1"},"android":{"priority":"HIGH","ttl":"3600.5s","collapse_key":"k","notification":{"tag":"t","notification_count":3,"title_loc_args":["a"]}},` +
		`"apns":{"headers":{"apns-priority":"5"},"payload":{"aps":{"badge":1}}},"webpush":{"fcm_options":{"link":"https://example.com"}},"fcm_options":{"analytics_label":"x"}}}`
	status, answer := s.send(t, body)
	require.Equal(t, 200, status, "%+v", answer)
	require.Regexp(t, `^projects/example-shop/messages/.+`, answer.Name)

	entries, err := s.fcm.Await(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, registrationToken, entries[0].Target)
	require.Equal(t, answer.Name, entries[0].ID)
	require.Equal(t, 200, entries[0].Status)
	require.Empty(t, entries[0].Header.Get("Authorization"))
	var payload map[string]any
	require.NoError(t, json.Unmarshal(entries[0].Payload, &payload))
	require.Equal(t, map[string]any{"id": "1"}, payload["data"])
	require.Equal(t, 1, s.fcm.AccessTokens())
}

func TestFCM_RefusesWhatTheReferenceDoesNotHave(t *testing.T) {
	s := startFCM(t)
	const token = `"token":"` + registrationToken + `"`
	for name, test := range map[string]struct{ body, field, code string }{
		"no JSON":                   {`{"message":`, "", ""},
		"two values":                {`{"message":{` + token + `}} {}`, "", ""},
		"no object":                 {`[]`, "", ""},
		"no message":                {`{"validate_only":true}`, "message", ""},
		"unknown at the top":        {`{"message":{` + token + `},"topic":"x"}`, "", ""},
		"unknown in the message":    {`{"message":{` + token + `,"to":"x"}}`, "message", ""},
		"unknown for Android":       {`{"message":{` + token + `,"android":{"collapseKey":"x"}}}`, "message.android", ""},
		"unknown in a notification": {`{"message":{` + token + `,"android":{"notification":{"badge":1}}}}`, "message.android.notification", ""},
		"a number in the data":      {`{"message":{` + token + `,"data":{"a":"1","b":12}}}`, "message.data[1].value", ""},
		"null in the data":          {`{"message":{` + token + `,"data":{"a":null}}}`, "message.data[0].value", ""},
		"data that is a list":       {`{"message":{` + token + `,"data":[]}}`, "message.data", ""},
		"a title that is a number":  {`{"message":{` + token + `,"notification":{"title":1}}}`, "message.notification.title", ""},
		"a count that is a string":  {`{"message":{` + token + `,"android":{"notification":{"notification_count":"1"}}}}`, "message.android.notification.notification_count", ""},
		"a count beyond int32":      {`{"message":{` + token + `,"android":{"notification":{"notification_count":2147483648}}}}`, "message.android.notification.notification_count", ""},
		"a list of numbers":         {`{"message":{` + token + `,"android":{"notification":{"body_loc_args":[1]}}}}`, "message.android.notification.body_loc_args[0]", ""},
		"a flag that is a string":   {`{"message":{` + token + `,"android":{"direct_boot_ok":"yes"}}}`, "message.android.direct_boot_ok", ""},
		"headers that are a string": {`{"message":{` + token + `,"apns":{"headers":"x"}}}`, "message.apns.headers", ""},
		"a payload that is a list":  {`{"message":{` + token + `,"apns":{"payload":[]}}}`, "message.apns.payload", ""},
		"args that are a string":    {`{"message":{` + token + `,"android":{"notification":{"body_loc_args":"x"}}}}`, "message.android.notification.body_loc_args", ""},
		"a priority of no kind":     {`{"message":{` + token + `,"android":{"priority":"urgent"}}}`, "message.android.priority", ""},
		"a TTL that is a number":    {`{"message":{` + token + `,"android":{"ttl":3600}}}`, "message.android.ttl", ""},
		"a TTL without unit":        {`{"message":{` + token + `,"android":{"ttl":"3600"}}}`, "message.android.ttl", ""},
		"a TTL that is negative":    {`{"message":{` + token + `,"android":{"ttl":"-1s"}}}`, "message.android.ttl", ""},
		"a TTL of too long":         {`{"message":{` + token + `,"android":{"ttl":"2419200.1s"}}}`, "message.android.ttl", ""},
		"no target":                 {`{"message":{"notification":{"title":"Hi"}}}`, "message", "INVALID_ARGUMENT"},
		"two targets":               {`{"message":{` + token + `,"topic":"x"}}`, "message", ""},
		"a bad token":               {`{"message":{"token":"two words"}}`, "message.token", "INVALID_ARGUMENT"},
		"an empty token":            {`{"message":{"token":""}}`, "message", "INVALID_ARGUMENT"},
		"from":                      {`{"message":{` + token + `,"data":{"from":"x"}}}`, "message.data", "INVALID_ARGUMENT"},
		"message_type":              {`{"message":{` + token + `,"data":{"message_type":"x"}}}`, "message.data", "INVALID_ARGUMENT"},
		"google":                    {`{"message":{` + token + `,"data":{"google.x":"x"}}}`, "message.data", "INVALID_ARGUMENT"},
		"gcm":                       {`{"message":{` + token + `,"android":{"data":{"gcm.n":"x"}}}}`, "message.android.data", "INVALID_ARGUMENT"},
		"too big":                   {`{"message":{` + token + `,"data":{"a":"` + strings.Repeat("x", 4096) + `"}}}`, "", "INVALID_ARGUMENT"},
	} {
		t.Run(name, func(t *testing.T) {
			status, answer := s.send(t, test.body)
			require.Equal(t, 400, status)
			require.Equal(t, 400, answer.Error.Code)
			require.Equal(t, "INVALID_ARGUMENT", answer.Error.Status)
			require.Equal(t, test.field, answer.field(), "%+v", answer)
			require.Equal(t, test.code, answer.code())
			require.NotEmpty(t, answer.Error.Message)
		})
	}
	for _, entry := range s.fcm.Log() {
		require.False(t, entry.Taken)
		require.Equal(t, 400, entry.Status)
	}
}

func TestFCM_TakesAMessageOf4096Bytes(t *testing.T) {
	s := startFCM(t)
	status, answer := s.send(t, `{"message":{"token":"`+registrationToken+`","data":{"a":"`+strings.Repeat("x", 4095)+`"}}}`)
	require.Equal(t, 200, status, "%+v", answer)
}

func TestFCM_KnowsWhoSends(t *testing.T) {
	s := startFCM(t)
	const body = `{"message":{"token":"` + registrationToken + `"}}`
	for name, test := range map[string]struct {
		change func(*http.Request)
		status int
		word   string
	}{
		"nobody":            {func(r *http.Request) { r.Header.Del("Authorization") }, 401, "UNAUTHENTICATED"},
		"another scheme":    {with("Authorization", "Basic eDp5"), 401, "UNAUTHENTICATED"},
		"an unknown token":  {with("Authorization", "Bearer ya29.x"), 401, "UNAUTHENTICATED"},
		"another project":   {withPath("/v1/projects/example-other/messages:send"), 403, "PERMISSION_DENIED"},
		"another method":    {withPath("/v1/projects/example-shop/messages:frobnicate"), 404, "NOT_FOUND"},
		"another body type": {with("Content-Type", "text/plain"), 400, "INVALID_ARGUMENT"},
	} {
		t.Run(name, func(t *testing.T) {
			status, answer := s.send(t, body, test.change)
			require.Equal(t, test.status, status)
			require.Equal(t, test.word, answer.Error.Status)
			require.Empty(t, answer.Error.Details)
		})
	}
	status, _ := s.send(t, body)
	require.Equal(t, 200, status)
	s.fcm.ExpireAccessTokens()
	status, answer := s.send(t, body)
	require.Equal(t, 401, status)
	require.Equal(t, "UNAUTHENTICATED", answer.Error.Status)
}

func TestFCM_KnowsWhichDevicesAreThere(t *testing.T) {
	s := startFCM(t)
	s.fcm.Unregister("gone-gone-gone")
	s.fcm.Disown("from-elsewhere")

	status, answer := s.send(t, `{"message":{"token":"gone-gone-gone"}}`)
	require.Equal(t, 404, status)
	require.Equal(t, "NOT_FOUND", answer.Error.Status)
	require.Equal(t, "UNREGISTERED", answer.code())

	status, answer = s.send(t, `{"message":{"token":"from-elsewhere"}}`)
	require.Equal(t, 403, status)
	require.Equal(t, "PERMISSION_DENIED", answer.Error.Status)
	require.Equal(t, "SENDER_ID_MISMATCH", answer.code())

	status, _ = s.send(t, `{"message":{"token":"there"}}`)
	require.Equal(t, 200, status)
}

func TestFCM_OnlyValidatesWhenAsked(t *testing.T) {
	s := startFCM(t)
	status, answer := s.send(t, `{"validate_only":true,"message":{"token":"`+registrationToken+`"}}`)
	require.Equal(t, 200, status)
	require.Equal(t, "projects/example-shop/messages/fake_message_id", answer.Name)
	require.False(t, s.fcm.Log()[0].Taken)
}

func TestFCM_MeetsFaultsInFCMsOwnWords(t *testing.T) {
	s := startFCM(t)
	const body = `{"message":{"token":"` + registrationToken + `"}}`
	require.NoError(t, s.fcm.Fault(Fault{Times: 1, Status: 429, Reason: "QUOTA_EXCEEDED", RetryAfter: 30}))
	response, err := s.client.Do(s.request(t, body))
	require.NoError(t, err)
	var answer fcmAnswer
	require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
	response.Body.Close()
	require.Equal(t, 429, response.StatusCode)
	require.Equal(t, "30", response.Header.Get("Retry-After"))
	require.Equal(t, "RESOURCE_EXHAUSTED", answer.Error.Status)
	require.Equal(t, "QUOTA_EXCEEDED", answer.code())

	require.NoError(t, s.fcm.Fault(Fault{Times: 1, Status: 502}))
	response, err = s.client.Do(s.request(t, body))
	require.NoError(t, err)
	page, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, 502, response.StatusCode)
	require.True(t, bytes.HasPrefix(page, []byte("<!DOCTYPE html>")), "%s", page)

	require.NoError(t, s.fcm.Fault(Fault{Times: 1, Status: 503, Body: `{"error":"own words"}`}))
	response, err = s.client.Do(s.request(t, body))
	require.NoError(t, err)
	page, err = io.ReadAll(response.Body)
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, `{"error":"own words"}`, string(page))

	require.NoError(t, s.fcm.Fault(Fault{Times: 1, Reset: true}))
	_, err = s.client.Do(s.request(t, body))
	require.Error(t, err)
	log := s.fcm.Log()
	require.Len(t, log, 4)
	require.True(t, log[3].Taken, "the device got it, and the sender cannot know")
	require.Zero(t, log[3].Status)

	require.NoError(t, s.fcm.Fault(Fault{Target: "another", Status: 500}))
	status, _ := s.send(t, body)
	require.Equal(t, 200, status, "it is for another device")
}

func TestFCM_IsTheSameAfterARestart(t *testing.T) {
	s := startFCM(t)
	const body = `{"message":{"token":"` + registrationToken + `"}}`
	status, _ := s.send(t, body)
	require.Equal(t, 200, status)
	s.fcm.Stop()
	s.client.CloseIdleConnections()
	require.NoError(t, s.fcm.Start())
	status, _ = s.send(t, body)
	require.Equal(t, 200, status, "it knows the access token")
	_, err := s.fcm.Await(t.Context(), 2)
	require.NoError(t, err)
}

func TestFCM_HasAProjectOfItsOwn(t *testing.T) {
	s := startFCM(t, func(c *FCMConfig) { c.ServiceAccount = nil })
	require.Equal(t, "belfry-simulated", s.fcm.Project())
	require.Equal(t, s.fcm.Project(), s.account["project_id"])
}

func FuzzFCMMessage(f *testing.F) {
	for _, body := range []string{"", "{}", "null", `{"message":null}`, `{"message":{"token":"x"}}`, `{"message":{"token":"x","android":{"ttl":"1e9s"}}}`, `{"message":{"data":{"a":1}}}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		request, refusal := parseFCM(body)
		if refusal == nil {
			require.NotEmpty(t, request.target)
			require.True(t, json.Valid(request.message))
			return
		}
		require.Equal(t, 400, refusal.status)
		require.NotEmpty(t, refusal.message)
	})
}

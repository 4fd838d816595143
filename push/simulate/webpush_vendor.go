package simulate

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// Vendor is whose push service a WebPush answers like. All take the same
// requests, but that Apple's topics must decode as base64url and that Windows
// wants a TTL; a refusal, and the Reason of a Fault, has the form of each:
//
//	mozilla   {"code":410,"errno":106,"error":"Gone","message":"…"}; a Reason may
//	          begin with an errno: "105 it became unavailable meanwhile"
//	apple     {"reason":"Unregistered"}
//	google    a line of text; for a Reason like UNAUTHENTICATED
//	          {"error":{"code":401,"message":"…","status":"UNAUTHENTICATED"}}
//	windows   X-WNS-Status and X-WNS-Error-Description, and no body
type Vendor string

// The vendors of push services for browsers.
const (
	VendorMozilla Vendor = "mozilla"
	VendorApple   Vendor = "apple"
	VendorGoogle  Vendor = "google"
	VendorWindows Vendor = "windows"
)

// refusal is why the service refuses a request by itself, without a script or
// a fault.
type refusal struct {
	cause  cause
	detail string // a sentence for whoever wrote the sender
}

func refused(cause cause, format string, args ...any) *refusal {
	return &refusal{cause, fmt.Sprintf(format, args...)}
}

// cause is what a vendor has a status, and perhaps a word, for.
type cause int

const (
	noEndpoint cause = iota
	ended
	badTTL
	badTopic
	badUrgency
	badEncoding
	tooLarge
	badToken
	otherKey
)

// saying is how a vendor refuses for a cause. Without words of its own it says
// what is wrong with the request.
type saying struct {
	status int
	words  string
}

// usual is what a vendor says that has nothing of its own for a cause.
var usual = map[cause]saying{
	noEndpoint:  {status: http.StatusNotFound},
	ended:       {status: http.StatusGone},
	badTTL:      {status: http.StatusBadRequest},
	badTopic:    {status: http.StatusBadRequest},
	badUrgency:  {status: http.StatusBadRequest},
	badEncoding: {status: http.StatusBadRequest},
	tooLarge:    {status: http.StatusRequestEntityTooLarge},
	badToken:    {status: http.StatusUnauthorized},
	otherKey:    {status: http.StatusForbidden},
}

// manner is how a vendor answers.
type manner struct {
	own   map[cause]saying
	say   func(w http.ResponseWriter, status int, reason string)
	name  func(h http.Header) (id string)    // of a message that is taken, also put into the answer
	check func(request http.Header) *refusal // what it wants beyond the standards
}

func (m manner) of(c cause) (status int, words string) {
	says, ok := m.own[c]
	if !ok {
		says = usual[c]
	}
	return says.status, says.words
}

func mannerOf(vendor Vendor) (manner, error) {
	switch vendor {
	case VendorMozilla, "":
		return manner{mozillaSayings, sayMozilla, nameMozilla, takeAny}, nil
	case VendorApple:
		return manner{appleSayings, sayApple, nameApple, checkAppleTopic}, nil
	case VendorGoogle:
		return manner{googleSayings, sayGoogle, nameGoogle, takeAny}, nil
	case VendorWindows:
		return manner{nil, sayWindows, nameWindows, checkWindowsTTL}, nil
	default:
		return manner{}, fmt.Errorf("simulate: %q is no vendor: use mozilla, apple, google or windows", vendor)
	}
}

func takeAny(http.Header) *refusal { return nil }

var mozillaSayings = map[cause]saying{otherKey: {401, "VAPID public key mismatch"}}

// The errnos that Mozilla gives with a status most.
var mozillaErrnos = map[int]int{400: 110, 401: 109, 404: 102, 410: 106, 413: 104, 429: 201, 500: 999, 502: 902, 503: 201}

var errnoForm = regexp.MustCompile(`^([0-9]{3})(?: (.*))?$`)

func sayMozilla(w http.ResponseWriter, status int, reason string) {
	errno := mozillaErrnos[status]
	if own := errnoForm.FindStringSubmatch(reason); own != nil {
		errno, _ = strconv.Atoi(own[1])
		reason = own[2]
	}
	sayJSON(w, status, map[string]any{"code": status, "errno": errno, "error": http.StatusText(status), "message": reason})
}

func nameMozilla(http.Header) string { return randomHex(16) }

var appleSayings = map[cause]saying{
	noEndpoint:  {404, "BadPath"},
	ended:       {410, "Unregistered"},
	badTTL:      {400, "BadWebPushTtl"},
	badTopic:    {400, "BadWebPushTopic"},
	badUrgency:  {400, "BadUrgency"},
	badEncoding: {400, "BadWebPushRequest"},
	tooLarge:    {413, "PayloadTooLarge"},
	badToken:    {403, "BadJwtToken"},
	otherKey:    {403, "VapidPkHashMismatch"},
}

func sayApple(w http.ResponseWriter, status int, reason string) {
	sayJSON(w, status, map[string]string{"reason": reason})
}

func nameApple(h http.Header) string {
	id := strings.ToUpper(randomUUID())
	h.Set("apns-id", id)
	return id
}

var googleSayings = map[cause]saying{
	ended:    {410, "push subscription has unsubscribed or expired."},
	otherKey: {403, "the VAPID credentials in the authorization header do not correspond to the credentials used to create the subscriptions."},
}

var googleStatusForm = regexp.MustCompile(`^[A-Z]+(?:_[A-Z]+)*$`)

func sayGoogle(w http.ResponseWriter, status int, reason string) {
	if googleStatusForm.MatchString(reason) {
		sayJSON(w, status, map[string]any{"error": map[string]any{"code": status, "message": http.StatusText(status), "status": reason}})
		return
	}
	http.Error(w, reason, status)
}

func nameGoogle(http.Header) string { return "0:" + randomHex(16) }

// sayWindows also says of a message that it was taken and yet dropped.
func sayWindows(w http.ResponseWriter, status int, reason string) {
	outcome := "dropped"
	if status == http.StatusNotAcceptable {
		outcome = "channelthrottled"
	}
	w.Header().Set("X-WNS-Status", outcome)
	w.Header().Set("X-WNS-NotificationStatus", outcome)
	if reason != "" {
		w.Header().Set("X-WNS-Error-Description", reason)
	}
	w.WriteHeader(status)
}

func nameWindows(h http.Header) string {
	id := strings.ToUpper(randomHex(8))
	h.Set("X-WNS-Status", "received")
	h.Set("X-WNS-NotificationStatus", "received")
	h.Set("X-WNS-Msg-ID", id)
	return id
}

// checkAppleTopic is what Apple wants of a topic beyond RFC 8030: that it
// decodes.
func checkAppleTopic(h http.Header) *refusal {
	if _, err := base64.RawURLEncoding.DecodeString(h.Get("Topic")); err != nil {
		return refused(badTopic, "Topic must decode as base64url; got %q", h.Get("Topic"))
	}
	return nil
}

// checkWindowsTTL is what Windows wants of a TTL beyond RFC 8030: that there is
// one, since messages are cached unless the sender says otherwise.
func checkWindowsTTL(h http.Header) *refusal {
	if h.Get("TTL") == "0" && h.Get("X-WNS-Cache-Policy") != "no-cache" {
		return refused(badTTL, "Ttl value conflicts with X-WNS-Cache-Policy")
	}
	return nil
}

func sayJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) //nolint:errcheck // the client has gone
}

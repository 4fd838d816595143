package webpush

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/belfryhq/belfry/push/answer"
)

// reasonOf says in the push service's words why, or in HTTP's if it has none.
func reasonOf(status int, header http.Header, body []byte, target *url.URL) string {
	for _, words := range []string{windowsReason(header), bodyReason(body)} {
		if reason := presentable(words, target); reason != "" {
			return reason
		}
	}
	return answer.StatusText(status)
}

// windowsReason reads the headers of the Windows Notification Service, whose
// bodies are empty: what became of the message, why, and whether the device was
// there.
func windowsReason(header http.Header) string {
	words := []string{windowsStatus(header), header.Get("X-Wns-Error-Description")}
	if device := header.Get("X-Wns-Deviceconnectionstatus"); device != "" && !strings.EqualFold(device, "connected") {
		words = append(words, "(device "+device+")")
	}
	return strings.Join(slices.DeleteFunc(words, func(word string) bool { return word == "" }), " ")
}

// windowsStatus is dropped or channelthrottled; empty if the message was
// received, or if it was not Windows that answered. The status has two names.
func windowsStatus(header http.Header) string {
	for _, name := range []string{"X-Wns-Status", "X-Wns-Notificationstatus"} {
		if status := header.Get(name); status != "" && !strings.EqualFold(status, "received") {
			return status
		}
	}
	return ""
}

// windowsDrop says why a message was taken and yet dropped: Windows does so
// without an error when the user turned notifications off.
func windowsDrop(header http.Header) string {
	if windowsStatus(header) == "" {
		return ""
	}
	return windowsReason(header)
}

// bodyReason reads Apple's {"reason"}, Mozilla's {"errno","message"}, Google's
// {"error":{"status","message"}} and plain text. HTML, which proxies answer
// with, is not for a person.
func bodyReason(body []byte) string {
	body = bytes.TrimSpace(body)
	if bytes.HasPrefix(body, []byte("<")) {
		return ""
	}
	var answer struct {
		Reason  string          `json:"reason"`
		Errno   int             `json:"errno"`
		Message string          `json:"message"`
		Error   json.RawMessage `json:"error"` // an object at Google, a string elsewhere
	}
	if json.Unmarshal(body, &answer) != nil {
		return string(body)
	}
	var google struct {
		Status  string `json:"status"`
		Message string `json:"message"`
	}
	switch {
	case answer.Reason != "":
		return answer.Reason
	case answer.Errno != 0:
		return fmt.Sprintf("errno %d %s", answer.Errno, answer.Message)
	case json.Unmarshal(answer.Error, &google) == nil && google.Status+google.Message != "":
		return google.Status + " " + google.Message
	case answer.Message != "":
		return answer.Message
	default:
		return string(body)
	}
}

// secretLike matches what might be an endpoint, a token or a key: a URL, also
// with the slashes JSON escapes, and any long run without a space.
var secretLike = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*:\\?/\\?/[^\s"'<>]*|[\w+/=.:%~&?\\-]{32,}`)

// presentable makes a text of a push service fit to be shown: printable, on one
// line, short, and without the endpoint or anything that looks like a secret.
func presentable(text string, target *url.URL) string {
	if text == "" {
		return "" // as after most messages
	}
	for _, part := range secretsOf(target) {
		text = strings.ReplaceAll(text, part, "…")
	}
	text = secretLike.ReplaceAllString(text, "…")
	return answer.Shorten(answer.OneLine(text))
}

// secretsOf gives what of an endpoint must not be repeated: all that follows the
// host, as it is sent and as it is meant, and its longer parts one by one.
func secretsOf(target *url.URL) []string {
	var whole, parts []string
	for _, form := range []string{target.RequestURI(), target.EscapedPath(), target.Path} {
		if len(form) < 2 {
			continue
		}
		whole = append(whole, form)
		for part := range strings.FieldsFuncSeq(form, func(r rune) bool { return strings.ContainsRune("/?&=", r) }) {
			if len(part) >= 8 {
				parts = append(parts, part)
			}
		}
	}
	return append(whole, parts...)
}

// messageIDForm is a UUID, as Apple names messages, or Windows' hexadecimal
// number. What an endpoint or a token looks like is not of this form.
var messageIDForm = regexp.MustCompile(`^[0-9A-Fa-f-]{1,64}$`)

// messageID is what Apple and Windows call a message. The names that the others
// give are capabilities and are not kept: the Location header, and Mozilla's
// "message-id", which is the end of it, let anyone take the message back.
func messageID(header http.Header, target *url.URL) string {
	for _, name := range []string{"Apns-Id", "X-Wns-Msg-Id"} {
		id := header.Get(name)
		if id == "" || !messageIDForm.MatchString(id) {
			continue
		}
		if !slices.ContainsFunc(secretsOf(target), func(secret string) bool { return strings.Contains(id, secret) }) {
			return id
		}
	}
	return ""
}

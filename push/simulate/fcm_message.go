package simulate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const (
	// maxFCMPayload is the most that a message may carry: keys and values, in
	// bytes (reference of ErrorCode, "Message too big").
	maxFCMPayload = 4096

	maxFCMTTL = 2_419_200 // seconds: four weeks
)

// fcmRequest is the body of projects.messages.send.
type fcmRequest struct {
	message      json.RawMessage
	target       string // the registration token; the topic or the condition, if it is for one
	validateOnly bool
}

// parseFCM reads a request and holds its message to the reference. What it can
// read of one that is refused it gives too.
func parseFCM(body []byte) (fcmRequest, *fcmRefusal) {
	var request fcmRequest
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var parsed any
	err := decoder.Decode(&parsed)
	if _, more := decoder.Token(); err != nil || more != io.EOF {
		return request, fcmInvalid(fcmViolation{Description: "Invalid JSON payload received."})
	}
	members, _ := parsed.(map[string]any)
	message, _ := members["message"].(map[string]any)
	if message != nil {
		request.message, _ = json.Marshal(message) // it was decoded from JSON
		request.target, _ = message["token"].(string)
	}
	request.validateOnly = members["validate_only"] == true
	if violations := fcmSendRequest("", parsed); len(violations) > 0 {
		return request, fcmInvalid(violations...)
	}
	if message == nil {
		return request, fcmInvalid(fcmViolation{"message", "the message is missing"})
	}
	return request, request.aim(message)
}

// aim finds the target, and checks what is FCM's own affair: not the form of the
// JSON, but whether the message can be sent.
func (r *fcmRequest) aim(message map[string]any) *fcmRefusal {
	targets := 0
	for _, name := range []string{"token", "topic", "condition"} {
		if target, given := message[name].(string); given {
			r.target = target
			targets++
		}
	}
	if targets > 1 {
		return fcmInvalid(fcmViolation{"message", "oneof field 'target' is already set."})
	}
	switch token, given := message["token"].(string); {
	case r.target == "":
		return fcmArgument(fcmViolation{"message", "Recipient of the message is not set."})
	case given && !fcmTokenForm(token):
		return fcmArgument(fcmViolation{"message.token", "The registration token is not a valid FCM registration token"})
	}
	if field, key, found := fcmReserved(message); found {
		return fcmArgument(fcmViolation{field, fmt.Sprintf("%q is a reserved key", key)})
	}
	if fcmSize(message) > maxFCMPayload {
		refusal := fcmArgument()
		refusal.message = "Android message is too big"
		return refusal
	}
	return nil
}

// fcmArgument refuses a message that FCM itself finds wrong.
func fcmArgument(violations ...fcmViolation) *fcmRefusal {
	return &fcmRefusal{
		status: http.StatusBadRequest, message: "Request contains an invalid argument.",
		code: "INVALID_ARGUMENT", badRequest: true, violations: violations,
	}
}

// fcmTokenForm tells whether a registration token can be one. Google promises no
// form; this is what all have.
func fcmTokenForm(token string) bool {
	return len(token) <= 4096 && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}

// fcmReserved finds a key of the data that is FCM's own.
func fcmReserved(message map[string]any) (field, key string, found bool) {
	android, _ := message["android"].(map[string]any)
	for field, data := range map[string]any{"message.data": message["data"], "message.android.data": android["data"]} {
		members, _ := data.(map[string]any)
		for key := range members {
			if key == "from" || key == "message_type" || strings.HasPrefix(key, "google") || strings.HasPrefix(key, "gcm") {
				return field, key, true
			}
		}
	}
	return "", "", false
}

// fcmSize is what counts of a message: the keys and values of what the device
// gets.
func fcmSize(message map[string]any) int {
	android, _ := message["android"].(map[string]any)
	size := 0
	for _, part := range []any{message["data"], message["notification"], android["data"], android["notification"]} {
		members, _ := part.(map[string]any)
		for key, value := range members {
			size += len(key)
			if text, ok := value.(string); ok {
				size += len(text)
				continue
			}
			encoded, _ := json.Marshal(value) // it was decoded from JSON
			size += len(encoded)
		}
	}
	return size
}

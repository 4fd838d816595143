package fcm

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"github.com/belfryhq/belfry/push"
)

// The error codes that decide something (reference of ErrorCode).
const (
	codeInvalidArgument = "INVALID_ARGUMENT"
	codeUnregistered    = "UNREGISTERED"
	codeSenderMismatch  = "SENDER_ID_MISMATCH"
	codeThirdParty      = "THIRD_PARTY_AUTH_ERROR"
	codeAPNsAuth        = "APNS_AUTH_ERROR" // its name before, which is still sent
	codeQuota           = "QUOTA_EXCEEDED"
)

// reply is what of FCM's answer matters:
//
//	{"name":"projects/x/messages/1"}
//	{"error":{"code":404,"message":"…","status":"NOT_FOUND","details":[{"@type":"type.googleapis.com/…","errorCode":"UNREGISTERED"}]}}
type reply struct {
	status     int
	retryAfter string // the header
	name       string // the message's; with 200

	message string // the error's, for a person
	word    string // the error's status in Google's words: NOT_FOUND
	code    string // of the FcmError

	violations []fieldViolation // of the BadRequest
	badRequest bool             // there was one, if without violations
	apple      *appleError
	quotas     []string // what of a QuotaFailure and an ErrorInfo names the quota
	otherwise  bool     // there are details that say nothing of the token, or cannot be read
}

// fieldViolation says which part of the request is wrong.
type fieldViolation struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

// appleError is what APNs answered FCM, for a device of Apple's.
type appleError struct {
	StatusCode int    `json:"statusCode"`
	Reason     string `json:"reason"`
}

const detailPrefix = "type.googleapis.com/"

// read reads an answer. What cannot be read counts as not there.
func read(response response) reply {
	said := reply{status: response.status, retryAfter: response.header.Get("Retry-After")}
	var body struct {
		Name  string `json:"name"`
		Error struct {
			Message string            `json:"message"`
			Status  string            `json:"status"`
			Details []json.RawMessage `json:"details"`
		} `json:"error"`
	}
	if json.Unmarshal(response.body, &body) != nil {
		return said
	}
	said.name, said.message, said.word = body.Name, body.Error.Message, body.Error.Status
	for _, detail := range body.Error.Details {
		said.take(detail)
	}
	return said
}

// take reads one of the error's details.
func (r *reply) take(encoded json.RawMessage) {
	var detail struct {
		Type            string           `json:"@type"`
		ErrorCode       string           `json:"errorCode"`
		FieldViolations []fieldViolation `json:"fieldViolations"`
		Violations      []struct {
			Subject string `json:"subject"`
			QuotaID string `json:"quotaId"`
		} `json:"violations"`
		Metadata struct {
			Limit string `json:"quota_limit"`
			Unit  string `json:"quota_unit"`
		} `json:"metadata"`
		appleError
	}
	if json.Unmarshal(encoded, &detail) != nil {
		r.otherwise = true
		return
	}
	switch strings.TrimPrefix(detail.Type, detailPrefix) {
	case "google.firebase.fcm.v1.FcmError":
		if r.code = detail.ErrorCode; r.code == codeAPNsAuth {
			r.code = codeThirdParty
		}
	case "google.rpc.BadRequest":
		r.badRequest = true
		r.violations = append(r.violations, detail.FieldViolations...)
	case "google.firebase.fcm.v1.ApnsError":
		r.apple = &detail.appleError
	case "google.rpc.QuotaFailure":
		r.otherwise = true
		for _, violation := range detail.Violations {
			r.quotas = append(r.quotas, violation.Subject, violation.QuotaID)
		}
	case "google.rpc.ErrorInfo":
		r.otherwise = true
		r.quotas = append(r.quotas, detail.Metadata.Limit, detail.Metadata.Unit)
	default:
		r.otherwise = true
	}
}

// unauthenticated tells that FCM refused the access token. A 401 for the
// project's key at Apple looks the same but for its code.
func (r reply) unauthenticated() bool {
	return r.status == http.StatusUnauthorized && r.code != codeThirdParty
}

// tokenIsWrong tells whether a 400 says that there can be no such registration
// token, by its details: INVALID_ARGUMENT of FCM itself, and
//
//   - fields of the message are named, and the token alone; or
//   - Apple says that the device has gone; or
//   - nothing else is said.
//
// A message that is too big is answered in nearly the same way: without FCM's
// code, or with a BadRequest that names no field.
func (r reply) tokenIsWrong() bool {
	switch {
	case r.code != codeInvalidArgument || r.otherwise:
		return false
	case r.apple != nil:
		return r.apple.StatusCode == http.StatusGone
	case !r.badRequest:
		return true
	}
	for _, violation := range r.violations {
		if violation.Field != "message.token" {
			return false
		}
	}
	return len(r.violations) > 0
}

func (r reply) overQuota() bool {
	return r.status == http.StatusTooManyRequests || r.status >= 400 && r.status <= 499 && r.code == codeQuota
}

// whose says whose quota is used up: the device's if what names the quota names a
// device, or the token; the project's if it names that, or if it is not FCM's own
// code but Google's for every API. Often nobody says.
func (r reply) whose(token string) quotaOwner {
	owner := nobodys
	if r.code == "" {
		owner = projects
	}
	for _, name := range r.quotas {
		switch lower := strings.ToLower(name); {
		case strings.Contains(lower, "device") || hide(name, token) != name:
			return devices
		case strings.Contains(lower, "project"):
			owner = projects
		}
	}
	return owner
}

type quotaOwner uint8

const (
	nobodys quotaOwner = iota // it is not said whose
	devices
	projects
)

var messageForm = regexp.MustCompile(`^projects/[!-.0-~]+/messages/[!-~]+$`)

// messageID is the name that FCM gave to the message, if it has the form of one.
func messageID(name, token string) string {
	if len(name) > push.MaxReasonBytes || !messageForm.MatchString(name) || hide(name, token) != name {
		return ""
	}
	return name
}

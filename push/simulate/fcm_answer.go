package simulate

import (
	"encoding/json"
	"io"
	"net/http"
)

// fcmRefusal is an answer that is an error, in the form of Google's APIs (AIP-193)
// and with FCM's own code where FCM gives one:
//
//	{"error":{"code":404,"message":"…","status":"NOT_FOUND","details":[
//	  {"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"UNREGISTERED"},
//	  {"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"message.token","description":"…"}]}]}}
type fcmRefusal struct {
	status     int
	message    string
	code       string // the FcmError's; empty for none
	badRequest bool
	violations []fcmViolation
}

// fcmViolation says which part of a request is wrong.
type fcmViolation struct {
	Field       string `json:"field,omitempty"`
	Description string `json:"description"`
}

// fcmRefused refuses a request for a reason that is not FCM's own.
func fcmRefused(status int, message string) *fcmRefusal {
	return &fcmRefusal{status: status, message: message}
}

// fcmFailed refuses a message with one of FCM's codes, or without if that is empty.
func fcmFailed(status int, code string) *fcmRefusal {
	message := http.StatusText(status)
	if code == "UNREGISTERED" {
		message = "Requested entity was not found."
	}
	return &fcmRefusal{status: status, message: message, code: code}
}

// fcmInvalid refuses a request whose JSON is not a message.
func fcmInvalid(violations ...fcmViolation) *fcmRefusal {
	return &fcmRefusal{status: http.StatusBadRequest, message: violations[0].Description, badRequest: true, violations: violations}
}

// name is what the log calls it.
func (f *fcmRefusal) name() string {
	if f.code != "" {
		return f.code
	}
	return fcmStatus(f.status)
}

func (f *fcmRefusal) write(w http.ResponseWriter) {
	if f.status == http.StatusBadGateway { // Google's front end answers it, not FCM
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		w.WriteHeader(f.status)
		io.WriteString(w, "<!DOCTYPE html>\n<html lang=en><title>Error 502 (Server Error)!!1</title>\n") //nolint:errcheck // the client has gone
		return
	}
	var details []any
	if f.code != "" {
		details = append(details, map[string]string{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": f.code})
	}
	if f.badRequest {
		bad := map[string]any{"@type": "type.googleapis.com/google.rpc.BadRequest"}
		if len(f.violations) > 0 {
			bad["fieldViolations"] = f.violations
		}
		details = append(details, bad)
	}
	status := map[string]any{"code": f.status, "message": f.message, "status": fcmStatus(f.status)}
	if details != nil {
		status["details"] = details
	}
	if f.status == http.StatusUnauthorized && f.code == "" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://accounts.google.com/"`)
	}
	writeJSON(w, f.status, map[string]any{"error": status})
}

// fcmStatus is the word of google.rpc.Code for an HTTP status.
func fcmStatus(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "INVALID_ARGUMENT"
	case http.StatusUnauthorized:
		return "UNAUTHENTICATED"
	case http.StatusForbidden:
		return "PERMISSION_DENIED"
	case http.StatusNotFound:
		return "NOT_FOUND"
	case http.StatusTooManyRequests:
		return "RESOURCE_EXHAUSTED"
	case http.StatusInternalServerError:
		return "INTERNAL"
	case http.StatusServiceUnavailable:
		return "UNAVAILABLE"
	case http.StatusGatewayTimeout:
		return "DEADLINE_EXCEEDED"
	default:
		return "UNKNOWN"
	}
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value) //nolint:errcheck // the client has gone
}

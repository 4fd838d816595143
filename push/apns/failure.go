package apns

import (
	"errors"
	"net"
	"strings"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/answer"
)

// unserved turns a credential that was not found into a result.
func unserved(err error, topic string) push.Result {
	if errors.Is(err, ErrNoCredential) {
		return push.Result{Outcome: push.Refused, Reason: answer.Shorten("the app has no APNs credential for the topic " + topic)}
	}
	return push.Result{Outcome: push.Retry, Reason: "the app's APNs credential could not be looked up"}
}

// unanswered turns a request without an answer into a result. The message may
// have been taken, so it is Retry; the copy has the same apns-collapse-id. The
// errors' own texts hold the token and are not repeated.
func unanswered(err error, credential *Credential) push.Result {
	var operation *net.OpError
	if credential.certificate != nil && errors.As(err, &operation) && operation.Op == "remote error" && strings.Contains(operation.Err.Error(), "certificate") {
		return push.Result{Outcome: push.Refused, Reason: "the push service does not take the certificate"}
	}
	if errors.Is(err, errUnsigned) {
		return push.Result{Outcome: push.Refused, Reason: errUnsigned.Error()}
	}
	if errors.Is(err, errNotHTTP2) {
		return push.Result{Outcome: push.Retry, Reason: errNotHTTP2.Error()}
	}
	return push.Result{Outcome: push.Retry, Reason: answer.Failure("the push service", err)}
}

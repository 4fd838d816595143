package fcm

import (
	"cmp"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/answer"
)

const (
	// minWait and maxWait bound what is believed of Retry-After. Without it,
	// minWait comes before the back-off: Google wants ten seconds at least.
	minWait = 10 * time.Second
	maxWait = time.Hour

	// quotaWait is minWait's like after a 429. The quota is one of a minute.
	quotaWait = time.Minute
)

// classify turns an answer into a result. This is all there is to know about how
// FCM answers. The code is the errorCode of the FcmError among the error's
// details; there is none where something in front of FCM answered.
//
//	status    code                    outcome   why
//	2xx                               Delivered
//	4xx       UNREGISTERED            Gone      the app was removed, or the token has ended; by the reference a 404
//	4xx       SENDER_ID_MISMATCH      Gone      the token was made for another project; by the reference a 403
//	4xx       THIRD_PARTY_AUTH_ERROR  Retry     the project's APNs key or Web Push key is missing or wrong: no matter of Android's, hence not Refused; by the reference a 401
//	400       INVALID_ARGUMENT        Gone      the token is what is wrong: see tokenIsWrong
//	400                               Rejected  the message is
//	401                               Refused   the access token is wrong, and so was a new one: see Send
//	403                               Refused   PERMISSION_DENIED: the service account may not send for the project
//	404                               Refused   there is no such project
//	429       any                     Retry     and a pause for all of the project, unless it is this device's own quota
//	4xx       QUOTA_EXCEEDED          Retry     likewise
//	408                               Retry
//	other 4xx                         Rejected
//	the rest                          Retry     500, 503, 502 with a page of HTML; redirects, which FCM does not make
//
// A 503 may have been delivered; the copy replaces it on the device (message.go).
func classify(said reply, token string, now time.Time) push.Result {
	result := push.Result{Outcome: outcomeOf(said), Status: said.status}
	switch result.Outcome {
	case push.Delivered:
		result.MessageID = messageID(said.name, token)
		return result
	case push.Retry:
		least := minWait
		if said.overQuota() {
			least = quotaWait
		}
		if result.RetryAfter = asked(said.retryAfter, now); result.RetryAfter == 0 {
			result.AtLeast = least
		}
		if said.overQuota() && said.whose(token) == projects {
			result.Pause = cmp.Or(result.RetryAfter, least)
		}
	}
	result.Reason = reasonOf(said, token)
	return result
}

func outcomeOf(said reply) push.Outcome {
	switch {
	case said.status >= 200 && said.status <= 299:
		return push.Delivered
	case said.status < 400 || said.status > 499:
		return push.Retry
	case said.code == codeUnregistered || said.code == codeSenderMismatch:
		return push.Gone
	case said.code == codeThirdParty:
		return push.Retry
	case said.overQuota() || said.status == http.StatusRequestTimeout:
		return push.Retry
	case said.status == http.StatusBadRequest && said.tokenIsWrong():
		return push.Gone
	case said.status == http.StatusUnauthorized || said.status == http.StatusForbidden || said.status == http.StatusNotFound:
		return push.Refused
	default:
		return push.Rejected
	}
}

// asked is what a Retry-After header (RFC 9110 §10.2.3) asks for, within bounds.
// It is 0 when there is none, when it is past, and when it cannot be read.
func asked(header string, now time.Time) time.Duration {
	wait := answer.RetryAfter(header, now)
	if wait == 0 {
		return 0
	}
	return min(max(wait, minWait), maxWait)
}

// unequipped turns a failure to find the service account into a result. One that
// is missing is the app's to give, so nothing is given up before the TTL ends.
func unequipped(err error, project string) push.Result {
	if errors.Is(err, ErrNoCredential) {
		return push.Result{Outcome: push.Refused, Reason: answer.Shorten("the app has no service account of the Firebase project " + strconv.Quote(project))}
	}
	return push.Result{Outcome: push.Retry, Reason: "the app's service account could not be looked up"}
}

// unauthorised turns a failure to get an access token into a result.
func unauthorised(err error) push.Result {
	var token *tokenError
	switch {
	case errors.As(err, &token) && token.refused:
		return push.Result{Outcome: push.Refused, Reason: token.reason}
	case errors.As(err, &token):
		if token.asked > 0 {
			return push.Result{Outcome: push.Retry, Reason: token.reason, RetryAfter: token.asked}
		}
		return push.Result{Outcome: push.Retry, Reason: token.reason, AtLeast: minWait}
	default:
		return unanswered(err)
	}
}

// unanswered turns a request without an answer into a result. The message may
// have been taken, so it is Retry; the copy replaces it on the device.
func unanswered(err error) push.Result {
	return push.Result{Outcome: push.Retry, Reason: answer.Failure("the push service", err)}
}

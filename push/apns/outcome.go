package apns

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/answer"
)

// tooManyRequestsWait is how long to wait at least after a 429 that does not say.
const tooManyRequestsWait = 30 * time.Second

// The reasons that more depends on than the outcome.
const (
	badDeviceToken              = "BadDeviceToken"
	expiredProviderToken        = "ExpiredProviderToken"
	unregistered                = "Unregistered"
	tooManyRequests             = "TooManyRequests"
	tooManyProviderTokenUpdates = "TooManyProviderTokenUpdates"
)

// outcomes are all the reasons there are: Apple's "Handling notification
// responses from APNs" and, from FeatureNotEnabled on, "Handling error responses
// from Apple Push Notification service", which is about broadcasts. A reason says
// more than its status, so it alone counts.
var outcomes = map[string]push.Outcome{
	// 400
	"BadCollapseId":          push.Rejected,
	badDeviceToken:           push.Gone, // in both environments: see Provider.send
	"BadExpirationDate":      push.Rejected,
	"BadMessageId":           push.Rejected,
	"BadPriority":            push.Rejected,
	"BadTopic":               push.Refused,
	"DeviceTokenNotForTopic": push.Gone,
	"DuplicateHeaders":       push.Rejected,
	"IdleTimeout":            push.Retry,
	"InvalidPushType":        push.Rejected,
	"MissingDeviceToken":     push.Refused,
	"MissingTopic":           push.Refused,
	"PayloadEmpty":           push.Rejected,
	"TopicDisallowed":        push.Refused,
	// 403
	"BadCertificate":             push.Refused,
	"BadCertificateEnvironment":  push.Refused,
	"BadEnvironmentKeyIdInToken": push.Refused,
	"BadEnvironmentKeyInToken":   push.Refused, // the same, as APNs spells it
	expiredProviderToken:         push.Refused, // again, with another: see Provider.exchange
	"Forbidden":                  push.Refused,
	"InvalidProviderToken":       push.Refused,
	"MissingProviderToken":       push.Refused,
	"UnrelatedKeyIdInToken":      push.Refused,
	// 404, 405
	"BadPath":          push.Rejected,
	"MethodNotAllowed": push.Rejected,
	// 410
	"ExpiredToken": push.Gone,
	unregistered:   push.Gone, // unless it registered again since: see classify
	// 413
	"PayloadTooLarge": push.Rejected,
	// 429
	tooManyProviderTokenUpdates: push.Retry,
	tooManyRequests:             push.Retry,
	// 500, 503
	"InternalServerError": push.Retry,
	"ServiceUnavailable":  push.Retry,
	"Shutdown":            push.Retry,

	"FeatureNotEnabled":         push.Refused,
	"TopicMismatch":             push.Refused,
	"MissingChannelId":          push.Rejected,
	"BadChannelId":              push.Rejected,
	"ChannelNotRegistered":      push.Rejected,
	"CannotCreateChannelConfig": push.Rejected,
	"MissingPushType":           push.Rejected,
}

// outcomeOf is what an answer without a reason that is known comes to:
//
//	2xx            Delivered  200 is the only one documented
//	403            Refused    "there was an error with the certificate or with the provider's authentication token"
//	408, 429       Retry
//	other 4xx      Rejected   410 too: nobody said Unregistered
//	all the others Retry      5xx; redirects, which are not APNs'
func outcomeOf(status int) push.Outcome {
	switch {
	case status >= 200 && status <= 299:
		return push.Delivered
	case status == http.StatusForbidden:
		return push.Refused
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests:
		return push.Retry
	case status >= 400 && status <= 499:
		return push.Rejected
	default:
		return push.Retry
	}
}

// verdict is a result with the reason that it is for.
type verdict struct {
	push.Result
	said string // one of outcomes; empty for any other
}

// classify turns an answer into a verdict.
func classify(status int, header http.Header, body []byte, posting posting, now time.Time) verdict {
	v := verdict{Result: push.Result{Outcome: outcomeOf(status), Status: status, MessageID: messageIDOf(header, posting)}}
	if v.Outcome == push.Delivered {
		return v
	}
	said, timestamp := readAnswer(body)
	v.Reason = presentable(said, status, posting)
	if outcome, ok := outcomes[said]; ok {
		v.said, v.Outcome = said, outcome
	}
	switch {
	case v.said == unregistered && !timestamp.IsZero() && timestamp.Before(posting.registered):
		v.Outcome = push.Rejected
		v.Reason = "Unregistered at " + timestamp.UTC().Format(time.RFC3339) + ", and registered again after that: kept"
	case v.said == tooManyProviderTokenUpdates:
		v.Pause = tokenRest
	}
	if v.Outcome == push.Retry {
		v.RetryAfter = answer.RetryAfter(header.Get("Retry-After"), now)
		if v.RetryAfter == 0 && status == http.StatusTooManyRequests && v.Pause == 0 {
			v.AtLeast = tooManyRequestsWait
		}
	}
	return v
}

// readAnswer reads an error: {"reason":"Unregistered","timestamp":1454948015990}.
// The timestamp, in milliseconds, says since when the app is known to be gone.
func readAnswer(body []byte) (reason string, timestamp time.Time) {
	var answer struct {
		Reason    string          `json:"reason"`
		Timestamp json.RawMessage `json:"timestamp"` // of any form: it does not spoil the reason
	}
	if json.Unmarshal(body, &answer) != nil {
		return "", time.Time{}
	}
	if millis, err := strconv.ParseInt(string(answer.Timestamp), 10, 64); err == nil && millis > 0 {
		timestamp = time.UnixMilli(millis)
	}
	return answer.Reason, timestamp
}

var reasonFormat = regexp.MustCompile(`^[A-Z][A-Za-z0-9]{1,63}$`)

// presentable is the reason, if it is a word as Apple's are, or HTTP's own.
func presentable(said string, status int, posting posting) string {
	if reasonFormat.MatchString(said) && !strings.Contains(strings.ToLower(said), posting.notification.DeviceToken) {
		return said
	}
	return answer.StatusText(status)
}

// messageIDOf is what APNs calls the message: the apns-id and, from the sandbox,
// the apns-unique-id, which Apple's Push Notifications Console finds it by.
func messageIDOf(header http.Header, posting posting) string {
	id := posting.notification.ApnsID
	if given := header.Get("apns-id"); isUUID(given) {
		id = strings.ToLower(given)
	}
	if unique := header.Get("apns-unique-id"); isUUID(unique) {
		id += " " + strings.ToLower(unique)
	}
	return id
}

func isUUID(s string) bool {
	_, err := push.ParseID(s)
	return err == nil
}

// alone is what comes of an answer from the environment that a subscription was
// not registered with: all that the answer says of the credential counts for this
// subscription alone, since the others of its lane are sent to elsewhere.
func alone(result push.Result) push.Result {
	if result.Outcome == push.Refused {
		result.Outcome = push.Retry
	}
	result.AtLeast = max(result.AtLeast, result.Pause)
	result.Pause = 0
	return result
}

// neither is what it comes to when a token is bad in one environment and was not
// delivered to in the other:
//
//	there                                     outcome
//	BadDeviceToken                            Gone      nobody knows it
//	the credential is not for the other       Gone      nobody whom it may ask knows it
//	otherwise Refused                         Rejected  it cannot be told, and is no word about the credential here
//	Retry                                     Retry     it cannot be told yet
//	anything else                             that      the token is the other environment's
func neither(here push.Environment, first, second verdict) push.Result {
	result := first.Result
	where := "BadDeviceToken in " + here.String()
	switch {
	case second.said == badDeviceToken:
		result.Reason = "BadDeviceToken in production and in the sandbox"
	case otherEnvironments[second.said]:
		result.Reason = where + ", the only one that the credential is for"
	case second.Outcome == push.Refused:
		result.Outcome, result.Reason = push.Rejected, where+", and the other environment refuses the credential: "+second.Reason
	case second.Outcome == push.Retry:
		second.Result = alone(second.Result)
		result.Outcome, result.RetryAfter, result.AtLeast = push.Retry, second.RetryAfter, second.AtLeast
		result.Reason = where + ", and from the other environment: " + second.Reason
	default:
		return second.Result
	}
	result.Reason = answer.Shorten(result.Reason)
	return result
}

// otherEnvironments are the reasons which say that a credential is for the other
// environment alone.
var otherEnvironments = map[string]bool{
	"BadCertificateEnvironment":  true,
	"BadEnvironmentKeyIdInToken": true,
	"BadEnvironmentKeyInToken":   true,
}

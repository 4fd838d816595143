package fcm

import (
	"regexp"
	"strings"

	"github.com/belfryhq/belfry/push/answer"
)

// minSecret is the shortest token that is looked for in what FCM says. No real
// one is near it; a shorter one would be found in any word.
const minSecret = 8

// What is FCM's own vocabulary may stand in a reason however long it is.
var (
	codeForm  = regexp.MustCompile(`^[A-Z][A-Z_]{1,59}$`)
	fieldForm = regexp.MustCompile(`^[a-z_]{1,60}(\.[a-z_]{1,60}|\[[0-9]{1,4}\]){0,8}$`)
	appleForm = regexp.MustCompile(`^[A-Za-z]{1,60}$`)
)

// secretLike matches what might be a token or a key: any long run without a
// space.
var secretLike = regexp.MustCompile(`[\w+/=.:%~&?\\-]{32,}`)

// reasonOf says in FCM's words why, or in HTTP's if it has none:
//
//	UNREGISTERED Requested entity was not found.
//	INVALID_ARGUMENT message.android.ttl: must be positive
//	THIRD_PARTY_AUTH_ERROR InvalidProviderToken (APNs)
func reasonOf(said reply, token string) string {
	var words []string
	for _, code := range []string{said.code, said.word} {
		if codeForm.MatchString(code) {
			words = append(words, code)
			break
		}
	}
	switch {
	case said.apple != nil && appleForm.MatchString(said.apple.Reason):
		words = append(words, said.apple.Reason, "(APNs)")
	case len(said.violations) > 0:
		words = append(words, violated(said.violations[0], token))
	default:
		words = append(words, presentable(said.message, token))
	}
	if reason := hide(strings.TrimSpace(strings.Join(words, " ")), token); reason != "" {
		return answer.Shorten(reason)
	}
	return answer.StatusText(said.status)
}

func violated(violation fieldViolation, token string) string {
	description := presentable(violation.Description, token)
	if !fieldForm.MatchString(violation.Field) {
		return description
	}
	return violation.Field + ": " + description
}

// presentable makes a text from outside fit to be shown: printable, on one line,
// and without the token or anything that looks like a secret.
func presentable(text, token string) string {
	return answer.OneLine(secretLike.ReplaceAllString(hide(text, token), "…"))
}

func hide(text, token string) string {
	if len(token) < minSecret {
		return text
	}
	return strings.ReplaceAll(text, token, "…")
}

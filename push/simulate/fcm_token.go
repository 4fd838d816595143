package simulate

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	fcmTokenPath = "/token"
	fcmGrant     = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	fcmScope     = "https://www.googleapis.com/auth/firebase.messaging"

	// fcmTokenLife is how long access tokens live, in seconds.
	fcmTokenLife = 3599

	// maxAssertionLife is the longest that an assertion may be good for, and
	// clockSkew how wrong the sender's clock may be.
	maxAssertionLife = time.Hour
	clockSkew        = time.Minute
)

// tokenURL is where access tokens are given, and the audience of what asks for
// them.
func (s *FCM) tokenURL() string { return s.URL() + fcmTokenPath }

// fcmClaims are those of an assertion (Google Identity, "Using OAuth 2.0 for
// server to server applications").
type fcmClaims struct {
	jwt.RegisteredClaims
	Scope string `json:"scope"`
}

// oauthError is why there is no access token (RFC 6749 §5.2).
type oauthError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// serveToken gives an access token for an assertion that the service account
// signed (RFC 7523 §2.1).
func (s *FCM) serveToken(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxFCMRequest)
	if refusal := s.checkGrant(r.PostFormValue("grant_type"), r.PostFormValue("assertion")); refusal != nil {
		writeJSON(w, http.StatusBadRequest, refusal)
		return
	}
	fault := s.tokenFaults.next("")
	fault.meet(w, r)
	switch {
	case fault != nil && fault.Body != "":
		w.WriteHeader(fault.Status)
		io.WriteString(w, fault.Body) //nolint:errcheck // the client has gone
	case fault.takes():
		writeJSON(w, http.StatusOK, map[string]any{"access_token": s.grant(), "expires_in": fcmTokenLife, "token_type": "Bearer"})
	default:
		writeJSON(w, fault.Status, oauthError{fault.Reason, "as the fault says"})
	}
}

func (s *FCM) grant() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	token := "ya29.c." + randomHex(64)
	s.access[token] = s.now().Add(fcmTokenLife * time.Second)
	s.granted++
	return token
}

// checkGrant gives the reason to refuse an assertion, or nil.
func (s *FCM) checkGrant(grant, assertion string) *oauthError {
	switch {
	case grant != fcmGrant:
		return &oauthError{"unsupported_grant_type", "Invalid grant_type"}
	case assertion == "":
		return &oauthError{"invalid_request", "Missing required parameter: assertion"}
	}
	var claims fcmClaims
	_, err := jwt.ParseWithClaims(assertion, &claims,
		func(token *jwt.Token) (any, error) {
			if token.Header["kid"] != s.account.keyID {
				return nil, errors.New("no such key")
			}
			return s.account.key.Public(), nil
		},
		jwt.WithValidMethods([]string{"RS256"}),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(clockSkew),
		jwt.WithTimeFunc(s.now))
	switch {
	case errors.Is(err, jwt.ErrTokenUnverifiable), errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return &oauthError{"invalid_grant", "Invalid JWT Signature."}
	case errors.Is(err, jwt.ErrTokenInvalidClaims), err == nil && !fcmShortLived(claims):
		return &oauthError{"invalid_grant", "Invalid JWT: it must be short-lived (60 minutes) and of now; check iat and exp"}
	case err != nil:
		return &oauthError{"invalid_grant", "Bad Request"}
	case claims.Issuer != s.account.email:
		return &oauthError{"invalid_grant", "Invalid grant: account not found"}
	case len(claims.Audience) != 1 || claims.Audience[0] != s.tokenURL():
		return &oauthError{"invalid_grant", "Invalid JWT: the audience is not this token endpoint"}
	case !fcmScoped(claims.Scope):
		return &oauthError{"invalid_scope", "Invalid OAuth scope or ID token audience provided."}
	}
	return nil
}

func fcmShortLived(claims fcmClaims) bool {
	return claims.IssuedAt != nil && !claims.ExpiresAt.After(claims.IssuedAt.Add(maxAssertionLife))
}

func fcmScoped(scope string) bool {
	for one := range strings.FieldsSeq(scope) {
		if one == fcmScope {
			return true
		}
	}
	return false
}

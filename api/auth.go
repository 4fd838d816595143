package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// caller is who sent a request.
type caller struct {
	app     string
	user    string      // with a user token
	renewal push.Digest // with a renewal token: the subscription it may replace
	key     *knownKey   // with an API key
	token   *grant      // with a token of either kind
	trace   []byte      // push.Notification.Trace of what the request sends
}

// grant is what is known of a token beside whose it is.
type grant struct {
	secret []byte    // it was signed with
	made   time.Time // zero if it does not say
}

// operator tells whether a caller with an API key is the operator, who looks
// after all apps. What it allows goes by the scope, as for all others.
func (c caller) operator() bool { return c.app == push.DefaultApp }

// callerKey is how authorise hands the caller to the generated strict
// handler, whose methods take nothing of the request but a context.
type callerKey struct{}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// authorise lets a request pass if its key or token allows the operation.
func (s *Server) authorise(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		op := operations[r.Pattern]
		who, err := s.identify(r, op.needs)
		if err == nil && op.operator && !who.operator() {
			err = errOperatorOnly
		}
		if err == nil && who.token != nil {
			err = s.admit(r.Context(), who, s.visitors)
		}
		if err == nil && op.browser {
			err = s.checkOrigin(r, who)
		}
		if err != nil {
			s.writeError(w, r, err)
			return
		}
		if who.key != nil {
			s.config.Known(r)
		}
		if s.config.Traces {
			who.trace = traceContext(r.Header)
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, who)))
	})
}

// admit lets in who comes with a token that was not revoked, within the user's
// allowance.
func (s *Server) admit(ctx context.Context, who caller, within *allowances[push.User]) error {
	user := push.User{App: who.app, ID: who.user}
	if s.spent.covers(user, who.token) {
		return errBadToken
	}
	if err := within.take(user, time.Now()); err != nil {
		return err
	}
	return s.checkToken(ctx, who)
}

// checkAgain refuses a caller whose key or token ended since authorise let the
// request pass. Who wants to use one beyond its end would begin a request before it.
func (s *Server) checkAgain(ctx context.Context) error {
	who := callerOf(ctx)
	switch {
	case who.key != nil && who.key.life.Err() != nil:
		return errUnauthorized
	case who.token == nil:
		return nil
	}
	app, err := s.apps.get(who.app)
	if err != nil {
		return err
	}
	if !bytes.Equal(app.TokenSecret, who.token.secret) {
		return errBadToken
	}
	return s.checkToken(ctx, who)
}

func (s *Server) identify(r *http.Request, needs scope) (caller, error) {
	credential, given := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case needs == "":
		return caller{}, fmt.Errorf("the operation %s is not in the table of operations", r.Pattern)
	case needs == open, needs == anyone && !given:
		return caller{}, nil
	case !given:
		return caller{}, errUnauthorized
	case needs == userToken, needs == anyone && isToken(credential):
		return s.verifyToken(credential, time.Now())
	default:
		return s.verifyKey(r.Context(), credential, needs)
	}
}

// KeyPrefix begins every API key, so that it is known when it turns up where
// it should not.
const KeyPrefix = "belfry_"

// NewAPIKey makes a key for an app: what to keep, and the key itself, which is
// KeyPrefix and 43 characters of base64url.
func NewAPIKey(app, name string, scopes []string, now time.Time) (store.APIKey, string) {
	random := make([]byte, 32)
	rand.Read(random) // never fails (crypto/rand)
	secret := KeyPrefix + push.EncodeBase64(random)
	return APIKeyOf(app, name, secret, scopes, now), secret
}

// APIKeyOf is what to keep of a given key.
func APIKeyOf(app, name, secret string, scopes []string, now time.Time) store.APIKey {
	hash := sha256.Sum256([]byte(secret))
	return store.APIKey{
		ID: hex.EncodeToString(hash[:6]), App: app, Name: name, Hash: hash, Scopes: scopes, CreatedAt: now,
	}
}

// verifyKey finds the key by its hash: the comparison is one of hashes, whose
// time tells nothing about the key.
func (s *Server) verifyKey(ctx context.Context, secret string, needs scope) (caller, error) {
	if isToken(secret) {
		return caller{}, problem{
			status: http.StatusUnauthorized, code: "unauthorized",
			detail: "This operation needs an API key; a user token is for /v1/me/… and /v1/config.",
		}
	}
	key, err := s.keys.find(ctx, s.config.Store, sha256.Sum256([]byte(secret)))
	if errors.Is(err, store.ErrNotFound) {
		return caller{}, errUnauthorized
	}
	if err != nil {
		return caller{}, fmt.Errorf("%w: find the API key: %w", actors.ErrUnavailable, err)
	}
	if err := key.charge(1, 1); err != nil {
		return caller{}, err
	}
	if needs != anyone && !slices.Contains(key.Scopes, string(needs)) && !slices.Contains(key.Scopes, string(scopeAdmin)) {
		return caller{}, lacksScope(needs)
	}
	return caller{app: key.App, key: key}, nil
}

func lacksScope(needs scope) problem {
	return problem{
		status: http.StatusForbidden, code: "forbidden",
		detail: fmt.Sprintf("This API key may not do this: it lacks the scope %s. Use a key that has it.", needs),
	}
}

// isToken tells a JSON Web Token from an API key.
func isToken(credential string) bool {
	return strings.HasPrefix(credential, "eyJ") && strings.Count(credential, ".") == 2
}

// checkOrigin keeps pages of strange web origins from using a token.
func (s *Server) checkOrigin(r *http.Request, who caller) error {
	origin := r.Header.Get("Origin")
	if origin == "" || sameOrigin(origin, r) || who.app == "" {
		return nil
	}
	app, err := s.apps.get(who.app)
	if err != nil || slices.Contains(app.Origins, origin) {
		return err
	}
	return problem{
		status: http.StatusForbidden, code: "origin_not_allowed",
		detail: fmt.Sprintf("The app does not allow pages of %s. Add this origin to the app's allowed origins.", origin),
	}
}

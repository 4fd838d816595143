package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

const (
	tokenDefault = time.Hour      // a user token's life when the request does not say
	tokenMin     = time.Minute    // the shortest
	tokenMax     = 24 * time.Hour // the longest

	audienceUser    = "belfry:user"
	audienceRenewal = "belfry:renewal"
)

// claims are a token's: iss is the app, sub the user.
type claims struct {
	jwt.RegisteredClaims
	Made     int64  `json:"made,omitempty"`     // iat in milliseconds: revocations are as exact as that
	Replaces string `json:"replaces,omitempty"` // renewal: the ID of the subscription
}

// made is when the token was. Those of earlier versions say it to the second;
// they count as made at its beginning.
func (c claims) made() time.Time {
	switch {
	case c.Made != 0:
		return time.UnixMilli(c.Made)
	case c.IssuedAt != nil:
		return c.IssuedAt.Time
	default:
		return time.Time{}
	}
}

// makeUserToken signs a token with which a browser registers itself.
func makeUserToken(app store.App, user string, made, expires time.Time) string {
	return sign(app.TokenSecret, made, claims{RegisteredClaims: jwt.RegisteredClaims{
		Issuer:    app.Name,
		Audience:  jwt.ClaimStrings{audienceUser},
		Subject:   user,
		ExpiresAt: jwt.NewNumericDate(expires),
	}})
}

// makeRenewalToken signs a token with which a service worker replaces one
// subscription when the browser changed its endpoint, which may be long after any user
// token has expired. It does not expire, but ends with the subscription.
//
// It is for who has come with a token, and ends when that is revoked: it is as
// old, and signed with the same secret, which may be another by now.
func makeRenewalToken(who caller, replaces push.Digest) string {
	return sign(who.token.secret, who.token.made, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:   who.app,
			Audience: jwt.ClaimStrings{audienceRenewal},
			Subject:  who.user,
		},
		Replaces: replaces.String(),
	})
}

func sign(secret []byte, made time.Time, c claims) string {
	if !made.IsZero() {
		c.Made, c.IssuedAt = made.UnixMilli(), jwt.NewNumericDate(made)
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(secret)
	if err != nil {
		panic(fmt.Errorf("sign a token: %w", err)) // HS256 takes any key
	}
	return signed
}

// verifyToken says whose token this is. Whether it was revoked is checkToken's
// to say.
func (s *Server) verifyToken(token string, now time.Time) (caller, error) {
	var c claims
	var secret []byte
	_, err := jwt.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) {
		app, err := s.apps.get(c.Issuer)
		secret = app.TokenSecret
		return secret, err
	}, jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithTimeFunc(func() time.Time { return now }))
	if errors.Is(err, actors.ErrUnavailable) {
		return caller{}, err
	}
	if err != nil || len(c.Audience) != 1 || !push.ValidUserID(c.Subject) {
		return caller{}, errBadToken
	}
	who := caller{app: c.Issuer, user: c.Subject, token: &grant{secret: secret, made: c.made()}}
	switch c.Audience[0] {
	case audienceUser:
		if c.ExpiresAt == nil || c.ExpiresAt.Sub(now) > tokenMax {
			return caller{}, errBadToken
		}
	case audienceRenewal:
		if who.renewal, err = push.ParseDigest(c.Replaces); err != nil {
			return caller{}, errBadToken
		}
	default:
		return caller{}, errBadToken
	}
	return who, nil
}

// checkToken refuses the tokens of a user that were revoked.
func (s *Server) checkToken(ctx context.Context, who caller) error {
	user := push.User{App: who.app, ID: who.user}
	upTo, err := s.config.Store.TokensRevoked(ctx, user)
	if err != nil {
		return stored(err)
	}
	if !upTo.IsZero() && !who.token.made.After(upTo) {
		s.spent.note(user, upTo)
		return errBadToken
	}
	return nil
}

const spentMax = 4096 // users of whom a revocation is remembered

// spent remembers of some users up to when their tokens were revoked, so that who
// comes with such a token again and again does not use up the allowance of those
// that the user has now. It stays true: no revocation is taken back.
type spent struct {
	mu   sync.Mutex
	upTo map[push.User]time.Time
}

func newSpent() *spent { return &spent{upTo: make(map[push.User]time.Time)} }

func (s *spent) note(user push.User, upTo time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.upTo) >= spentMax {
		clear(s.upTo) // the store knows
	}
	s.upTo[user] = upTo
}

// covers tells whether a user's token is known to be revoked.
func (s *spent) covers(user push.User, token *grant) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	upTo, known := s.upTo[user]
	return known && !token.made.After(upTo)
}

// tokenTime is when a token that is made now for a user was made: after the last
// revocation, whatever became of the clock.
func (s *Server) tokenTime(ctx context.Context, user push.User) (time.Time, error) {
	upTo, err := s.config.Store.TokensRevoked(ctx, user)
	if err != nil {
		return time.Time{}, stored(err)
	}
	now := time.Now().Truncate(time.Millisecond)
	if !now.After(upTo) {
		now = upTo.Add(time.Millisecond)
	}
	return now, nil
}

var errBadToken = problem{
	status: http.StatusUnauthorized, code: "invalid_token",
	detail: "The user token is not valid, or no longer. Get a new one from POST /v1/users/{user}/tokens.",
}

// CreateUserToken makes a user token for a browser.
func (s *Server) CreateUserToken(ctx context.Context, request CreateUserTokenRequestObject) (CreateUserTokenResponseObject, error) {
	if err := checkUser("user", request.User); err != nil {
		return nil, err
	}
	ttl := tokenDefault
	if request.Body != nil && request.Body.Ttl != nil {
		ttl = time.Duration(*request.Body.Ttl) * time.Second
		if *request.Body.Ttl < int(tokenMin/time.Second) || *request.Body.Ttl > int(tokenMax/time.Second) {
			return nil, invalid("ttl", "ttl is %d seconds. Use %d to %d.", *request.Body.Ttl, int(tokenMin/time.Second), int(tokenMax/time.Second))
		}
	}
	app, err := s.tenantOf(ctx)
	if err != nil {
		return nil, err
	}
	token, expires, err := s.userToken(ctx, app, request.User, ttl)
	if err != nil {
		return nil, err
	}
	return CreateUserToken201JSONResponse{Token: token, ExpiresAt: expires.UTC()}, nil
}

// userToken makes a token for so long.
func (s *Server) userToken(ctx context.Context, app tenant, user string, ttl time.Duration) (token string, expires time.Time, err error) {
	made, err := s.tokenTime(ctx, push.User{App: app.Name, ID: user})
	if err != nil {
		return "", time.Time{}, err
	}
	expires = time.Now().Add(ttl).Truncate(time.Second)
	return makeUserToken(app.App, user, made, expires), expires, nil
}

package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
	Replaces string `json:"replaces,omitempty"` // renewal: the ID of the subscription
}

// makeUserToken signs a token with which a browser registers itself.
func makeUserToken(app store.App, user string, now time.Time, ttl time.Duration) (token string, expires time.Time) {
	expires = now.Add(ttl).Truncate(time.Second)
	return sign(app, claims{RegisteredClaims: jwt.RegisteredClaims{
		Issuer:    app.Name,
		Audience:  jwt.ClaimStrings{audienceUser},
		Subject:   user,
		IssuedAt:  jwt.NewNumericDate(now),
		ExpiresAt: jwt.NewNumericDate(expires),
	}}), expires
}

// makeRenewalToken signs a token with which a service worker replaces one
// subscription when the browser changed its endpoint, which may be long after any user
// token has expired. It does not expire, but ends with the subscription.
func makeRenewalToken(app store.App, user string, replaces push.Digest, now time.Time) string {
	return sign(app, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:   app.Name,
			Audience: jwt.ClaimStrings{audienceRenewal},
			Subject:  user,
			IssuedAt: jwt.NewNumericDate(now),
		},
		Replaces: replaces.String(),
	})
}

func sign(app store.App, c claims) string {
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(app.TokenSecret)
	if err != nil {
		panic(fmt.Errorf("sign a token: %w", err)) // HS256 takes any key
	}
	return signed
}

// verifyToken says whose token this is.
func (s *Server) verifyToken(token string, now time.Time) (caller, error) {
	var c claims
	_, err := jwt.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) {
		app, err := s.apps.get(c.Issuer)
		return app.TokenSecret, err
	}, jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithTimeFunc(func() time.Time { return now }))
	if errors.Is(err, actors.ErrUnavailable) {
		return caller{}, err
	}
	if err != nil || len(c.Audience) != 1 || !push.ValidUserID(c.Subject) {
		return caller{}, errBadToken
	}
	who := caller{app: c.Issuer, user: c.Subject}
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
	token, expires := makeUserToken(app.App, request.User, time.Now(), ttl)
	return CreateUserToken201JSONResponse{Token: token, ExpiresAt: expires.UTC()}, nil
}

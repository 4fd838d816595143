package api

import (
	"context"
	"time"

	"github.com/belfryhq/belfry/push"
)

// RevokeUserTokens ends a user's tokens, at once.
func (s *Server) RevokeUserTokens(ctx context.Context, request RevokeUserTokensRequestObject) (RevokeUserTokensResponseObject, error) {
	if err := checkUser("user", request.User); err != nil {
		return nil, err
	}
	if err := s.revokeTokens(ctx, push.User{App: callerOf(ctx).app, ID: request.User}); err != nil {
		return nil, err
	}
	return RevokeUserTokens204Response{}, nil
}

// revokeTokens ends all tokens of a user that were made so far, whether or not
// the caller waits for it.
func (s *Server) revokeTokens(ctx context.Context, user push.User) error {
	return stored(doWithin(context.WithoutCancel(ctx), changeTimeout, func(ctx context.Context) error {
		upTo, err := s.tokenTime(ctx, user)
		if err != nil {
			return err
		}
		return s.config.Store.RevokeTokens(ctx, user, upTo)
	}))
}

// RotateTokenSecret ends all tokens of an app, at once.
func (s *Server) RotateTokenSecret(ctx context.Context, request RotateTokenSecretRequestObject) (RotateTokenSecretResponseObject, error) {
	app, err := s.appNamed(ctx, request.App)
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, app.Name, func(ctx context.Context) error {
		return s.config.Store.UpdateTokenSecret(ctx, NewTenant(app.Name, app.CreatedAt))
	})
	if err != nil {
		return nil, err
	}
	return RotateTokenSecret204Response{}, nil
}

// RotateKey makes an API key in the place of another, which may be the one that
// the request came by, and shows it, once.
func (s *Server) RotateKey(ctx context.Context, request RotateKeyRequestObject) (RotateKeyResponseObject, error) {
	app, err := s.appOfKeys(ctx, request.Params.App)
	if err != nil {
		return nil, err
	}
	old, err := s.changeableKey(ctx, app, request.Id)
	if err != nil {
		return nil, err
	}
	fresh, secret := NewAPIKey(app, old.Name, old.Scopes, time.Now())
	fresh.Rate = old.Rate
	err = s.keys.revoke(ctx, app, request.Id, func(ctx context.Context) error {
		return s.config.Store.ReplaceAPIKey(ctx, request.Id, fresh)
	})
	if err != nil {
		return nil, stored(err)
	}
	return RotateKey201JSONResponse{
		Id: fresh.ID, Name: fresh.Name, Scopes: fresh.Scopes, Rate: fresh.Rate, CreatedAt: fresh.CreatedAt.UTC(), Key: secret,
	}, nil
}

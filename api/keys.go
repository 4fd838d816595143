package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

const keyNameMax = 100 // bytes

// KeyRateMax is the highest rate of an API key that can be set, a second.
const KeyRateMax = 1_000_000

// GivenKeyName is the name of the API key that came by the configuration.
const GivenKeyName = "BELFRY_ADMIN_KEY"

// AllScopes are the scopes an API key can have.
var AllScopes = []string{string(scopeSend), string(scopeSubscribe), string(scopeRead), string(scopeAdmin)}

// ListKeys gives the app's API keys.
func (s *Server) ListKeys(ctx context.Context, request ListKeysRequestObject) (ListKeysResponseObject, error) {
	app, err := s.appOfKeys(ctx, request.Params.App)
	if err != nil {
		return nil, err
	}
	keys, err := s.config.Store.ListAPIKeys(ctx, app)
	if err != nil {
		return nil, stored(err)
	}
	answer := ListKeys200JSONResponse{Keys: make([]Key, len(keys))}
	for i, key := range keys {
		answer.Keys[i] = shownKey(key)
	}
	return answer, nil
}

// CreateKey makes an API key and shows it, once.
func (s *Server) CreateKey(ctx context.Context, request CreateKeyRequestObject) (CreateKeyResponseObject, error) {
	app, err := s.appOfKeys(ctx, request.Params.App)
	if err != nil {
		return nil, err
	}
	body := request.Body
	if len(body.Scopes) == 0 {
		return nil, invalid("scopes", "scopes is missing. Give at least one of %s.", strings.Join(AllScopes, ", "))
	}
	for i, name := range body.Scopes {
		field := fmt.Sprintf("scopes[%d]", i)
		if !slices.Contains(AllScopes, name) {
			return nil, invalid(field, "There is no scope %q. Use %s.", name, strings.Join(AllScopes, ", "))
		}
	}
	if len(body.Name) > keyNameMax || strings.ContainsFunc(body.Name, unicode.IsControl) {
		return nil, invalid("name", "name is too long or has control characters. Use at most %d bytes.", keyNameMax)
	}
	if app == push.DefaultApp && body.Name == GivenKeyName {
		return nil, invalid("name", "%s is the name of the key that comes from there. Use another.", GivenKeyName)
	}
	scopes := slices.Compact(slices.Sorted(slices.Values(body.Scopes)))
	if body.Rate < 0 || body.Rate > KeyRateMax {
		return nil, invalid("rate", "rate is %d. Use 1 to %d, or 0 for what BELFRY_KEY_RATE says.", body.Rate, KeyRateMax)
	}
	key, secret := NewAPIKey(app, body.Name, scopes, time.Now())
	key.Rate = body.Rate
	if err := s.config.Store.CreateAPIKey(ctx, key); err != nil {
		return nil, stored(err)
	}
	return CreateKey201JSONResponse{
		Id: key.ID, Name: key.Name, Scopes: key.Scopes, Rate: key.Rate, CreatedAt: key.CreatedAt.UTC(), Key: secret,
	}, nil
}

// DeleteKey revokes an API key. It is refused from the next request on.
func (s *Server) DeleteKey(ctx context.Context, request DeleteKeyRequestObject) (DeleteKeyResponseObject, error) {
	app, err := s.appOfKeys(ctx, request.Params.App)
	if err != nil {
		return nil, err
	}
	if _, err := s.changeableKey(ctx, app, request.Id); err != nil {
		return nil, err
	}
	err = s.keys.revoke(ctx, app, request.Id, func(ctx context.Context) error {
		return s.config.Store.DeleteAPIKey(ctx, app, request.Id)
	})
	if err != nil {
		return nil, stored(err)
	}
	return DeleteKey204Response{}, nil
}

// changeableKey finds a key that can be revoked or replaced here.
func (s *Server) changeableKey(ctx context.Context, app, id string) (store.APIKey, error) {
	keys, err := s.config.Store.ListAPIKeys(ctx, app)
	if err != nil {
		return store.APIKey{}, stored(err)
	}
	i := slices.IndexFunc(keys, func(key store.APIKey) bool { return key.ID == id })
	if i < 0 {
		return store.APIKey{}, errNotFound
	}
	if app == push.DefaultApp && keys[i].Name == GivenKeyName {
		return store.APIKey{}, problem{
			status: http.StatusConflict, code: "key_is_configured", field: "id",
			detail: fmt.Sprintf("This key comes from %s, which would bring it back at the next start. Set that to another key, or unset it while there is another with the scope admin, and start Belfry again: then this one ends.", GivenKeyName),
		}
	}
	return keys[i], nil
}

// appOfKeys is whose keys a request means: without a name, the caller's app.
func (s *Server) appOfKeys(ctx context.Context, name string) (string, error) {
	if name == "" {
		return callerOf(ctx).app, nil
	}
	app, err := s.appNamed(ctx, name)
	return app.Name, err
}

func shownKey(key store.APIKey) Key {
	return Key{Id: key.ID, Name: key.Name, Scopes: key.Scopes, Rate: key.Rate, CreatedAt: key.CreatedAt.UTC()}
}

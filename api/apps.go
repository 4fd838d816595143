package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/guard"
	"github.com/belfryhq/belfry/push/webpush"
	"github.com/belfryhq/belfry/store"
)

// FirstKeyName is the name of the API key that an app is made with.
const FirstKeyName = "first admin key"

// nameForm is that of apps' and credentials' names.
var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

func checkName(name string) error {
	if nameForm.MatchString(name) {
		return nil
	}
	return invalid("name", "name is missing or not of the form of one. Use 1 to 32 characters of a-z, 0-9 and -, not beginning or ending with -.")
}

// NewTenant makes an app, with a secret for its tokens.
func NewTenant(name string, now time.Time) store.App {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails (crypto/rand)
	return store.App{Name: name, TokenSecret: secret, CreatedAt: now}
}

// ListApps gives all apps.
func (s *Server) ListApps(_ context.Context, _ ListAppsRequestObject) (ListAppsResponseObject, error) {
	all := s.apps.list()
	answer := ListApps200JSONResponse{Apps: make([]App, len(all))}
	for i, app := range all {
		answer.Apps[i] = s.shownApp(app)
	}
	return answer, nil
}

// CreateApp makes an app and shows its first API key, once.
func (s *Server) CreateApp(ctx context.Context, request CreateAppRequestObject) (CreateAppResponseObject, error) {
	body := request.Body
	if err := checkName(body.Name); err != nil {
		return nil, err
	}
	if body.VapidSubject == "" {
		operators, err := s.apps.get(push.DefaultApp)
		if err != nil {
			return nil, err
		}
		body.VapidSubject = operators.VAPIDSubject
	}
	app := NewTenant(body.Name, time.Now())
	settings := AppChange{Origins: &body.Origins, VapidSubject: &body.VapidSubject, PushHosts: &body.PushHosts}
	if err := settings.applyTo(&app); err != nil {
		return nil, err
	}
	var secret string
	err := s.change(ctx, app.Name, func(ctx context.Context) (err error) {
		secret, err = s.createApp(ctx, app)
		return err
	})
	if err != nil {
		return nil, err
	}
	made, err := s.apps.get(app.Name)
	if err != nil {
		return nil, err
	}
	shown := s.shownApp(made)
	return CreateApp201JSONResponse{
		Name: shown.Name, CreatedAt: shown.CreatedAt, Origins: shown.Origins, VapidSubject: shown.VapidSubject,
		PushHosts: shown.PushHosts, VapidKeys: shown.VapidKeys, Credentials: shown.Credentials, Key: secret,
	}, nil
}

// createApp makes an app, its VAPID key and its first API key. One that was
// begun before and has no VAPID key is made to the end.
func (s *Server) createApp(ctx context.Context, app store.App) (secret string, err error) {
	switch _, err := s.apps.get(app.Name); {
	case err == nil:
		return "", problem{
			status: http.StatusConflict, code: "app_exists", field: "name",
			detail: fmt.Sprintf("There is an app %s already. Choose another name; or if it is yours and its key did not arrive, make one with POST /v1/keys?app=%s.", app.Name, app.Name),
		}
	case !errors.Is(err, store.ErrNotFound):
		return "", err
	}
	err = s.config.Store.CreateApp(ctx, app)
	if errors.Is(err, store.ErrExists) {
		err = s.config.Store.UpdateApp(ctx, app)
	}
	if err != nil {
		return "", err
	}
	if _, err := s.createVAPIDKey(ctx, app.Name); err != nil {
		return "", err
	}
	key, secret := NewAPIKey(app.Name, FirstKeyName, []string{string(scopeAdmin)}, time.Now())
	return secret, s.config.Store.CreateAPIKey(ctx, key)
}

// GetApp gives one app.
func (s *Server) GetApp(ctx context.Context, request GetAppRequestObject) (GetAppResponseObject, error) {
	app, err := s.appNamed(ctx, request.App)
	if err != nil {
		return nil, err
	}
	return GetApp200JSONResponse(s.shownApp(app)), nil
}

// UpdateApp changes an app's settings.
func (s *Server) UpdateApp(ctx context.Context, request UpdateAppRequestObject) (UpdateAppResponseObject, error) {
	app, err := s.appNamed(ctx, request.App)
	if err != nil {
		return nil, err
	}
	if request.Body.PushHosts != nil && !callerOf(ctx).operator() {
		return nil, operatorOnly("push_hosts", "Only the operator may set push_hosts: use an admin key of the app default.")
	}
	err = s.change(ctx, app.Name, func(ctx context.Context) error {
		current, err := s.apps.get(app.Name)
		if err != nil {
			return err
		}
		if err := request.Body.applyTo(&current.App); err != nil {
			return err
		}
		return s.config.Store.UpdateApp(ctx, current.App)
	})
	if err != nil {
		return nil, err
	}
	if app, err = s.apps.get(app.Name); err != nil {
		return nil, err
	}
	return UpdateApp200JSONResponse(s.shownApp(app)), nil
}

// How much one app may have.
const (
	originsMax   = 100
	pushHostsMax = 50
	vapidKeysMax = 50
)

// applyTo checks what is given of an app's settings, and sets it.
func (c *AppChange) applyTo(app *store.App) error {
	if c.Origins != nil {
		if n := len(*c.Origins); n > originsMax {
			return invalid("origins", "These are %d origins, and an app has at most %d. Leave out those that are no longer used.", n, originsMax)
		}
		for i, origin := range *c.Origins {
			if err := CheckOrigin(origin); err != nil {
				return invalid(fmt.Sprintf("origins[%d]", i), "%s", sentence(err))
			}
		}
		app.Origins = *c.Origins
	}
	if c.VapidSubject != nil {
		if err := webpush.ValidateSubject(*c.VapidSubject); err != nil {
			return invalid("vapid_subject", "%s", sentence(err))
		}
		app.VAPIDSubject = *c.VapidSubject
	}
	if c.PushHosts != nil {
		if n := len(*c.PushHosts); n > pushHostsMax {
			return invalid("push_hosts", "These are %d hosts, and an app has at most %d. Leave out those that are no longer used.", n, pushHostsMax)
		}
		app.PushHosts = nil
		for i, entry := range *c.PushHosts {
			host, err := guard.ParseHost(entry)
			if err != nil {
				return invalid(fmt.Sprintf("push_hosts[%d]", i), "%s", sentence(err))
			}
			app.PushHosts = append(app.PushHosts, host)
		}
	}
	return nil
}

// CreateVAPIDKey makes a new current VAPID key.
func (s *Server) CreateVAPIDKey(ctx context.Context, request CreateVAPIDKeyRequestObject) (CreateVAPIDKeyResponseObject, error) {
	app, err := s.appNamed(ctx, request.App)
	if err != nil {
		return nil, err
	}
	var made store.VAPIDKey
	err = s.change(ctx, app.Name, func(ctx context.Context) (err error) {
		made, err = s.createVAPIDKey(ctx, app.Name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return CreateVAPIDKey201JSONResponse(shownVAPIDKey(made, true)), nil
}

// createVAPIDKey makes a key that is newer than all others by its time, whatever
// became of the clock: the newest is the current one.
func (s *Server) createVAPIDKey(ctx context.Context, app string) (store.VAPIDKey, error) {
	keys, err := s.config.Store.ListVAPIDKeys(ctx, app)
	if err != nil {
		return store.VAPIDKey{}, err
	}
	if len(keys) >= vapidKeysMax {
		return store.VAPIDKey{}, problem{
			status: http.StatusConflict, code: "too_many_vapid_keys",
			detail: fmt.Sprintf("The app has %d VAPID keys, and may have no more: none is removed, for browsers may have subscribed with it. Go on with the current one.", vapidKeysMax),
		}
	}
	key := store.VAPIDKey{App: app, CreatedAt: time.Now().Truncate(time.Millisecond)}
	if len(keys) > 0 && !key.CreatedAt.After(keys[0].CreatedAt) {
		key.CreatedAt = keys[0].CreatedAt.Add(time.Millisecond)
	}
	if key.Public, key.Private, err = webpush.GenerateKey(); err != nil {
		return store.VAPIDKey{}, err
	}
	return key, s.config.Store.CreateVAPIDKey(ctx, key)
}

// appNamed is the app that a request of an admin's means: the caller's own or,
// for the operator, any.
func (s *Server) appNamed(ctx context.Context, name string) (tenant, error) {
	who := callerOf(ctx)
	if name != who.app && !who.operator() {
		return tenant{}, operatorOnly("app", "This API key is of another app, and only the operator may act for any: use an admin key of the app itself, or of the app default.")
	}
	app, err := s.apps.get(name)
	if errors.Is(err, store.ErrNotFound) {
		return tenant{}, problem{
			status: http.StatusNotFound, code: "no_such_app", field: "app",
			detail: "There is no app of this name. GET /v1/apps lists those that there are.",
		}
	}
	return app, err
}

func (s *Server) shownApp(app tenant) App {
	shown := App{
		Name: app.Name, CreatedAt: app.CreatedAt.UTC(), VapidSubject: app.VAPIDSubject,
		Origins: append(Origins{}, app.Origins...), PushHosts: append(PushHosts{}, app.PushHosts...),
		VapidKeys: []VAPIDKey{}, Credentials: []Credential{}, Webhooks: s.webhooksOf(app),
	}
	for i, key := range app.vapidKeys {
		shown.VapidKeys = append(shown.VapidKeys, shownVAPIDKey(key, i == 0))
	}
	for _, c := range app.credentials {
		shown.Credentials = append(shown.Credentials, c.shown())
	}
	return shown
}

func shownVAPIDKey(key store.VAPIDKey, current bool) VAPIDKey {
	return VAPIDKey{PublicKey: push.EncodeBase64(key.Public), CreatedAt: key.CreatedAt.UTC(), Current: current}
}

package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/api/webhook"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

const (
	webhooksMax     = 5  // of one app
	webhookTypesMax = 50 // types of event that one names
)

// PutWebhook has an app's events sent to a URL, in the place of the app's webhook
// of this name if there is one.
func (s *Server) PutWebhook(ctx context.Context, request PutWebhookRequestObject) (PutWebhookResponseObject, error) {
	app, err := s.appNamed(ctx, request.App)
	if err != nil {
		return nil, err
	}
	if err := checkName(request.Name); err != nil {
		return nil, err
	}
	given, err := s.webhookOf(request.Body)
	if err != nil {
		return nil, err
	}
	if given.Private && !callerOf(ctx).operator() {
		return nil, operatorOnly("private", "Only the operator may have events sent into the operator's own network: use an admin key of the app default.")
	}
	given.App, given.Name = app.Name, request.Name
	var created bool
	answer := CreatedWebhook{}
	err = s.change(ctx, app.Name, func(ctx context.Context) error {
		current, err := s.apps.get(app.Name)
		if err != nil {
			return err
		}
		before, replaces := current.webhook(given.Name)
		if !replaces && len(current.webhooks) >= webhooksMax {
			return tooManyWebhooks
		}
		if given.Secret == nil && replaces {
			given.Secret = before.Secret
		} else if given.Secret == nil {
			given.Secret = webhook.MakeSecret()
		}
		if !replaces || !slices.Equal(given.Secret, before.Secret) {
			answer.Secret = webhook.FormatSecret(given.Secret)
		}
		given.CreatedAt = time.Now().Truncate(time.Millisecond)
		if !given.CreatedAt.After(before.CreatedAt) { // whatever became of the clock, it is told from the one before by this
			given.CreatedAt = before.CreatedAt.Add(time.Millisecond)
		}
		given.After = s.config.System.LatestEvent()
		created, err = s.config.Store.PutWebhook(ctx, given)
		return err
	})
	if err != nil {
		return nil, err
	}
	answer.Webhook = shownWebhook(given, actors.WebhookState{State: webhookIdle})
	if created {
		return PutWebhook201JSONResponse(answer), nil
	}
	return PutWebhook200JSONResponse(answer), nil
}

var tooManyWebhooks = problem{
	status: http.StatusConflict, code: "too_many_webhooks", field: "name",
	detail: fmt.Sprintf("The app has %d webhooks, and may have no more. Replace one of them, or remove it first.", webhooksMax),
}

// webhookOf is a webhook as it was given, checked.
func (s *Server) webhookOf(body *NewWebhook) (given store.Webhook, err error) {
	if s.config.EventRetention < 0 {
		return given, problem{
			status: http.StatusConflict, code: "events_off",
			detail: "This Belfry keeps no events, so there is nothing to send. The operator can change that with BELFRY_EVENT_RETENTION.",
		}
	}
	given.URL, given.Private = body.Url, body.Private
	if err := s.config.Webhooks.Check(body.Url, body.Private); err != nil {
		return given, err
	}
	if n := len(body.Types); n > webhookTypesMax {
		return given, invalid("types", "These are %d types. Leave types out to have all events sent.", n)
	}
	for i, name := range body.Types {
		t, err := push.ParseEventType(name)
		if err != nil {
			return given, invalid(fmt.Sprintf("types[%d]", i), "%s GET /openapi.yaml lists those that there are, under Event.", sentence(err))
		}
		given.Types = append(given.Types, t)
	}
	slices.Sort(given.Types)
	given.Types = slices.Compact(given.Types)
	if body.Secret != "" {
		given.Secret, err = webhook.ParseSecret(body.Secret)
	}
	return given, err
}

// DeleteWebhook removes a webhook. A call that is under way is cut off.
func (s *Server) DeleteWebhook(ctx context.Context, request DeleteWebhookRequestObject) (DeleteWebhookResponseObject, error) {
	app, err := s.appNamed(ctx, request.App)
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, app.Name, func(ctx context.Context) error {
		current, err := s.apps.get(app.Name)
		if err != nil {
			return err
		}
		if _, ok := current.webhook(request.Name); !ok {
			return noSuchWebhook
		}
		return s.config.Store.DeleteWebhook(ctx, app.Name, request.Name)
	})
	if err != nil {
		return nil, err
	}
	return DeleteWebhook204Response{}, nil
}

var noSuchWebhook = problem{
	status: http.StatusNotFound, code: "not_found", field: "name",
	detail: "The app has no webhook of this name. GET /v1/apps/{app} lists those that it has.",
}

// TestWebhook sends a webhook a message without events. It changes nothing: one
// that has ended stays so. Those of one app are sent one at a time: otherwise one
// app's admin, with a receiver that does not answer, uses up the connections that
// all apps have to push services.
func (s *Server) TestWebhook(ctx context.Context, request TestWebhookRequestObject) (TestWebhookResponseObject, error) {
	app, err := s.appNamed(ctx, request.App)
	if err != nil {
		return nil, err
	}
	tested, ok := app.webhook(request.Name)
	if !ok {
		return nil, noSuchWebhook
	}
	waiting, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	done, err := s.tests.take(waiting, app.Name)
	if err != nil {
		return nil, errTesting
	}
	defer done()
	began := time.Now()
	result := s.config.Webhooks.Test(ctx, tested)
	return TestWebhook200JSONResponse{
		Taken: result.Taken, Status: result.Status, Reason: result.Reason, TookMs: int(time.Since(began).Milliseconds()),
	}, nil
}

var errTesting = problem{
	status: http.StatusServiceUnavailable, code: "busy", retryAfter: turnTimeout,
	detail: "Another test of the app's webhooks is under way. Nothing was sent; try it again after the time in Retry-After.",
}

// webhook finds one by name.
func (t tenant) webhook(name string) (found store.Webhook, ok bool) {
	i := slices.IndexFunc(t.webhooks, func(w store.Webhook) bool { return w.Name == name })
	if i < 0 {
		return store.Webhook{}, false
	}
	return t.webhooks[i], true
}

// The states of a webhook that its actor does not tell.
const (
	webhookIdle    = "idle"    // it was made just now
	webhookUnknown = "unknown" // its actor does not answer
)

// webhooksOf are an app's webhooks as an answer shows them.
func (s *Server) webhooksOf(app tenant) []Webhook {
	shown := make([]Webhook, len(app.webhooks))
	if len(shown) == 0 {
		return shown
	}
	states, err := s.config.System.WebhookStates(app.Name)
	if err != nil {
		s.config.Log.Warn("webhooks do not tell how they are", "app", app.Name, "error", err)
	}
	for i, w := range app.webhooks {
		state, ok := states[w.Name]
		switch {
		case err != nil:
			state.State = webhookUnknown
		case !ok:
			state.State = webhookIdle
		}
		shown[i] = shownWebhook(w, state)
	}
	return shown
}

func shownWebhook(w store.Webhook, state actors.WebhookState) Webhook {
	shown := Webhook{
		Name: w.Name, Url: shownURL(w.URL), Types: make([]string, len(w.Types)), Private: w.Private, CreatedAt: w.CreatedAt.UTC(),
		State: state.State, Reason: state.Reason, Attempts: state.Attempts,
		NextAttemptAt: utc(state.NextAttempt), BehindSince: utc(state.BehindSince),
	}
	for i, t := range w.Types {
		shown.Types[i] = t.String()
	}
	return shown
}

// shownURL is where a webhook's URL leads, without what of it may be a secret: chat
// services have theirs in the path, some in its first segment.
func shownURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	shown := u.Scheme + "://" + u.Host
	switch {
	case u.Path != "" && u.Path != "/", u.RawQuery != "":
		return shown + "/…"
	default:
		return shown + u.Path
	}
}

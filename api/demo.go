package api

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"time"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
)

// demoPrefix begins the id of every user that the demo makes. The demo sends
// to no other.
const demoPrefix = "demo-"

// demoSession asks for a token for a demo user.
type demoSession struct {
	User string `json:"user"` // the one of an earlier visit; empty for a new one
}

// demoNotification is what the demo's visitor sends to themselves.
type demoNotification struct {
	Title string `json:"title"`
	Body  string `json:"body"`
	URL   string `json:"url"`
	Tag   string `json:"tag"`
}

// serveDemo serves the page on which a person subscribes and sends to
// themselves, with what a backend would do for them.
func (s *Server) serveDemo(mux *http.ServeMux) {
	if !s.config.Demo {
		return
	}
	serve(mux, demoFiles)
	mux.Handle("GET /{$}", http.RedirectHandler("/demo", http.StatusFound))
	mux.HandleFunc("POST /demo/session", s.answer(http.StatusOK, s.startDemo))
	mux.HandleFunc("POST /demo/notifications", s.answer(http.StatusAccepted, s.sendDemo))
	mux.HandleFunc("GET /demo/notifications/{id}", s.answer(http.StatusOK, s.followDemo))
}

func (s *Server) answer(status int, do func(http.ResponseWriter, *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := do(w, r)
		if err != nil {
			s.writeError(w, r, err)
			return
		}
		writeJSON(w, status, body)
	}
}

func (s *Server) startDemo(w http.ResponseWriter, r *http.Request) (any, error) {
	if origin := r.Header.Get("Origin"); origin != "" && !sameOrigin(origin, r) {
		return nil, problem{status: http.StatusForbidden, code: "origin_not_allowed", detail: "The demo is for its own page."}
	}
	var body demoSession
	if _, err := readJSON(w, r, &body); err != nil {
		return nil, err
	}
	if body.User == "" {
		body.User = demoPrefix + strings.ToLower(rand.Text()[:12])
	}
	if !strings.HasPrefix(body.User, demoPrefix) || !push.ValidUserID(body.User) {
		return nil, invalid("user", "A demo user's id begins with %s.", demoPrefix)
	}
	token, expires := makeUserToken(s.tenants[push.DefaultApp].App, body.User, time.Now(), tokenMax)
	return struct {
		User      string    `json:"user"`
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
	}{body.User, token, expires.UTC()}, nil
}

// demoUser is whose token the request bears, if the demo made it.
func (s *Server) demoUser(r *http.Request) (push.User, error) {
	who, err := s.identify(r, userToken)
	if err != nil {
		return push.User{}, err
	}
	if !strings.HasPrefix(who.user, demoPrefix) || !who.renewal.IsZero() {
		return push.User{}, errBadToken
	}
	return push.User{App: who.app, ID: who.user}, nil
}

func (s *Server) sendDemo(w http.ResponseWriter, r *http.Request) (any, error) {
	user, err := s.demoUser(r)
	if err != nil {
		return nil, err
	}
	var body demoNotification
	if _, err := readJSON(w, r, &body); err != nil {
		return nil, err
	}
	draft, err := draftOf(&NewNotifications{Title: body.Title, Body: body.Body, Url: body.URL, Tag: body.Tag})
	if err != nil {
		return nil, err
	}
	draft.User = user
	drafts := []actors.Draft{draft}
	ids, err := s.config.System.Notify(drafts)
	if err != nil {
		return nil, err
	}
	return acceptance(drafts, ids), nil
}

func (s *Server) followDemo(_ http.ResponseWriter, r *http.Request) (any, error) {
	user, err := s.demoUser(r)
	if err != nil {
		return nil, err
	}
	id, err := push.ParseID(r.PathValue("id"))
	if err != nil {
		return nil, invalid("id", "%s.", err)
	}
	return s.fateOf(r.Context(), user, id)
}

// fateOf is fate for a notification of this user alone.
func (s *Server) fateOf(ctx context.Context, user push.User, id push.ID) (Notification, error) {
	answer, err := s.fate(ctx, user.App, id)
	if err == nil && answer.User != user.ID {
		return Notification{}, errNotFound
	}
	return answer, err
}

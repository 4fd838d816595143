package api

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// Demo says to whom the demo is served.
type Demo uint8

// To whom the demo is served.
const (
	DemoOff    Demo = iota // to nobody
	DemoLocal              // to browsers on this machine that come without a proxy
	DemoPublic             // to everybody
)

const (
	demoPrefix = "demo-" // begins the id of every user that the demo makes
	demoRate   = 5       // sessions and notifications per second, of all visitors together
	demoBurst  = 20
)

// newDemoUser makes a user's id that nobody can guess, and that demoMade knows
// again: the demo gives tokens for no others.
func newDemoUser(app store.App) string {
	name := demoPrefix + strings.ToLower(rand.Text()[:12])
	return name + "-" + demoMark(app, name)
}

// demoMade tells whether the demo made this user.
func demoMade(app store.App, user string) bool {
	cut := strings.LastIndexByte(user, '-')
	return strings.HasPrefix(user, demoPrefix) && cut > len(demoPrefix) &&
		hmac.Equal([]byte(user[cut+1:]), []byte(demoMark(app, user[:cut])))
}

func demoMark(app store.App, name string) string {
	mac := hmac.New(sha256.New, app.TokenSecret)
	mac.Write([]byte("demo user " + name))
	return hex.EncodeToString(mac.Sum(nil)[:6])
}

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
	if s.config.Demo == DemoOff {
		return
	}
	demo := http.NewServeMux()
	serve(demo, demoFiles)
	demo.HandleFunc("POST /demo/session", s.limited(http.StatusOK, s.startDemo))
	demo.HandleFunc("POST /demo/notifications", s.limited(http.StatusAccepted, s.sendDemo))
	demo.HandleFunc("GET /demo/notifications/{id}", s.answer(http.StatusOK, s.followDemo))
	guarded := s.localOnly(s.problems(demo))
	mux.Handle("/demo", guarded)
	mux.Handle("/demo/", guarded)
	mux.Handle("GET /{$}", s.localOnly(http.RedirectHandler("/demo", http.StatusFound)))
}

// localOnly keeps a demo that nobody asked for to this machine: a proxy may
// publish what listens on loopback, and a name of a stranger's may resolve to
// it (DNS rebinding).
func (s *Server) localOnly(next http.Handler) http.Handler {
	if s.config.Demo == DemoPublic {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		address := net.ParseIP(host)
		local := host == "localhost" || address != nil && address.IsLoopback()
		if !local || r.Header.Get("Forwarded") != "" || r.Header.Get("X-Forwarded-For") != "" {
			writeProblem(w, problem{
				status: http.StatusNotFound, code: "no_demo",
				detail: "The demo is for browsers on this machine. To serve it to everybody, start Belfry with --demo.",
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// limited is answer for what costs something, to visitors who need no key.
func (s *Server) limited(status int, do func(http.ResponseWriter, *http.Request) (any, error)) http.HandlerFunc {
	limit := rate.NewLimiter(demoRate, demoBurst)
	return s.answer(status, func(w http.ResponseWriter, r *http.Request) (any, error) {
		if !limit.Allow() {
			return nil, problem{
				status: http.StatusTooManyRequests, code: "too_many_requests", retryAfter: time.Second,
				detail: "The demo is busy. Try again in a second.",
			}
		}
		return do(w, r)
	})
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
	if _, err := readJSON(w, r, &body, maxBody); err != nil {
		return nil, err
	}
	app, err := s.apps.get(push.DefaultApp)
	if err != nil {
		return nil, err
	}
	if body.User == "" {
		body.User = newDemoUser(app.App)
	}
	if !demoMade(app.App, body.User) {
		return nil, invalid("user", "The demo did not make this user. Leave user out to be a new one.")
	}
	token, expires, err := s.userToken(r.Context(), app, body.User, tokenMax)
	if err != nil {
		return nil, err
	}
	return struct {
		User      string    `json:"user"`
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
	}{body.User, token, expires.UTC()}, nil
}

// demoUser is whose token the request bears, if the demo made it.
func (s *Server) demoUser(r *http.Request) (push.User, tenant, error) {
	who, err := s.identify(r, userToken)
	if err != nil {
		return push.User{}, tenant{}, err
	}
	app, err := s.apps.get(who.app)
	if err != nil {
		return push.User{}, tenant{}, err
	}
	if !demoMade(app.App, who.user) || !who.renewal.IsZero() {
		return push.User{}, tenant{}, errBadToken
	}
	return push.User{App: who.app, ID: who.user}, app, s.admit(r.Context(), who, s.followers)
}

func (s *Server) sendDemo(w http.ResponseWriter, r *http.Request) (any, error) {
	user, app, err := s.demoUser(r)
	if err != nil {
		return nil, err
	}
	var body demoNotification
	if _, err := readJSON(w, r, &body, maxBody); err != nil {
		return nil, err
	}
	draft, err := s.draftOf(app, &NewNotifications{
		Title: body.Title, Body: body.Body, Url: body.URL, Tag: body.Tag, Receipts: []string{"shown", "clicked", "closed"},
	})
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
	user, _, err := s.demoUser(r)
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

package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// Store is what the API reads and keeps by itself. Whatever concerns work or
// subscriptions goes through actors.System.
type Store interface {
	store.Apps
	store.APIKeys
	store.VAPIDKeys
	store.Credentials
	ListSubscriptions(ctx context.Context, users []push.User) (map[push.User][]push.Subscription, error)
	GetNotification(ctx context.Context, app string, id push.ID) (store.Record, error)
	Ping(ctx context.Context) error
}

// Config says what a Server works with.
type Config struct {
	Store     Store                      // required
	Directory *Directory                 // required: the apps in the Store
	System    *actors.System             // required
	Checkers  map[push.Kind]push.Checker // required: what can be sent, by kind of push service, of which none may be missing
	Log       *slog.Logger               // internal errors; default: nothing
	Demo      Demo                       // to whom /demo is served; default: to nobody
	Metrics   prometheus.Gatherer        // what GET /metrics shows; without it, that is 404

	// Changed is called after an app was changed, or may have been, once the
	// Directory has it as it is now: before the change is answered, or, where the
	// Directory could not be told then, when it was. Calls for one app follow one
	// another. Default: nothing.
	Changed func(Change)
}

func (c *Config) validate() error {
	switch {
	case c.Store == nil:
		return errors.New("Config.Store is missing")
	case c.Directory == nil:
		return errors.New("Config.Directory is missing")
	case c.System == nil:
		return errors.New("Config.System is missing")
	}
	for _, kind := range []push.Kind{push.WebPush, push.APNs, push.FCM} {
		if c.Checkers[kind] == nil {
			return fmt.Errorf("Config.Checkers has none for %s", kind)
		}
	}
	return nil
}

// Server answers the API. Its handler may serve from many goroutines.
type Server struct {
	config  Config
	apps    *Directory
	turns   *turns
	retries *retries
	keys    keyCache
}

// New makes a Server. It is to be closed.
func New(config Config) (*Server, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Changed == nil {
		config.Changed = func(Change) {}
	}
	return &Server{config: config, apps: config.Directory, turns: newTurns(), retries: newRetries()}, nil
}

// Handler serves the API, the browser's files and, if configured, the demo.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	strict := NewStrictHandlerWithOptions(s, nil, StrictHTTPServerOptions{
		RequestErrorHandlerFunc:  s.writeError,
		ResponseErrorHandlerFunc: s.writeError,
	})
	HandlerWithOptions(strict, StdHTTPServerOptions{
		BaseRouter:       mux,
		Middlewares:      []MiddlewareFunc{s.decodeStrictly, s.authorise},
		ErrorHandlerFunc: s.writeError,
	})
	mux.Handle("GET /debug/actors/{path...}", withSlashes(mux))
	s.serveFiles(mux)
	s.serveDemo(mux)
	s.servePreflight(mux)
	return s.recovered(s.problems(mux))
}

// Waiting answers for a process that cannot serve yet: it is alive, but not
// ready, for the reason given.
func Waiting(reason string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, Health{Status: "ok", Reasons: []string{}})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		writeUnready(w, []string{reason})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, problem{
			status: http.StatusServiceUnavailable, code: "standby", retryAfter: 5 * time.Second,
			detail: "This process does not serve yet: " + reason + ". Send the request to the active one, or again later.",
		})
	})
	return mux
}

// GetHealth says that the process is alive.
func (s *Server) GetHealth(context.Context, GetHealthRequestObject) (GetHealthResponseObject, error) {
	return GetHealth200JSONResponse{Status: "ok", Reasons: []string{}}, nil
}

const pingTimeout = 2 * time.Second // for the store to answer a readiness check

// GetReadiness says whether work can be taken.
func (s *Server) GetReadiness(ctx context.Context, _ GetReadinessRequestObject) (GetReadinessResponseObject, error) {
	reasons := []string{}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := s.config.Store.Ping(ctx); err != nil {
		s.config.Log.WarnContext(ctx, "the store does not answer", "error", err)
		reasons = append(reasons, "the store does not answer")
	}
	if s.config.System.Draining() {
		reasons = append(reasons, "it is shutting down")
	}
	if s.config.System.Err() != nil {
		reasons = append(reasons, "the supervision tree gave up; the log says why")
	}
	if len(reasons) > 0 {
		return GetReadiness503JSONResponse{Status: "unavailable", Reasons: reasons}, nil
	}
	return GetReadiness200JSONResponse{Status: "ok", Reasons: reasons}, nil
}

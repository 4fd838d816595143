package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/api/webhook"
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
	store.Webhooks
	store.TokenRevocations
	ListSubscriptions(ctx context.Context, users []push.User) (map[push.User][]push.Subscription, error)
	GetNotification(ctx context.Context, app string, id push.ID) (store.Record, error)
	ListRecent(ctx context.Context, user push.User, limit int) (store.Recent, error)
	ListAttempts(ctx context.Context, app string, notification push.ID) ([]push.Event, error)
	Ping(ctx context.Context) error
	Lost() <-chan struct{}
}

// Config says what a Server works with.
type Config struct {
	Store     Store                      // required
	Directory *Directory                 // required: the apps in the Store
	System    *actors.System             // required
	Checkers  map[push.Kind]push.Checker // required: what can be sent, by kind of push service, of which none may be missing
	Webhooks  *webhook.Caller            // required: how webhooks are checked, and tested; the System's may be around it
	Log       *slog.Logger               // internal errors; default: nothing
	Demo      Demo                       // to whom /demo is served; default: to nobody
	Metrics   prometheus.Gatherer        // what GET /metrics shows; without it, that is 404
	KeyRate   int                        // what a key without a rate of its own may do a second; default: anything
	Version   string                     // of the program, for GET /debug/overview
	Observe   func(Request)              // gets every request that was answered, from many goroutines, and must not block; default: nothing
	Traces    bool                       // notifications keep the trace context that they are sent in, if it is sampled

	// Known is called with a request that turned out to be of who has an API key,
	// before its body is read. Default: nothing.
	Known func(*http.Request)

	EventRetention time.Duration // as actors.Config has it; default 3 days, negative for keeping no events

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
	case c.Webhooks == nil:
		return errors.New("Config.Webhooks is missing")
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
	tests   *turns // of webhooks
	retries *retries
	keys    *keyring
	seats   *seats
	quiet   *quiet
	spent   *spent
	pings   *pings

	// Limits of those who have no API key.
	visitors  *allowances[push.User] // who come with a user token
	followers *allowances[push.User] // the demo's visitors
	receipts  *allowances[receiptOf]
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
	if config.Known == nil {
		config.Known = func(*http.Request) {}
	}
	config.EventRetention = cmp.Or(config.EventRetention, 3*24*time.Hour)
	return &Server{
		config: config, apps: config.Directory, turns: newTurns(), tests: newTurns(), retries: newRetries(), keys: newKeyring(config.KeyRate), seats: newSeats(), quiet: newQuiet(config.EventRetention),
		spent:     newSpent(),
		pings:     &pings{ask: config.ping},
		visitors:  newAllowances[push.User](tokenRate, tokenBurst),
		followers: newAllowances[push.User](followRate, followBurst),
		receipts:  newAllowances[receiptOf](receiptRate, receiptBurst),
	}, nil
}

// routes are what there is to be served.
func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	strict := NewStrictHandlerWithOptions(s, []StrictMiddlewareFunc{withRequest}, StrictHTTPServerOptions{
		RequestErrorHandlerFunc:  s.writeError,
		ResponseErrorHandlerFunc: s.writeError,
	})
	HandlerWithOptions(strict, StdHTTPServerOptions{
		BaseRouter:       mux,
		Middlewares:      []MiddlewareFunc{s.decodeStrictly, s.authorise},
		ErrorHandlerFunc: s.writeError,
	})
	mux.Handle(slashedActor, withSlashes(mux))
	s.serveFiles(mux)
	serveDebug(mux)
	s.serveDemo(mux)
	s.servePreflight(mux)
	return mux
}

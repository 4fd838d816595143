package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// GetHealth says that the process is alive.
func (s *Server) GetHealth(context.Context, GetHealthRequestObject) (GetHealthResponseObject, error) {
	return GetHealth200JSONResponse{Status: "ok", Reasons: []string{}}, nil
}

// GetReadiness says whether work can be taken, and if not, what to do.
func (s *Server) GetReadiness(ctx context.Context, _ GetReadinessRequestObject) (GetReadinessResponseObject, error) {
	reasons := []string{}
	select {
	case <-s.config.Store.Lost():
		reasons = append(reasons, "The connection that makes this the active process broke, so another one may be: wait, for it tries to be active again by itself.")
	default:
	}
	if err := s.pings.answer(ctx); err != nil && ctx.Err() == nil {
		reasons = append(reasons, "The store does not answer: see that the database runs and can be reached. The log has its error.")
	}
	reasons = append(reasons, s.config.System.Health()...)
	if len(reasons) > 0 {
		return GetReadiness503JSONResponse{Status: "unavailable", Reasons: reasons}, nil
	}
	return GetReadiness200JSONResponse{Status: "ok", Reasons: reasons}, nil
}

// ping asks the store whether it answers.
func (c *Config) ping(ctx context.Context) error {
	err := c.Store.Ping(ctx)
	if err != nil {
		c.Log.WarnContext(ctx, "the store does not answer", "error", err)
	}
	return err
}

// Waiting answers for a process that cannot serve yet: it is alive, but not
// ready, for the reason given.
func Waiting(reason string) http.Handler { return secured(waiting(reason)) }

func waiting(reason string) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, Health{Status: "ok", Reasons: []string{}})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		writeUnready(w, []string{sentence(errors.New(reason))})
	})
	serveDebug(mux) // which says what it is told here
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, errWaiting(reason))
	})
	return mux
}

func errWaiting(reason string) problem {
	return problem{
		status: http.StatusServiceUnavailable, code: "standby", retryAfter: 5 * time.Second,
		detail: "This process does not serve yet: " + reason + ". Send the request to the active one, or again later.",
	}
}

// Standby is Waiting that shows its metrics, to keys of the operator that the
// store knows. It remembers none of them: it is not told of those that end.
func Standby(reason string, keys store.APIKeys, metrics prometheus.Gatherer, log *slog.Logger) http.Handler {
	mux := waiting(reason)
	ring := newKeyring(0)
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		if err := ring.checkOperator(r, keys); err != nil {
			p, internal := problemOf(err)
			if internal { // the store's schema may be another, too
				p = errWaiting(reason)
			}
			writeProblem(w, p)
			return
		}
		text, err := encodeMetrics(r.Context(), metrics, log)
		if err == nil {
			err = text.VisitGetMetricsResponse(w)
		}
		if err != nil {
			log.WarnContext(r.Context(), "the metrics cannot be shown", "error", err)
		}
	})
	return secured(mux)
}

// checkOperator tells whether a request bears a key of the operator's that may read.
func (r *keyring) checkOperator(request *http.Request, keys store.APIKeys) error {
	secret, given := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer ")
	if !given {
		return errUnauthorized
	}
	ctx, cancel := context.WithTimeout(request.Context(), lookupTimeout)
	defer cancel()
	key, err := r.lookUp(ctx, keys, sha256.Sum256([]byte(secret)))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return errUnauthorized
	case err != nil:
		return err
	case key.App != push.DefaultApp:
		return errOperatorOnly
	case !slices.Contains(key.Scopes, string(scopeRead)) && !slices.Contains(key.Scopes, string(scopeAdmin)):
		return lacksScope(scopeRead)
	}
	return nil
}

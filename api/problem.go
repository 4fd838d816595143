package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// problem is an error as the caller gets to see it (RFC 9457).
type problem struct {
	status     int
	code       string        // stable, for programs
	detail     string        // what is wrong and what to do: a sentence or two
	field      string        // a path into the request; empty if it is about none
	retryAfter time.Duration // the Retry-After header; 0 for none
	allow      string        // the Allow header, with 405
}

func (p problem) Error() string { return p.code + ": " + p.detail }

// invalid is a problem of one field of the request.
func invalid(field, format string, args ...any) problem {
	return problem{status: http.StatusBadRequest, code: "invalid_field", field: field, detail: fmt.Sprintf(format, args...)}
}

// operatorOnly is a problem of what other apps' keys may not do.
func operatorOnly(field, detail string) problem {
	return problem{status: http.StatusForbidden, code: "operator_only", field: field, detail: detail}
}

// sentence makes one of an error that says what is wrong and what to do.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// Problems that are the same wherever they occur.
var (
	errUnauthorized = problem{
		status: http.StatusUnauthorized, code: "unauthorized",
		detail: "Give a valid API key or user token in the header Authorization: Bearer <key>.",
	}
	errOperatorOnly = operatorOnly("", "This concerns all apps, so it is for the operator alone: use a key of the app default.")
	errNotFound     = problem{
		status: http.StatusNotFound, code: "not_found",
		detail: "There is nothing here under this name.",
	}
)

// errClientGone is the answer to who does not wait for it: nobody sees it, but it
// is counted. Its status is what others log for this, nginx first.
var errClientGone = problem{status: 499, code: "client_gone", detail: "The connection was closed before the answer."}

// problemOf maps an error to what the caller gets to see. The text of an
// internal error goes to the log alone.
func problemOf(err error) (p problem, internal bool) {
	var param *InvalidParamFormatError
	var required *RequiredParamError
	var tooMany *TooManyValuesForParamError
	var unfit *push.InvalidError
	var tooLarge *push.TooLargeError
	switch {
	case errors.As(err, &p):
		return p, false
	case errors.As(err, &unfit):
		return invalid(unfit.Field, "%s", unfit.Detail), false
	case errors.As(err, &tooLarge):
		return problem{
			status: http.StatusRequestEntityTooLarge, code: "payload_too_large",
			detail: fmt.Sprintf("The %s message is %d bytes long; push services take %d. Shorten body or data: send an id there and have the page or app fetch the rest.", tooLarge.Kind, tooLarge.Bytes, tooLarge.Max),
		}, false
	case errors.As(err, &param):
		return invalid(param.ParamName, "The parameter %s is not of the form that openapi.yaml gives for it.", param.ParamName), false
	case errors.As(err, &required):
		return invalid(required.ParamName, "The parameter %s is required.", required.ParamName), false
	case errors.As(err, &tooMany):
		return invalid(tooMany.ParamName, "Give the parameter %s once.", tooMany.ParamName), false
	case errors.Is(err, store.ErrNotFound):
		return errNotFound, false
	case errors.Is(err, actors.ErrNoActor):
		return problem{
			status: http.StatusNotFound, code: "no_such_actor", field: "path",
			detail: "There is no actor at this path now: it has left, or never was. GET /debug/actors lists those that are.",
		}, false
	case errors.Is(err, actors.ErrKeyReused):
		return problem{
			status: http.StatusUnprocessableEntity, code: "idempotency_key_reused", field: "Idempotency-Key",
			detail: "This Idempotency-Key was used for another request in the last 24 hours. Use a new key for a new request.",
		}, false
	case errors.Is(err, actors.ErrOverloaded):
		return problem{
			status: http.StatusServiceUnavailable, code: "overloaded", retryAfter: time.Second,
			detail: "More is waiting to be accepted than the store can take. Nothing was accepted; send it again after the time in Retry-After.",
		}, false
	case errors.Is(err, actors.ErrBacklogFull):
		return problem{
			status: http.StatusTooManyRequests, code: "backlog_full", retryAfter: 10 * time.Second,
			detail: "As much as Belfry is configured to hold (BELFRY_MAX_BACKLOG) waits to be delivered. Nothing was accepted; send it again after the time in Retry-After.",
		}, false
	case errors.Is(err, actors.ErrDraining):
		return problem{
			status: http.StatusServiceUnavailable, code: "draining", retryAfter: 5 * time.Second,
			detail: "Belfry is shutting down. Nothing was accepted; send it again after the time in Retry-After.",
		}, false
	case errors.Is(err, actors.ErrUnavailable):
		return problem{
			status: http.StatusServiceUnavailable, code: "unavailable", retryAfter: 2 * time.Second,
			detail: "The store does not answer as it should. Nothing was promised, though it may have been done: send it again after the time in Retry-After, with the same Idempotency-Key if it sends.",
		}, true
	default:
		return problem{
			status: http.StatusInternalServerError, code: "internal",
			detail: "Something failed inside Belfry; its log says what. The request may or may not have taken effect.",
		}, true
	}
}

// stored makes ErrUnavailable of a store's error that says only that it could
// not do it now.
func stored(err error) error {
	if err == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrExists) {
		return err
	}
	return fmt.Errorf("%w: %w", actors.ErrUnavailable, err)
}

func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	p, internal := problemOf(err)
	switch {
	case !internal:
	case r.Context().Err() != nil: // then this is the likely cause, and no fault of Belfry's
		s.config.Log.DebugContext(r.Context(), "a client has gone before it was answered", "pattern", r.Pattern, "error", err)
		p = errClientGone
	default:
		s.config.Log.ErrorContext(r.Context(), "request failed", "pattern", r.Pattern, "error", err)
	}
	writeProblem(w, p)
}

func writeProblem(w http.ResponseWriter, p problem) {
	header := w.Header()
	if p.retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	if p.allow != "" {
		header.Set("Allow", p.allow)
	}
	if p.status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", `Bearer realm="belfry"`)
	}
	noteProblem(w, p.code)
	write(w, p.status, "application/problem+json", p.shown())
}

// shown is the problem as an answer, or a part of one, shows it.
func (p problem) shown() Problem {
	return Problem{
		Type:   "about:blank",
		Title:  http.StatusText(p.status),
		Status: p.status,
		Detail: p.detail,
		Code:   p.code,
		Field:  p.field,
	}
}

func writeUnready(w http.ResponseWriter, reasons []string) {
	writeJSON(w, http.StatusServiceUnavailable, Health{Status: "unavailable", Reasons: reasons})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	write(w, status, "application/json", body)
}

func write(w http.ResponseWriter, status int, contentType string, body any) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		panic(fmt.Errorf("encode %T: %w", body, err)) // our own types encode
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	w.Write(buffer.Bytes()) //nolint:errcheck // the caller has gone
}

// problems gives the mux's own answers, no such path and no such method, the
// form of all others.
func (s *Server) problems(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if forBrowsers[r.URL.Path] {
			s.setAllowOrigin(w, r)
		}
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		if allowed := allowedMethods(mux, r); allowed != "" {
			writeProblem(w, problem{
				status: http.StatusMethodNotAllowed, code: "method_not_allowed", allow: allowed,
				detail: "This path does not take " + r.Method + ". It takes " + allowed + ".",
			})
			return
		}
		writeProblem(w, problem{
			status: http.StatusNotFound, code: "no_such_path",
			detail: "There is no such path. GET /openapi.yaml lists all of them.",
		})
	})
}

// recovered answers for a handler that panicked, and logs it. A client that
// has gone away is none.
func (s *Server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch reason := recover(); reason {
			case nil:
			case http.ErrAbortHandler:
				panic(reason)
			default:
				s.config.Log.ErrorContext(r.Context(), "a handler panicked", "method", r.Method, "pattern", r.Pattern, "reason", fmt.Sprint(reason), "stack", string(debug.Stack()))
				p, _ := problemOf(fmt.Errorf("%v", reason))
				writeProblem(w, p)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// methods are those that there may be operations of.
var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

func allowedMethods(mux *http.ServeMux, r *http.Request) string {
	var allowed []string
	for _, method := range methods {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != "" {
			allowed = append(allowed, method)
		}
	}
	return strings.Join(allowed, ", ")
}

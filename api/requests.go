package api

import (
	"net/http"
	"strings"
	"time"
)

// Request is one that was answered.
type Request struct {
	Operation string        // its method and path in openapi.yaml, as "GET /v1/config"; empty for a page, a file and what there is not
	Status    int           // of the answer
	Problem   string        // the code of the problem that was the answer; empty if it was none
	Took      time.Duration // from when its header was read until its answer was written
	Held      bool          // the answer was to wait for something to happen, so Took says nothing
}

// observed tells Config.Observe of each request. It stands around all that answers.
func (s *Server) observed(next http.Handler) http.Handler {
	if s.config.Observe == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		answer := &watched{ResponseWriter: w}
		answered := false
		defer func() {
			switch {
			case !answered: // the connection is cut in the middle of the answer
				answer.problem = "cut_off"
			case answer.status == 0: // without a word, which is well
				answer.status = http.StatusOK
			}
			s.config.Observe(Request{
				Operation: operationOf(r), Status: answer.status, Problem: answer.problem, Took: time.Since(began), Held: isHeld(r),
			})
		}()
		next.ServeHTTP(answer, r)
		answered = true
	})
}

// operationOf goes by the pattern that the mux matched.
func operationOf(r *http.Request) string {
	pattern := r.Pattern
	if pattern == slashedActor {
		pattern = strings.Replace(pattern, "...", "", 1)
	}
	if _, ok := operations[pattern]; !ok {
		return ""
	}
	return pattern
}

// isHeld tells long polls and streams from other requests.
func isHeld(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/event-stream") || r.Pattern == "GET /v1/events" && r.URL.Query().Has("wait")
}

// watched remembers what is answered.
type watched struct {
	http.ResponseWriter
	status  int    // 0 until it is known
	problem string // its code
}

// WriteHeader begins the answer.
func (w *watched) WriteHeader(status int) {
	if w.status < http.StatusOK { // what comes before the answer is none
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write writes a part of the answer's body.
func (w *watched) Write(body []byte) (int, error) {
	if w.status < http.StatusOK {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(body)
}

// Unwrap is for http.ResponseController, which flushes and sets deadlines.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// noteProblem says of what kind the answer is.
func noteProblem(w http.ResponseWriter, code string) {
	if watched, ok := w.(*watched); ok {
		watched.problem = code
	}
}

package api

import (
	"net/http"
	"net/http/pprof"
	"strings"
)

// Handler serves the API, the browser's files and, if configured, the demo.
func (s *Server) Handler() http.Handler {
	return s.guarded(s.problems(s.routes()))
}

// PublicHandler is Handler without what is for those who run the service: the
// operations that need an admin's key or are the operator's, the metrics, and all
// under /debug. It is for where strangers come, with AdminHandler elsewhere.
func (s *Server) PublicHandler() http.Handler {
	mux := s.routes()
	public := s.problems(mux)
	return s.guarded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if leadsToAdmins(mux, r) {
			writeProblem(w, problem{
				status: http.StatusNotFound, code: "no_such_path",
				detail: "There is no such path here. What is for operators and admins is served on another address, which BELFRY_ADMIN_LISTEN says.",
			})
			return
		}
		public.ServeHTTP(w, r)
	}))
}

// AdminHandler is Handler with profiles of the process.
func (s *Server) AdminHandler() http.Handler {
	mux := s.routes()
	s.serveProfiles(mux)
	return s.guarded(s.problems(mux))
}

// guarded is what stands around all that answers.
func (s *Server) guarded(next http.Handler) http.Handler {
	return s.observed(secured(s.recovered(next)))
}

// leadsToAdmins tells whether a request, by whatever method, is for what admins
// alone may do.
func leadsToAdmins(mux *http.ServeMux, r *http.Request) bool {
	if _, pattern := mux.Handler(r); pattern != "" {
		return isForAdmins(pattern)
	}
	for _, method := range methods {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); isForAdmins(pattern) {
			return true
		}
	}
	return false
}

func isForAdmins(pattern string) bool {
	op, known := operations[pattern]
	_, path, _ := strings.Cut(pattern, " ")
	return known && (op.needs == scopeAdmin || op.operator) || path == "/debug" || strings.HasPrefix(path, "/debug/")
}

const profiles = "/debug/pprof/"

// serveProfiles serves what Go's runtime tells of the process (net/http/pprof),
// but for its command line, which may have keys in it.
func (s *Server) serveProfiles(mux *http.ServeMux) {
	serve := func(path string, handler http.HandlerFunc) {
		mux.Handle("GET "+path, s.forOperators(handler))
	}
	serve(profiles, pprof.Index)
	serve(profiles+"profile", pprof.Profile)
	serve(profiles+"trace", pprof.Trace)
}

// forOperators is authorise for what is no operation of the API.
func (s *Server) forOperators(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := s.identify(r, scopeAdmin)
		if err == nil && !who.operator() {
			err = errOperatorOnly
		}
		if err != nil {
			s.writeError(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// secured sets the headers that keep browsers from doing more with an answer than
// it is for. What has to have others sets them.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-store") // of users, and some have secrets
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		if forBrowsers[r.URL.Path] {
			header.Set("Cross-Origin-Resource-Policy", "cross-origin") // by whose pages is for checkOrigin to say
		}
		next.ServeHTTP(w, r)
	})
}

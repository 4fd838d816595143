package api

import (
	"net/http"
	"net/url"
)

// allowOrigins lets pages read the answer when some app allows their origin.
// Whether the token's own app does is authorise's to say: until then an error
// must be readable, so that a front-end developer sees what is wrong.
func (s *Server) allowOrigins(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if operations[r.Pattern].browser {
			s.setAllowOrigin(w, r)
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) setAllowOrigin(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" || !s.tenants.allowsOrigin(origin) {
		return false
	}
	w.Header().Set("Access-Control-Allow-Origin", origin)
	return true
}

// servePreflight answers the question that a browser asks before a page's
// request with a token (Fetch standard, "CORS-preflight fetch").
func (s *Server) servePreflight(mux *http.ServeMux) {
	for _, path := range []string{"/v1/me/subscriptions", "/v1/config"} {
		mux.HandleFunc("OPTIONS "+path, func(w http.ResponseWriter, r *http.Request) {
			if s.setAllowOrigin(w, r) {
				w.Header().Set("Access-Control-Allow-Methods", "GET, PUT, DELETE")
				w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
				w.Header().Set("Access-Control-Max-Age", "600")
			}
			w.WriteHeader(http.StatusNoContent)
		})
	}
}

// sameOrigin tells whether the Origin header names the server that the
// request went to. A proxy in front may have ended TLS, so the scheme is not
// compared.
func sameOrigin(origin string, r *http.Request) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && u.Host == r.Host
}

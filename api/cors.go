package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// forBrowsers are the paths that pages of other origins call.
var forBrowsers = map[string]bool{"/v1/me/subscriptions": true, "/v1/config": true}

// setAllowOrigin lets pages read the answer when some app allows their origin.
// Whether the token's own app does is authorise's to say: until then an error
// must be readable, so that a front-end developer sees what is wrong.
func (s *Server) setAllowOrigin(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); s.apps.allowsOrigin(origin) {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Expose-Headers", "Retry-After")
	}
}

// servePreflight answers the question that a browser asks before a page's
// request with a token (Fetch standard, "CORS-preflight fetch").
func (s *Server) servePreflight(mux *http.ServeMux) {
	for path := range forBrowsers {
		mux.HandleFunc("OPTIONS "+path, func(w http.ResponseWriter, _ *http.Request) {
			if w.Header().Get("Access-Control-Allow-Origin") != "" {
				w.Header().Set("Access-Control-Allow-Methods", "GET, PUT, DELETE")
				w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
				w.Header().Set("Access-Control-Max-Age", "600")
			}
			w.WriteHeader(http.StatusNoContent)
		})
	}
}

// CheckOrigin tells whether origin is one as browsers send it in the Origin
// header (RFC 6454 §6.2). The error is a sentence that says what to write.
func CheckOrigin(origin string) error {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || origin != u.Scheme+"://"+u.Host || origin != strings.ToLower(origin) {
		return fmt.Errorf("%q is not a web origin; write it as browsers do, in lower case and without a path: https://app.your.domain", origin)
	}
	return nil
}

// sameOrigin tells whether the Origin header names the server that the
// request went to. A proxy in front may have ended TLS, so the scheme is not
// compared.
func sameOrigin(origin string, r *http.Request) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && u.Host == r.Host
}

package api

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/belfryhq/belfry/push/guard"
)

// forBrowsers are the paths that pages of other origins call.
var forBrowsers = map[string]bool{"/v1/me/subscriptions": true, "/v1/config": true, "/v1/receipts": true}

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
				w.Header().Set("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE")
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
	wrong := func(remedy string) error { return fmt.Errorf("%q is not a web origin; %s", origin, remedy) }
	scheme, host, _ := strings.Cut(origin, "://")
	port := ownPort[scheme]
	switch {
	case strings.Contains(origin, "*"):
		return wrong("write each one by itself, without *")
	case strings.ContainsFunc(origin, func(r rune) bool { return r >= utf8.RuneSelf }):
		return wrong("write the host in punycode, as browsers do: https://xn--bcher-kva.example")
	case port != "" && strings.HasSuffix(host, port):
		return wrong("leave the scheme's own port out, as browsers do: drop " + port)
	case port == "" || !plainHost(host):
		return wrong("write it as browsers do, in lower case and without a path: https://app.your.domain")
	}
	return nil
}

// ownPort is what browsers leave out of an origin, by its scheme.
var ownPort = map[string]string{"https": ":443", "http": ":80"}

// plainHost tells whether an origin's host, with or without a port, is written
// as browsers do.
func plainHost(host string) bool {
	plain, err := guard.ParseHost(host)
	if err != nil {
		return false
	}
	if addr, err := netip.ParseAddr(plain); err == nil && addr.Is6() {
		plain = "[" + plain + "]"
	}
	return host == plain && !strings.Contains(host, "%")
}

// sameOrigin tells whether the Origin header names the server that the
// request went to. A proxy in front may have ended TLS, so the scheme is not
// compared.
func sameOrigin(origin string, r *http.Request) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && u.Host == r.Host
}

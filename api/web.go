package api

import (
	"bytes"
	"embed"
	"io/fs"
	"net/http"
	"time"
)

//go:embed web openapi.yaml
var files embed.FS

// file is one that the server hands out as it is.
type file struct {
	path, name, contentType string
	header                  map[string]string
}

// Scripts may be loaded by pages of any origin: they hold no secrets.
var fromAnywhere = map[string]string{"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}

var publicFiles = []file{
	{"/belfry.js", "web/belfry.js", "text/javascript; charset=utf-8", fromAnywhere},
	{"/belfry.d.ts", "web/belfry.d.ts", "text/plain; charset=utf-8", fromAnywhere},
	{"/belfry-sw.js", "web/belfry-sw.js", "text/javascript; charset=utf-8", map[string]string{
		"Access-Control-Allow-Origin":  "*",
		"Cross-Origin-Resource-Policy": "cross-origin",
		"Service-Worker-Allowed":       "/",
	}},
	{"/openapi.yaml", "openapi.yaml", "application/yaml", fromAnywhere},
}

// pageHeader is for pages that people look at.
var pageHeader = map[string]string{
	"Content-Security-Policy":    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	"Cross-Origin-Opener-Policy": "same-origin",
}

var demoFiles = []file{
	{"/demo", "web/demo/index.html", "text/html; charset=utf-8", pageHeader},
	{"/demo/demo.css", "web/demo/demo.css", "text/css; charset=utf-8", nil},
	{"/demo/demo.js", "web/demo/demo.js", "text/javascript; charset=utf-8", nil},
}

// debugHeader is pageHeader, and has the browser refuse to make markup of text.
var debugHeader = map[string]string{
	"Content-Security-Policy":    pageHeader["Content-Security-Policy"] + "; require-trusted-types-for 'script'; trusted-types 'none'",
	"Cross-Origin-Opener-Policy": pageHeader["Cross-Origin-Opener-Policy"],
}

// debugFiles are the page that shows the live tree. They hold nothing secret:
// the page asks for a key, and for everything else with it.
var debugFiles = []file{
	{"/debug/{$}", "web/debug/index.html", "text/html; charset=utf-8", debugHeader},
	{"/debug/debug.css", "web/debug/debug.css", "text/css; charset=utf-8", nil},
	{"/debug/parts.css", "web/debug/parts.css", "text/css; charset=utf-8", nil},
	{"/debug/debug.js", "web/debug/debug.js", "text/javascript; charset=utf-8", nil},
	{"/debug/elements.js", "web/debug/elements.js", "text/javascript; charset=utf-8", nil},
	{"/debug/explanation.js", "web/debug/explanation.js", "text/javascript; charset=utf-8", nil},
	{"/debug/lanes.js", "web/debug/lanes.js", "text/javascript; charset=utf-8", nil},
	{"/debug/overview.js", "web/debug/overview.js", "text/javascript; charset=utf-8", nil},
	{"/debug/pulse.js", "web/debug/pulse.js", "text/javascript; charset=utf-8", nil},
	{"/debug/search.js", "web/debug/search.js", "text/javascript; charset=utf-8", nil},
	{"/debug/service.js", "web/debug/service.js", "text/javascript; charset=utf-8", nil},
	{"/debug/tree.js", "web/debug/tree.js", "text/javascript; charset=utf-8", nil},
	{"/debug/user.js", "web/debug/user.js", "text/javascript; charset=utf-8", nil},
}

func serveDebug(mux *http.ServeMux) {
	serve(mux, debugFiles)
	mux.Handle("GET /debug", http.RedirectHandler("/debug/", http.StatusFound))
}

func (s *Server) serveFiles(mux *http.ServeMux) { serve(mux, publicFiles) }

func serve(mux *http.ServeMux, list []file) {
	for _, f := range list {
		content, err := fs.ReadFile(files, f.name)
		if err != nil {
			panic(err) // it is embedded
		}
		mux.HandleFunc("GET "+f.path, func(w http.ResponseWriter, r *http.Request) {
			header := w.Header()
			header.Set("Content-Type", f.contentType)
			header.Set("Cache-Control", "no-cache") // the next version counts at once
			header.Del("Content-Security-Policy")   // it would bind a service worker, which has to make requests
			for name, value := range f.header {
				header.Set(name, value)
			}
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		})
	}
}

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
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	"Referrer-Policy":         "no-referrer",
}

var demoFiles = []file{
	{"/demo", "web/demo/index.html", "text/html; charset=utf-8", pageHeader},
	{"/demo/demo.css", "web/demo/demo.css", "text/css; charset=utf-8", nil},
	{"/demo/demo.js", "web/demo/demo.js", "text/javascript; charset=utf-8", nil},
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
			header.Set("X-Content-Type-Options", "nosniff")
			header.Set("Cache-Control", "no-cache") // the next version counts at once
			for name, value := range f.header {
				header.Set(name, value)
			}
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		})
	}
}

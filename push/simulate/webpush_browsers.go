package simulate

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/belfryhq/belfry/push"
)

// NewBrowser makes a simulated browser that is subscribed here, with an
// applicationServerKey (65 bytes, an uncompressed P-256 point) or, with none,
// for any sender. It decrypts what its endpoint is sent: the Log has the
// payload, and what it cannot decrypt is refused with 400. The answers are as
// with NewEndpoint.
func (s *WebPush) NewBrowser(applicationServerKey []byte, answers ...Answer) (*Endpoint, *Browser) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.newEndpoint()
	e.script = answers
	e.key = bytes.Clone(applicationServerKey)
	e.browser = NewBrowser(push.Endpoint(e.URL))
	return e, e.browser
}

// serveSubscribe is POST /simulator/subscriptions. The body may be empty or
//
//	{"applicationServerKey": "<base64url, as pushManager.subscribe takes it>"}
func (s *WebPush) serveSubscribe(w http.ResponseWriter, r *http.Request) {
	key, err := readKey(http.MaxBytesReader(w, r.Body, maxControlBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, browser := s.NewBrowser(key)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(browser) //nolint:errcheck // the client has gone
}

func readKey(body io.Reader) ([]byte, error) {
	var options struct {
		ApplicationServerKey string `json:"applicationServerKey"`
	}
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&options); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("send nothing or {\"applicationServerKey\":\"…\"}: %w", err)
	}
	if options.ApplicationServerKey == "" {
		return nil, nil
	}
	key, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(options.ApplicationServerKey, "="))
	if err != nil {
		return nil, fmt.Errorf("applicationServerKey is not base64url: %w", err)
	}
	if _, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), key); err != nil {
		return nil, fmt.Errorf("applicationServerKey is not an uncompressed P-256 point: %w", err)
	}
	return key, nil
}

// serveUnsubscribe is DELETE /simulator/subscriptions?endpoint=…
func (s *WebPush) serveUnsubscribe(w http.ResponseWriter, r *http.Request) {
	e := s.Endpoint(r.URL.Query().Get("endpoint"))
	if e == nil {
		http.Error(w, "there is no such endpoint here: give the whole URL, percent-encoded", http.StatusNotFound)
		return
	}
	e.Expire()
	w.WriteHeader(http.StatusNoContent)
}

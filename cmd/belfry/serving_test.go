package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/pushtest"
	"github.com/belfryhq/belfry/push/simulate"
)

const servingKey = "an-admin-key-for-the-tests"

// serving is belfry serve within this process, with its real wiring, and a push
// service beside it.
type serving struct {
	*testing.T
	url     string
	data    string // directory
	service *simulate.WebPush
	out     safeBuffer // what it prints and logs
	end     context.CancelFunc
	ended   chan int
}

// startServing begins to serve, until the test ends or stop.
func startServing(t *testing.T, flags ...string) *serving {
	t.Helper()
	s := &serving{T: t, data: filepath.Join(t.TempDir(), "data"), service: pushtest.StartWebPush(t), ended: make(chan int, 1)}
	ctx, end := context.WithCancel(context.Background())
	s.end = end
	args := append([]string{
		"serve", "--listen", "127.0.0.1:0", "--data-dir", s.data, "--admin-key", servingKey, "--vapid-subject", "mailto:operator@belfry.dev",
		"--allow-push-hosts", strings.TrimPrefix(s.service.Origin(), "http://"), "--log-level", "debug",
	}, flags...)
	go func() { s.ended <- run(ctx, args, &s.out, &s.out) }()
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("output of belfry serve:\n%s", s.out.String())
		}
	})
	s.eventually("it listens", func() bool {
		_, after, ok := strings.Cut(s.out.String(), "is listening on ")
		if ok {
			s.url, _, _ = strings.Cut(after, "\n")
		}
		return ok
	})
	s.eventually("it is ready", func() bool { status, _ := s.ask("GET", "/readyz", nil); return status == http.StatusOK })
	return s
}

// stop ends it as SIGTERM does, and waits. Stopping twice does nothing.
func (s *serving) stop() {
	s.Helper()
	s.end()
	code := <-s.ended
	s.ended <- code
	require.Zero(s, code, "it drained")
}

func (s *serving) eventually(what string, holds func() bool) {
	s.Helper()
	require.Eventually(s, holds, time.Minute, 5*time.Millisecond, what)
}

// ask makes a call, with more headers if there are some.
func (s *serving) ask(method, path string, body any, headers ...string) (status int, answer []byte) {
	s.Helper()
	var text bytes.Buffer
	if body != nil {
		require.NoError(s, json.NewEncoder(&text).Encode(body))
	}
	request, err := http.NewRequestWithContext(s.Context(), method, s.url+path, &text)
	require.NoError(s, err)
	request.Header.Set("Authorization", "Bearer "+servingKey)
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	require.NoError(s, err)
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	require.NoError(s, err)
	return response.StatusCode, answer
}

// must is ask for what has to succeed.
func (s *serving) must(method, path string, body, into any, headers ...string) {
	s.Helper()
	status, answer := s.ask(method, path, body, headers...)
	require.Less(s, status, 300, "%s %s: %s", method, path, answer)
	if into != nil {
		require.NoError(s, json.Unmarshal(answer, into))
	}
}

// subscribe registers a browser at a new endpoint, which answers as told.
func (s *serving) subscribe(user string, answers ...simulate.Answer) *simulate.Endpoint {
	s.Helper()
	var config struct {
		Key string `json:"vapid_public_key"`
	}
	s.must("GET", "/v1/config", nil, &config)
	key, err := push.DecodeBase64(config.Key)
	require.NoError(s, err)
	endpoint := s.service.NewEndpoint(answers...)
	sub := simulate.NewBrowser(push.Endpoint(endpoint.URL)).Subscription(push.User{App: push.DefaultApp, ID: user}, key)
	s.must("PUT", "/v1/users/"+user+"/subscriptions", map[string]any{
		"endpoint": endpoint.URL, "keys": map[string]string{"p256dh": push.EncodeBase64(sub.P256dh), "auth": push.EncodeBase64(sub.Auth)},
	}, nil)
	return endpoint
}

// send accepts one notification and returns its ID.
func (s *serving) send(user, title string, headers ...string) string {
	s.Helper()
	var accepted struct{ Notifications []struct{ ID string } }
	s.must("POST", "/v1/notifications", map[string]any{"user": user, "title": title}, &accepted, headers...)
	return accepted.Notifications[0].ID
}

func (s *serving) finished(ids ...string) {
	s.Helper()
	for _, id := range ids {
		s.eventually(id+" is finished", func() bool {
			var n struct{ State string }
			s.must("GET", "/v1/notifications/"+id, nil, &n)
			return n.State == "finished"
		})
	}
}

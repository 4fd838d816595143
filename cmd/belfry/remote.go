package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/belfryhq/belfry/api/client"
)

// remoteFlags say which service a command talks to.
type remoteFlags struct {
	Server string `env:"BELFRY_SERVER" default:"http://127.0.0.1:8080" help:"Base URL of the service."`
	Key    string `env:"BELFRY_KEY,BELFRY_ADMIN_KEY" placeholder:"KEY" help:"API key."`
}

const remoteTimeout = 30 * time.Second // for one request

func (f remoteFlags) connect() (*client.ClientWithResponses, error) {
	if f.Key == "" {
		return nil, errors.New("no API key: give --key or set BELFRY_KEY; belfry serve prints one on its first run")
	}
	return connect(f.Server, client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+f.Key)
		return nil
	}))
}

func connect(server string, options ...client.ClientOption) (*client.ClientWithResponses, error) {
	return client.NewClientWithResponses(server, append(options, client.WithHTTPClient(caller{server}))...)
}

// caller makes requests, and says in words when there is nobody to answer.
type caller struct{ server string }

// Do makes one request.
func (c caller) Do(r *http.Request) (*http.Response, error) {
	response, err := (&http.Client{Timeout: remoteTimeout}).Do(r)
	var failed *url.Error
	if errors.As(err, &failed) && r.Context().Err() == nil {
		return nil, fmt.Errorf("no answer from %s: %w. Is belfry serve running there? --server (BELFRY_SERVER) says where", c.server, failed.Err)
	}
	return response, err
}

// answered gives the answer that was hoped for, or what went wrong in words.
func answered[T any](answer *T, problem *client.Error, response *http.Response) (*T, error) {
	switch {
	case answer != nil:
		return answer, nil
	case problem != nil && problem.Code != "":
		return nil, errors.New(problemText(problem))
	default:
		return nil, fmt.Errorf("the server answered %s, which is not Belfry's way: check --server", response.Status)
	}
}

func problemText(p *client.Error) string {
	if p.Code == "unauthorized" {
		return fmt.Sprintf("%s Here that is --key, or BELFRY_KEY (%s)", p.Detail, p.Code)
	}
	if p.Field != "" {
		return fmt.Sprintf("%s (%s, field %s)", p.Detail, p.Code, p.Field)
	}
	return fmt.Sprintf("%s (%s)", p.Detail, p.Code)
}

// done is answered for an operation that has nothing to say but that it is done.
func done(status int, problem *client.Error, response *http.Response) error {
	if response.StatusCode == status {
		return nil
	}
	_, err := answered[struct{}](nil, problem, response)
	return err
}

// printable is what others wrote without what would move the cursor of a
// terminal, or paint it.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, text)
}

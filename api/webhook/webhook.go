// Package webhook calls webhooks: it sends events to a URL that an app chose, as
// the Standard Webhooks specification has it. It is the actors.Caller that speaks
// HTTP.
//
//	POST <url>
//	webhook-id: 6a1f…                     the same for every attempt to send these events
//	webhook-timestamp: 1795358400         of the attempt, seconds since 1970
//	webhook-signature: v1,<base64>        HMAC-SHA-256 of id.timestamp.body
//
//	{"type": "events", "timestamp": "…", "data": {"events": [Event, …]}}
//
// The body of an attempt is that of the one before, byte for byte, unless events
// were forgotten meanwhile. Its timestamp is when the last of the events happened.
//
// Any 2xx takes the events, and 410 ends the webhook. Everything else is for the
// caller to try again. Redirects are not followed, proxies of the environment not
// used; where a URL may lead is package guard's to say, unless the operator
// vouched for it. Of an answer's body nothing is used and 8 KiB are read.
//
// Nothing here retries, waits or logs. No reason holds the URL, which may be a
// secret, or a word of what the receiver said.
//
// A Caller may be used by many goroutines at once.
package webhook

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/answer"
	"github.com/belfryhq/belfry/push/guard"
	"github.com/belfryhq/belfry/store"
)

const (
	defaultTimeout = 15 * time.Second
	maxAnswerBytes = 8 << 10 // of an answer's body that are read, so that its connection can be used again
)

// Config says how to call.
type Config struct {
	// Show gives what an event looks like in JSON. Required.
	Show func(push.Event) any

	// Timeout bounds one call, from the name's resolution to the end of the
	// answer. Default: 15 s.
	Timeout time.Duration

	// RootCAs are the authorities that receivers' certificates are checked
	// against. Default: the system's.
	RootCAs *x509.CertPool

	resolver *net.Resolver // nil for the system's; tests make names of their own
}

// Caller calls webhooks.
type Caller struct {
	config     Config
	guard      *guard.Guard
	transports guard.Transports
}

var _ actors.Caller = (*Caller)(nil)

// New makes a Caller. It opens no connection yet, and is to be closed.
func New(config Config) (*Caller, error) {
	if config.Show == nil {
		return nil, errors.New("webhook: Config.Show is required")
	}
	if config.Timeout < 0 {
		return nil, fmt.Errorf("webhook: Config.Timeout is %v: it must be positive, or 0 for %v", config.Timeout, defaultTimeout)
	}
	if config.Timeout == 0 {
		config.Timeout = defaultTimeout
	}
	guarding, err := guard.New(guard.Config{Field: "url", Remedy: "write it in full, such as https://hooks.your.domain/belfry"})
	if err != nil {
		return nil, err
	}
	return &Caller{
		config: config, guard: guarding,
		transports: guarding.Transports(guard.TransportConfig{RootCAs: config.RootCAs, Resolver: config.resolver}),
	}, nil
}

// Close closes the connections that are idle. Call it after the last Call.
func (c *Caller) Close() { c.transports.Close() }

// Check tells whether a webhook may be at a URL, as far as its text shows: on the
// public internet or, if it is private, anywhere. The error is a
// *push.InvalidError of the field url that does not repeat it.
func (c *Caller) Check(url string, private bool) error {
	_, err := c.check(url, private)
	return err
}

func (c *Caller) check(text string, private bool) (*url.URL, error) {
	if private {
		return c.guard.CheckTrusted(text)
	}
	target, _, err := c.guard.Check("", text) // no host is allowed to any app
	return target, err
}

// message is the body of a call.
type message struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      struct {
		Events []any `json:"events"`
	} `json:"data"`
}

// Call sends events, at least one. The context's end ends it, and so does its own
// time-out.
func (c *Caller) Call(ctx context.Context, webhook store.Webhook, id push.ID, events []push.Event) actors.CallResult {
	m := message{Type: "events", Timestamp: events[len(events)-1].At.UTC()}
	for _, event := range events {
		m.Data.Events = append(m.Data.Events, c.config.Show(event))
	}
	return c.send(ctx, webhook, id, m)
}

// Test sends a message of the type test, without events, under an ID of its own.
func (c *Caller) Test(ctx context.Context, webhook store.Webhook) actors.CallResult {
	m := message{Type: "test", Timestamp: time.Now().UTC().Truncate(time.Millisecond)}
	m.Data.Events = []any{}
	var id push.ID
	rand.Read(id[:])                                // never fails (crypto/rand)
	id[6], id[8] = 0x40|id[6]&0x0f, 0x80|id[8]&0x3f // a UUID version 4 (RFC 9562 §5.4)
	return c.send(ctx, webhook, id, m)
}

// send makes one request.
//
// It speaks to a transport rather than through an http.Client, which would
// follow redirects and put the URL into its errors.
func (c *Caller) send(ctx context.Context, webhook store.Webhook, id push.ID, m message) actors.CallResult {
	target, err := c.check(webhook.URL, webhook.Private)
	var unfit *push.InvalidError
	if errors.As(err, &unfit) {
		return actors.CallResult{Reason: unfit.Detail}
	}
	body, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Errorf("encode the message of a webhook: %w", err)) // our own types encode
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(body))
	if err != nil {
		return actors.CallResult{Reason: "the URL cannot be used"}
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "belfry")
	request.Header.Set("Webhook-Id", id.String())
	request.Header.Set("Webhook-Timestamp", timestamp)
	request.Header.Set("Webhook-Signature", sign(webhook.Secret, id.String(), timestamp, body))
	response, err := c.transports.For(webhook.Private).RoundTrip(request)
	if err != nil {
		return actors.CallResult{Reason: unanswered(err)}
	}
	defer response.Body.Close()
	io.CopyN(io.Discard, response.Body, maxAnswerBytes) //nolint:errcheck // its status has said everything
	return classify(response.StatusCode, response.Header, time.Now())
}

// classify says what an answer means (Standard Webhooks, "Delivery success and
// failure").
func classify(status int, header http.Header, now time.Time) actors.CallResult {
	result := actors.CallResult{Status: status}
	switch words := strings.TrimSpace(fmt.Sprintf("it answered %d %s", status, http.StatusText(status))); {
	case status >= 200 && status < 300:
		result.Taken = true
	case status == http.StatusGone:
		result.Ended, result.Reason = true, words
	case status >= 300 && status < 400:
		result.Reason = words + ", and redirects are not followed"
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		result.Reason, result.RetryAfter = words, answer.RetryAfter(header.Get("Retry-After"), now)
	default:
		result.Reason = words
	}
	return result
}

// unanswered says why there is no answer. The errors' own texts hold the URL, or
// addresses, and are not repeated.
func unanswered(err error) string {
	if errors.Is(err, guard.ErrNotPublic) {
		return "the name of the receiver resolves to an address that is not on the public internet; only the operator can allow it"
	}
	return answer.Failure("the receiver", err)
}

// Package webpush sends notifications to browsers and UnifiedPush apps: the
// push.Provider of kind push.WebPush.
//
// One Send is one POST to the subscription's endpoint (RFC 8030), with the
// payload encrypted for that browser alone (RFC 8291, RFC 8188) and a token
// that proves who sends (VAPID, RFC 8292):
//
//	endpoint ─▶ guard ──▶ encrypt ──▶ authorise ──▶ post ──▶ outcome
//	            may we    one record  a cached      the      status and
//	            go there  of bytes    VAPID token   answer   reason ─▶ push.Result
//
// The endpoint is a URL that a stranger gave us. It is checked when it is
// registered (Validate), again when it is used, and the address its name
// resolves to is checked when it is dialled. Redirects are not followed, the
// environment's proxies are not used, and at most 8 KiB of an answer are read.
//
// Nothing here retries, waits or logs; the caller has the push.Result. A reason
// never holds an endpoint, a token or a key, whatever the push service wrote.
//
// A Provider may be used by many goroutines at once.
package webpush

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/belfryhq/belfry/push"
)

const (
	defaultTimeout         = 30 * time.Second
	defaultMaxConnsPerHost = 16

	// maxTTL is the longest that every push service takes: FCM's four weeks.
	maxTTL = 28 * 24 * time.Hour

	// maxAnswerBytes is as much of an answer's body as is read.
	maxAnswerBytes = 8 << 10
)

// Config says how to send. Key is required.
type Config struct {
	// Key finds the private half of one of an app's VAPID public keys, 65
	// bytes. It is asked when no token is cached: for each key and push
	// service about every six hours, so a new subject takes that long to be
	// used everywhere. It answers ErrUnknownKey when the app has no such key;
	// any other error is taken for a passing one.
	Key func(ctx context.Context, app string, public []byte) (Key, error)

	// AllowHosts are the hosts of push services within the operator's own
	// network, each "host" (any port) or "host:port". For these alone plain
	// http, private addresses and any port are allowed. Entries are compared
	// whole, without regard to case; there are no patterns. Default: none.
	AllowHosts []string

	// Timeout bounds one Send, from the name's resolution to the end of the
	// answer. Default: 30 s.
	Timeout time.Duration

	// MaxConnsPerHost bounds the connections to one push host. An HTTP/2
	// connection carries many requests at a time, an HTTP/1.1 one a single
	// one. Default: 16.
	MaxConnsPerHost int

	// RootCAs are the authorities that push services' certificates are
	// checked against. Default: the system's.
	RootCAs *x509.CertPool

	resolver *net.Resolver // nil for the system's; tests make names of their own
}

func (c Config) validate() error {
	switch {
	case c.Key == nil:
		return fmt.Errorf("webpush: Config.Key is required")
	case c.Timeout < 0:
		return fmt.Errorf("webpush: Config.Timeout is %v: it must be positive, or 0 for %v", c.Timeout, defaultTimeout)
	case c.MaxConnsPerHost < 0:
		return fmt.Errorf("webpush: Config.MaxConnsPerHost is %d: it must be positive, or 0 for %d", c.MaxConnsPerHost, defaultMaxConnsPerHost)
	}
	return nil
}

// Provider is the push.Provider for Web Push.
type Provider struct {
	guard     *guard
	tokens    *tokens
	transport *http.Transport
	timeout   time.Duration
}

var (
	_ push.Provider = (*Provider)(nil)
	_ push.Checker  = (*Provider)(nil)
)

// New makes a Provider. It opens no connection yet.
func New(config Config) (*Provider, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	if config.Timeout == 0 {
		config.Timeout = defaultTimeout
	}
	if config.MaxConnsPerHost == 0 {
		config.MaxConnsPerHost = defaultMaxConnsPerHost
	}
	guard, err := newGuard(config.AllowHosts)
	if err != nil {
		return nil, err
	}
	return &Provider{
		guard:     guard,
		tokens:    newTokens(config.Key),
		transport: newTransport(config, guard),
		timeout:   config.Timeout,
	}, nil
}

// Close closes the connections that are idle. Call it after the last Send.
func (p *Provider) Close() { p.transport.CloseIdleConnections() }

// CheckSubscription tells whether a subscription can be sent to. The error is a
// *push.InvalidError that names the field: endpoint, keys.p256dh or keys.auth.
func (p *Provider) CheckSubscription(_ context.Context, subscription push.Subscription) error {
	if _, err := p.guard.check(subscription.Endpoint); err != nil {
		return err
	}
	_, err := parseRecipient(subscription.P256dh, subscription.Auth)
	return err
}

// CheckNotification tells whether the notification fits into a message.
func (p *Provider) CheckNotification(notification push.Notification) error {
	if size := len(notification.WebPayload()); size > push.MaxWebPayload {
		return &push.TooLargeError{Kind: push.WebPush, Bytes: size, Max: push.MaxWebPayload}
	}
	return nil
}

// Send makes one attempt, as push.Provider has it. When the push service finds
// a padded message too large, the attempt is made again without the padding.
func (p *Provider) Send(ctx context.Context, message push.Message) push.Result {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()

	target, err := p.guard.check(message.Subscription.Endpoint)
	if err != nil {
		return rejected(err)
	}
	to, err := parseRecipient(message.Subscription.P256dh, message.Subscription.Auth)
	if err != nil {
		return rejected(err)
	}
	authorization, err := p.tokens.authorize(ctx, message.Subscription.User.App, message.Subscription.VAPIDKey, target)
	if err != nil {
		return unsigned(err)
	}

	payload := message.Notification.WebPayload()
	body, err := to.encrypt(payload, paddedSize(len(payload)))
	if err != nil {
		return rejected(err)
	}
	header := headerOf(message, authorization)
	result := p.post(ctx, target, header, body)

	if smaller := len(payload) + overhead; result.Status == http.StatusRequestEntityTooLarge && smaller < len(body) {
		if body, err = to.encrypt(payload, smaller); err != nil {
			return rejected(err)
		}
		result = p.post(ctx, target, header, body)
	}
	if result.Outcome == push.Refused {
		p.tokens.forget(message.Subscription.User.App, message.Subscription.VAPIDKey, target)
	}
	return result
}

// post makes the request and reads the answer.
//
// It speaks to the transport rather than through an http.Client, which would
// follow redirects and put the endpoint into its errors.
func (p *Provider) post(ctx context.Context, target *url.URL, header http.Header, body []byte) push.Result {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "", bytes.NewReader(body))
	if err != nil {
		return rejected(err)
	}
	request.URL, request.Host, request.Header = target, target.Host, header

	response, err := p.transport.RoundTrip(request)
	if err != nil {
		return unanswered(err)
	}
	defer response.Body.Close()
	// A body that breaks off does not change what the status said.
	answer, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	return classify(response.StatusCode, response.Header, answer, target, time.Now())
}

// headerOf builds the header of a request. It is not changed by sending, so a
// second request may use it again.
func headerOf(message push.Message, authorization string) http.Header {
	return http.Header{
		"Authorization":    {authorization},
		"Content-Encoding": {"aes128gcm"},
		"Content-Type":     {"application/octet-stream"},
		"Ttl":              {ttl(message.TTL)},
		"Topic":            {message.Notification.Topic()},
		"Urgency":          {message.Notification.Urgency.String()},
		"User-Agent":       {"belfry"},
	}
}

// ttl is the value of the TTL header: whole seconds, rounded up, because Windows
// refuses a TTL of zero.
func ttl(d time.Duration) string {
	d = min(max(d, time.Second), maxTTL)
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

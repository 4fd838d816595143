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
	"strings"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/answer"
	"github.com/belfryhq/belfry/push/guard"
	"github.com/belfryhq/belfry/push/pool"
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
	// service about every six hours. So a new subject takes that long to be
	// used everywhere, unless Forget is called. It answers ErrUnknownKey when the app has no such key;
	// any other error is taken for a passing one.
	Key func(ctx context.Context, app string, public []byte) (Key, error)

	// AllowHosts are the hosts of push services within the operator's own
	// network, each "host" (any port) or "host:port". For these alone plain
	// http, private addresses and any port are allowed. Entries are compared
	// whole, without regard to case; there are no patterns. Default: none.
	AllowHosts []string

	// AppHosts gives the hosts that one app may use in addition, in the same
	// form: the UnifiedPush server in its own house, say. It is asked for every
	// message, so it must not take long; nil is for none. What it gives is only
	// read, and an entry that guard.ParseHost refuses counts for nothing. Default:
	// no app has any.
	AppHosts func(app string) []string

	// ReceiptSecret gives an app's token secret, which receipt tokens are made
	// with for the notifications that want receipts. It is asked for each of
	// these, so it must not take long; what it gives is only read, and without one
	// there is no token. Default: no app has any.
	ReceiptSecret func(app string) []byte

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
	guard      *guard.Guard
	tokens     *tokens
	narrow     narrow
	transports guard.Transports // open connections, and nothing else
	pools      pool.Set[origin]
	size       int // of a pool
	secret     func(app string) []byte
	timeout    time.Duration
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
	if config.ReceiptSecret == nil {
		config.ReceiptSecret = func(string) []byte { return nil }
	}
	guarding, err := newGuard(config)
	if err != nil {
		return nil, err
	}
	return &Provider{
		guard:      guarding,
		tokens:     newTokens(config.Key),
		transports: guarding.Transports(guard.TransportConfig{RootCAs: config.RootCAs, Resolver: config.resolver}),
		pools:      pool.Set[origin]{Idle: guard.IdleTimeout, Max: maxOrigins},
		size:       config.MaxConnsPerHost,
		secret:     config.ReceiptSecret,
		timeout:    config.Timeout,
	}, nil
}

func newGuard(config Config) (*guard.Guard, error) {
	guarding, err := guard.New(guard.Config{
		Field: "endpoint", Remedy: "send what PushSubscription.toJSON() gives, unchanged",
		AllowHosts: config.AllowHosts, AppHosts: config.AppHosts,
	})
	if err != nil {
		return nil, fmt.Errorf("webpush: Config.%w", err)
	}
	return guarding, nil
}

// Forget drops what is cached of an app's keys, so that the next Send asks
// Config.Key. Call it when an app's subject has changed, or a key was deleted.
func (p *Provider) Forget(app string) { p.tokens.forgetAll(app) }

// Close closes the connections. Call it after the last Send.
func (p *Provider) Close() { p.pools.Close() }

// CheckSubscription tells whether a subscription can be sent to. The error is a
// *push.InvalidError that names the field: endpoint, keys.p256dh or keys.auth.
func (p *Provider) CheckSubscription(_ context.Context, subscription push.Subscription) error {
	if _, _, err := p.guard.Check(subscription.User.App, string(subscription.Endpoint)); err != nil {
		return err
	}
	_, err := parseRecipient(subscription.P256dh, subscription.Auth)
	return err
}

// CheckNotification tells whether the notification fits into a message.
func (p *Provider) CheckNotification(notification push.Notification) error {
	var receipt string
	if notification.WantsReceipts() {
		receipt = longestReceipt
	}
	if size := len(notification.WebPayload(receipt)); size > push.MaxWebPayload {
		return &push.TooLargeError{Kind: push.WebPush, Bytes: size, Max: push.MaxWebPayload}
	}
	return nil
}

// longestReceipt stands for a receipt token before there is one.
var longestReceipt = strings.Repeat("x", push.MaxReceiptToken)

// receipt is the token with which a device says what became of a message; empty
// for none.
func (p *Provider) receipt(message push.Message) string {
	if !message.Notification.WantsReceipts() {
		return ""
	}
	app := message.Subscription.User.App
	secret := p.secret(app)
	if len(secret) == 0 {
		return ""
	}
	return push.ReceiptToken(secret, app, message.Notification.ID, message.Subscription.Digest)
}

// Send makes one attempt, as push.Provider has it. When the push service finds
// a padded message too large, the attempt is made again without the padding.
func (p *Provider) Send(ctx context.Context, message push.Message) push.Result {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()

	app, subscription := message.Subscription.User.App, message.Subscription
	target, free, err := p.guard.Check(app, string(subscription.Endpoint))
	if err != nil {
		return answer.Rejected(err)
	}
	to, err := parseRecipient(subscription.P256dh, subscription.Auth)
	if err != nil {
		return answer.Rejected(err)
	}
	authorization, err := p.tokens.authorize(ctx, app, subscription.VAPIDKey, target)
	if err != nil {
		return unsigned(err)
	}

	payload := message.Notification.WebPayload(p.receipt(message))
	smallest := len(payload) + overhead
	size := paddedSize(len(payload))
	if p.narrow.has(subscription.Digest) {
		size = smallest
	}
	body, err := to.encrypt(payload, size)
	if err != nil {
		return answer.Rejected(err)
	}
	header := headerOf(message, authorization, target, payload)
	result := p.post(ctx, target, free, header, body)

	if result.Status == http.StatusRequestEntityTooLarge && smallest < size {
		if body, err = to.encrypt(payload, smallest); err != nil {
			return answer.Rejected(err)
		}
		result = p.post(ctx, target, free, header, body)
		if result.Outcome == push.Delivered {
			p.narrow.add(subscription.Digest)
		}
	}
	if result.Outcome == push.Refused {
		p.tokens.forget(app, subscription.VAPIDKey, target)
	}
	return result
}

// post makes the request and reads the answer.
//
// It speaks to a connection rather than through an http.Client, which would
// follow redirects and put the endpoint into its errors.
func (p *Provider) post(ctx context.Context, target *url.URL, free bool, header http.Header, body []byte) (result push.Result) {
	connections, err := p.connections(target, free)
	if err != nil {
		return unanswered(err)
	}
	defer connections.Give()
	request := func(string) *http.Request {
		return (&http.Request{
			Method: http.MethodPost, URL: target, Host: target.Host, Header: header,
			Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, // what is spoken is the connection's
		}).WithContext(ctx)
	}
	_, err = connections.Do(ctx, request, func(response *http.Response) {
		// A body that breaks off does not change what the status said.
		text, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
		result = classify(response.StatusCode, response.Header, text, target, time.Now())
	})
	if err != nil {
		return unanswered(err)
	}
	return result
}

// Values of headers that are the same in every request, and never changed.
var (
	aes128gcm   = []string{"aes128gcm"}
	octetStream = []string{"application/octet-stream"}
	userAgent   = []string{"belfry"}
)

// headerOf builds the header of a request. It is not changed by sending, so a
// second request may use it again.
//
// Two vendors get what is theirs. Windows is told to keep the message for its
// TTL, which it need not otherwise. Apple is told of a declarative message, as
// WebKit's explainer had it; the W3C draft goes by the message alone, so other
// services get the type that RFC 8030 uses.
func headerOf(message push.Message, authorization string, target *url.URL, payload []byte) http.Header {
	header := http.Header{
		"Authorization":    {authorization},
		"Content-Encoding": aes128gcm,
		"Content-Type":     octetStream,
		"Ttl":              {ttl(message.TTL)},
		"Topic":            {message.Notification.Topic()},
		"Urgency":          {message.Notification.Urgency.String()},
		"User-Agent":       userAgent,
	}
	switch host := target.Hostname(); {
	case within(host, "notify.windows.com"):
		header["X-Wns-Cache-Policy"] = []string{"cache"}
	case within(host, "push.apple.com") && push.Declarative(payload):
		header["Content-Type"] = []string{"application/notification+json"}
	}
	return header
}

// within tells whether a host is a domain's own or below it.
func within(host, domain string) bool {
	above, ok := strings.CutSuffix(host, domain)
	return ok && (above == "" || strings.HasSuffix(above, "."))
}

// ttl is the value of the TTL header: whole seconds, rounded up, because Windows
// refuses a TTL of zero.
func ttl(d time.Duration) string {
	d = min(max(d, time.Second), maxTTL)
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

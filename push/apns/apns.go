// Package apns sends notifications to apps on Apple's devices: the push.Provider
// of kind push.APNs.
//
// One Send is one POST /3/device/<token> (Apple's "Sending notification requests
// to APNs"), over a connection that is kept:
//
//	credential ─▶ payload ──▶ pool ─────────▶ exchange ─▶ outcome
//	who serves    headers,    one of few      request,    status and
//	the topic     JSON        connections,    answer      reason ─▶ push.Result
//	                          its provider
//	                          token
//
// Two answers lead to a second POST in the same Send. ExpiredProviderToken: with
// a new token, on a new connection. BadDeviceToken: at the other environment, for a token of the
// sandbox that was registered as one of production, or the other way round, is
// the most common mistake; where a token turned out to be known is remembered.
//
// A provider token is a function of the key and the time alone, so all
// connections, apps, processes and restarts use the same one, as Apple wants it.
//
// Nothing here waits or logs; the caller has the push.Result. A reason never
// holds a device token, a provider token or a key.
//
// A Provider may be used by many goroutines at once.
package apns

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/answer"
)

const (
	defaultTimeout     = 30 * time.Second
	defaultConnections = 2
)

// ErrNoCredential is what Config.Credential answers when the app has none for
// the topic.
var ErrNoCredential = errors.New("no APNs credential for the topic")

// Config says how to send. Credential is required.
type Config struct {
	// Credential finds what an app authenticates with for a topic. It answers
	// ErrNoCredential when the app has none; any other error is taken for a
	// passing one. It is asked at every Send, so it must be quick. The same
	// *Credential is the same identity: it shares connections, and another one
	// never does. Retire closes those of one that it no longer gives.
	Credential func(ctx context.Context, app, topic string) (*Credential, error)

	// Timeout bounds one Send, the second POST included. Default: 30 s.
	Timeout time.Duration

	// Connections is how many HTTP/2 connections there are at most to one host
	// for one credential. Each carries as many requests at a time as APNs lets
	// it, commonly 1,000. Default: 2.
	Connections int

	// RootCAs are the authorities that APNs' certificates are checked against.
	// Default: the system's.
	RootCAs *x509.CertPool

	now       func() time.Time      // tests set the clock
	transport func(*http.Transport) // tests change what opens connections
}

func (c Config) validate() error {
	switch {
	case c.Credential == nil:
		return errors.New("apns: Config.Credential is required")
	case c.Timeout < 0:
		return fmt.Errorf("apns: Config.Timeout is %v: it must be positive, or 0 for %v", c.Timeout, defaultTimeout)
	case c.Connections < 0:
		return fmt.Errorf("apns: Config.Connections is %d: it must be positive, or 0 for %d", c.Connections, defaultConnections)
	}
	return nil
}

// Provider is the push.Provider for APNs.
type Provider struct {
	credential   func(ctx context.Context, app, topic string) (*Credential, error)
	timeout      time.Duration
	now          func() time.Time
	tokens       *tokens
	pools        *pools
	environments *environments
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
	if config.Connections == 0 {
		config.Connections = defaultConnections
	}
	if config.now == nil {
		config.now = time.Now
	}
	tokens := newTokens()
	return &Provider{
		credential:   config.Credential,
		timeout:      config.Timeout,
		now:          config.now,
		tokens:       tokens,
		pools:        newPools(config, tokens),
		environments: newEnvironments(),
	}, nil
}

// Retire says that a credential has been replaced or deleted. Its connections are
// closed after the last answer to what is under way. A Send that found the
// credential before still makes its attempt, on a connection of its own. Call it
// when Config.Credential no longer gives the credential.
func (p *Provider) Retire(credential *Credential) { p.pools.retire(credential, p.now()) }

// Close closes the connections. Call it after the last Send.
func (p *Provider) Close() { p.pools.set.Close() }

// CheckSubscription tells whether a subscription can be sent to: its token has
// the form of one, it is of an environment, and the app has a credential for its
// topic. An *push.InvalidError names the field: token, environment or topic. Any
// other error is Config.Credential's.
func (p *Provider) CheckSubscription(ctx context.Context, subscription push.Subscription) error {
	if err := checkAddress(subscription); err != nil {
		return err
	}
	_, err := p.credential(ctx, subscription.User.App, subscription.Topic)
	if errors.Is(err, ErrNoCredential) {
		return &push.InvalidError{
			Field:  "topic",
			Detail: fmt.Sprintf("The app has no APNs credential for the topic %q: add one, or send the bundle ID of an app that has one.", subscription.Topic),
		}
	}
	return err
}

// CheckNotification tells whether the notification can be a message to a device,
// of the push type that it asks for or else of the longest, an alert. An
// *push.InvalidError names the field: apns.push_type, apns.priority or
// apns.payload.
func (p *Provider) CheckNotification(notification push.Notification) error {
	content, native, err := read(notification)
	if err != nil {
		return err
	}
	kind, err := checkOptions(native.APNs)
	if err != nil {
		return err
	}
	_, err = encode(notification, content, native, kind)
	return err
}

// Send makes one attempt, as push.Provider has it.
func (p *Provider) Send(ctx context.Context, message push.Message) push.Result {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()

	if err := checkAddress(message.Subscription); err != nil {
		return answer.Rejected(err)
	}
	credential, err := p.credential(ctx, message.Subscription.User.App, message.Subscription.Topic)
	if err != nil {
		return unserved(err, message.Subscription.Topic)
	}
	if why := credential.unusable(p.now()); why != "" {
		return push.Result{Outcome: push.Refused, Reason: why}
	}
	posting, err := compose(message, p.now())
	if err != nil {
		return answer.Rejected(err)
	}
	return p.send(ctx, credential, message.Subscription, posting)
}

// send posts where the token is known, or should be, and if it is not, at the
// other environment.
func (p *Provider) send(ctx context.Context, credential *Credential, subscription push.Subscription, posting posting) push.Result {
	here := p.environments.of(subscription)
	result := p.exchange(ctx, credential, credential.base(here), posting)
	if here != subscription.Environment {
		result.Result = alone(result.Result)
		if otherEnvironments[result.said] {
			p.environments.forget(subscription) // it cannot be known by another key than before
		}
	}
	there := here.Other()
	if result.said != badDeviceToken || credential.base(there) == credential.base(here) {
		return result.Result
	}
	second := p.exchange(ctx, credential, credential.base(there), posting)
	if second.Outcome == push.Delivered {
		p.environments.remember(subscription, there)
		return second.Result
	}
	p.environments.forget(subscription)
	return neither(here, result, second)
}

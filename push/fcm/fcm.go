// Package fcm sends notifications to apps through Firebase Cloud Messaging: the
// push.Provider of kind push.FCM.
//
// One Send is one POST of the HTTP v1 API, for one registration token, with an
// OAuth 2.0 access token of the Firebase project's service account:
//
//	notification ─▶ encode ──▶ authorise ──▶ post ──▶ outcome
//	                one JSON    a cached      the      status and
//	                message     access token  answer   errorCode ─▶ push.Result
//
// A Credential is the service account of one Firebase project. It has HTTP/2
// connections and an access token of its own; they are made by its first Send,
// and forgotten when it is retired, or some time after its last. The token is renewed before it ends,
// once for all who need it, and while that lasts the old one goes on serving.
//
// What FCM answers is matched on its error codes alone (outcome.go), since its
// sentences change. Redirects are not followed, the environment's proxies are
// not used, and at most 8 KiB of an answer are read.
//
// Nothing here retries, waits or logs, but for one thing: a message that FCM
// refuses for its access token is sent once more with a new one. A reason
// never holds a registration token, an access token or a key, whatever FCM wrote.
//
// A Provider may be used by many goroutines at once.
//
// Sources: the reference of projects.messages and of ErrorCode at
// firebase.google.com/docs/reference/fcm/rest/v1, and the best practices at
// firebase.google.com/docs/cloud-messaging/scale-fcm.
package fcm

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/answer"
)

const (
	defaultTimeout  = 30 * time.Second
	defaultMaxConns = 4

	// maxTokenBytes is the longest registration token taken. FCM promises no
	// length; those seen have 140 to 260.
	maxTokenBytes = 4096
)

// ErrNoCredential is what Config.Credential answers when the app has no service
// account of the project.
var ErrNoCredential = errors.New("no service account of the Firebase project")

// Config says how to send. Credential is required.
type Config struct {
	// Credential finds the service account of an app's Firebase project. It
	// answers ErrNoCredential when the app has none; any other error is taken
	// for a passing one. It is called for every Send, so it must be quick. The
	// same *Credential is the same identity: who answers with a new one gets
	// new connections and a new access token. Retire closes the connections of
	// one that it no longer gives.
	Credential func(ctx context.Context, app, project string) (*Credential, error)

	// Timeout bounds one Send, a new access token included. Default: 30 s.
	Timeout time.Duration

	// MaxConns bounds the connections of one Credential. Each carries about a
	// hundred requests at a time (HTTP/2), and another one is opened when those
	// that are there are full. Default: 4.
	MaxConns int

	// RootCAs are the authorities that the certificates of FCM and of the token
	// endpoint are checked against. Default: the system's.
	RootCAs *x509.CertPool

	now func() time.Time // nil for time.Now
}

func (c Config) validate() error {
	switch {
	case c.Credential == nil:
		return errors.New("fcm: Config.Credential is required")
	case c.Timeout < 0:
		return fmt.Errorf("fcm: Config.Timeout is %v: it must be positive, or 0 for %v", c.Timeout, defaultTimeout)
	case c.MaxConns < 0:
		return fmt.Errorf("fcm: Config.MaxConns is %d: it must be positive, or 0 for %d", c.MaxConns, defaultMaxConns)
	}
	return nil
}

// Provider is the push.Provider for FCM.
type Provider struct {
	config  Config
	clients *clients
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
	if config.MaxConns == 0 {
		config.MaxConns = defaultMaxConns
	}
	if config.now == nil {
		config.now = time.Now
	}
	return &Provider{config: config, clients: newClients(config)}, nil
}

// Retire says that a credential has been replaced or deleted. Its access token is
// forgotten, and its connections are closed after the last answer to what is under
// way. A Send that found the credential before still makes its attempt, with an
// access token and connections of its own. Call it when Config.Credential no
// longer gives the credential.
func (p *Provider) Retire(credential *Credential) { p.clients.retire(credential) }

// Close ends what is under way of access tokens and closes the connections. Call
// it after the last Send.
func (p *Provider) Close() { p.clients.close() }

// CheckSubscription tells whether a subscription can be sent to. An
// *push.InvalidError names the field: token or project.
func (p *Provider) CheckSubscription(ctx context.Context, subscription push.Subscription) error {
	if err := checkForm(subscription); err != nil {
		return err
	}
	_, err := p.config.Credential(ctx, subscription.User.App, subscription.Project)
	switch {
	case errors.Is(err, ErrNoCredential):
		return &push.InvalidError{
			Field:  "project",
			Detail: fmt.Sprintf("There is no service account of the Firebase project %q: give it to Belfry first, or correct the project's ID.", subscription.Project),
		}
	case err != nil:
		return fmt.Errorf("look up the service account: %w", err)
	}
	return nil
}

// checkForm tells whether a subscription's token and project have the form of
// such. The error is a *push.InvalidError that does not repeat the token.
func checkForm(subscription push.Subscription) error {
	const remedy = "send what FirebaseMessaging.getToken() gives, unchanged."
	token := string(subscription.Endpoint)
	switch {
	case token == "":
		return &push.InvalidError{Field: "token", Detail: "The registration token is missing: " + remedy}
	case len(token) > maxTokenBytes:
		return &push.InvalidError{Field: "token", Detail: fmt.Sprintf("The registration token has %d bytes, and at most %d are taken: %s", len(token), maxTokenBytes, remedy)}
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return &push.InvalidError{Field: "token", Detail: "The registration token has characters that none has: " + remedy}
	case !projectForm.MatchString(subscription.Project):
		return &push.InvalidError{Field: "project", Detail: "The project must be the ID of the Firebase project, which is the project_id of the app's google-services.json."}
	}
	return nil
}

// CheckNotification tells whether the notification can be made a message. The
// error is a *push.TooLargeError, or a *push.InvalidError that names a field of
// fcm.message.
func (p *Provider) CheckNotification(notification push.Notification) error {
	_, err := encode(notification, maxTTL)
	return err
}

// Send makes one attempt, as push.Provider has it.
func (p *Provider) Send(ctx context.Context, message push.Message) push.Result {
	ctx, cancel := context.WithTimeout(ctx, p.config.Timeout)
	defer cancel()

	subscription := message.Subscription
	if err := checkForm(subscription); err != nil {
		return answer.Rejected(err)
	}
	encoded, err := encode(message.Notification, message.TTL)
	if err != nil {
		return answer.Rejected(err)
	}
	credential, err := p.config.Credential(ctx, subscription.User.App, subscription.Project)
	if err != nil {
		return unequipped(err, subscription.Project)
	}
	client := p.clients.take(credential)
	defer p.clients.give(client)
	result := client.send(ctx, subscription.Endpoint, encoded)
	if result.Outcome == push.Gone && result.Status == http.StatusBadRequest && isPatched(message.Notification) {
		// FCM has called tokens wrong for what the application put into the
		// message. A token that has ended is found out by the next one.
		result.Outcome = push.Rejected
	}
	return result
}

// isPatched tells whether the application changed the message.
func isPatched(notification push.Notification) bool {
	native, err := push.DecodeNative(notification.Native)
	return err != nil || native.FCM != nil && len(native.FCM.Message) > 0
}

// send posts a message, with another access token if FCM refuses the first.
func (c *client) send(ctx context.Context, to push.Endpoint, encoded []byte) push.Result {
	body := request(to, encoded)
	token, err := c.tokens.get(ctx)
	if err != nil {
		return unauthorised(err)
	}
	result, again := c.try(ctx, token, to, body)
	if !again {
		return result
	}
	other, err := c.tokens.replace(ctx, token)
	switch {
	case errors.Is(err, errStillRefused):
		return doubted(result, token)
	case err != nil:
		return unauthorised(err)
	}
	result, again = c.try(ctx, other, to, body)
	if !again {
		return result
	}
	return doubted(result, token)
}

// doubted is what a refusal comes to with an access token that FCM took for other
// messages: it may be this one device. If it is our credentials, the next message
// finds that the token made since is refused as well.
func doubted(result push.Result, token *accessToken) push.Result {
	if token.accepted.Load() {
		result.Outcome, result.AtLeast = push.Retry, minWait
	}
	return result
}

// try makes one request. Again tells that FCM refused the access token.
func (c *client) try(ctx context.Context, token *accessToken, to push.Endpoint, body []byte) (result push.Result, again bool) {
	response, err := c.post(ctx, token.value, body)
	if err != nil {
		return unanswered(err), false
	}
	said := read(response)
	if said.unauthenticated() {
		again = true
	} else {
		token.accepted.Store(true)
	}
	now := c.now()
	result = classify(said, string(to), now)
	if said.overQuota() && said.whose(string(to)) == nobodys && c.throttled.several(to, now) {
		result.Pause = max(result.RetryAfter, result.AtLeast)
	}
	return result, again
}

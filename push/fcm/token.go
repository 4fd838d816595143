package fcm

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/belfryhq/belfry/push/answer"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"
)

const (
	// scope is all that the access tokens are good for.
	scope = "https://www.googleapis.com/auth/firebase.messaging"

	// defaultTokenLife is how long an access token lives that does not say so.
	// Google's say an hour, less a second.
	defaultTokenLife = time.Hour

	// renewalPause is how long a failure to renew stands at least before the
	// next attempt, so that a burst of messages is not a burst of renewals.
	renewalPause = 10 * time.Second

	// refusalPause is how long an access token stands that was made because FCM
	// had refused the one before, and is refused too.
	refusalPause = time.Minute
)

// errStillRefused means that a new access token would be refused as well.
var errStillRefused = errors.New("FCM refuses new access tokens too")

// accessToken proves to FCM who sends.
type accessToken struct {
	value    string
	madeAt   time.Time
	renewAt  time.Time // from then on it is renewed, and serves on meanwhile
	endsAt   time.Time
	forced   bool        // made because the one before was refused
	accepted atomic.Bool // FCM took it at least once
}

// tokens keeps one credential's access token, and renews it: one renewal at a
// time, in a goroutine of its own, so that no Send's end fails the others that
// wait for it.
type tokens struct {
	fetch func(ctx context.Context) (value string, life time.Duration, err error)
	now   func() time.Time
	open  *lifetime

	mu      sync.Mutex
	current *accessToken
	renewal *renewal  // nil while none is under way
	failed  error     // why the last renewal failed; nil if it did not
	resting time.Time // until then no other is tried
}

// renewal is one request for an access token. What it came to may be read when
// done is closed.
type renewal struct {
	done  chan struct{}
	token *accessToken
	err   error
}

// get gives an access token. It waits only when there is none to be used.
func (t *tokens) get(ctx context.Context) (*accessToken, error) {
	t.mu.Lock()
	now := t.now()
	current := t.current
	if current != nil && now.Before(current.renewAt) {
		t.mu.Unlock()
		return current, nil
	}
	renewal := t.renew(now, false)
	t.mu.Unlock()
	if current != nil && now.Before(current.endsAt) {
		return current, nil
	}
	return renewal.wait(ctx)
}

// replace gives another access token than one that FCM refused. It answers
// errStillRefused when that would not help: the refused one had just been made
// for this very reason.
func (t *tokens) replace(ctx context.Context, refused *accessToken) (*accessToken, error) {
	t.mu.Lock()
	now := t.now()
	if t.current == refused {
		if refused.forced && now.Before(refused.madeAt.Add(refusalPause)) {
			t.mu.Unlock()
			return nil, errStillRefused
		}
		t.current = nil
	}
	if current := t.current; current != nil {
		t.mu.Unlock()
		return current, nil
	}
	renewal := t.renew(now, true)
	t.mu.Unlock()
	return renewal.wait(ctx)
}

// renew begins a renewal, or joins the one under way. The mutex is held.
func (t *tokens) renew(now time.Time, forced bool) *renewal {
	if t.renewal != nil {
		return t.renewal
	}
	r := &renewal{done: make(chan struct{})}
	if t.failed != nil && now.Before(t.resting) {
		r.err = t.failed
		close(r.done)
		return r
	}
	t.renewal = r
	t.open.run(func(ctx context.Context) {
		value, life, err := t.fetch(ctx)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.renewal, t.failed = nil, err
		if err != nil {
			t.resting, r.err = t.now().Add(restAfter(err)), err
		} else {
			// The life is counted from before the request, so a slow answer
			// cannot make it longer than it is at Google.
			t.current = &accessToken{value: value, madeAt: now, renewAt: now.Add(life * 5 / 6), endsAt: now.Add(life), forced: forced}
			r.token = t.current
		}
		close(r.done)
	})
	return r
}

func (r *renewal) wait(ctx context.Context) (*accessToken, error) {
	select {
	case <-r.done:
		return r.token, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// tokenError is why there is no access token.
type tokenError struct {
	refused bool // by the token endpoint, and not for now only
	reason  string
	asked   time.Duration // how long the token endpoint wants to be left alone; 0 if it did not say
}

func (e *tokenError) Error() string { return e.reason }

// restAfter is how long to wait before the next renewal.
func restAfter(err error) time.Duration {
	var token *tokenError
	if errors.As(err, &token) && !token.refused {
		return max(renewalPause, token.asked)
	}
	return renewalPause
}

// fetchToken asks the token endpoint for an access token (RFC 7523 §2.1).
func (c *client) fetchToken(ctx context.Context) (string, time.Duration, error) {
	settings := c.credential.settings
	config := jwt.Config{
		Email:        settings.ClientEmail,
		PrivateKey:   c.credential.key,
		PrivateKeyID: settings.KeyID,
		Scopes:       []string{scope},
		TokenURL:     c.credential.tokenURL,
	}
	exchange := &tokenExchange{ctx: ctx, transport: c.lines[0].transport}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{
		Transport:     exchange,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
	token, err := config.TokenSource(ctx).Token()
	var refusal *oauth2.RetrieveError
	switch {
	case errors.As(err, &refusal):
		return "", 0, classifyToken(refusal.Response.StatusCode, refusal.Response.Header, refusal.Body, c.now())
	case exchange.failure != nil:
		return "", 0, &tokenError{reason: "no access token: " + answer.Failure("the token endpoint", exchange.failure)}
	case err != nil || token.AccessToken == "":
		return "", 0, &tokenError{reason: "no access token: the token endpoint's answer is not one"}
	}
	life := defaultTokenLife
	if !token.Expiry.IsZero() {
		life = time.Until(token.Expiry)
	}
	return token.AccessToken, life, nil
}

// classifyToken says why the token endpoint gave no access token. Its errors are
// those of RFC 6749 §5.2 and Google's own: invalid_grant for a key that was
// taken back, an account that is gone and a clock that is wrong, invalid_client,
// deleted_client, disabled_client and more. Any of them lasts until somebody
// does something about it.
func classifyToken(status int, header http.Header, body []byte, now time.Time) *tokenError {
	var said struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	reason := http.StatusText(status)
	if json.Unmarshal(body, &said) == nil && said.Error != "" {
		reason = said.Error + " " + said.Description
	}
	return &tokenError{
		refused: status >= 400 && status <= 499 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests,
		reason:  answer.Shorten("no access token: " + presentable(strings.TrimSpace(reason), "")),
		asked:   asked(header.Get("Retry-After"), now),
	}
}

// tokenExchange is the way to the token endpoint for one renewal. The library
// sends its request without a context, reads what it likes of the answer, and
// makes text of errors.
type tokenExchange struct {
	ctx       context.Context
	transport http.RoundTripper
	failure   error // why there was no answer
}

func (e *tokenExchange) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := e.transport.RoundTrip(request.WithContext(e.ctx))
	if err != nil {
		e.failure = err
		return nil, err
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(response.Body, maxAnswerBytes), response.Body}
	return response, nil
}

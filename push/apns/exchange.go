package apns

import (
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/sideshow/apns2"

	"github.com/belfryhq/belfry/push"
)

const (
	// maxAnswerBytes is as much of an answer's body as is read. One has some 50.
	maxAnswerBytes = 8 << 10

	// maxResends is how often a request that was not processed goes out on another
	// connection, before the attempt is given up.
	maxResends = 4
)

// exchange posts to one host, and once more with another provider token, and so on
// another connection, if APNs finds that one too old.
func (p *Provider) exchange(ctx context.Context, credential *Credential, base string, posting posting) verdict {
	result, token := p.post(ctx, credential, base, posting)
	if result.said == expiredProviderToken {
		if _, ok := p.tokens.renew(credential, token, p.now()); ok {
			result, _ = p.post(ctx, credential, base, posting)
		}
	}
	return result
}

// post makes one request and reads the answer. It gives the provider token that
// the answer is for, too.
func (p *Provider) post(ctx context.Context, credential *Credential, base string, posting posting) (verdict, string) {
	pool, err := p.pools.take(credential, base, p.now())
	if err != nil {
		return verdict{Result: push.Result{Outcome: push.Refused, Reason: "the credential's host is not one"}}, ""
	}
	defer p.pools.give(pool)
	call := &call{pool: pool}
	client := apns2.Client{Host: base, HTTPClient: &http.Client{Transport: call, CheckRedirect: notFollowed}}
	if _, err := client.PushWithContext(ctx, posting.notification); err != nil {
		return verdict{Result: unanswered(err, credential)}, ""
	}
	result := classify(call.status, call.header, call.body, posting, p.now())
	if result.Outcome == push.Refused {
		pool.replace(call.connection)
	}
	return result, call.connection.token
}

// notFollowed: APNs redirects nobody, and a stranger is not to get the token.
func notFollowed(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// call is the http.RoundTripper of one request. It says who sends, picks the
// connection, and keeps the answer, of which apns2 would drop what is not as
// documented.
type call struct {
	pool *pool

	connection *connection // that it was answered on
	status     int
	header     http.Header
	body       []byte
}

// RoundTrip is http.RoundTripper's. What APNs did not process, because it said
// GOAWAY meanwhile, goes out again on another connection.
func (c *call) RoundTrip(r *http.Request) (*http.Response, error) {
	for resends := 0; ; resends++ {
		connection, err := c.pool.take(r.Context())
		if err != nil {
			return nil, err
		}
		response, err := c.over(connection, r)
		c.pool.give(connection, err)
		if err == nil || !unprocessed(err) || resends == maxResends {
			return response, err
		}
	}
}

// over makes the request on one connection.
func (c *call) over(connection *connection, r *http.Request) (*http.Response, error) {
	body, err := r.GetBody()
	if err != nil {
		connection.conn.Release()
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Body = body
	r.Header.Set("User-Agent", "belfry")
	if connection.token != "" {
		r.Header.Set("Authorization", "bearer "+connection.token)
	}
	response, err := connection.conn.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	c.connection, c.status, c.header = connection, response.StatusCode, response.Header
	// A body that breaks off does not change what the status said.
	c.body, _ = io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	response.Body = http.NoBody
	return response, nil
}

// unprocessed tells whether APNs has certainly not processed a request, so that it
// can be sent again at once (RFC 9113 §8.7): its stream was refused, or is beyond
// the last one that GOAWAY names, or there was no connection any more. net/http
// does not export these errors; its text for the GOAWAY that leaves a request in
// doubt is another.
func unprocessed(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	return strings.Contains(text, "client conn not usable") ||
		strings.Contains(text, "graceful shutdown GOAWAY") ||
		strings.Contains(text, "REFUSED_STREAM")
}

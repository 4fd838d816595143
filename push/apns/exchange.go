package apns

import (
	"context"
	"io"
	"net/http"

	"github.com/sideshow/apns2"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/pool"
)

// maxAnswerBytes is as much of an answer's body as is read. One has some 50.
const maxAnswerBytes = 8 << 10

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
	connections, err := p.pools.take(credential, base, p.now())
	if err != nil {
		return verdict{Result: push.Result{Outcome: push.Refused, Reason: "the credential's host is not one"}}, ""
	}
	defer connections.Give()
	call := &call{pool: connections.Pool}
	client := apns2.Client{Host: base, HTTPClient: &http.Client{Transport: call, CheckRedirect: notFollowed}}
	if _, err := client.PushWithContext(ctx, posting.notification); err != nil {
		return verdict{Result: unanswered(err, credential)}, ""
	}
	result := classify(call.status, call.header, call.body, posting, p.now())
	if result.Outcome == push.Refused {
		// APNs looks up once for a connection what a key may be used for, and wants a
		// new one when that has changed, or when a key was revoked.
		connections.Replace(call.connection, replaceEvery)
	}
	return result, call.connection.Identity()
}

// notFollowed: APNs redirects nobody, and a stranger is not to get the token.
func notFollowed(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// call is the http.RoundTripper of one request. It says who sends, and keeps the
// answer, of which apns2 would drop what is not as documented.
type call struct {
	pool *pool.Pool

	connection *pool.Conn // that it was answered on
	status     int
	header     http.Header
	body       []byte
}

// RoundTrip is http.RoundTripper's.
func (c *call) RoundTrip(r *http.Request) (response *http.Response, err error) {
	again := func(providerToken string) *http.Request {
		request := r.Clone(r.Context())
		if body, err := r.GetBody(); err == nil { // it is bytes: see apns2
			request.Body = body
		}
		request.Header.Set("User-Agent", "belfry")
		if providerToken != "" {
			request.Header.Set("Authorization", "bearer "+providerToken)
		}
		return request
	}
	c.connection, err = c.pool.Do(r.Context(), again, func(answer *http.Response) {
		response, c.status, c.header = answer, answer.StatusCode, answer.Header
		// A body that breaks off does not change what the status said.
		c.body, _ = io.ReadAll(io.LimitReader(answer.Body, maxAnswerBytes))
	})
	if err != nil {
		return nil, err
	}
	response.Body = http.NoBody
	return response, nil
}

package fcm

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

func TestAccessToken_ServesManyMessages(t *testing.T) {
	r := newRig(t)
	deliverMany(t, r, 50)
	r.clock.advance(49 * time.Minute)
	deliverMany(t, r, 50)
	require.Equal(t, 1, r.AccessTokens())
}

func TestAccessToken_BelongsToItsCredential(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Delivered, r.send(t).Outcome)
	r.credential.Store(r.parse(t))
	require.Equal(t, push.Delivered, r.send(t).Outcome)
	require.Equal(t, push.Delivered, r.send(t).Outcome)
	require.Equal(t, 2, r.AccessTokens())
}

func TestAccessToken_IsRenewedBeforeItEnds(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Delivered, r.send(t).Outcome)
	first := r.held()
	r.clock.advance(51 * time.Minute)
	require.Equal(t, push.Delivered, r.send(t).Outcome)
	r.await(t, func() bool { return r.held() != first })
	deliverMany(t, r, 20)
	require.Equal(t, 2, r.AccessTokens())
}

func TestAccessToken_ServesWhileItIsRenewed(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Delivered, r.send(t).Outcome)
	require.NoError(t, r.TokenFault(simulate.Fault{DelayMillis: 60_000}))
	r.clock.advance(51 * time.Minute)
	deliverMany(t, r, 20)
	require.True(t, r.renewing())
	require.Equal(t, 1, r.AccessTokens())
}

func TestAccessToken_IsNotUsedAfterItsEnd(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Delivered, r.send(t).Outcome)
	first := r.held()
	r.clock.advance(time.Hour)
	deliverMany(t, r, 20)
	require.Equal(t, 2, r.AccessTokens(), "one renewal for all who waited")
	require.NotEqual(t, first.value, r.held().value)
}

func TestAccessToken_ThatFCMRefusesIsReplacedAtOnce(t *testing.T) {
	r := newRig(t)
	for range 3 {
		require.Equal(t, push.Delivered, r.send(t).Outcome)
		r.ExpireAccessTokens()
		r.clock.advance(refusalPause)
	}
	deliverMany(t, r, 20)
	require.Equal(t, 4, r.AccessTokens(), "one renewal for all who were refused")
}

func TestAccessToken_IsReplacedOnceForAMessage(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.Fault(simulate.Fault{Status: 401}))
	want := push.Result{Outcome: push.Refused, Status: 401, Reason: "UNAUTHENTICATED Unauthorized"}
	require.Equal(t, want, r.send(t))
	require.Len(t, r.Log(), 2)
	require.Equal(t, 2, r.AccessTokens())

	// While FCM refuses new ones too, no more are asked for …
	require.Equal(t, want, r.send(t))
	require.Len(t, r.Log(), 3)
	require.Equal(t, 2, r.AccessTokens())

	// … but for one now and then.
	r.clock.advance(refusalPause)
	require.Equal(t, want, r.send(t))
	require.Equal(t, 3, r.AccessTokens())
	r.ClearFaults()
	require.Equal(t, push.Delivered, r.send(t).Outcome)
	require.Equal(t, 3, r.AccessTokens())
}

func TestAccessToken_ThatCannotBeReplacedIsRefusedOrRetry(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Delivered, r.send(t).Outcome)
	r.ExpireAccessTokens()
	require.NoError(t, r.TokenFault(simulate.Fault{Times: 1, Status: 400, Reason: "invalid_grant"}))
	require.Equal(t, push.Result{Outcome: push.Refused, Reason: "no access token: invalid_grant as the fault says"}, r.send(t))
	r.clock.advance(renewalPause)
	require.NoError(t, r.TokenFault(simulate.Fault{Times: 1, Status: 503}))
	require.Equal(t, push.Retry, r.send(t).Outcome)
	r.clock.advance(renewalPause)
	require.Equal(t, push.Delivered, r.send(t).Outcome)
}

// FCM refuses the access token for one device, and takes it for all the others:
// that is no matter of theirs, and no reason to ask for another each time.
func TestAccessToken_ThatOthersAreServedWithIsNotReplacedAgain(t *testing.T) {
	r := newRig(t)
	odd := messageTo(t, "odd:"+registrationToken)
	require.NoError(t, r.Fault(simulate.Fault{Target: string(odd.Subscription.Endpoint), Status: 401}))
	require.Equal(t, push.Delivered, r.send(t).Outcome)
	for range 5 {
		got := r.provider.Send(t.Context(), odd)
		require.Equal(t, push.Retry, got.Outcome)
		require.Equal(t, minWait, got.AtLeast)
		require.Equal(t, push.Delivered, r.send(t).Outcome)
	}
	require.Equal(t, 2, r.AccessTokens())
	r.clock.advance(time.Hour / 2)
	require.Equal(t, push.Retry, r.provider.Send(t.Context(), odd).Outcome, "with another one")
	require.Equal(t, 3, r.AccessTokens())
}

func TestAccessToken_WhenAllAreRefusedItIsOurCredentials(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Delivered, r.send(t).Outcome)
	require.NoError(t, r.Fault(simulate.Fault{Status: 401}))
	require.Equal(t, push.Retry, r.send(t).Outcome, "it may be this device")
	require.Equal(t, push.Refused, r.send(t).Outcome)
	require.Equal(t, 2, r.AccessTokens())
}

// Two messages were refused for the same access token, and the first has seen to it.
func TestAccessToken_IsNotReplacedTwice(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Delivered, r.send(t).Outcome)
	refused := r.held()
	first, err := r.tokens().replace(t.Context(), refused)
	require.NoError(t, err)
	second, err := r.tokens().replace(t.Context(), refused)
	require.NoError(t, err)
	require.Same(t, first, second)
	require.Equal(t, 2, r.AccessTokens())
}

func TestAccessToken_IsNotReplacedForTheProjectsOwnKey(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.Fault(simulate.Fault{Status: 401, Reason: "THIRD_PARTY_AUTH_ERROR"}))
	require.Equal(t, push.Retry, r.send(t).Outcome)
	require.Len(t, r.Log(), 1)
	require.Equal(t, 1, r.AccessTokens())
}

func TestAccessToken_ThatIsNotGivenIsRefusedOrRetry(t *testing.T) {
	for name, test := range map[string]struct {
		fault simulate.Fault
		want  push.Result
	}{
		"invalid_grant": {
			simulate.Fault{Status: 400, Body: `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`},
			push.Result{Outcome: push.Refused, Reason: "no access token: invalid_grant Invalid JWT Signature."},
		},
		"invalid_client": {
			simulate.Fault{Status: 401, Body: `{"error":"invalid_client"}`}, push.Result{Outcome: push.Refused, Reason: "no access token: invalid_client"},
		},
		"deleted_client": {
			simulate.Fault{Status: 401, Body: `{"error":"deleted_client","error_description":"The OAuth client was deleted."}`},
			push.Result{Outcome: push.Refused, Reason: "no access token: deleted_client The OAuth client was deleted."},
		},
		"a page": {simulate.Fault{Status: 404, Body: "<html>"}, push.Result{Outcome: push.Refused, Reason: "no access token: Not Found"}},
		"a secret": {
			simulate.Fault{Status: 400, Body: `{"error":"invalid_grant","error_description":"no eyJhbGciOiJSUzI1NiIsImtpZCI6Ijk0ZjYwOTAyMTZj"}`},
			push.Result{Outcome: push.Refused, Reason: "no access token: invalid_grant no …"},
		},
		"429":        {simulate.Fault{Status: 429}, push.Result{Outcome: push.Retry, Reason: "no access token: Too Many Requests"}},
		"408":        {simulate.Fault{Status: 408}, push.Result{Outcome: push.Retry, Reason: "no access token: Request Timeout"}},
		"500":        {simulate.Fault{Status: 500, Body: `{"error":"internal_failure"}`}, push.Result{Outcome: push.Retry, Reason: "no access token: internal_failure"}},
		"503":        {simulate.Fault{Status: 503}, push.Result{Outcome: push.Retry, Reason: "no access token: Service Unavailable"}},
		"a redirect": {simulate.Fault{Status: 302, Header: map[string]string{"Location": "/token"}, Body: "x"}, push.Result{Outcome: push.Retry, Reason: "no access token: Found"}},
		"no token":   {simulate.Fault{Status: 200, Body: `{}`}, push.Result{Outcome: push.Retry, Reason: "no access token: the token endpoint's answer is not one"}},
		"no JSON":    {simulate.Fault{Status: 200, Body: `ok`}, push.Result{Outcome: push.Retry, Reason: "no access token: the token endpoint's answer is not one"}},
		"too long":   {simulate.Fault{Status: 200, Body: `{"access_token":"` + strings.Repeat("x", maxAnswerBytes) + `"}`}, push.Result{Outcome: push.Retry, Reason: "no access token: the token endpoint's answer is not one"}},
		"no answer":  {simulate.Fault{Reset: true}, push.Result{Outcome: push.Retry, Reason: "no access token: the connection to the token endpoint broke"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			require.NoError(t, r.TokenFault(test.fault))
			if test.want.Outcome == push.Retry {
				test.want.AtLeast = 10 * time.Second
			}
			require.Equal(t, test.want, r.send(t))
			require.Empty(t, r.Log())
		})
	}
}

// A burst of messages is not a burst of requests for access tokens.
func TestAccessToken_IsAskedForOnceInTenSecondsWhileThereIsNone(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.TokenFault(simulate.Fault{Times: 1, Status: 503}))
	require.Equal(t, push.Retry, r.send(t).Outcome)
	require.Equal(t, push.Retry, r.send(t).Outcome)
	require.Zero(t, r.AccessTokens())
	r.clock.advance(renewalPause)
	require.Equal(t, push.Delivered, r.send(t).Outcome)
}

func TestAccessToken_IsAskedForWhenTheTokenEndpointWantsItAgain(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.TokenFault(simulate.Fault{Times: 1, Status: 429, RetryAfter: 120}))
	want := push.Result{Outcome: push.Retry, Reason: "no access token: Too Many Requests", RetryAfter: 2 * time.Minute}
	require.Equal(t, want, r.send(t))
	r.clock.advance(2*time.Minute - time.Second)
	require.Equal(t, want, r.send(t))
	require.Zero(t, r.AccessTokens())
	r.clock.advance(time.Second)
	require.Equal(t, push.Delivered, r.send(t).Outcome)
}

// A renewal that fails is no harm as long as the old token serves.
func TestAccessToken_ServesWhileItCannotBeRenewed(t *testing.T) {
	r := newRig(t)
	require.Equal(t, push.Delivered, r.send(t).Outcome)
	require.NoError(t, r.TokenFault(simulate.Fault{Status: 503}))
	r.clock.advance(55 * time.Minute)
	deliverMany(t, r, 20)
	r.clock.advance(6 * time.Minute)
	require.Equal(t, push.Retry, r.send(t).Outcome)
}

func TestAccessToken_OutlivesTheMessageThatAskedForIt(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.TokenFault(simulate.Fault{DelayMillis: 3000}))
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan push.Result, 1)
	go func() { first <- r.provider.Send(ctx, messageTo(t, registrationToken)) }()
	r.await(t, func() bool { return r.renewing() })

	var others sync.WaitGroup
	for range 10 {
		others.Go(func() {
			if result := r.provider.Send(t.Context(), messageTo(t, registrationToken)); result.Outcome != push.Delivered {
				t.Errorf("send: %+v", result)
			}
		})
	}
	cancel()
	require.Equal(t, push.Result{Outcome: push.Retry, Reason: "cancelled before the push service answered"}, <-first)
	others.Wait()
	require.Equal(t, 1, r.AccessTokens())
}

func TestClose_EndsARenewal(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.TokenFault(simulate.Fault{DelayMillis: 60_000}))
	ctx, cancel := context.WithCancel(t.Context())
	sent := make(chan push.Result, 1)
	go func() { sent <- r.provider.Send(ctx, messageTo(t, registrationToken)) }()
	r.await(t, func() bool { return r.renewing() })
	cancel()
	<-sent
	r.provider.Close()
	require.False(t, r.renewing())
}

func TestClassifyToken_OfEveryStatus(t *testing.T) {
	for status := 300; status <= 599; status++ {
		err := classifyToken(status, nil, nil, noon)
		require.Equal(t, status >= 400 && status <= 499 && status != 408 && status != 429, err.refused, "status %d", status)
		require.Contains(t, err.reason, "no access token: "+http.StatusText(status))
	}
}

// tokens are those of the credential in use.
func (r *rig) tokens() *tokens {
	r.provider.clients.mu.Lock()
	defer r.provider.clients.mu.Unlock()
	if c := r.provider.clients.all[r.credential.Load()]; c != nil {
		return c.tokens
	}
	return nil
}

func (r *rig) held() *accessToken {
	tokens := r.tokens()
	tokens.mu.Lock()
	defer tokens.mu.Unlock()
	return tokens.current
}

func (r *rig) renewing() bool {
	tokens := r.tokens()
	if tokens == nil {
		return false
	}
	tokens.mu.Lock()
	defer tokens.mu.Unlock()
	return tokens.renewal != nil
}

// await waits for what goes on in another goroutine.
func (r *rig) await(t *testing.T, done func() bool) {
	t.Helper()
	require.Eventually(t, done, time.Minute, time.Millisecond)
}

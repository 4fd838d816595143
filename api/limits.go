package api

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/belfryhq/belfry/push"
)

// What those may do who have no API key, so that a stranger with one token does
// not keep the store busy.
const (
	tokenRate    = 1  // requests a second, of one user with their tokens
	tokenBurst   = 30 // and at once
	receiptRate  = 1  // receipts a second with one receipt token, of which three can count
	receiptBurst = 6
	followRate   = 10 // looks of one visitor to the demo at what became of a notification, a second
	followBurst  = 100
)

// chargeKey takes from the allowance of the request's API key what it asks for: as
// many notifications, of which authorise has charged the first, before anything
// was read of the request. Without an API key it does nothing.
func chargeKey(ctx context.Context, notifications int) error {
	key := callerOf(ctx).key
	if key == nil || notifications < 2 {
		return nil
	}
	return key.charge(notifications-1, notifications)
}

// charge takes n from what the key may do. The error, with which nothing is taken,
// tells when there is enough for all of the request.
func (k *knownKey) charge(n, all int) error {
	now := time.Now()
	if k.allowance == nil || k.allowance.AllowN(now, n) {
		return nil
	}
	return rateLimited(k.allowance, now, all,
		fmt.Sprintf("This API key may make %g requests and notifications a second, and has made more.", k.allowance.Limit()))
}

// rateLimited is the problem of who asks for n.
func rateLimited(limit *rate.Limiter, now time.Time, n int, why string) error {
	missing := float64(n) - limit.TokensAt(now)
	wait := time.Duration(missing / float64(limit.Limit()) * float64(time.Second))
	return problem{
		status: http.StatusTooManyRequests, code: "rate_limited",
		retryAfter: max(wait, 0) + time.Millisecond, // for what was rounded away
		detail:     why + " Nothing was accepted; send it again after the time in Retry-After.",
	}
}

// allowances are limits of many, each by itself. Of those who do nothing for
// long enough to have their whole allowance again, nothing is kept.
type allowances[who comparable] struct {
	rate, burst int
	max         int // of whom anything is kept, twice: beyond that, some have their whole allowance early

	mu     sync.Mutex
	since  time.Time // when recent was begun
	recent map[who]*rate.Limiter
	before map[who]*rate.Limiter
}

const allowancesMax = 1 << 16

func newAllowances[who comparable](perSecond, burst int) *allowances[who] {
	return &allowances[who]{rate: perSecond, burst: burst, max: allowancesMax, recent: make(map[who]*rate.Limiter)}
}

// take is for one request. The error tells when the next is let in.
func (a *allowances[who]) take(of who, now time.Time) error {
	limit := a.limiterOf(of, now)
	if limit.AllowN(now, 1) {
		return nil
	}
	return rateLimited(limit, now, 1, "That is too much at once.")
}

func (a *allowances[who]) limiterOf(of who, now time.Time) *rate.Limiter {
	a.mu.Lock()
	defer a.mu.Unlock()
	refilled := time.Duration(a.burst) * time.Second / time.Duration(a.rate)
	if now.Sub(a.since) >= refilled || len(a.recent) >= a.max {
		// Who is in neither has done nothing for so long.
		a.before, a.recent, a.since = a.recent, make(map[who]*rate.Limiter), now
	}
	limit := a.recent[of]
	if limit == nil {
		if limit = a.before[of]; limit == nil {
			limit = rate.NewLimiter(rate.Limit(a.rate), a.burst)
		}
		a.recent[of] = limit
	}
	return limit
}

// receiptOf is whose receipts are limited together.
type receiptOf struct {
	app          string
	notification push.ID
	subscription push.Digest
}

// limitReceipts is for a receipt whose token was found to be good.
func (s *Server) limitReceipts(app string, notification push.ID, subscription push.Digest) error {
	return s.receipts.take(receiptOf{app, notification, subscription}, time.Now())
}

package actors

import (
	"math/rand/v2"
	"time"

	"github.com/belfryhq/belfry/push"
)

const (
	retryBase     = 2 * time.Second  // the first wait before another attempt is at most this; doubles
	retryCap      = 15 * time.Minute // the longest wait of our own choice
	retryAfterMin = time.Second      // a shorter Retry-After is taken for this
	retryAfterMax = time.Hour        // a longer one too
)

// backoff is exponential with full jitter: evenly between nothing and
// base·2^(n-1), at most limit, for the n-th failure.
func backoff(base, limit time.Duration, n int) time.Duration {
	ceiling := limit
	if shift := n - 1; shift < 32 && base <= limit>>shift {
		ceiling = base << shift
	}
	return rand.N(ceiling) + 1
}

// retryWait is how long to wait after the n-th attempt. What the push service
// asked for wins; what its vendor wants at least is waited before the back-off.
func retryWait(n int, result push.Result) time.Duration {
	if result.RetryAfter > 0 {
		return min(max(result.RetryAfter, retryAfterMin), retryAfterMax)
	}
	return min(result.AtLeast+backoff(retryBase, retryCap, n), retryAfterMax)
}

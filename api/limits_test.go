package api

import (
	"errors"
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/store"
)

// waitOf is what the header Retry-After of a refusal says.
func waitOf(t *testing.T, err error) time.Duration {
	t.Helper()
	var p problem
	require.True(t, errors.As(err, &p), "%v", err)
	require.Equal(t, http.StatusTooManyRequests, p.status)
	require.Equal(t, "rate_limited", p.code)
	require.Empty(t, p.field)
	return time.Duration(math.Ceil(p.retryAfter.Seconds())) * time.Second
}

// ask is one request for so many notifications.
func (k *knownKey) ask(notifications int) error {
	if err := k.charge(1, 1); err != nil {
		return err
	}
	return k.charge(notifications-1, notifications)
}

func TestCharge_IsPerSecondWithABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct{ rate, burst int }{{1, 1000}, {99, 1000}, {100, 1000}, {500, 5000}} {
			key := &knownKey{allowance: newKeyring(0).allowanceOf(store.APIKey{Rate: c.rate})}
			for range c.burst {
				require.NoError(t, key.ask(1))
			}
			require.LessOrEqual(t, waitOf(t, key.ask(1)), 2*time.Second)
			time.Sleep(10 * time.Second)
			for range min(10*c.rate, c.burst) {
				require.NoError(t, key.ask(1))
			}
			require.Error(t, key.ask(1))
		}
	})
}

// Whoever waits as long as Retry-After says is let in, however much is asked: at
// the second try, if at the first there was not even enough to look at the request.
func TestCharge_SaysWhenThereIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, perSecond := range []int{1, 3, 50} {
			for _, asked := range []int{1, 2, 500, 1000} {
				key := &knownKey{allowance: newKeyring(perSecond).allowanceOf(store.APIKey{})}
				require.NoError(t, key.ask(1000))
				for range 20 {
					refused := 0
					for err := key.ask(asked); err != nil; err = key.ask(asked) {
						refused++
						wait := waitOf(t, err)
						require.LessOrEqual(t, wait, time.Duration(asked/perSecond+2)*time.Second)
						time.Sleep(wait)
					}
					require.LessOrEqual(t, refused, 2, "%d at %d/s", asked, perSecond)
				}
			}
		}
	})
}

func TestCharge_WithoutARateIsNothing(t *testing.T) {
	key := &knownKey{allowance: newKeyring(0).allowanceOf(store.APIKey{})}
	require.Nil(t, key.allowance)
	for range 100 {
		require.NoError(t, key.ask(1000))
	}
}

func TestAllowances_AreEachTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := newAllowances[string](2, 10)
		for range 10 {
			require.NoError(t, limits.take("ann", time.Now()))
		}
		require.Equal(t, time.Second, waitOf(t, limits.take("ann", time.Now())))
		require.NoError(t, limits.take("bob", time.Now()))
		time.Sleep(500 * time.Millisecond)
		require.NoError(t, limits.take("ann", time.Now()))
		require.Error(t, limits.take("ann", time.Now()))
	})
}

// What was forgotten of somebody is nothing: the allowance is the same as if
// everything were kept.
func TestAllowances_ForgetNobodyWhoHasUsedAny(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := newAllowances[string](1, 30)
		for range 600 { // seconds
			for range 2 {
				limits.take("greedy", time.Now()) //nolint:errcheck // one in two is refused, after a while
			}
			limits.take(time.Now().String(), time.Now()) //nolint:errcheck // somebody new
			time.Sleep(time.Second)
		}
		require.NoError(t, limits.take("greedy", time.Now()))
		require.Error(t, limits.take("greedy", time.Now()), "after ten minutes at twice the rate there is nothing left")
		require.LessOrEqual(t, len(limits.recent)+len(limits.before), 62)
	})
}

func TestAllowances_KeepNoMoreThanTheirBound(t *testing.T) {
	limits := newAllowances[int](1, 30)
	limits.max = 100
	now := time.Now()
	for i := range 10_000 {
		require.NoError(t, limits.take(i, now))
		require.LessOrEqual(t, len(limits.recent)+len(limits.before), 2*limits.max)
	}
}

package actors

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

func keyNamed(name string, request byte) Key {
	return Key{App: push.DefaultApp, Key: name, Request: [32]byte{request}}
}

func (r *rig) once(key Key, user string) ([]push.ID, error) {
	return r.NotifyOnce(r.t.Context(), key, []Draft{{User: userNamed(user), Content: []byte("{}"), TTL: time.Hour}})
}

func TestNotifyOnce_TheSameKeyIsAcceptedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		first, err := r.once(keyNamed("k", 1), "ann")
		require.NoError(t, err)
		for range 2 {
			again, err := r.once(keyNamed("k", 1), "ann")
			require.NoError(t, err)
			require.Equal(t, first, again)
			r.stop() // and after a restart
			r.start()
		}
		_, err = r.once(keyNamed("k", 2), "ann")
		require.ErrorIs(t, err, ErrKeyReused)
		r.settle()
		require.Equal(t, first, r.service.got("laptop"))
	})
}

func TestNotifyOnce_AlsoAtTheSameTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		var mu sync.Mutex
		answers := map[push.ID]int{}
		reused := 0
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				ids, err := r.once(keyNamed("k", byte(i%2)), "ann")
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					reused++
				} else {
					answers[ids[0]]++
				}
			})
		}
		all.Wait()
		r.settle()
		require.Len(t, answers, 1)
		require.Equal(t, 50, reused)
		require.Len(t, r.service.got("laptop"), 1)
	})
}

func TestNotifyOnce_AKeyThatWasNotAcceptedIsFree(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, flaky := newFlakyRig(t)
		flaky.failing.Store(true)
		_, err := r.once(keyNamed("k", 1), "ann")
		require.ErrorIs(t, err, ErrUnavailable)
		flaky.failing.Store(false)
		_, err = r.once(keyNamed("k", 1), "ann")
		require.NoError(t, err)
	})
}

func TestNotifyOnce_AKeyIsForgottenAfterADay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Ranges = 1 })
		first, err := r.once(keyNamed("k", 1), "ann")
		require.NoError(t, err)
		time.Sleep(23 * time.Hour)
		_, err = r.once(keyNamed("other", 1), "ann") // and the journal lets go of the first
		require.NoError(t, err)
		again, err := r.once(keyNamed("k", 1), "ann")
		require.NoError(t, err)
		require.Equal(t, first, again)
		time.Sleep(2 * time.Hour)
		again, err = r.once(keyNamed("k", 1), "ann")
		require.NoError(t, err)
		require.NotEqual(t, first, again)
	})
}

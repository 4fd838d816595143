package actors

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestIDClock_AlwaysCountsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var last push.ID
		binary.BigEndian.PutUint64(last[:8], rapid.Uint64Range(0, 1<<63).Draw(t, "high")&^0xf000|0x7000)
		binary.BigEndian.PutUint64(last[8:], rapid.Uint64().Draw(t, "low")>>2|1<<63)
		clock := idClock{last: last}
		now := time.UnixMilli(rapid.Int64Range(0, 1<<46).Draw(t, "now"))
		for range 50 {
			now = now.Add(time.Duration(rapid.Int64Range(-5000, 5000).Draw(t, "step")) * time.Millisecond)
			next := clock.next(now)
			require.Positive(t, next.Compare(last), "%s after %s", next, last)
			require.Equal(t, byte(0x70), next[6]&0xf0, "version 7")
			require.Equal(t, byte(0x80), next[8]&0xc0, "variant")
			last = next
		}
	})
}

func TestIDClock_CarriesIntoTheNextMillisecond(t *testing.T) {
	var last push.ID
	binary.BigEndian.PutUint64(last[:8], 1000<<16|0x7fff)
	binary.BigEndian.PutUint64(last[8:], 0b10<<62|randBMax)
	next := (&idClock{last: last}).next(time.UnixMilli(0))
	require.Equal(t, int64(1001), next.Time().UnixMilli())
	require.Positive(t, next.Compare(last))
}

func TestIDClock_TellsTheTime(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_123)
	require.True(t, (&idClock{}).next(now).Time().Equal(now))
}

func TestBackoff_StaysWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 1000).Draw(t, "n")
		wait := backoff(retryBase, retryCap, n)
		require.Positive(t, wait)
		require.LessOrEqual(t, wait, retryCap)
		if n < 8 {
			require.LessOrEqual(t, wait, retryBase<<(n-1))
		}
	})
}

func TestBackoff_HasAWaitForEveryBase(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := time.Duration(rapid.Int64Range(1, int64(time.Minute)).Draw(t, "base"))
		limit := time.Duration(rapid.Int64Range(int64(base), int64(24*time.Hour)).Draw(t, "limit"))
		wait := backoff(base, limit, rapid.IntRange(1, 100).Draw(t, "n"))
		require.Positive(t, wait)
		require.LessOrEqual(t, wait, limit)
	})
}

func TestBackoff_IsJittered(t *testing.T) {
	seen := make(map[time.Duration]bool)
	for range 100 {
		seen[backoff(retryBase, retryCap, 5)] = true
	}
	require.Greater(t, len(seen), 90)
}

func TestRanges_CoverEveryShardOnce(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 16, 1000, push.Shards} {
		s := &System{config: Config{Ranges: n}}
		for shard := push.Shard(0); shard < push.Shards; shard++ {
			owner := s.rangeIndex(shard)
			require.True(t, s.shardsOf(owner).Contains(shard), "shard %d of %d ranges", shard, n)
		}
		require.Equal(t, push.Shard(0), s.shardsOf(0).First)
		require.Equal(t, push.Shard(push.Shards-1), s.shardsOf(n-1).Last)
	}
}

func TestRetryWait_IsTheVendorsLeastAndTheBackoff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 1000).Draw(t, "n")
		wait := retryWait(n, push.Result{Outcome: push.Retry, AtLeast: 10 * time.Second})
		require.Greater(t, wait, 10*time.Second)
		require.LessOrEqual(t, wait, 10*time.Second+retryCap)
		require.Equal(t, 3*time.Second, retryWait(n, push.Result{Outcome: push.Retry, AtLeast: 10 * time.Second, RetryAfter: 3 * time.Second}), "what was asked for wins")
	})
}

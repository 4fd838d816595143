package push_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry/push"
)

// Every stored pending row carries its shard. If this fails, the function has
// to be put back: the values may never be changed to what it gives now.
func TestShard_IsFixedForEver(t *testing.T) {
	for user, shard := range map[push.User]push.Shard{
		{App: "default", ID: ""}:                       479,
		{App: "default", ID: "alice"}:                  408,
		{App: "default", ID: "bob"}:                    229,
		{App: "default", ID: "日本語"}:                    749,
		{App: "default", ID: "user-1000000"}:           815,
		{App: "default", ID: strings.Repeat("x", 255)}: 343,
		{App: "shop", ID: "alice"}:                     981,
		{App: "a", ID: "bc"}:                           929,
		{App: "ab", ID: "c"}:                           228,
	} {
		require.Equal(t, shard, user.Shard(), "%v", user)
	}
	require.Equal(t, 1024, push.Shards)
}

func TestShard_SpreadsUsersEvenly(t *testing.T) {
	const perShard = 100
	var count [push.Shards]int
	for i := range perShard * push.Shards {
		count[push.User{App: push.DefaultApp, ID: "user-" + strconv.Itoa(i)}.Shard()]++
	}
	for shard, n := range count {
		require.InDelta(t, perShard, n, 0.6*perShard, "shard %d", shard)
	}
}

func TestShardRange_HoldsBothEnds(t *testing.T) {
	r := push.ShardRange{First: 64, Last: 127}
	for shard, want := range map[push.Shard]bool{63: false, 64: true, 100: true, 127: true, 128: false} {
		require.Equal(t, want, r.Contains(shard), "shard %d", shard)
	}
}

func TestShardRange_DividesAllUsers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		user := push.User{App: rapid.String().Draw(t, "app"), ID: rapid.String().Draw(t, "id")}
		require.True(t, push.ShardRange{First: 0, Last: push.Shards - 1}.Contains(user.Shard()))
	})
}

func TestValidUserID(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, "42": true, "日本語": true, "a b": true, "mail@example.com": true, "../../etc": true,
		strings.Repeat("x", 255): true, strings.Repeat("x", 256): false, strings.Repeat("é", 128): false,
		"": false, "a\x00": false, "a\n": false, "\x7f": false, "\u0085": false, "\xff": false, "a\xc3": false,
	} {
		require.Equal(t, want, push.ValidUserID(id), "%q", id)
	}
}

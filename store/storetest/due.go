package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

var dueFacts = []fact{
	{"IsNothingAtFirst", func(t *testing.T, s store.Store) {
		commit(t, s, accepted(NewSamples().Notification(ann)))
		require.Nil(t, listDue(t, s, Start.AddDate(100, 0, 0)))
		require.Empty(t, listDueOf(t, s, ann, Start.AddDate(100, 0, 0)))
		require.Zero(t, nextDue(t, s, AllShards, time.Time{}))
	}},
	{"IsListedInPagesByTimeAndID", func(t *testing.T, s store.Store) {
		all := NewSamples().Notifications(ann, 9)
		commit(t, s, accepted(all...))
		at := func(second int) time.Time { return Start.Add(time.Duration(second) * time.Second) }
		want := []store.Due{
			dueOf(all[6], at(1)), dueOf(all[0], at(2)), dueOf(all[3], at(2)), dueOf(all[4], at(2)), dueOf(all[7], at(2)),
			dueOf(all[1], at(3)), dueOf(all[5], at(3)), dueOf(all[2], at(4)),
		}
		var group store.Group
		for _, i := range []int{4, 2, 7, 0, 6, 1, 3, 5} {
			group.Parked = append(group.Parked, want[i].Parking)
		}
		commit(t, s, group)

		page := func(after store.Parking, upTo time.Time, limit int) []store.Due {
			t.Helper()
			due, err := s.ListDue(t.Context(), AllShards, after, upTo, limit)
			require.NoError(t, err)
			return due
		}
		for limit := 1; limit <= len(want); limit++ {
			var got []store.Due
			var after store.Parking
			for next := page(after, at(9), limit); len(next) > 0; next = page(after, at(9), limit) {
				require.LessOrEqual(t, len(next), limit)
				got = append(got, next...)
				after = next[len(next)-1].Parking
			}
			require.Equal(t, want, got, "in pages of %d", limit)
		}
		require.Equal(t, want[:5], page(store.Parking{}, at(2), 10), "upTo is listed")
		require.Equal(t, want[:1], page(store.Parking{}, at(2).Add(-time.Millisecond), 10))
		require.Equal(t, want[3:7], page(want[2].Parking, at(3), 10), "after is not listed again")
		require.Equal(t, want[1:], page(store.Parking{Until: at(2)}, at(9), 10), "all of a time come after the zero ID")
		require.Equal(t, want[5:], page(store.Parking{Notification: MaxID, Until: at(2)}, at(9), 10))
		require.Empty(t, page(want[7].Parking, at(9), 10))
		require.Empty(t, page(want[4].Parking, at(1), 10))
	}},
	{"IsListedForAShardRange", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		var all []store.Due
		for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			n := samples.Notification(User(id))
			n.SendAt = n.AcceptedAt.Add(time.Minute)
			commit(t, s, accepted(n))
			all = append(all, dueOf(n, n.SendAt))
		}
		shards := make([]push.Shard, len(all))
		for i, d := range all {
			shards[i] = d.User.Shard()
		}
		slices.Sort(shards)
		for _, shardRange := range []push.ShardRange{
			{First: shards[2], Last: shards[5]}, {First: shards[0], Last: shards[0]},
			{First: 0, Last: shards[3] - 1}, {First: shards[7] + 1, Last: push.Shards - 1},
		} {
			var want []store.Due
			var next time.Time
			for _, d := range all {
				if !shardRange.Contains(d.User.Shard()) {
					continue
				}
				if want == nil {
					next = d.Until
				}
				want = append(want, d)
			}
			got, err := s.ListDue(t.Context(), shardRange, store.Parking{}, Start.Add(time.Hour), 100)
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.Equal(t, next, nextDue(t, s, shardRange, Start))
		}
	}},
	{"NextIsTheEarliestAfterATime", func(t *testing.T, s store.Store) {
		all := NewSamples().Notifications(ann, 5)
		commit(t, s, accepted(all...))
		one, two, three := Start.Add(time.Second), Start.Add(2*time.Second), Start.Add(3*time.Second)
		commit(t, s, store.Group{Parked: []store.Parking{
			parking(all[0], three), parking(all[1], one), parking(all[3], two), parking(all[4], two),
		}})
		require.Equal(t, one, nextDue(t, s, AllShards, time.Time{}))
		require.Equal(t, two, nextDue(t, s, AllShards, one))
		require.Equal(t, three, nextDue(t, s, AllShards, two))
		require.Zero(t, nextDue(t, s, AllShards, three))
	}},
	{"IsListedForManyUsersAtOnce", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		upTo := Start.Add(time.Hour)
		want := map[push.User][]store.Pending{}
		users := []store.UserAfter{{User: User("nobody")}, {User: push.User{App: "other", ID: "user1"}}}
		for i := range 20 {
			user := User(fmt.Sprint("user", i))
			users = append(users, store.UserAfter{User: user})
			all := samples.Notifications(user, 6)
			group := store.Group{Accepted: all}
			for j, n := range all[:i%6] { // the last is never parked
				until := upTo.Add(-time.Duration(j) * time.Minute) // the order of IDs counts, not this
				group.Parked = append(group.Parked, parking(n, until))
				want[user] = append(want[user], store.Pending{Notification: n})
			}
			if parked := want[user]; len(parked) > 3 {
				group.Parked = append(group.Parked, parking(parked[1].Notification, upTo.Add(time.Millisecond)))
				want[user] = slices.Delete(parked, 1, 2)
			}
			commit(t, s, group)
		}
		commit(t, s, dueAt(samples.Notification(User("not asked for")), upTo))
		got, err := s.ListDueOf(t.Context(), users, upTo, 10)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}},
	{"OfEachUserIsListedAfterItsIDAndUpToTheLimit", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		of := map[push.User][]store.Pending{}
		for range 5 {
			for _, user := range []push.User{ann, bob, {App: "other", ID: ann.ID}} {
				n := samples.Notification(user)
				commit(t, s, dueAt(n, Start))
				of[user] = append(of[user], store.Pending{Notification: n})
			}
		}
		elsewhere := push.User{App: "other", ID: ann.ID}
		got, err := s.ListDueOf(t.Context(), []store.UserAfter{
			{User: ann, After: of[ann][0].Notification.ID}, {User: bob}, {User: elsewhere, After: of[elsewhere][3].Notification.ID},
		}, Start, 3)
		require.NoError(t, err)
		require.Equal(t, map[push.User][]store.Pending{ann: of[ann][1:4], bob: of[bob][:3], elsewhere: of[elsewhere][4:]}, got)
	}},
	{"IsListedForNobody", func(t *testing.T, s store.Store) {
		commit(t, s, dueAt(NewSamples().Notification(ann), Start))
		got, err := s.ListDueOf(t.Context(), nil, Start, 10)
		require.NoError(t, err)
		require.Empty(t, got)
	}},
	{"KeepsOddUsersApart", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		want := map[push.User][]store.Pending{}
		var users []store.UserAfter
		for _, id := range oddUsers {
			n := samples.Notification(User(id))
			commit(t, s, dueAt(n, Start))
			users, want[n.User] = append(users, store.UserAfter{User: n.User}), []store.Pending{{Notification: n}}
		}
		got, err := s.ListDueOf(t.Context(), users, Start, 10)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}},
}

// dueAt accepts a notification and parks it.
func dueAt(n push.Notification, until time.Time) store.Group {
	return store.Group{Accepted: []push.Notification{n}, Parked: []store.Parking{parking(n, until)}}
}

func dueOf(n push.Notification, until time.Time) store.Due {
	return store.Due{Parking: parking(n, until), User: n.User}
}

func listDue(t *testing.T, s store.Store, upTo time.Time) []store.Due {
	t.Helper()
	due, err := s.ListDue(t.Context(), AllShards, store.Parking{}, upTo, 1000)
	require.NoError(t, err)
	return due
}

func listDueOf(t *testing.T, s store.Store, user push.User, upTo time.Time) []store.Pending {
	t.Helper()
	due, err := s.ListDueOf(t.Context(), []store.UserAfter{{User: user}}, upTo, 1000)
	require.NoError(t, err)
	require.Equal(t, len(due[user]) > 0, len(due) == 1, "users without any are absent")
	return due[user]
}

func nextDue(t *testing.T, s store.Store, shards push.ShardRange, after time.Time) time.Time {
	t.Helper()
	next, err := s.NextDue(t.Context(), shards, after)
	require.NoError(t, err)
	return next
}

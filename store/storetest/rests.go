package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

var restFacts = []fact{
	{"ComesWithANewSubscription", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		sub := resting(samples, samples.Browser(ann))
		putSubscription(t, s, sub)
		require.Equal(t, []push.Subscription{sub}, listSubscriptions(t, s, ann))
	}},
	{"IsNotedAndTakenAway", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		sub, other := samples.Browser(ann), samples.Phone(ann)
		putSubscription(t, s, sub)
		putSubscription(t, s, other)
		for _, rest := range []push.Rest{
			samples.Rest(samples.Notification(ann)),
			{Until: samples.Now(), Attempts: 70_000, Reason: `host closed: "é" 😀`},
			{},
			samples.Rest(samples.Notification(ann)),
		} {
			commit(t, s, store.Group{Rests: []store.SubscriptionRest{{UserSubscription: keyOf(sub), Rest: rest}}})
			sub.Rest = rest
			require.Equal(t, []push.Subscription{sub, other}, listSubscriptions(t, s, ann))
		}
	}},
	{"StaysWhenItsSubscriptionIsRenewed", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		sub := resting(samples, samples.Browser(ann))
		putSubscription(t, s, sub)
		for _, given := range []push.Rest{{}, samples.Rest(samples.Notification(ann))} {
			again := sub
			again.SeenAt, again.Rest = samples.Now(), given
			putSubscription(t, s, again)
			again.Rest = sub.Rest
			require.Equal(t, []push.Subscription{again}, listSubscriptions(t, s, ann))

			again.SeenAt = samples.Now()
			_, err := s.ReplaceSubscription(t.Context(), sub.Digest, again)
			require.NoError(t, err)
			require.Equal(t, []push.Subscription{again}, listSubscriptions(t, s, ann), "by itself")
		}
	}},
	{"NeverWasStaysSoWhenItsSubscriptionIsRenewed", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		sub := samples.Browser(ann)
		putSubscription(t, s, sub)
		putSubscription(t, s, resting(samples, sub))
		require.Equal(t, []push.Subscription{sub}, listSubscriptions(t, s, ann))
	}},
	{"IsTheOneGivenWhenItsSubscriptionMoves", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		sub := resting(samples, samples.Browser(ann))
		putSubscription(t, s, sub)
		for _, moved := range []push.Subscription{
			resting(samples, samples.Browser(bob)), samples.Browser(ann), resting(samples, samples.Browser(bob)),
		} {
			moved.Endpoint, moved.Digest = sub.Endpoint, sub.Digest
			require.NotEmpty(t, putSubscription(t, s, moved).MovedFrom)
			require.Equal(t, []push.Subscription{moved}, listSubscriptions(t, s, moved.User))
		}
	}},
	{"GoesWithASubscriptionThatIsReplaced", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		old, new, newer := resting(samples, samples.Browser(ann)), samples.Browser(ann), resting(samples, samples.Browser(ann))
		putSubscription(t, s, old)
		_, err := s.ReplaceSubscription(t.Context(), old.Digest, new)
		require.NoError(t, err)
		require.Equal(t, []push.Subscription{new}, listSubscriptions(t, s, ann))
		_, err = s.ReplaceSubscription(t.Context(), new.Digest, newer)
		require.NoError(t, err)
		require.Equal(t, []push.Subscription{newer}, listSubscriptions(t, s, ann))
	}},
	{"NotedSeveralTimesAtOnceIsTheLast", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		rests, ends, other := samples.Phone(ann), samples.Phone(ann), samples.Phone(bob)
		last, n := samples.Rest(samples.Notification(ann)), samples.Notification(ann)
		for _, sub := range []push.Subscription{rests, ends, other} {
			putSubscription(t, s, sub)
		}
		commit(t, s, store.Group{Rests: []store.SubscriptionRest{
			{UserSubscription: keyOf(rests), Rest: samples.Rest(n)},
			{UserSubscription: keyOf(ends), Rest: samples.Rest(n)},
			{UserSubscription: keyOf(rests)},
			{UserSubscription: keyOf(other), Rest: last},
			{UserSubscription: keyOf(ends), Rest: samples.Rest(n)},
			{UserSubscription: keyOf(rests), Rest: last},
			{UserSubscription: keyOf(ends)},
			{UserSubscription: store.UserSubscription{User: bob, Digest: rests.Digest}},
		}})
		rests.Rest, other.Rest = last, last
		require.Equal(t, []push.Subscription{rests, ends}, listSubscriptions(t, s, ann))
		require.Equal(t, []push.Subscription{other}, listSubscriptions(t, s, bob))
	}},
	{"PassesOverWhatIsGoneOrMoved", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		gone, moved, kept := samples.Phone(ann), samples.Phone(ann), samples.Phone(ann)
		for _, sub := range []push.Subscription{gone, moved, kept} {
			putSubscription(t, s, sub)
		}
		moved.User = bob
		putSubscription(t, s, moved)
		rest := samples.Rest(samples.Notification(ann))
		group := store.Group{Gone: []store.SubscriptionGone{goneOf(gone)}}
		for _, key := range []store.UserSubscription{
			keyOf(gone), {User: ann, Digest: moved.Digest}, {User: ann, Digest: push.Digest{1}}, keyOf(kept),
			{User: push.User{App: "other", ID: "ann"}, Digest: kept.Digest},
		} {
			group.Rests = append(group.Rests, store.SubscriptionRest{UserSubscription: key, Rest: rest})
		}
		commit(t, s, group)
		kept.Rest = rest
		require.Equal(t, []push.Subscription{kept}, listSubscriptions(t, s, ann))
		require.Equal(t, []push.Subscription{moved}, listSubscriptions(t, s, bob))
	}},
	{"HasItsTimeToTheMillisecondInUTC", func(t *testing.T, s store.Store) {
		sub := NewSamples().Browser(ann)
		sub.Rest.Until = time.Date(2026, 7, 1, 12, 0, 0, 123_999_999, time.FixedZone("elsewhere", 5*3600))
		want := time.Date(2026, 7, 1, 7, 0, 0, 123_000_000, time.UTC)
		putSubscription(t, s, sub)
		require.Equal(t, push.Rest{Until: want}, listSubscriptions(t, s, ann)[0].Rest)
		commit(t, s, store.Group{Rests: []store.SubscriptionRest{{UserSubscription: keyOf(sub), Rest: sub.Rest}}})
		require.Equal(t, push.Rest{Until: want}, listSubscriptions(t, s, ann)[0].Rest)
	}},
	{"OfManyIsNotedAtOnce", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		var want []push.Subscription
		var group store.Group
		for range 300 {
			sub := samples.Phone(ann)
			putSubscription(t, s, sub)
			sub = resting(samples, sub)
			want = append(want, sub)
			group.Rests = append(group.Rests, store.SubscriptionRest{UserSubscription: keyOf(sub), Rest: sub.Rest})
		}
		slices.Reverse(group.Rests)
		commit(t, s, group)
		require.Equal(t, want, listSubscriptions(t, s, ann))
	}},
}

var seenFacts = []fact{
	{"IsSetAndNothingElse", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		sub, other := resting(samples, samples.Browser(ann)), samples.Phone(ann)
		putSubscription(t, s, sub)
		putSubscription(t, s, other)
		at := time.Date(2026, 7, 1, 12, 0, 0, 123_999_999, time.FixedZone("elsewhere", 5*3600))
		commit(t, s, store.Group{Seen: []store.SubscriptionSeen{{UserSubscription: keyOf(sub), At: at}}})
		sub.SeenAt = time.Date(2026, 7, 1, 7, 0, 0, 123_000_000, time.UTC)
		require.Equal(t, []push.Subscription{sub, other}, listSubscriptions(t, s, ann))
	}},
	{"PassesOverWhatIsGoneOrMoved", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		gone, moved, kept := samples.Phone(ann), samples.Phone(ann), samples.Phone(ann)
		for _, sub := range []push.Subscription{gone, moved, kept} {
			putSubscription(t, s, sub)
		}
		moved.User = bob
		putSubscription(t, s, moved)
		at := samples.Now()
		group := store.Group{Gone: []store.SubscriptionGone{goneOf(gone)}}
		for _, key := range []store.UserSubscription{
			keyOf(gone), {User: ann, Digest: moved.Digest}, keyOf(kept), {User: ann, Digest: push.Digest{1}},
			{User: push.User{App: "other", ID: "bob"}, Digest: moved.Digest},
		} {
			group.Seen = append(group.Seen, store.SubscriptionSeen{UserSubscription: key, At: at})
		}
		commit(t, s, group)
		kept.SeenAt = at
		require.Equal(t, []push.Subscription{kept}, listSubscriptions(t, s, ann))
		require.Equal(t, []push.Subscription{moved}, listSubscriptions(t, s, bob))
	}},
	{"GoesWithARestInOneGroup", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		sub := samples.Phone(ann)
		putSubscription(t, s, sub)
		sub = resting(samples, sub)
		sub.SeenAt = samples.Now()
		commit(t, s, store.Group{
			Rests: []store.SubscriptionRest{{UserSubscription: keyOf(sub), Rest: sub.Rest}},
			Seen:  []store.SubscriptionSeen{{UserSubscription: keyOf(sub), At: sub.SeenAt}},
		})
		require.Equal(t, []push.Subscription{sub}, listSubscriptions(t, s, ann))
	}},
}

// resting gives the subscription with a rest.
func resting(samples *Samples, sub push.Subscription) push.Subscription {
	sub.Rest = samples.Rest(samples.Notification(sub.User))
	return sub
}

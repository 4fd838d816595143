package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

var mismatchFacts = []fact{
	{"IsNotedAndNothingElse", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		sub, other := resting(samples, samples.Browser(ann)), samples.Browser(ann)
		putSubscription(t, s, sub)
		putSubscription(t, s, other)
		for range 2 {
			commit(t, s, mismatched(sub, sub))
			sub.KeyMismatch = true
			require.Equal(t, []push.Subscription{sub, other}, listSubscriptions(t, s, ann))
		}
	}},
	{"ComesWithANewSubscription", func(t *testing.T, s store.Store) {
		sub := NewSamples().Browser(ann)
		sub.KeyMismatch = true
		require.Equal(t, store.Put{Created: true, CreatedAt: sub.CreatedAt, KeyMismatch: true}, putSubscription(t, s, sub))
		require.Equal(t, []push.Subscription{sub}, listSubscriptions(t, s, ann))
	}},
	{"StaysWhenItsSubscriptionIsRenewedWithTheSameKeys", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		for _, sub := range []push.Subscription{samples.Browser(ann), samples.Phone(bob)} { // with keys and without
			putSubscription(t, s, sub)
			commit(t, s, mismatched(sub))

			sub.SeenAt, sub.ExpiresAt = samples.Now(), samples.Now()
			sub.Topic, sub.Environment, sub.Project = "com.example.shop", push.Sandbox, "another-project"
			require.Equal(t, store.Put{CreatedAt: sub.CreatedAt, KeyMismatch: true}, putSubscription(t, s, sub))
			again := sub
			again.KeyMismatch = true
			require.Equal(t, []push.Subscription{again}, listSubscriptions(t, s, sub.User))

			put, err := s.ReplaceSubscription(t.Context(), sub.Digest, sub)
			require.NoError(t, err)
			require.True(t, put.KeyMismatch)
			require.Equal(t, []push.Subscription{again}, listSubscriptions(t, s, sub.User), "by itself")
		}
	}},
	{"NeverWasStaysSoWhenItsSubscriptionIsRenewed", func(t *testing.T, s store.Store) {
		sub := NewSamples().Browser(ann)
		putSubscription(t, s, sub)
		claimed := sub
		claimed.KeyMismatch = true
		require.False(t, putSubscription(t, s, claimed).KeyMismatch)
		require.Equal(t, []push.Subscription{sub}, listSubscriptions(t, s, ann))
	}},
	{"EndsWithAnyOtherKey", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		for _, change := range []func(*push.Subscription){
			func(sub *push.Subscription) { sub.P256dh = publicKey() },
			func(sub *push.Subscription) { sub.Auth = randomBytes(16) },
			func(sub *push.Subscription) { sub.VAPIDKey = publicKey() },
			func(sub *push.Subscription) { sub.VAPIDKey = nil },
		} {
			sub := samples.Browser(ann)
			putSubscription(t, s, sub)
			commit(t, s, mismatched(sub))
			change(&sub)
			require.Equal(t, store.Put{CreatedAt: sub.CreatedAt}, putSubscription(t, s, sub))
			require.Equal(t, []push.Subscription{sub}, listSubscriptions(t, s, ann))
			require.False(t, putSubscription(t, s, sub).KeyMismatch, "nor does it come back")
			require.NoError(t, s.DeleteSubscription(t.Context(), ann, sub.Digest))
		}
	}},
	{"EndsWhenItsSubscriptionMoves", func(t *testing.T, s store.Store) {
		sub := NewSamples().Browser(ann)
		putSubscription(t, s, sub)
		commit(t, s, mismatched(sub))
		sub.User = bob
		require.Equal(t, store.Put{MovedFrom: "ann", CreatedAt: sub.CreatedAt}, putSubscription(t, s, sub))
		require.Equal(t, []push.Subscription{sub}, listSubscriptions(t, s, bob))

		sub.User, sub.KeyMismatch = ann, true
		require.Equal(t, store.Put{MovedFrom: "bob", CreatedAt: sub.CreatedAt, KeyMismatch: true}, putSubscription(t, s, sub), "as if made anew")
		require.Equal(t, []push.Subscription{sub}, listSubscriptions(t, s, ann))
	}},
	{"GoesWithASubscriptionThatIsReplaced", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		old, new := samples.Browser(ann), samples.Browser(ann)
		putSubscription(t, s, old)
		commit(t, s, mismatched(old))
		put, err := s.ReplaceSubscription(t.Context(), old.Digest, new)
		require.NoError(t, err)
		require.Equal(t, store.Put{Created: true, CreatedAt: new.CreatedAt}, put)
		require.Equal(t, []push.Subscription{new}, listSubscriptions(t, s, ann))
	}},
	{"PassesOverWhatIsGoneOrMoved", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		gone, moved, kept := samples.Browser(ann), samples.Browser(ann), samples.Browser(ann)
		for _, sub := range []push.Subscription{gone, moved, kept} {
			putSubscription(t, s, sub)
		}
		group := mismatched(gone, moved, kept)
		group.Gone = []store.SubscriptionGone{goneOf(gone)}
		group.Mismatched = append(group.Mismatched,
			store.UserSubscription{User: ann, Digest: push.Digest{1}},
			store.UserSubscription{User: push.User{App: "other", ID: "bob"}, Digest: moved.Digest})
		moved.User = bob
		putSubscription(t, s, moved)
		commit(t, s, group)
		kept.KeyMismatch = true
		require.Equal(t, []push.Subscription{kept}, listSubscriptions(t, s, ann))
		require.Equal(t, []push.Subscription{moved}, listSubscriptions(t, s, bob))
	}},
	{"GoesWithARestInOneGroup", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		sub := samples.Browser(ann)
		putSubscription(t, s, sub)
		sub = resting(samples, sub)
		sub.SeenAt, sub.KeyMismatch = samples.Now(), true
		group := mismatched(sub)
		group.Rests = []store.SubscriptionRest{{UserSubscription: keyOf(sub), Rest: sub.Rest}}
		group.Seen = []store.SubscriptionSeen{{UserSubscription: keyOf(sub), At: sub.SeenAt}}
		commit(t, s, group)
		require.Equal(t, []push.Subscription{sub}, listSubscriptions(t, s, ann))
	}},
}

func mismatched(subs ...push.Subscription) (group store.Group) {
	for _, sub := range subs {
		group.Mismatched = append(group.Mismatched, keyOf(sub))
	}
	return group
}

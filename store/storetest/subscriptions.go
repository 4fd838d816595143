package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

var (
	ann = User("ann")
	bob = User("bob")
)

// oddUsers are valid ids that a careless query or encoding would confuse.
var oddUsers = []string{
	"1", "01", "1.0", "null", "{}", "a/b?c#d%20e", ` "O'Brien" \ `, "%", "_", "ann ", "Ann",
	"ünïcödé 用户 😀", "e\u0301", "\u00e9", "<&>\u2028", strings.Repeat("é", 127) + "x",
}

var subscriptionFacts = []fact{
	{"IsListedAsItWasPut", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		browser, phone, iPhone := samples.Browser(ann), samples.Phone(ann), samples.IPhone(ann)
		require.Equal(t, store.Put{Created: true, CreatedAt: browser.CreatedAt}, putSubscription(t, s, browser))
		putSubscription(t, s, phone)
		putSubscription(t, s, iPhone)
		require.Equal(t, []push.Subscription{browser, phone, iPhone}, listSubscriptions(t, s, ann))
	}},
	{"KnownIsRenewedAndStaysAsOldAsItWas", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		first := samples.Browser(ann)
		putSubscription(t, s, first)

		again := samples.Browser(ann)
		again.Endpoint, again.Digest = first.Endpoint, first.Digest
		again.ExpiresAt = time.Time{}
		require.Equal(t, store.Put{CreatedAt: first.CreatedAt}, putSubscription(t, s, again))

		again.CreatedAt = first.CreatedAt
		require.Equal(t, []push.Subscription{again}, listSubscriptions(t, s, ann))
	}},
	{"KnownIsRenewedWithWhatItsTokenIsFor", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		iPhone, phone := samples.IPhone(ann), samples.Phone(ann)
		putSubscription(t, s, iPhone)
		putSubscription(t, s, phone)
		iPhone.Topic, iPhone.Environment, phone.Project = "com.example.other.voip", push.Sandbox, "other-project"
		putSubscription(t, s, iPhone)
		putSubscription(t, s, phone)
		require.Equal(t, []push.Subscription{iPhone, phone}, listSubscriptions(t, s, ann))

		iPhone.Topic, iPhone.Environment, phone.Project = "", 0, ""
		putSubscription(t, s, iPhone)
		putSubscription(t, s, phone)
		require.Equal(t, []push.Subscription{iPhone, phone}, listSubscriptions(t, s, ann))
	}},
	{"MovesToTheUserWhoRegisteredItLast", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		first := samples.Browser(ann)
		putSubscription(t, s, first)

		moved := samples.Browser(bob)
		moved.Endpoint, moved.Digest = first.Endpoint, first.Digest
		require.Equal(t, store.Put{MovedFrom: "ann", CreatedAt: moved.CreatedAt}, putSubscription(t, s, moved))
		require.Empty(t, listSubscriptions(t, s, ann))
		require.Equal(t, []push.Subscription{moved}, listSubscriptions(t, s, bob))
	}},
	{"MovesWithWhatItsTokenIsForNow", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		first := samples.IPhone(ann)
		putSubscription(t, s, first)
		moved := samples.IPhone(bob)
		moved.Endpoint, moved.Digest = first.Endpoint, first.Digest
		moved.Topic, moved.Environment = "com.example.other", push.Sandbox
		require.Equal(t, store.Put{MovedFrom: "ann", CreatedAt: moved.CreatedAt}, putSubscription(t, s, moved))
		require.Equal(t, []push.Subscription{moved}, listSubscriptions(t, s, bob))
	}},
	{"OfAnotherAppIsAnother", func(t *testing.T, s store.Store) {
		first := NewSamples().Browser(ann)
		second := first
		second.User.App = "other"
		require.True(t, putSubscription(t, s, first).Created)
		require.True(t, putSubscription(t, s, second).Created)
		require.Equal(t, []push.Subscription{first}, listSubscriptions(t, s, first.User))
		require.Equal(t, []push.Subscription{second}, listSubscriptions(t, s, second.User))
	}},
	{"RacedForEndsWithOneUser", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		contested := samples.Browser(ann)
		const rounds = 20
		users := []push.User{User("ann"), User("bob"), User("cid")}
		puts := make([][]store.Put, len(users))
		var race errgroup.Group
		for i, user := range users {
			race.Go(func() error {
				for range rounds {
					sub := samples.Browser(user)
					sub.Endpoint, sub.Digest = contested.Endpoint, contested.Digest
					put, err := s.PutSubscription(t.Context(), sub)
					if err != nil {
						return err
					}
					puts[i] = append(puts[i], put)
				}
				return nil
			})
		}
		require.NoError(t, race.Wait())

		owners, err := s.ListSubscriptions(t.Context(), users)
		require.NoError(t, err)
		require.Len(t, owners, 1, "exactly one has it")
		var created, won, lost = 0, map[string]int{}, map[string]int{}
		for i, user := range users {
			for _, put := range puts[i] {
				if put.Created {
					created++
				}
				if put.Created || put.MovedFrom != "" {
					won[user.ID]++
				}
				lost[put.MovedFrom]++
			}
		}
		require.Equal(t, 1, created)
		for _, user := range users {
			_, owns := owners[user]
			kept := won[user.ID] - lost[user.ID]
			require.Equal(t, map[bool]int{true: 1, false: 0}[owns], kept, "every move has one loser and one winner")
		}
	}},
	{"ReplacesAnother", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		old, new := samples.Browser(ann), samples.Browser(ann)
		putSubscription(t, s, old)
		put, err := s.ReplaceSubscription(t.Context(), old.Digest, new)
		require.NoError(t, err)
		require.Equal(t, store.Put{Created: true, CreatedAt: new.CreatedAt}, put)
		require.Equal(t, []push.Subscription{new}, listSubscriptions(t, s, ann))
	}},
	{"ReplacesNothingUnlessTheOtherIsTheUsers", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		old := samples.Browser(bob)
		putSubscription(t, s, old)
		for _, digest := range []push.Digest{old.Digest, {1, 2, 3}} {
			_, err := s.ReplaceSubscription(t.Context(), digest, samples.Browser(ann))
			require.ErrorIs(t, err, store.ErrNotFound)
		}
		require.Empty(t, listSubscriptions(t, s, ann))
		require.Equal(t, []push.Subscription{old}, listSubscriptions(t, s, bob))
	}},
	{"ReplacedByItselfIsRenewed", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		sub := samples.Browser(ann)
		_, err := s.ReplaceSubscription(t.Context(), sub.Digest, sub)
		require.ErrorIs(t, err, store.ErrNotFound)
		require.Empty(t, listSubscriptions(t, s, ann))

		putSubscription(t, s, sub)
		sub.SeenAt = samples.Now()
		put, err := s.ReplaceSubscription(t.Context(), sub.Digest, sub)
		require.NoError(t, err)
		require.Equal(t, store.Put{CreatedAt: sub.CreatedAt}, put)
		require.Equal(t, []push.Subscription{sub}, listSubscriptions(t, s, ann))
	}},
	{"ReplacingTakesOverFromAnotherUser", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		old, bobs := samples.Browser(ann), samples.Browser(bob)
		putSubscription(t, s, old)
		putSubscription(t, s, bobs)
		mine := bobs
		mine.User = ann
		put, err := s.ReplaceSubscription(t.Context(), old.Digest, mine)
		require.NoError(t, err)
		require.Equal(t, "bob", put.MovedFrom)
		require.Empty(t, listSubscriptions(t, s, bob))
		require.Equal(t, []push.Subscription{mine}, listSubscriptions(t, s, ann))
	}},
	{"AreListedByAgeAndDigest", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		want := []push.Subscription{samples.Phone(ann), samples.Phone(ann), samples.Phone(ann), samples.Phone(ann)}
		for i := range 3 {
			want[i].CreatedAt = Start
		}
		slices.SortFunc(want[:3], func(a, b push.Subscription) int { return slices.Compare(a.Digest[:], b.Digest[:]) })
		for _, i := range []int{3, 1, 0, 2} {
			putSubscription(t, s, want[i])
		}
		require.Equal(t, want, listSubscriptions(t, s, ann))
	}},
	{"AreListedForManyUsersAtOnce", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		want := map[push.User][]push.Subscription{}
		users := []push.User{User("nobody"), {App: "other", ID: "ann"}}
		for i := range 20 {
			user := User(fmt.Sprint("user", i))
			users = append(users, user, user) // named twice, listed once
			for range i % 3 {
				sub := samples.Phone(user)
				putSubscription(t, s, sub)
				want[user] = append(want[user], sub)
			}
		}
		putSubscription(t, s, samples.Phone(User("not asked for")))
		got, err := s.ListSubscriptions(t.Context(), users)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}},
	{"AreListedForNobody", func(t *testing.T, s store.Store) {
		putSubscription(t, s, NewSamples().Phone(ann))
		got, err := s.ListSubscriptions(t.Context(), nil)
		require.NoError(t, err)
		require.Empty(t, got)
	}},
	{"KeepsOddUsersApart", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		want := map[push.User][]push.Subscription{}
		var users []push.User
		for _, id := range oddUsers {
			require.True(t, push.ValidUserID(id), "%q", id)
			sub := samples.Phone(User(id))
			require.True(t, putSubscription(t, s, sub).Created)
			users, want[sub.User] = append(users, sub.User), []push.Subscription{sub}
		}
		got, err := s.ListSubscriptions(t.Context(), users)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}},
	{"DeletedIsGone", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		sub, other := samples.Browser(ann), samples.Browser(ann)
		putSubscription(t, s, sub)
		putSubscription(t, s, other)
		require.NoError(t, s.DeleteSubscription(t.Context(), ann, sub.Digest))
		require.Equal(t, []push.Subscription{other}, listSubscriptions(t, s, ann))
		require.ErrorIs(t, s.DeleteSubscription(t.Context(), ann, sub.Digest), store.ErrNotFound)
	}},
	{"IsNotDeletedByAnotherUser", func(t *testing.T, s store.Store) {
		sub := NewSamples().Browser(ann)
		putSubscription(t, s, sub)
		require.ErrorIs(t, s.DeleteSubscription(t.Context(), bob, sub.Digest), store.ErrNotFound)
		require.ErrorIs(t, s.DeleteSubscription(t.Context(), push.User{App: "other", ID: "ann"}, sub.Digest), store.ErrNotFound)
		require.Len(t, listSubscriptions(t, s, ann), 1)
	}},
	{"HasTimesToTheMillisecondInUTC", func(t *testing.T, s store.Store) {
		sub := NewSamples().Browser(ann)
		elsewhere := time.FixedZone("elsewhere", 5*3600)
		sub.CreatedAt = time.Date(2026, 7, 1, 12, 0, 0, 123_999_999, elsewhere)
		sub.SeenAt = time.Date(2026, 7, 1, 12, 0, 0, 999_999_999, elsewhere)
		put := putSubscription(t, s, sub)

		got := listSubscriptions(t, s, ann)[0]
		require.Equal(t, time.Date(2026, 7, 1, 7, 0, 0, 123_000_000, time.UTC), got.CreatedAt)
		require.Equal(t, time.Date(2026, 7, 1, 7, 0, 0, 999_000_000, time.UTC), got.SeenAt)
		require.Equal(t, got.CreatedAt, put.CreatedAt)
	}},
}

func putSubscription(t *testing.T, s store.Store, sub push.Subscription) store.Put {
	t.Helper()
	put, err := s.PutSubscription(t.Context(), sub)
	require.NoError(t, err)
	return put
}

func listSubscriptions(t *testing.T, s store.Store, user push.User) []push.Subscription {
	t.Helper()
	got, err := s.ListSubscriptions(t.Context(), []push.User{user})
	require.NoError(t, err)
	return got[user]
}

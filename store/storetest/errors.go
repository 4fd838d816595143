package storetest

import (
	"context"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

var errorFacts = []fact{
	{"OfAnEndedContextSaysSoAndNothingIsKept", func(t *testing.T, s store.Store) {
		ended, end := context.WithCancel(t.Context())
		end()
		n := NewSamples().Notification(ann)
		require.ErrorIs(t, s.Commit(ended, accepted(n)), context.Canceled)
		_, err := s.ListPending(ended, AllShards, push.ID{}, MaxID, 1)
		require.ErrorIs(t, err, context.Canceled)
		require.Empty(t, listPending(t, s))
	}},
	{"OfAClosedStoreSaysWhatWasTried", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		require.NoError(t, s.Close())
		for _, call := range calls(t.Context(), s, samplesOfEach(samples)) {
			require.ErrorContains(t, call.err, call.says)
		}
	}},
	{"HoldsNeitherEndpointsNorKeys", func(t *testing.T, s store.Store) {
		samples := NewSamples()
		each := samplesOfEach(samples)
		createApp(t, s, samples, "shop")
		require.NoError(t, s.CreateVAPIDKey(t.Context(), each.vapid))
		require.NoError(t, s.CreateAPIKey(t.Context(), each.key))
		ended, end := context.WithCancel(t.Context())
		end()
		secrets := []string{string(each.sub.Endpoint), string(each.credential.Settings), each.webhook.URL}
		for _, secret := range [][]byte{
			each.sub.Auth, each.sub.P256dh, each.vapid.Private, each.vapid.Public, each.key.Hash[:], each.credential.Secret, each.webhook.Secret,
		} {
			secrets = append(secrets, hex.EncodeToString(secret), string(secret), fmt.Sprint(secret))
		}
		all := append(calls(ended, s, each), calls(t.Context(), s, each)...)
		for _, call := range all {
			for _, secret := range secrets {
				require.NotContains(t, fmt.Sprint(call.err), secret, call.says)
			}
		}
	}},
}

type call struct {
	says string
	err  error
}

// each is one of each that has something to hide.
type each struct {
	sub        push.Subscription
	vapid      store.VAPIDKey
	key        store.APIKey
	credential store.Credential
	webhook    store.Webhook
}

func samplesOfEach(samples *Samples) each {
	return each{
		samples.Browser(ann), samples.VAPIDKey("shop"), samples.APIKey("shop"), samples.Credential("shop", "a"), samples.Webhook("shop", "a"),
	}
}

// calls makes one call of each method that may fail.
func calls(ctx context.Context, s store.Store, of each) []call {
	sub, vapid, key := of.sub, of.vapid, of.key
	_, getApp := s.GetApp(ctx, "shop")
	_, listApps := s.ListApps(ctx)
	_, findAPIKey := s.FindAPIKey(ctx, key.Hash)
	_, listAPIKeys := s.ListAPIKeys(ctx, "shop")
	_, listVAPIDKeys := s.ListVAPIDKeys(ctx, "shop")
	_, putCredential := s.PutCredential(ctx, of.credential)
	_, listCredentials := s.ListCredentials(ctx, "shop")
	_, put := s.PutSubscription(ctx, sub)
	_, replace := s.ReplaceSubscription(ctx, push.Digest{}, sub)
	_, listSubscriptions := s.ListSubscriptions(ctx, []push.User{sub.User})
	_, lastID := s.LastID(ctx)
	_, listPending := s.ListPending(ctx, AllShards, push.ID{}, MaxID, 1)
	_, listPendingOf := s.ListPendingOf(ctx, sub.User, push.ID{}, MaxID, 1)
	_, listDue := s.ListDue(ctx, AllShards, store.Parking{}, Start, 1)
	_, listDueOf := s.ListDueOf(ctx, []store.UserAfter{{User: sub.User}}, Start, 1)
	_, nextDue := s.NextDue(ctx, AllShards, Start)
	_, countPending := s.CountPending(ctx)
	_, deleteUnused := s.DeleteUnused(ctx, Start, 1)
	_, getNotification := s.GetNotification(ctx, "shop", push.ID{})
	_, deleteUser := s.DeleteUser(ctx, sub.User)
	_, listRecent := s.ListRecent(ctx, sub.User, 1)
	_, listEvents := s.ListEvents(ctx, "shop", push.ID{}, MaxID, 1)
	_, listAttempts := s.ListAttempts(ctx, "shop", push.ID{})
	_, lastEvent := s.LastEvent(ctx)
	_, putWebhook := s.PutWebhook(ctx, of.webhook)
	_, listWebhooks := s.ListWebhooks(ctx, "shop")
	_, tokensRevoked := s.TokensRevoked(ctx, sub.User)
	_, maintain := s.Maintain(ctx, Start, Before(Start), 1)
	_, migrate := s.Migrate(ctx)
	gone := store.Group{Gone: []store.SubscriptionGone{goneOf(sub)}}
	return []call{
		{"ping", s.Ping(ctx)},
		{"", migrate},
		{"create app", s.CreateApp(ctx, store.App{Name: "shop", VAPIDSubject: "mailto:a@example.com", TokenSecret: []byte{1}})},
		{"get app", getApp},
		{"update app", s.UpdateApp(ctx, store.App{Name: "shop"})},
		{"update token secret", s.UpdateTokenSecret(ctx, store.App{Name: "other", TokenSecret: vapid.Private})},
		{"list apps", listApps},
		{"create API key", s.CreateAPIKey(ctx, key)},
		{"find API key", findAPIKey},
		{"list API keys", listAPIKeys},
		{"delete API key", s.DeleteAPIKey(ctx, "shop", "0123456789ab")},
		{"replace API key", s.ReplaceAPIKey(ctx, "0123456789ab", key)},
		{"create VAPID key", s.CreateVAPIDKey(ctx, vapid)},
		{"update VAPID key", s.UpdateVAPIDKey(ctx, vapid)},
		{"list VAPID keys", listVAPIDKeys},
		{"put credential", putCredential},
		{"list credentials", listCredentials},
		{"delete credential", s.DeleteCredential(ctx, "shop", "b")},
		{"put subscription", put},
		{"replace subscription", replace},
		{"list subscriptions of 1 users", listSubscriptions},
		{"delete subscription", s.DeleteSubscription(ctx, sub.User, push.Digest{})},
		{"delete unused subscriptions", deleteUnused},
		{"commit 0 notifications, 0 deliveries, 1 gone, 0 rests, 0 seen, 0 mismatched, 0 parked, 0 finished, 0 receipts, 0 events, 0 webhooks", s.Commit(ctx, gone)},
		{"newest notification", lastID},
		{"list pending notifications of shards 0 to 1023", listPending},
		{"list pending notifications of a user", listPendingOf},
		{"list due notifications of shards 0 to 1023", listDue},
		{"list due notifications of 1 users", listDueOf},
		{"next due notification of shards 0 to 1023", nextDue},
		{"count pending notifications", countPending},
		{"get notification", getNotification},
		{"list recent notifications of a user", listRecent},
		{"delete a user", deleteUser},
		{"list events of app", listEvents},
		{"list attempts for notification", listAttempts},
		{"newest event", lastEvent},
		{"put webhook", putWebhook},
		{"list webhooks", listWebhooks},
		{"delete webhook", s.DeleteWebhook(ctx, "shop", "b")},
		{"revoke tokens of a user", s.RevokeTokens(ctx, sub.User, Start)},
		{"find revoked tokens of a user", tokensRevoked},
		{"", maintain},
	}
}

package storetest

import (
	"testing"

	"github.com/belfryhq/belfry/store"
)

// Open gives a store that is migrated, acquired and empty, and is closed when
// the test ends.
type Open func(t testing.TB) store.Store

// fact is one promise of package store, named as a sentence that begins with
// its role: "Subscription / MovesToTheUserWhoRegisteredItLast".
type fact struct {
	name  string
	check func(t *testing.T, s store.Store)
}

// Exercise checks every promise of package store, each on a store of its own.
func Exercise(t *testing.T, open Open) {
	for _, role := range []struct {
		name  string
		facts []fact
	}{
		{"Ownership", ownershipFacts},
		{"App", appFacts},
		{"APIKey", apiKeyFacts},
		{"ReplaceAPIKey", replaceAPIKeyFacts},
		{"VAPIDKey", vapidKeyFacts},
		{"Credential", credentialFacts},
		{"Subscription", subscriptionFacts},
		{"Rest", restFacts},
		{"Seen", seenFacts},
		{"Mismatch", mismatchFacts},
		{"Commit", commitFacts},
		{"Notification", notificationFacts},
		{"Pending", pendingFacts},
		{"Parked", parkedFacts},
		{"Due", dueFacts},
		{"Recent", recentFacts},
		{"IdempotencyKey", idempotencyFacts},
		{"Receipt", receiptFacts},
		{"Event", eventFacts},
		{"Attempts", attemptFacts},
		{"Webhook", webhookFacts},
		{"TokenRevocation", tokenRevocationFacts},
		{"DeleteUnused", deleteUnusedFacts},
		{"DeleteUser", deleteUserFacts},
		{"Maintain", maintainFacts},
		{"Error", errorFacts},
	} {
		t.Run(role.name, func(t *testing.T) {
			for _, fact := range role.facts {
				t.Run(fact.name, func(t *testing.T) { fact.check(t, open(t)) })
			}
		})
	}
}

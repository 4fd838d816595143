package storetest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// BenchmarkCommit measures the life of notifications in groups of 1, 64 and 512:
// each Commit accepts a group, and delivers and finishes the one before, without
// events and with one for each delivery. "rows/s" are notifications.
func BenchmarkCommit(b *testing.B, open Open) {
	for _, size := range []int{1, 64, 512} {
		for _, events := range []bool{false, true} {
			b.Run(fmt.Sprintf("group=%d/events=%t", size, events), func(b *testing.B) {
				s, samples := open(b), NewSamples()
				_, err := s.Maintain(b.Context(), Start, Before(Start), 1) // makes the day
				require.NoError(b, err)
				users := make([]push.Subscription, 10_000)
				for i := range users {
					users[i] = push.Subscription{User: User(fmt.Sprintf("user-%d", i)), Kind: push.WebPush, Digest: push.Digest{byte(i)}}
				}
				var rows int
				var before []push.Notification
				for b.Loop() {
					var group store.Group
					for range size {
						n := samples.Notification(users[rows*7919%len(users)].User)
						group.Accepted = append(group.Accepted, n)
						rows++
					}
					for _, n := range before {
						group.Deliveries = append(group.Deliveries, samples.Delivery(n, users[0]))
						group.Finished = append(group.Finished, n.ID)
						if events {
							group.Events = append(group.Events, samples.Event(push.EventDelivered, n, users[0]))
						}
					}
					require.NoError(b, s.Commit(b.Context(), group))
					before = group.Accepted
				}
				b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}

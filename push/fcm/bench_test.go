package fcm

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

// BenchmarkEncode is all that Send does before it posts.
func BenchmarkEncode(b *testing.B) {
	message := messageTo(b, registrationToken)
	b.ReportAllocs()
	for b.Loop() {
		encoded, err := encode(message.Notification, message.TTL)
		if err != nil {
			b.Fatal(err)
		}
		request(message.Subscription.Endpoint, encoded)
	}
}

// BenchmarkSend is whole, with a simulator in the same process.
func BenchmarkSend(b *testing.B) {
	r := newRig(b)
	message := messageTo(b, registrationToken)
	require.Equal(b, push.Delivered, r.provider.Send(b.Context(), message).Outcome)
	b.SetParallelism(64)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if result := r.provider.Send(b.Context(), message); result.Outcome != push.Delivered {
				b.Errorf("send: %+v", result)
			}
		}
	})
}

package apns

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

// BenchmarkCompose is all that Send does before it posts.
func BenchmarkCompose(b *testing.B) {
	message := messageOf(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := compose(message, noon); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSign is what a provider token costs, once in 50 minutes.
func BenchmarkSign(b *testing.B) {
	p8, key := simulate.NewAPNsKey()
	credential, err := ParseToken(p8, Settings{TeamID: key.TeamID, KeyID: key.KeyID, Topics: []string{bundle}})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sign(credential, noon); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSend is whole, with a simulator in the same process.
func BenchmarkSend(b *testing.B) {
	authority, err := simulate.NewAuthority()
	require.NoError(b, err)
	p8, key := simulate.NewAPNsKey()
	service, err := simulate.OpenAPNs(simulate.APNsConfig{Config: simulate.Config{Authority: authority}, Keys: []simulate.APNsKey{key}})
	require.NoError(b, err)
	defer service.Stop()
	credential, err := ParseToken(p8, Settings{TeamID: key.TeamID, KeyID: key.KeyID, Topics: []string{bundle}, Host: service.URL()})
	require.NoError(b, err)
	provider, err := New(Config{
		Credential: func(context.Context, string, string) (*Credential, error) { return credential, nil },
		RootCAs:    authority.Pool(),
	})
	require.NoError(b, err)
	defer provider.Close()
	message := messageOf(b)
	b.SetParallelism(64)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if result := provider.Send(b.Context(), message); result.Outcome != push.Delivered {
				b.Errorf("send: %+v", result)
			}
		}
	})
}

package simulate

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFollow_SeesWhatIsThereAndWhatComes(t *testing.T) {
	service := startWebPush(t)
	sender := newSender(t)
	endpoint := service.NewEndpoint()
	sender.post(t, endpoint.URL, nil)

	ctx, cancel := context.WithCancel(soon(t))
	seen, done := make(chan Entry, 10), make(chan struct{})
	go func() {
		defer close(done)
		service.Follow(ctx, func(e Entry) { seen <- e })
	}()
	require.Equal(t, 1, (<-seen).Number)
	sender.post(t, endpoint.URL, withTTL("soon"))
	next := <-seen
	require.Equal(t, 2, next.Number)
	require.False(t, next.Taken)
	cancel()
	<-done
}

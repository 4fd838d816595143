package actors

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/sqlite"
	"github.com/stretchr/testify/require"
)

// noService takes everything at once.
type noService struct{}

func (noService) Send(context.Context, push.Message) push.Result {
	return push.Result{Outcome: push.Delivered, Status: 201}
}

// BenchmarkLifecycle is a notification's whole life, from Notify until its
// delivery is durable, on SQLite and with a sender that does nothing: what the
// tree itself and the store cost. "callers" wait for their accept at the same time.
func BenchmarkLifecycle(b *testing.B) {
	for _, callers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { benchmarkLifecycle(b, callers) })
	}
}

func benchmarkLifecycle(b *testing.B, callers int) {
	const users = 1000
	ctx := b.Context()
	db, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(b.TempDir(), "belfry.db")})
	require.NoError(b, err)
	defer db.Close()
	require.NoError(b, db.Acquire(ctx))
	_, err = db.Migrate(ctx)
	require.NoError(b, err)
	finished := &countdown{done: make(chan struct{}), left: b.N}
	system, err := Start(ctx, Config{
		Store:     finishing{Store: db, finished: finished},
		Providers: map[push.Kind]push.Provider{push.WebPush: noService{}},
	})
	require.NoError(b, err)
	for i := range users {
		_, err := system.Subscribe(ctx, subscriptionAt(fmt.Sprint("user-", i), fmt.Sprint("browser-", i)))
		require.NoError(b, err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			for i := c; i < b.N; i += callers {
				_, err := system.Notify([]Draft{{
					User: userNamed(fmt.Sprint("user-", i%users)), Content: []byte(`{"title":"The bells are ringing"}`), TTL: time.Hour,
				}})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	<-finished.done
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "notifications/s")
	require.NoError(b, system.Drain(ctx))
}

// finishing counts the notifications whose end is durable.
type finishing struct {
	store.Store
	finished *countdown
}

func (f finishing) Commit(ctx context.Context, group store.Group) error {
	err := f.Store.Commit(ctx, group)
	if err == nil {
		f.finished.add(len(group.Finished))
	}
	return err
}

type countdown struct {
	mu   sync.Mutex
	left int
	done chan struct{}
}

func (c *countdown) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 {
		if c.left -= n; c.left <= 0 {
			close(c.done)
		}
	}
}

package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/postgres"
	"github.com/belfryhq/belfry/store/storetest"
)

// promptly is how soon the server's death, or its return, must have been noticed.
const promptly = 30 * time.Second

func TestAcquire_WaitsAsAStandbyUntilTheOwnerCloses(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	first, second := open(t, address), open(t, address)
	require.NoError(t, first.Acquire(t.Context()))
	acquired := acquire(t.Context(), second)
	waitForStandby(t, address)
	requireWaiting(t, acquired)

	require.NoError(t, first.Close())
	require.NoError(t, <-acquired)
	requireOpen(t, second.Lost())
}

func TestAcquire_WaitsNoLongerThanItsContext(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	first, second := open(t, address), open(t, address)
	require.NoError(t, first.Acquire(t.Context()))

	ctx, cancel := context.WithCancel(t.Context())
	acquired := acquire(ctx, second)
	waitForStandby(t, address)
	cancel()
	err := <-acquired
	require.ErrorIs(t, err, context.Canceled)
	requireOpen(t, second.Lost())

	require.NoError(t, first.Close())
	require.NoError(t, second.Acquire(t.Context()), "it may try again")
}

func TestAcquire_OfAnotherDatabaseIsIndependent(t *testing.T) {
	cluster := storetest.Postgres(t)
	first, second := open(t, cluster.NewDatabase(t)), open(t, cluster.NewDatabase(t))
	require.NoError(t, first.Acquire(t.Context()))
	require.NoError(t, second.Acquire(t.Context()))
}

func TestLost_IsClosedWhenTheOwnersConnectionIsTerminated(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	first, second := open(t, address), open(t, address)
	require.NoError(t, first.Acquire(t.Context()))
	_, err := first.Migrate(t.Context())
	require.NoError(t, err)
	acquired := acquire(t.Context(), second)
	waitForStandby(t, address)

	require.Equal(t, 1, queryInt(t, address, `SELECT count(pg_terminate_backend(pid)) FROM pg_locks
		WHERE locktype = 'advisory' AND granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`))
	requireClosed(t, first.Lost())
	require.NoError(t, <-acquired)
	require.NoError(t, first.Ping(t.Context()), "its pool lives")
	_, err = second.Migrate(t.Context())
	require.NoError(t, err)
	late := storetest.NewSamples().Notification(storetest.User("ann"))
	require.ErrorContains(t, first.Commit(t.Context(), store.Group{Accepted: []push.Notification{late}}), "not the active process")
	require.NoError(t, second.Commit(t.Context(), store.Group{Accepted: []push.Notification{late}}))
	require.ErrorContains(t, first.Acquire(t.Context()), "open the store anew")
}

func TestLost_IsClosedWhenTheServerStopsAndThePoolWorksAgainAfterwards(t *testing.T) {
	cluster := storetest.NewCluster(t, storetest.ClusterConfig{})
	address := cluster.NewDatabase(t)
	s := migrated(t, address)
	require.NoError(t, s.Acquire(t.Context()))
	n := storetest.NewSamples().Notification(storetest.User("ann"))
	require.NoError(t, s.Commit(t.Context(), store.Group{Accepted: []push.Notification{n}}))

	cluster.Stop(t)
	requireClosed(t, s.Lost())
	require.Error(t, s.Ping(t.Context()))
	require.Error(t, s.Commit(t.Context(), store.Group{Finished: []push.ID{n.ID}}))

	cluster.Start(t)
	require.NoError(t, s.Ping(t.Context()))
	record, err := s.GetNotification(t.Context(), push.DefaultApp, n.ID)
	require.NoError(t, err)
	require.True(t, record.Pending)
	require.NoError(t, open(t, address).Acquire(t.Context()), "ownership is free")
}

func TestAcquire_KeepsTryingWhileTheServerIsDown(t *testing.T) {
	cluster := storetest.NewCluster(t, storetest.ClusterConfig{})
	s := open(t, cluster.NewDatabase(t))
	cluster.Stop(t)

	soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Acquire(soon), context.DeadlineExceeded)

	acquired := acquire(t.Context(), s)
	requireWaiting(t, acquired)
	cluster.Start(t)
	require.NoError(t, <-acquired)
	require.NoError(t, s.Ping(t.Context()))
}

func TestAcquire_FailsAtOnceWhenWaitingWouldNotHelp(t *testing.T) {
	cluster := storetest.NewCluster(t, storetest.ClusterConfig{})
	cluster.Exec(t, `CREATE DATABASE doomed`)
	s := open(t, cluster.URL("doomed"))
	cluster.Exec(t, `DROP DATABASE doomed WITH (FORCE)`)
	require.ErrorContains(t, s.Acquire(t.Context()), `database "doomed" does not exist`)
}

// acquire lets a store wait for ownership and tells the outcome.
func acquire(ctx context.Context, s *postgres.Store) <-chan error {
	acquired := make(chan error, 1)
	go func() { acquired <- s.Acquire(ctx) }()
	return acquired
}

// waitForStandby returns when a session has asked for ownership and does not have it.
func waitForStandby(t *testing.T, address string) {
	t.Helper()
	db := connect(t, address)
	require.Eventually(t, func() bool {
		var asked int
		err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND query LIKE 'SELECT pg_try_advisory_lock%'
			AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')`).Scan(&asked)
		return err == nil && asked == 1
	}, promptly, 10*time.Millisecond)
}

func requireWaiting(t *testing.T, acquired <-chan error) {
	t.Helper()
	select {
	case err := <-acquired:
		t.Fatalf("does not wait: %v", err)
	default:
	}
}

func requireOpen(t *testing.T, lost <-chan struct{}) {
	t.Helper()
	select {
	case <-lost:
		t.Fatal("lost")
	default:
	}
}

func requireClosed(t *testing.T, lost <-chan struct{}) {
	t.Helper()
	select {
	case <-lost:
	case <-time.After(promptly):
		t.Fatal("not noticed")
	}
}

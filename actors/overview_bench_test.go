package actors

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store/sqlite"
	"github.com/stretchr/testify/require"
)

// BenchmarkLook is what it costs to look at a tree with many residents: what
// the debug page asks for every other second. CPU is that of the whole process.
func BenchmarkLook(b *testing.B) {
	const ranges, residents = 4, 24_000 // 6,000 in each, as with 16 ranges and 100,000
	ctx := b.Context()
	db, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(b.TempDir(), "belfry.db")})
	require.NoError(b, err)
	defer db.Close()
	require.NoError(b, db.Acquire(ctx))
	_, err = db.Migrate(ctx)
	require.NoError(b, err)
	system, err := Start(ctx, Config{
		Store: db, Providers: map[push.Kind]push.Provider{push.WebPush: noService{}},
		Ranges: ranges, Window: residents, IdleAfter: time.Hour,
	})
	require.NoError(b, err)
	for i := 0; i < residents; i += 500 {
		drafts := make([]Draft, 500)
		for k := range drafts {
			drafts[k] = Draft{User: userNamed(fmt.Sprintf("user-%06d", i+k)), Content: []byte("{}"), TTL: time.Hour}
		}
		_, err := system.Notify(drafts)
		require.NoError(b, err)
	}
	require.Eventually(b, func() bool { return system.Backlog() == 0 }, time.Minute, time.Millisecond)

	for name, look := range map[string]func() error{
		"overview":    func() error { _, err := system.Overview(ctx); return err },
		"page of 100": func() error { _, err := system.Inspect(ctx, "/registry/2", "", 100); return err },
		"last page":   func() error { _, err := system.Inspect(ctx, "/registry/2", "default:user-0239", 100); return err },
		"one user":    func() error { _, err := system.Inspect(ctx, "/registry/2/default:user-000007", "", 1); return err },
		"search":      func() error { _, _, err := system.Search(ctx, "user-0001", 50); return err },
		"health":      func() error { system.Health(); return nil },
	} {
		b.Run(name, func(b *testing.B) {
			before := cpuTime(b)
			for b.Loop() {
				if err := look(); err != nil && name != "one user" { // it may live in another range
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
	require.Equal(b, residents, mustOverview(b, system).Actors["user"])
	require.NoError(b, system.Drain(ctx))
}

// BenchmarkLook_AtManyLanes is what the overview costs with more lanes than any
// page shows, some of them shut.
func BenchmarkLook_AtManyLanes(b *testing.B) {
	const lanes, shut = 10_000, 1_000
	db, err := sqlite.Open(b.Context(), sqlite.Config{Path: filepath.Join(b.TempDir(), "belfry.db")})
	require.NoError(b, err)
	defer db.Close()
	require.NoError(b, db.Acquire(b.Context()))
	_, err = db.Migrate(b.Context())
	require.NoError(b, err)
	system, err := Start(b.Context(), Config{Store: db, Providers: map[push.Kind]push.Provider{push.WebPush: noService{}}})
	require.NoError(b, err)
	for i := range lanes {
		key := laneKey{app: push.DefaultApp, kind: push.WebPush, host: fmt.Sprintf("host-%d.example", i)}
		_, err := system.ask(system.lanes, &carry{key: key}, time.Second) // it has expired already
		require.NoError(b, err)
		if i < shut {
			system.observe(LanePaused{Lane: key.String()})
		}
	}
	before := cpuTime(b)
	for b.Loop() {
		require.Len(b, mustOverview(b, system).Lanes, lanesShown)
	}
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
	require.NoError(b, system.Drain(b.Context()))
}

func mustOverview(b *testing.B, s *System) Overview {
	seen, err := s.Overview(b.Context())
	require.NoError(b, err)
	return seen
}

func cpuTime(b *testing.B) int64 {
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return usage.Utime.Nano() + usage.Stime.Nano()
}

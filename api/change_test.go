package api

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/apns"
	"github.com/belfryhq/belfry/push/simulate"
	"github.com/belfryhq/belfry/push/webpush"
	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/storetest"
)

// awayStore counts what is read of apps, and can be away for that.
type awayStore struct {
	store.Store
	away  atomic.Bool
	reads atomic.Int64
}

var errNotNow = errors.New("the database is away")

func (s *awayStore) GetApp(ctx context.Context, name string) (store.App, error) {
	s.reads.Add(1)
	if s.away.Load() {
		return store.App{}, errNotNow
	}
	return s.Store.GetApp(ctx, name)
}

// changeRig is as much of a Server as makes changes, with the apps shop and chat.
type changeRig struct {
	*Server
	t       *testing.T
	db      *awayStore
	log     *bytes.Buffer
	vapid   []byte // shop's
	changed []Change
}

// changing runs a test in fake time.
func changing(t *testing.T, do func(t *testing.T, r *changeRig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &changeRig{t: t, db: &awayStore{Store: storetest.OpenSQLite(t)}, log: &bytes.Buffer{}}
		for _, name := range []string{"shop", "chat"} {
			app := NewTenant(name, time.Now())
			app.VAPIDSubject, app.PushHosts = "mailto:old@belfry.dev", []string{"push.lan"}
			require.NoError(t, r.db.CreateApp(t.Context(), app))
			public, private, err := webpush.GenerateKey()
			require.NoError(t, err)
			require.NoError(t, r.db.CreateVAPIDKey(t.Context(), store.VAPIDKey{App: name, Public: public, Private: private, CreatedAt: time.Now()}))
		}
		keys, err := r.db.ListVAPIDKeys(t.Context(), "shop")
		require.NoError(t, err)
		r.vapid = keys[0].Public
		r.put("ios", "com.example.app")
		apps, err := LoadDirectory(t.Context(), r.db, slog.New(slog.NewTextHandler(r.log, nil)))
		require.NoError(t, err)
		r.Server = &Server{
			config: Config{Changed: func(c Change) { r.changed = append(r.changed, c) }},
			apps:   apps, turns: newTurns(), retries: newRetries(),
		}
		defer r.Close()
		do(t, r)
	})
}

// put stores a new key for APNs.
func (r *changeRig) put(name, topic string) {
	r.t.Helper()
	p8, key := simulate.NewAPNsKey()
	parsed, err := apns.ParseToken(p8, apns.Settings{TeamID: key.TeamID, KeyID: key.KeyID, Topics: []string{topic}})
	require.NoError(r.t, err)
	settings := `{"team_id":"` + key.TeamID + `","key_id":"` + key.KeyID + `","topics":["` + topic + `"]}`
	_, err = r.db.PutCredential(r.t.Context(), store.Credential{
		App: "shop", Name: name, Kind: push.APNs, Settings: []byte(settings), Secret: parsed.Secret(), CreatedAt: time.Now(),
	})
	require.NoError(r.t, err)
}

// set changes the settings of shop.
func (r *changeRig) set(subject string, hosts ...string) error {
	return r.change(r.t.Context(), "shop", func(ctx context.Context) error {
		return r.db.UpdateApp(ctx, store.App{Name: "shop", VAPIDSubject: subject, PushHosts: hosts})
	})
}

func (r *changeRig) subject() string {
	r.t.Helper()
	key, err := r.apps.VAPIDKey(r.t.Context(), "shop", r.vapid)
	require.NoError(r.t, err)
	return key.Subject
}

// hold begins a change that goes on until it is let go.
func (r *changeRig) hold(ctx context.Context, app string) (letGo func()) {
	gate, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- r.change(ctx, app, func(context.Context) error { <-gate; return nil })
	}()
	synctest.Wait()
	return func() {
		close(gate)
		require.NoError(r.t, <-done)
	}
}

func TestChange_WaitsForItsTurnFiveSecondsAtMost(t *testing.T) {
	changing(t, func(t *testing.T, r *changeRig) {
		letGo := r.hold(t.Context(), "shop")
		began := time.Now()
		err := r.set("mailto:new@belfry.dev")
		require.Equal(t, 5*time.Second, time.Since(began))
		p, internal := problemOf(err)
		require.False(t, internal)
		require.Equal(t, 503, p.status)
		require.Equal(t, "busy", p.code)
		require.Equal(t, 5*time.Second, p.retryAfter)

		next := make(chan error, 1)
		go func() { next <- r.set("mailto:next@belfry.dev") }()
		time.Sleep(4 * time.Second)
		letGo()
		require.NoError(t, <-next)
		require.Equal(t, "mailto:next@belfry.dev", r.subject())
	})
}

func TestChange_GivenUpBeforeItsTurnIsNotMade(t *testing.T) {
	changing(t, func(t *testing.T, r *changeRig) {
		letGo := r.hold(t.Context(), "shop")
		ctx, giveUp := context.WithCancel(t.Context())
		made, done := false, make(chan error, 1)
		go func() {
			done <- r.change(ctx, "shop", func(context.Context) error { made = true; return nil })
		}()
		synctest.Wait()
		giveUp()
		require.Error(t, <-done)
		letGo()
		require.NoError(t, r.set("mailto:new@belfry.dev"))
		require.False(t, made)
	})
}

func TestChange_GoesOnWithoutItsCallerOnceItHasBegun(t *testing.T) {
	changing(t, func(t *testing.T, r *changeRig) {
		ctx, giveUp := context.WithCancel(t.Context())
		gate, done := make(chan struct{}), make(chan error, 1)
		go func() {
			done <- r.change(ctx, "shop", func(ctx context.Context) error {
				<-gate
				return r.db.UpdateApp(ctx, store.App{Name: "shop", VAPIDSubject: "mailto:new@belfry.dev"})
			})
		}()
		synctest.Wait()
		giveUp()
		close(gate)
		require.NoError(t, <-done)
		require.Equal(t, "mailto:new@belfry.dev", r.subject())
	})
}

func TestChange_OfOneAppDoesNotWaitForAnothers(t *testing.T) {
	changing(t, func(t *testing.T, r *changeRig) {
		defer r.hold(t.Context(), "chat")()
		began := time.Now()
		require.NoError(t, r.set("mailto:new@belfry.dev"))
		require.Equal(t, began, time.Now())
	})
}

func TestChange_ThatCannotBeReadIsReadAgainInTheBackground(t *testing.T) {
	changing(t, func(t *testing.T, r *changeRig) {
		old, err := r.apps.APNs(t.Context(), "shop", "com.example.app")
		require.NoError(t, err)
		require.Equal(t, []string{"push.lan"}, r.apps.PushHosts("shop"))
		r.put("ios", "com.example.tv")
		r.db.away.Store(true)
		require.ErrorIs(t, r.set("mailto:new@belfry.dev", "other.lan"), actors.ErrUnavailable, "it has no effect yet")

		// Until it could be read, what was known is used; only who was let into
		// the operator's network is no longer.
		before := r.db.reads.Load()
		for range 1000 {
			got, err := r.apps.APNs(t.Context(), "shop", "com.example.app")
			require.NoError(t, err)
			require.Same(t, old, got)
			_, err = r.apps.APNs(t.Context(), "shop", "com.example.tv")
			require.ErrorIs(t, err, apns.ErrNoCredential)
			require.Equal(t, "mailto:old@belfry.dev", r.subject())
			require.Empty(t, r.apps.PushHosts("shop"))
		}
		require.Equal(t, before, r.db.reads.Load(), "who sends does not read")
		require.Equal(t, []string{"push.lan"}, r.apps.PushHosts("chat"))
		require.Empty(t, r.changed)

		// Others that try to change it meanwhile do not make more of it.
		for range 20 {
			require.ErrorIs(t, r.set("mailto:never@belfry.dev"), actors.ErrUnavailable)
		}
		before = r.db.reads.Load()
		time.Sleep(5 * time.Minute)
		tried := r.db.reads.Load() - before
		require.GreaterOrEqual(t, tried, int64(5*60/30))
		require.LessOrEqual(t, tried, int64(20), "one goes on trying, ever more slowly")
		require.Equal(t, 1, strings.Count(r.log.String(), "\n"), r.log.String())

		r.db.away.Store(false)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		require.Equal(t, "mailto:new@belfry.dev", r.subject())
		require.Equal(t, []string{"other.lan"}, r.apps.PushHosts("shop"))
		_, err = r.apps.APNs(t.Context(), "shop", "com.example.tv")
		require.NoError(t, err)
		require.Equal(t, []Change{{App: "shop", APNs: []*apns.Credential{old}}}, r.changed)
		before = r.db.reads.Load()
		time.Sleep(5 * time.Minute)
		require.Equal(t, before, r.db.reads.Load())

		r.db.away.Store(true)
		require.Error(t, r.set("mailto:third@belfry.dev"))
		require.Equal(t, 2, strings.Count(r.log.String(), "\n"), "a second time is another one")
	}) // and Close ends what tries again: the bubble waits for it
}

func TestChange_ThatIsReadByTheNextOneIsNotReadAgain(t *testing.T) {
	changing(t, func(t *testing.T, r *changeRig) {
		r.db.away.Store(true)
		require.Error(t, r.set("mailto:new@belfry.dev"))
		r.db.away.Store(false)
		require.NoError(t, r.change(t.Context(), "shop", func(context.Context) error {
			require.Equal(t, "mailto:new@belfry.dev", r.subject(), "a change goes by what is true")
			return nil
		}))
		before := r.db.reads.Load()
		time.Sleep(5 * time.Minute)
		require.Equal(t, before, r.db.reads.Load())
	})
}

func TestDirectory_KeepsACredentialAsLongAsItIsTheSame(t *testing.T) {
	changing(t, func(t *testing.T, r *changeRig) {
		first, err := r.apps.APNs(t.Context(), "shop", "com.example.app")
		require.NoError(t, err)
		require.NoError(t, r.set("mailto:new@belfry.dev"))
		r.put("tv", "com.example.tv")
		require.NoError(t, r.set("mailto:new@belfry.dev"))
		again, err := r.apps.APNs(t.Context(), "shop", "com.example.app")
		require.NoError(t, err)
		require.Same(t, first, again)
		require.Equal(t, []Change{{App: "shop"}, {App: "shop"}}, r.changed, "none went")

		r.put("ios", "com.example.app")
		require.NoError(t, r.set("mailto:new@belfry.dev"))
		other, err := r.apps.APNs(t.Context(), "shop", "com.example.app")
		require.NoError(t, err)
		require.NotSame(t, first, other)
		require.Len(t, r.changed[2].APNs, 1)
		require.Same(t, first, r.changed[2].APNs[0])
	})
}

package sealed

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/sqlite"
	"github.com/belfryhq/belfry/store/storetest"
)

// putOlder puts an app and a VAPID key as they were kept before sealing, and a
// credential and a webhook as they have always been.
func (s samples) putOlder(t *testing.T, inner store.Store, key Key) {
	t.Helper()
	require.NoError(t, inner.CreateApp(t.Context(), s.app))
	require.NoError(t, inner.CreateVAPIDKey(t.Context(), s.vapid))
	_, err := New(inner, key).PutCredential(t.Context(), s.credential)
	require.NoError(t, err)
	_, err = New(inner, key).PutWebhook(t.Context(), s.webhook)
	require.NoError(t, err)
}

func TestSealOlder_LeavesNothingPlainInTheDatabasesFiles(t *testing.T) {
	directory, key, samples := t.TempDir(), newKey(), newSamples()
	openStore := func() store.Store {
		s, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(directory, "belfry.db")})
		require.NoError(t, err)
		return s
	}
	inner := openStore()
	_, err := inner.Migrate(t.Context())
	require.NoError(t, err)
	older := [][]byte{samples.app.TokenSecret, samples.vapid.Private}
	for _, name := range []string{"a", "b", "z"} { // beside it in the file
		app := storetest.NewSamples().App(name)
		require.NoError(t, inner.CreateApp(t.Context(), app))
		older = append(older, app.TokenSecret)
	}
	samples.putOlder(t, inner, key)
	require.NoError(t, inner.Close()) // all is in the file itself
	for _, secret := range older {
		require.True(t, bytes.Contains(contentOf(t, directory), secret), "this test can tell")
	}

	inner = openStore()
	n, err := SealOlder(t.Context(), inner, key)
	require.NoError(t, err)
	require.Equal(t, len(older), n)
	n, err = SealOlder(t.Context(), inner, key)
	require.NoError(t, err)
	require.Zero(t, n, "the second time there is nothing left to seal")
	require.NoError(t, inner.Close())
	for _, secret := range older {
		require.False(t, bytes.Contains(contentOf(t, directory), secret))
	}
}

func TestSealOlder_ChangesNothingElse(t *testing.T) {
	inner, key, samples := storetest.OpenSQLite(t), newKey(), newSamples()
	samples.putOlder(t, inner, key)
	_, err := SealOlder(t.Context(), inner, key)
	require.NoError(t, err)
	samples.requireSame(t, New(inner, key))
}

func TestSealOlder_LeavesWhatIsSealedAlone(t *testing.T) {
	inner, samples := storetest.OpenSQLite(t), newSamples()
	samples.put(t, New(inner, newKey()))
	before := raw(t, inner)
	n, err := SealOlder(t.Context(), inner, newKey()) // another key would show
	require.NoError(t, err)
	require.Zero(t, n)
	require.Equal(t, before, raw(t, inner))
}

// raw gives the secrets of the app "shop" as they are kept.
func raw(t *testing.T, inner store.Store) [][]byte {
	t.Helper()
	app, err := inner.GetApp(t.Context(), "shop")
	require.NoError(t, err)
	keys, err := inner.ListVAPIDKeys(t.Context(), "shop")
	require.NoError(t, err)
	credentials, err := inner.ListCredentials(t.Context(), "shop")
	require.NoError(t, err)
	webhooks, err := inner.ListWebhooks(t.Context(), "shop")
	require.NoError(t, err)
	return [][]byte{app.TokenSecret, keys[0].Private, credentials[0].Secret, webhooks[0].Secret}
}

func TestCheck_CountsWhatItOpens(t *testing.T) {
	key := newKey()
	for what, c := range map[string]struct {
		put   func(*testing.T, store.Store)
		count int
	}{
		"nothing":                            {func(*testing.T, store.Store) {}, 0},
		"only what is sealed from the start": {func(t *testing.T, s store.Store) { newSamples().putOlder(t, s, key) }, 2},
		"only a webhook": {func(t *testing.T, s store.Store) {
			samples := newSamples()
			require.NoError(t, s.CreateApp(t.Context(), samples.app))
			_, err := New(s, key).PutWebhook(t.Context(), samples.webhook)
			require.NoError(t, err)
		}, 1},
		"all": {func(t *testing.T, s store.Store) { newSamples().put(t, New(s, key)) }, 4},
	} {
		t.Run(what, func(t *testing.T) {
			inner := storetest.OpenSQLite(t)
			c.put(t, inner)
			opened, err := Check(t.Context(), inner, key)
			require.NoError(t, err)
			require.Equal(t, c.count, opened)
			_, err = Check(t.Context(), inner, newKey())
			if c.count == 0 {
				require.NoError(t, err, "any key will do")
				return
			}
			require.ErrorIs(t, err, ErrWrongKey)
		})
	}
}

func TestCheck_OfADatabaseThatCannotBeReadIsAnError(t *testing.T) {
	inner, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "belfry.db")})
	require.NoError(t, err)
	defer inner.Close()
	_, err = Check(t.Context(), inner, newKey()) // it has no tables
	require.ErrorContains(t, err, "list apps")
	require.NotErrorIs(t, err, ErrWrongKey)
}

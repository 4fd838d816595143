package sealed

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/sqlite"
	"github.com/belfryhq/belfry/store/storetest"
)

func TestStore_KeepsThePromises(t *testing.T) {
	storetest.Exercise(t, func(t testing.TB) store.Store { return New(storetest.OpenSQLite(t), newKey()) })
}

// samples are one of each that has a secret, of the app "shop".
type samples struct {
	app        store.App
	vapid      store.VAPIDKey
	credential store.Credential
	webhook    store.Webhook
}

func newSamples() samples {
	of := storetest.NewSamples()
	return samples{of.App("shop"), of.VAPIDKey("shop"), of.Credential("shop", "apple"), of.Webhook("shop", "crm")}
}

func (s samples) secrets() [][]byte {
	return [][]byte{s.app.TokenSecret, s.vapid.Private, s.credential.Secret, s.webhook.Secret}
}

func (s samples) put(t *testing.T, into store.Store) {
	t.Helper()
	require.NoError(t, into.CreateApp(t.Context(), s.app))
	require.NoError(t, into.CreateVAPIDKey(t.Context(), s.vapid))
	_, err := into.PutCredential(t.Context(), s.credential)
	require.NoError(t, err)
	_, err = into.PutWebhook(t.Context(), s.webhook)
	require.NoError(t, err)
}

// requireSame reads the samples in every way that there is.
func (s samples) requireSame(t *testing.T, from store.Store) {
	t.Helper()
	app, err := from.GetApp(t.Context(), "shop")
	require.NoError(t, err)
	require.Equal(t, s.app, app)
	apps, err := from.ListApps(t.Context())
	require.NoError(t, err)
	require.Equal(t, []store.App{s.app}, apps)
	keys, err := from.ListVAPIDKeys(t.Context(), "shop")
	require.NoError(t, err)
	require.Equal(t, []store.VAPIDKey{s.vapid}, keys)
	credentials, err := from.ListCredentials(t.Context(), "shop")
	require.NoError(t, err)
	require.Equal(t, []store.Credential{s.credential}, credentials)
	webhooks, err := from.ListWebhooks(t.Context(), "shop")
	require.NoError(t, err)
	require.Equal(t, []store.Webhook{s.webhook}, webhooks)
}

// readAll gives what each way of reading a secret says.
func readAll(t *testing.T, from store.Store, app string) map[string]error {
	t.Helper()
	_, getApp := from.GetApp(t.Context(), app)
	_, listApps := from.ListApps(t.Context())
	_, listVAPIDKeys := from.ListVAPIDKeys(t.Context(), app)
	_, listCredentials := from.ListCredentials(t.Context(), app)
	_, listWebhooks := from.ListWebhooks(t.Context(), app)
	return map[string]error{
		"GetApp": getApp, "ListApps": listApps, "ListVAPIDKeys": listVAPIDKeys, "ListCredentials": listCredentials, "ListWebhooks": listWebhooks,
	}
}

func TestStore_HasNoPlainSecretInTheDatabasesFiles(t *testing.T) {
	for _, c := range []struct {
		name  string
		seal  func(store.Store) store.Store
		plain bool
	}{
		{"sealed", func(s store.Store) store.Store { return New(s, newKey()) }, false},
		{"not sealed, to see that this test can tell", func(s store.Store) store.Store { return s }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			directory, samples := t.TempDir(), newSamples()
			inner, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(directory, "belfry.db")})
			require.NoError(t, err)
			s := c.seal(inner)
			_, err = s.Migrate(t.Context())
			require.NoError(t, err)
			samples.put(t, s)
			before := contentOf(t, directory) // the write-ahead log too
			require.NoError(t, s.Close())
			for _, content := range [][]byte{before, contentOf(t, directory)} {
				require.True(t, bytes.Contains(content, samples.vapid.Public), "what is no secret is not sealed")
				for _, secret := range samples.secrets() {
					require.Equal(t, c.plain, bytes.Contains(content, secret))
				}
			}
		})
	}
}

func contentOf(t *testing.T, directory string) (content []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(directory, "*"))
	require.NoError(t, err)
	for _, file := range files {
		part, err := os.ReadFile(file)
		require.NoError(t, err)
		content = append(content, part...)
	}
	return content
}

func TestStore_ReadsItsOwnAfterARestart(t *testing.T) {
	inner, key, samples := storetest.OpenSQLite(t), newKey(), newSamples()
	samples.put(t, New(inner, key))
	samples.requireSame(t, New(inner, key))
}

func TestStore_SealsTheSameSecretDifferentlyEachTime(t *testing.T) {
	inner, samples := storetest.OpenSQLite(t), newSamples()
	s := New(inner, newKey())
	samples.put(t, s)
	first, err := inner.ListCredentials(t.Context(), "shop")
	require.NoError(t, err)
	_, err = s.PutCredential(t.Context(), samples.credential)
	require.NoError(t, err)
	second, err := inner.ListCredentials(t.Context(), "shop")
	require.NoError(t, err)
	require.NotEqual(t, first[0].Secret, second[0].Secret)
	samples.requireSame(t, s)
}

func TestStore_LeavesTheCallersSecretsAsTheyAre(t *testing.T) {
	samples := newSamples()
	var before [][]byte
	for _, secret := range samples.secrets() {
		before = append(before, bytes.Clone(secret))
	}
	samples.put(t, New(storetest.OpenSQLite(t), newKey()))
	require.Equal(t, before, samples.secrets())
}

func TestStore_WithAnotherKeySaysSoAndWhatToDo(t *testing.T) {
	inner := storetest.OpenSQLite(t)
	newSamples().put(t, New(inner, newKey()))
	for what, err := range readAll(t, New(inner, newKey()), "shop") {
		require.ErrorIs(t, err, ErrWrongKey, what)
		require.ErrorContains(t, err, `app "shop" is encrypted with another master key: give the one that this database was first used with; all processes on a database need the same`)
	}
}

func TestStore_ReadsWhatIsOlderThanSealing(t *testing.T) {
	inner, s := storetest.OpenSQLite(t), newSamples()
	sealing := New(inner, newKey())
	require.NoError(t, inner.CreateApp(t.Context(), s.app))
	require.NoError(t, inner.CreateVAPIDKey(t.Context(), s.vapid))
	_, err := sealing.PutCredential(t.Context(), s.credential) // there were none before, nor webhooks
	require.NoError(t, err)
	_, err = sealing.PutWebhook(t.Context(), s.webhook)
	require.NoError(t, err)
	s.requireSame(t, sealing)
}

func TestStore_ReadsNoPlainCredentialOrWebhook(t *testing.T) {
	inner, s := storetest.OpenSQLite(t), newSamples()
	s.credential.Secret = s.credential.Secret[:plainLength]
	s.put(t, inner)
	errs := readAll(t, New(inner, newKey()), "shop")
	require.Error(t, errs["ListCredentials"])
	require.Error(t, errs["ListWebhooks"])
}

// What one row says must not be believed of another: who can write to the
// database could make an app send with another one's keys.
func TestStore_RefusesASecretMovedToAnotherRow(t *testing.T) {
	inner, key, mine := storetest.OpenSQLite(t), newKey(), newSamples()
	mine.put(t, New(inner, key))
	app, err := inner.GetApp(t.Context(), "shop")
	require.NoError(t, err)
	keys, err := inner.ListVAPIDKeys(t.Context(), "shop")
	require.NoError(t, err)
	credentials, err := inner.ListCredentials(t.Context(), "shop")
	require.NoError(t, err)
	webhooks, err := inner.ListWebhooks(t.Context(), "shop")
	require.NoError(t, err)
	sealedSecrets := map[string][]byte{
		"app": app.TokenSecret, "vapid": keys[0].Private, "credential": credentials[0].Secret, "webhook": webhooks[0].Secret,
	}

	for from, secret := range sealedSecrets {
		for _, c := range []struct {
			to    string
			row   func(samples) samples
			reads []string
		}{
			{"another app", func(s samples) samples {
				s.app.Name, s.vapid.App, s.credential.App, s.webhook.App = "other", "other", "other", "other"
				return s
			}, []string{"GetApp", "ListApps", "ListVAPIDKeys", "ListCredentials", "ListWebhooks"}},
			{"another key and name", func(s samples) samples {
				s.vapid.Public, s.credential.Name, s.webhook.Name = newSamples().vapid.Public, "google", "erp"
				return s
			}, []string{"ListVAPIDKeys", "ListCredentials", "ListWebhooks"}},
		} {
			t.Run(from+" to "+c.to, func(t *testing.T) {
				target := storetest.OpenSQLite(t)
				moved := c.row(mine)
				moved.app.TokenSecret, moved.vapid.Private, moved.credential.Secret, moved.webhook.Secret = secret, secret, secret, secret
				moved.put(t, target)
				errs := readAll(t, New(target, key), moved.app.Name)
				for _, read := range c.reads {
					require.ErrorIs(t, errs[read], ErrWrongKey, read)
				}
			})
		}
	}
}

func TestStore_RefusesASecretOfAnotherTable(t *testing.T) {
	inner, key, mine := storetest.OpenSQLite(t), newKey(), newSamples()
	mine.credential.Name = "" // as close to the app's row as can be
	mine.webhook.Name = ""    // and to that one
	mine.put(t, New(inner, key))
	credentials, err := inner.ListCredentials(t.Context(), "shop")
	require.NoError(t, err)
	target := storetest.OpenSQLite(t)
	mine.app.TokenSecret, mine.webhook.Secret = credentials[0].Secret, credentials[0].Secret
	mine.put(t, target)
	errs := readAll(t, New(target, key), "shop")
	require.ErrorIs(t, errs["GetApp"], ErrWrongKey)
	require.ErrorIs(t, errs["ListWebhooks"], ErrWrongKey)
}

func TestSealer_RefusesWhatIsDamaged(t *testing.T) {
	s, row := newSealer(newKey()), row{"apps", "shop", ""}
	sealed := s.seal([]byte("secret"), row)
	for i := range sealed {
		damaged := bytes.Clone(sealed)
		damaged[i] ^= 1
		_, err := s.open(damaged, row)
		if i == 0 {
			require.ErrorContains(t, err, "in a form, 0, that this program does not know")
		} else {
			require.ErrorIs(t, err, ErrWrongKey, "byte %d", i)
		}
	}
	for n := range sealed {
		_, err := s.open(sealed[:n], row)
		require.Error(t, err, "%d bytes", n)
	}
	_, err := s.open(append(sealed, 0), row)
	require.ErrorIs(t, err, ErrWrongKey)
}

func TestSealer_TakesSecretsOfEveryLength(t *testing.T) {
	s, row := newSealer(newKey()), row{"credentials", "shop", "a"}
	for _, n := range []int{0, 1, 31, 32, 33, 5000} {
		secret := bytes.Repeat([]byte{7}, n)
		sealed := s.seal(secret, row)
		require.Len(t, sealed, 1+12+n+16)
		opened, err := s.open(sealed, row)
		require.NoError(t, err)
		require.Equal(t, n, len(opened))
		require.True(t, bytes.Equal(secret, opened))
	}
}

func FuzzOpen(f *testing.F) {
	s, row := newSealer(newKey()), row{"apps", "shop", ""}
	good := s.seal([]byte("secret"), row)
	f.Add(good)
	f.Add([]byte{})
	f.Add(append([]byte{version}, make([]byte, 28)...))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		secret, err := s.open(sealed, row)
		require.Equal(t, bytes.Equal(sealed, good), err == nil)
		require.Equal(t, err == nil, string(secret) == "secret")
	})
}

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/migrations"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/apns"
	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/sealed"
	"github.com/belfryhq/belfry/store/sqlite"
	"github.com/belfryhq/belfry/store/storetest"
)

// consult runs the doctor on a data directory, offline, and gives what it said.
func consult(t *testing.T, data string, flags ...string) (code int, said string) {
	t.Helper()
	var out, problem bytes.Buffer
	code = run(t.Context(), append([]string{"doctor", "--offline", "--data-dir", data}, flags...), &out, &problem)
	require.NotEqual(t, 2, code, problem.String())
	return code, out.String()
}

// aStore is one that belfry serve was on once, with its master key.
func aStore(t *testing.T) (data string, key sealed.Key, db store.Store) {
	t.Helper()
	data = filepath.Join(t.TempDir(), "data")
	startServing(t, "--data-dir", data).stop()
	key, err := sealed.ReadKeyFile(filepath.Join(data, "master.key"))
	require.NoError(t, err)
	inner, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(data, "belfry.db")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, inner.Close()) })
	return data, key, sealed.New(inner, key)
}

func TestDoctor_OfAFreshDirectorySaysThatServeMakesIt(t *testing.T) {
	data := filepath.Join(t.TempDir(), "belfry")
	code, said := consult(t, data)
	require.Zero(t, code)
	require.Contains(t, said, "look data directory "+data+" is not there yet. -> belfry serve makes it")
	require.Contains(t, said, "\nNothing is wrong. 1 thing deserves a look.\n")
	require.NoDirExists(t, data, "it changes nothing")
}

func TestDoctor_FindsNothingBesideAProcessThatIsWell(t *testing.T) {
	s := startServing(t)
	s.subscribe("ann")
	s.finished(s.send("ann", "one"))
	code, said := consult(t, s.data, "--vapid-subject", "mailto:operator@belfry.dev")
	require.Zero(t, code, said)
	for _, line := range []string{
		"ok   configuration  ", "ok   data directory " + s.data + " can be written, by this user alone.", "ok   database       SQLite ", "ok   schema         It is up to date",
		fmt.Sprintf("ok   active         There is one: a process (pid %d). Which push hosts it cannot send to now, belfry tree /lanes shows.", os.Getpid()), "ok   backlog        Nothing waits", "ok   master key     It opens what is encrypted",
		"ok   app default    It has a VAPID key, and its subject is mailto:operator@belfry.dev.", "\nNothing is wrong.\n",
	} {
		require.Contains(t, said, line)
	}
	s.finished(s.send("ann", "two"))
}

func TestDoctor_TellsWhatWaits(t *testing.T) {
	s := startServing(t)
	s.service.Stop()
	s.subscribe("ann")
	s.send("ann", "one")
	code, said := consult(t, s.data)
	require.Zero(t, code, said)
	require.Contains(t, said, "ok   backlog        1 notification is waiting to be delivered")
}

func TestDoctor_TriesTheMasterKey(t *testing.T) {
	data, key, _ := aStore(t)
	file := filepath.Join(data, "master.key")
	require.NoError(t, os.Chmod(file, 0o644))
	code, said := consult(t, data)
	require.Equal(t, 1, code)
	require.Contains(t, said, "chmod 600 "+file)

	require.NoError(t, os.Remove(file))
	code, said = consult(t, data)
	require.Equal(t, 1, code)
	require.Contains(t, said, "BAD  master key     "+file+" is missing")
	require.Contains(t, said, "Bring the key back from a copy.")
	require.NoFileExists(t, file)

	wrong := strings.Repeat("ab", 32)
	code, said = consult(t, data, "--master-key", wrong)
	require.Equal(t, 1, code)
	require.Contains(t, said, "is encrypted with another master key")
	require.NotContains(t, said, wrong)

	code, said = consult(t, data, "--master-key", fmt.Sprintf("%x", key[:]))
	require.Zero(t, code, said)
}

func TestDoctor_TellsWhatIsWrongWithEachFlag(t *testing.T) {
	code, said := consult(t, t.TempDir(), "--listen", "8080", "--vapid-subject", "me", "--retention", "1s")
	require.Equal(t, 1, code)
	require.Equal(t, 3, strings.Count(said, "BAD  configuration"), said)
	require.Contains(t, said, "\n3 things are wrong.")
}

func TestDoctor_LooksAtWhoMayReadTheData(t *testing.T) {
	data, _, _ := aStore(t)
	require.NoError(t, os.Chmod(data, 0o755))
	require.NoError(t, os.Chmod(filepath.Join(data, "belfry.db"), 0o644))
	code, said := consult(t, data)
	require.Zero(t, code)
	require.Contains(t, said, "look data directory "+data+" is open to other users (mode 0755). -> chmod 700 "+data)
	require.Contains(t, said, "belfry.db is open to other users (mode 0644). -> chmod 600 ")
}

func TestDoctor_SaysWhatIsNoDirectoryOrNoDatabase(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("not a database"), 0o600))
	code, said := consult(t, file)
	require.Equal(t, 1, code)
	require.Contains(t, said, "BAD  data directory "+file+" is not a directory.")

	data := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(data, "belfry.db"), bytes.Repeat([]byte("not a database "), 1000), 0o600))
	code, said = consult(t, data)
	require.Equal(t, 1, code)
	require.Contains(t, said, "file is not a database")
	require.Contains(t, said, "bring it back from a copy")
}

func TestDoctor_ComparesTheSchemaWithTheProgram(t *testing.T) {
	newest := migrations.Newest(migrations.SQLite())
	for name, try := range map[string]struct {
		statement string
		code      int
		want      string
	}{
		"newer": {fmt.Sprintf(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, 1)`, newest+1), 1, "BAD  schema         It has version %d, and this program knows %d. -> Run the newer program again"},
		"older": {fmt.Sprintf(`DELETE FROM goose_db_version WHERE version_id = %d`, newest), 0, "look schema         It has version %d, and this program knows %d. -> belfry serve, or belfry migrate, brings it up to date"},
	} {
		t.Run(name, func(t *testing.T) {
			data, _, _ := aStore(t)
			db, err := sql.Open("sqlite", filepath.Join(data, "belfry.db"))
			require.NoError(t, err)
			defer db.Close()
			_, err = db.ExecContext(t.Context(), try.statement)
			require.NoError(t, err)
			code, said := consult(t, data)
			require.Equal(t, try.code, code, said)
			has := newest + 1
			if name == "older" {
				has = newest - 1
			}
			require.Contains(t, said, fmt.Sprintf(try.want, has, newest))
		})
	}
}

func TestDoctor_LooksAtPostgreSQL(t *testing.T) {
	address := storetest.Postgres(t).NewDatabase(t)
	data := filepath.Join(t.TempDir(), "data")
	code, said := consult(t, data, "--database-url", address)
	require.Zero(t, code, said)
	require.Contains(t, said, "look schema         There are no tables yet. -> belfry serve makes them.")

	s := startServing(t, "--database-url", address, "--data-dir", data)
	code, said = consult(t, data, "--database-url", address)
	require.Zero(t, code, said)
	require.Contains(t, said, "ok   active         There is one: a process")
	require.Contains(t, said, "ok   master key     It opens")
	require.NotContains(t, said, "clock", "it is the same")
	s.stop()
	_, said = consult(t, data, "--database-url", address)
	require.Contains(t, said, "No process is active")
}

func TestDoctor_SaysThatPostgreSQLCannotBeReached(t *testing.T) {
	code, said := consult(t, t.TempDir(), "--database-url", "postgres://belfry:whispered@127.0.0.1:1/belfry")
	require.Equal(t, 1, code)
	require.Contains(t, said, "BAD  database       PostgreSQL cannot be reached: ")
	require.Contains(t, said, "connection refused")
	require.Contains(t, said, "or correct --database-url (BELFRY_DATABASE_URL)")
	require.NotContains(t, said, "whispered")
}

// appleCertificate is what Apple gives: a certificate for push messages until a time, and its key.
func appleCertificate(t *testing.T, ends time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	userID := pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: "org.example.app"}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Apple Push Services: org.example.app", ExtraNames: []pkix.AttributeTypeAndValue{userID}},
		NotBefore: ends.Add(-365 * 24 * time.Hour), NotAfter: ends,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...)
}

func TestDoctor_LooksAtEveryApp(t *testing.T) {
	data, _, db := aStore(t)
	app := store.App{Name: "shop", VAPIDSubject: defaultSubject, TokenSecret: make([]byte, 32), CreatedAt: time.Now()}
	require.NoError(t, db.CreateApp(t.Context(), app))
	put := func(name string, ends time.Time) {
		settings, err := json.Marshal(apns.Settings{Topics: []string{"org.example.app"}, Expires: ends})
		require.NoError(t, err)
		_, err = db.PutCredential(t.Context(), store.Credential{
			App: "shop", Name: name, Kind: push.APNs, Settings: settings, Secret: appleCertificate(t, ends), CreatedAt: time.Now(),
		})
		require.NoError(t, err)
	}
	now := time.Now()
	put("good", now.Add(200*24*time.Hour))
	put("soon", now.Add(10*24*time.Hour+time.Hour))
	put("over", now.Add(-24*time.Hour))
	_, err := db.PutCredential(t.Context(), store.Credential{App: "shop", Name: "torn", Kind: push.FCM, Settings: []byte(`{}`), Secret: []byte(`{"a":`), CreatedAt: now})
	require.NoError(t, err)
	_, err = db.PutWebhook(t.Context(), store.Webhook{App: "shop", Name: "orders", URL: "https://example.org", Secret: make([]byte, 32), CreatedAt: now, Ended: "it answered 410"})
	require.NoError(t, err)

	code, said := consult(t, data, "--vapid-subject", "mailto:operator@belfry.dev")
	require.Equal(t, 1, code)
	for _, line := range []string{
		"BAD  app shop       It has no VAPID key", "make it again with belfry app create shop.",
		"ok   app shop       The credential good for apns is good until ",
		"look app shop       The credential soon for apns ends on " + now.Add(10*24*time.Hour+time.Hour).UTC().Format(time.DateOnly) + ", in 10 days.",
		"BAD  app shop       The credential over for apns ended on " + now.Add(-24*time.Hour).UTC().Format(time.DateOnly) + ".",
		"BAD  app shop       The credential torn for fcm cannot be used",
		"ok   app default    It has a VAPID key, and its subject is mailto:operator@belfry.dev.",
	} {
		require.Contains(t, said, line)
	}

	public, private := make([]byte, 65), make([]byte, 32)
	require.NoError(t, db.CreateVAPIDKey(t.Context(), store.VAPIDKey{App: "shop", Public: public, Private: private, CreatedAt: now}))
	_, said = consult(t, data)
	require.Contains(t, said, "BAD  app shop       VAPID: a VAPID key's private half does not belong to its public one.")
}

func TestDoctor_LooksAtItsOwnCertificate(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "both.pem")
	for ends, want := range map[time.Duration]string{
		-time.Hour:           "BAD  listener       The certificate of " + file + " ended on ",
		3*24*time.Hour + 1e9: "look listener       The certificate of " + file + " ends on ",
		90 * 24 * time.Hour:  "ok   listener       The certificate of " + file + " is good until ",
	} {
		require.NoError(t, os.WriteFile(file, appleCertificate(t, time.Now().Add(ends)), 0o600))
		_, said := consult(t, dir, "--tls-cert", file, "--tls-key", file)
		require.Contains(t, said, want)
	}
	data := t.TempDir()
	_, said := consult(t, data, "--acme-domains", "push.example.org")
	require.Contains(t, said, "look listener       There is no certificate for push.example.org yet.")
	require.NoError(t, os.Mkdir(filepath.Join(data, acmeFolder), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(data, acmeFolder, "push.example.org"), appleCertificate(t, time.Now().Add(-time.Hour)), 0o600))
	_, said = consult(t, data, "--acme-domains", "push.example.org")
	require.Contains(t, said, "BAD  listener       The certificate for push.example.org ended on ")
}

func TestSentence_LeavesPathsAsTheyAre(t *testing.T) {
	for text, want := range map[string]string{
		"the disk is full": "The disk is full.", "./var/master.key is missing": "./var/master.key is missing.",
		"var/master.key is missing.": "var/master.key is missing.", "dial a: refused\n  dial a: refused\ndial b: refused\n": "Dial a: refused dial b: refused.",
	} {
		require.Equal(t, want, sentence(errors.New(text)))
	}
}

func TestReport_HasSignsForPeopleAndWordsForPrograms(t *testing.T) {
	var plain bytes.Buffer
	r := newReport(&plain)
	r.fine("this", "It is well.")
	r.notable("that", "It is odd.", "Look.")
	require.NoError(t, r.end())
	require.Equal(t, "ok   this           It is well.\nlook that           It is odd. -> Look.\n\nNothing is wrong. 1 thing deserves a look.\n", plain.String())

	var screen bytes.Buffer
	r = reportFor(&screen, false)
	r.fine("this", "It is well.")
	r.notable("that", "It is odd.", "Look.")
	r.wrong("other", "It is\x1b[2J bad.", "Mend it.")
	require.ErrorIs(t, r.end(), errUnwell)
	require.Equal(t, "✓ this           It is well.\n! that           It is odd.\n                 → Look.\n✗ other          It is[2J bad.\n                 → Mend it.\n\n1 thing is wrong. 1 thing deserves a look.\n", screen.String())
}

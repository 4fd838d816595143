package main_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push/simulate"
)

// write puts a file into a directory of the test's own.
func write(t *testing.T, name string, content []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

// serviceAccount is the file that the Firebase console gives.
func serviceAccount(t *testing.T, project string) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	file, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": project, "private_key_id": "0123456789abcdef",
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": "belfry@" + project + ".iam.gserviceaccount.com", "token_uri": "https://oauth2.googleapis.com/token",
	})
	require.NoError(t, err)
	return file
}

func TestCommands_Apps(t *testing.T) {
	d := startDaemon(t)
	must := func(args ...string) string {
		t.Helper()
		out, err := d.run(args...)
		require.NoError(t, err)
		return out
	}
	fails := func(says string, args ...string) {
		t.Helper()
		_, err := d.run(args...)
		require.ErrorContains(t, err, says)
	}

	key := strings.TrimSuffix(must("app", "create", "shop", "--origin", "https://shop.example.org"), "\n")
	require.Regexp(t, `^belfry_[A-Za-z0-9_-]{43}$`, key, "alone, to be piped")
	fails("There is an app shop already", "app", "create", "shop")
	fails("field name", "app", "create", "Shop")
	require.Regexp(t, `(?m)^NAME     SINCE                CREDENTIALS  ORIGINS\ndefault  \S+ \S+  none         none\nshop     \S+ \S+  none         https://shop\.example\.org\n$`, must("app", "list"))
	fails("operator alone", "app", "list", "--key", key)

	shown := must("app", "show", "shop", "--key", key)
	require.Regexp(t, `(?m)^Origins +https://shop\.example\.org$`, shown)
	require.Regexp(t, `(?m)^VAPID subject +mailto:operator@belfry\.dev$`, shown)
	require.Regexp(t, `(?m)^VAPID keys +B\S{86} since .*, current$`, shown)
	require.Regexp(t, `(?m)^Credentials +none$`, shown)
	fails("only the operator may act for any", "app", "show", "default", "--key", key)
	fails("There is no app of this name", "app", "show", "nobody")

	shown = must("app", "set", "shop", "--origin", "https://a.example.org", "--origin", "https://b.example.org", "--vapid-subject", "https://shop.example.org", "--push-host", "push.lan")
	require.Regexp(t, `(?m)^Origins +https://a\.example\.org\n +https://b\.example\.org\nVAPID subject +https://shop\.example\.org$`, shown)
	require.Regexp(t, `(?m)^Push hosts +push\.lan$`, shown)
	shown = must("app", "set", "shop", "--no-origins")
	require.Regexp(t, `(?m)^Origins +none$`, shown)
	require.Regexp(t, `(?m)^Push hosts +push\.lan$`, shown)
	fails("nothing to change", "app", "set", "shop")
	fails("can't be used together", "app", "set", "shop", "--no-origins", "--origin", "https://a.example.org")
	fails("is not a web origin", "app", "set", "shop", "--origin", "a.example.org")

	public := strings.TrimSuffix(must("app", "rotate-vapid", "shop"), "\n")
	require.Regexp(t, `^B\S{86}$`, public, "alone, to be piped")
	require.Regexp(t, `(?m)^VAPID keys +`+public+` since .*, current\n +B\S{86} since \S+ \S+$`, must("app", "show", "shop"))

	backend := strings.TrimSpace(must("keys", "create", "--app", "shop", "--scope", "send", "the shop's backend"))
	list := must("keys", "list", "--app", "shop")
	require.Contains(t, list, "first admin key")
	require.Contains(t, list, "the shop's backend")
	require.Equal(t, list, must("keys", "list", "--key", key))
	require.Contains(t, must("send", "--key", backend, "-u", "ann", "-t", "hello", "--app-badge", "3", "--sound", "default"), "ann")
	for _, line := range strings.Split(list, "\n") {
		if strings.Contains(line, "backend") {
			fails("There is nothing here", "keys", "revoke", strings.Fields(line)[0])
			require.Equal(t, "Revoked.\n", must("keys", "revoke", "--app", "shop", strings.Fields(line)[0]))
		}
	}
	fails("Give a valid API key", "send", "--key", backend, "-u", "ann", "-t", "hello")
}

func TestCommands_Credentials(t *testing.T) {
	d := startDaemon(t)
	must := func(args ...string) string {
		t.Helper()
		out, err := d.run(args...)
		require.NoError(t, err)
		return out
	}
	fails := func(says string, args ...string) {
		t.Helper()
		_, err := d.run(args...)
		require.ErrorContains(t, err, says)
	}
	const phone = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"
	p8, apple := simulate.NewAPNsKey()
	keyFile := write(t, "AuthKey_"+apple.KeyID+".p8", p8)
	otherName := write(t, "apple.p8", p8)
	account := write(t, "account.json", serviceAccount(t, "belfry-demo"))

	fails("neither --key-file nor --certificate-file", "app", "apns", "default")
	fails("--key-file: open", "app", "apns", "default", "--key-file", "nothing-here.p8")
	fails("--certificate-file: open", "app", "apns", "default", "--certificate-file", "nothing-here.p12")
	fails("--password-file: open", "app", "apns", "default", "--certificate-file", keyFile, "--password-file", "nothing-here")
	fails("can't be used together", "app", "apns", "default", "--key-file", keyFile, "--certificate-file", keyFile)
	fails("field team_id", "app", "apns", "default", "--key-file", keyFile, "--topic", "com.example.app")
	fails("field key_id", "app", "apns", "default", "--key-file", otherName, "--team-id", apple.TeamID, "--topic", "com.example.app")
	fails("field key", "app", "apns", "default", "--key-file", account, "--team-id", apple.TeamID, "--topic", "com.example.app")
	line := "ios (apns): key " + apple.KeyID + " of team " + apple.TeamID + " for com.example.app, com.example.tv"
	require.Equal(t, "Added "+line+"\n", must("app", "apns", "default", "--key-file", keyFile, "--team-id", apple.TeamID, "--topic", "com.example.app", "--topic", "com.example.tv"))
	require.Equal(t, "Replaced "+line+", at https://127.0.0.1:4711\n", must("app", "apns", "default", "--key-file", otherName, "--key-id", apple.KeyID, "--team-id", apple.TeamID,
		"--topic", "com.example.app,com.example.tv", "--host", "https://127.0.0.1:4711"))

	fails("--service-account: open", "app", "fcm", "default", "--service-account", "nothing-here.json")
	fails("is not JSON", "app", "fcm", "default", "--service-account", keyFile)
	require.Equal(t, "Added android (fcm): project belfry-demo as belfry@belfry-demo.iam.gserviceaccount.com\n", must("app", "fcm", "default", "--service-account", account))
	require.Regexp(t, `(?m)^default +\S+ \S+ +android \(fcm\), ios \(apns\) +none$`, must("app", "list"))
	require.Regexp(t, `(?m)^Credentials +android \(fcm\): project belfry-demo as \S+, since .*\n +ios \(apns\): key .*, since `, must("app", "show", "default"))

	out := must("subscriptions", "add", "ann", "--kind", "apns", "--token", strings.ToUpper(phone), "--topic", "com.example.app", "--environment", "sandbox")
	require.Regexp(t, `^[0-9a-f]{64}  apns at api\.sandbox\.push\.apple\.com for com\.example\.app\n$`, out)
	require.Equal(t, out, must("subscriptions", "add", "ann", "--kind", "apns", "--token", phone, "--topic", "com.example.app", "--environment", "sandbox"))
	require.Regexp(t, `^[0-9a-f]{64}  fcm at fcm\.googleapis\.com for belfry-demo\n$`, must("subscriptions", "add", "ann", "--kind", "fcm", "--token", "x:y"))
	fails("field topic", "subscriptions", "add", "ann", "--kind", "apns", "--token", phone)
	fails("field topic", "subscriptions", "add", "ann", "--kind", "fcm", "--token", "x", "--topic", "com.example.app")
	require.Regexp(t, `(?m)^KIND +HOST +TOPIC OR PROJECT +STATE +SINCE +LAST SEEN +ID\napns +api\.sandbox\.push\.apple\.com +com\.example\.app +active .*\nfcm +fcm\.googleapis\.com +belfry-demo +active `, must("subscriptions", "list", "ann"))

	require.Equal(t, "Removed.\n", must("app", "remove-credential", "default", "android"))
	fails("The app has no credential of this name", "app", "remove-credential", "default", "android")
	fails("belfry app fcm default", "subscriptions", "add", "bob", "--kind", "fcm", "--token", "x:y")
}

func TestServe_WhatIsNotGivenStaysAsItWasSet(t *testing.T) {
	d := startDaemon(t, "--allowed-origins", "https://flag.example.org")
	show := func() string {
		out, err := d.run("app", "show", "default")
		require.NoError(t, err)
		return out
	}
	require.Regexp(t, `(?m)^Origins +https://flag\.example\.org$`, show())
	_, err := d.run("app", "set", "default", "--origin", "https://set.example.org", "--vapid-subject", "https://set.example.org")
	require.NoError(t, err)

	require.NoError(t, d.stop())
	d.start()
	require.Regexp(t, `(?m)^Origins +https://flag\.example\.org\nVAPID subject +mailto:operator@belfry\.dev$`, show(), "flags count")
	_, err = d.run("app", "set", "default", "--origin", "https://set.example.org", "--vapid-subject", "https://set.example.org")
	require.NoError(t, err)
	require.NoError(t, d.stop())
	for i := 0; i < len(d.flags); i++ {
		if d.flags[i] == "--allowed-origins" || d.flags[i] == "--vapid-subject" {
			d.flags = append(d.flags[:i:i], d.flags[i+2:]...)
			i--
		}
	}
	t.Setenv("BELFRY_ALLOWED_ORIGINS", "")
	t.Setenv("BELFRY_VAPID_SUBJECT", "")
	d.start()
	require.Regexp(t, `(?m)^Origins +https://set\.example\.org\nVAPID subject +https://set\.example\.org$`, show())
	require.NotContains(t, d.output.String(), "For use", "it was said how push services reach the operator")
}

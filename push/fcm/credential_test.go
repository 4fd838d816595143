package fcm

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
)

// rsaKey is a private key of tests, which takes a while to make.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// rsaOf makes a key that can be read and is good for nothing: two real primes of
// this length take minutes to find.
func rsaOf(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	one, e := big.NewInt(1), big.NewInt(65537)
	half := func() *big.Int {
		for {
			p, err := rand.Int(rand.Reader, new(big.Int).Lsh(one, uint(bits/2)))
			require.NoError(t, err)
			p.SetBit(p, bits/2-1, 1).SetBit(p, bits/2-2, 1).SetBit(p, 0, 1)
			if new(big.Int).GCD(nil, nil, e, new(big.Int).Sub(p, one)).Cmp(one) == 0 {
				return p
			}
		}
	}
	p, q := half(), half()
	for new(big.Int).GCD(nil, nil, p, q).Cmp(one) != 0 {
		q = half()
	}
	p1, q1 := new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)
	d := new(big.Int).ModInverse(e, new(big.Int).Mul(p1, q1))
	encoded, err := asn1.Marshal(struct {
		Version                int
		N                      *big.Int
		E                      int
		D, P, Q, DP, DQ, QInvP *big.Int
	}{0, new(big.Int).Mul(p, q), 65537, d, p, q, new(big.Int).Mod(d, p1), new(big.Int).Mod(d, q1), new(big.Int).ModInverse(q, p)})
	require.NoError(t, err)
	key, err := x509.ParsePKCS1PrivateKey(encoded)
	require.NoError(t, err)
	return key
}

func pkcs8(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// account is a service account's JSON file, changed as asked.
func account(t testing.TB, change ...func(map[string]any)) []byte {
	t.Helper()
	members := map[string]any{
		"type": "service_account", "project_id": project, "private_key_id": "94f6090216c1", "private_key": pkcs8(t, rsaKey()),
		"client_email": "firebase-adminsdk@example-shop.iam.gserviceaccount.com", "client_id": "1", "token_uri": "https://oauth2.googleapis.com/token",
	}
	for _, f := range change {
		f(members)
	}
	file, err := json.MarshalIndent(members, "", "  ")
	require.NoError(t, err)
	return file
}

func set(name string, value any) func(map[string]any) {
	return func(members map[string]any) { members[name] = value }
}

func TestParse_ReadsTheConsolesFile(t *testing.T) {
	file := account(t)
	credential, err := Parse(file, "")
	require.NoError(t, err)
	require.Equal(t, Settings{
		Project: project, ClientEmail: "firebase-adminsdk@example-shop.iam.gserviceaccount.com", KeyID: "94f6090216c1",
	}, credential.Settings())
	require.Equal(t, file, credential.Secret())
	require.Equal(t, "https://fcm.googleapis.com/v1/projects/example-shop/messages:send", credential.endpoint())
	require.False(t, credential.Foreign())

	shown, err := json.Marshal(credential.Settings())
	require.NoError(t, err)
	require.JSONEq(t, `{"project":"example-shop","client_email":"firebase-adminsdk@example-shop.iam.gserviceaccount.com","key_id":"94f6090216c1"}`, string(shown))

	pkcs1 := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey())}))
	_, err = Parse(account(t, set("private_key", pkcs1)), "")
	require.NoError(t, err)
	for name, value := range map[string]string{
		"project_id":     "example.com:old-project",
		"client_email":   strings.Repeat("x", 242) + "@example.com",
		"private_key_id": strings.Repeat("aZ0_-", 12) + "0000",
		"private_key":    pkcs8(t, rsaOf(t, 8192)),
	} {
		_, err = Parse(account(t, set(name, value)), "")
		require.NoError(t, err, name)
	}
}

func TestParse_SaysWhatIsWrong(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	for want, file := range map[string][]byte{
		"its private_key has 8200 bits, and at most 8192":           account(t, set("private_key", pkcs8(t, rsaOf(t, 8200)))),
		"its client_email is not a mail address":                    account(t, set("client_email", "firebase-adminsdk")),
		"its client_email is not a mail address. ":                  account(t, set("client_email", "a\nlevel=ERROR@example.com")),
		"its client_email is not a mail address. S":                 account(t, set("client_email", "a@b@example.com")),
		"its client_email is not a mail address. Se":                account(t, set("client_email", "kö@example.com")),
		"its client_email is not a mail address. Sen":               account(t, set("client_email", strings.Repeat("x", 243)+"@example.com")),
		"its client_email is not a mail address. Send":              account(t, set("client_email", "two words@example.com")),
		"its private_key_id is not the ID of a key":                 account(t, set("private_key_id", strings.Repeat("a", 65))),
		"its private_key_id is not the ID of a key. ":               account(t, set("private_key_id", "a\nb")),
		"its private_key_id is not the ID of a key. S":              account(t, set("private_key_id", "<b>")),
		"its project_id is not the ID of a project. ":               account(t, set("project_id", "a"+strings.Repeat("b", 100))),
		"it is not the JSON of one":                                 []byte("-----BEGIN PRIVATE KEY-----"),
		"it has 16385 bytes, and at most 16384 are taken":           bytes.Repeat([]byte(" "), 16385),
		`its type is not "service_account"`:                         account(t, set("type", "authorized_user")),
		"it has no project_id":                                      account(t, set("project_id", "")),
		"it has no private_key_id":                                  account(t, func(m map[string]any) { delete(m, "private_key_id") }),
		"it has no private_key.":                                    account(t, func(m map[string]any) { delete(m, "private_key") }),
		"it has no client_email":                                    account(t, func(m map[string]any) { delete(m, "client_email") }),
		"it has no token_uri":                                       account(t, set("token_uri", nil)),
		"its project_id is not the ID of a project":                 account(t, set("project_id", "../x")),
		"its private_key is not PEM":                                account(t, set("private_key", "hunter2-hunter2")),
		"its private_key is not an RSA key":                         account(t, set("private_key", pkcs8(t, curve))),
		"its private_key is not an RSA key. ":                       account(t, set("private_key", "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n")),
		"its private_key has 1024 bits, and at least 2048":          account(t, set("private_key", pkcs8(t, small))),
		"its token_uri is not an https:// URL":                      account(t, set("token_uri", "http://oauth2.googleapis.com/token")),
		"its token_uri is not an https:// URL. ":                    account(t, set("token_uri", "https://user:pass@oauth2.googleapis.com/token")),
		"its token_uri is not an https:// URL. Send the JSON":       account(t, set("token_uri", "https://oauth2.googleapis.com/token#x")),
		"its token_uri is not an https:// URL. Send the JSON file ": account(t, set("token_uri", "https:///token")),
	} {
		_, err := Parse(file, "")
		var invalid *push.InvalidError
		require.ErrorAs(t, err, &invalid, want)
		require.Equal(t, "service_account", invalid.Field)
		require.Contains(t, invalid.Detail, want)
		require.NotContains(t, err.Error(), "hunter2")
		require.NotContains(t, err.Error(), "pass@")
	}
}

func TestParse_TakesTheBaseURLOfAHost(t *testing.T) {
	for host, want := range map[string]string{
		"":                                   "",
		"https://fcm.googleapis.com":         "",
		"https://FCM.googleapis.com:443/":    "",
		"https://127.0.0.1:4711":             "https://127.0.0.1:4711",
		"https://relay.example.com/":         "https://relay.example.com",
		"https://[::1]:8443":                 "https://[::1]:8443",
		"https://fcm.googleapis.com:8443":    "https://fcm.googleapis.com:8443",
		"https://fcm.googleapis.com.example": "https://fcm.googleapis.com.example",
	} {
		credential, err := Parse(account(t), host)
		require.NoError(t, err, host)
		require.Equal(t, want, credential.Settings().Host)
		require.Equal(t, want != "", credential.Foreign(), host)
	}
	for _, host := range []string{
		"fcm.googleapis.com", "http://127.0.0.1:4711", "https://", "https://x/v1", "https://x?a=b", "https://x?", "https://x#", "https://user@x", "https://x:", "https://é", "https://x\\y", "https://x y", "ftp://x", "https://" + strings.Repeat("x", 248),
	} {
		_, err := Parse(account(t), host)
		var invalid *push.InvalidError
		require.ErrorAs(t, err, &invalid, host)
		require.Equal(t, "host", invalid.Field)
	}
}

func TestForeign_TellsWhetherTheTokenEndpointIsGoogles(t *testing.T) {
	for uri, want := range map[string]bool{
		"https://oauth2.googleapis.com/token":          false,
		"https://OAUTH2.googleapis.com:443/token":      false,
		"https://accounts.google.com/o/oauth2/token":   false,
		"https://www.googleapis.com/oauth2/v4/token":   false,
		"https://oauth2.googleapis.com:8443/token":     true,
		"https://storage.googleapis.com/token":         true,
		"https://oauth2.googleapis.com.example/token":  true,
		"https://127.0.0.1/token":                      true,
		"https://example.com/oauth2.googleapis.com":    true,
		"https://example.com?https://www.googleapis.c": true,
	} {
		credential, err := Parse(account(t, set("token_uri", uri)), "")
		require.NoError(t, err, uri)
		require.Equal(t, want, credential.Foreign(), uri)
	}
}

func TestLoad_ReadsWhatSettingsAndSecretGave(t *testing.T) {
	credential, err := Parse(account(t), "https://127.0.0.1:4711")
	require.NoError(t, err)
	loaded, err := Load(credential.Settings(), credential.Secret())
	require.NoError(t, err)
	require.Equal(t, credential, loaded)

	other := credential.Settings()
	other.Project = "example-other"
	_, err = Load(other, credential.Secret())
	require.ErrorContains(t, err, "example-other")
	_, err = Load(credential.Settings(), nil)
	require.Error(t, err)
}

func TestCredential_IsNotChangedThroughItsSecret(t *testing.T) {
	file := account(t)
	credential, err := Parse(file, "")
	require.NoError(t, err)
	file[0] = 'x'
	credential.Secret()[0] = 'x'
	_, err = Load(credential.Settings(), credential.Secret())
	require.NoError(t, err)
}

// Whoever has the key can send to every device of the project.
func TestCredential_NeverShowsItsKey(t *testing.T) {
	credential, err := Parse(account(t), "")
	require.NoError(t, err)
	block, _ := pem.Decode(credential.key)
	require.NotNil(t, block)
	secret := strings.Split(string(credential.key), "\n")[3]
	for _, value := range []any{credential, *credential, &credential, []*Credential{credential}, struct{ C *Credential }{credential}} {
		var text, structured bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("shown", "value", value)
		slog.New(slog.NewJSONHandler(&structured, nil)).Info("shown", "value", value)
		encoded, err := json.Marshal(value)
		require.NoError(t, err)
		for _, shown := range []string{
			fmt.Sprintf("%v", value), fmt.Sprintf("%+v", value), fmt.Sprintf("%#v", value), fmt.Sprintf("%s", value), fmt.Sprintf("%q", value),
			text.String(), structured.String(), string(encoded),
		} {
			require.NotContains(t, shown, secret)
			require.NotContains(t, shown, "BEGIN PRIVATE KEY")
			require.NotContains(t, shown, fmt.Sprint(credential.key[:8])[1:20], "in decimal")
		}
	}
	require.Equal(t, "service account firebase-adminsdk@example-shop.iam.gserviceaccount.com of the Firebase project example-shop", credential.String())
}

func FuzzParse(f *testing.F) {
	f.Add(account(f), "")
	f.Add(account(f, set("token_uri", "https://x")), "https://127.0.0.1:4711")
	f.Add([]byte(`{"type":"service_account"}`), "https://x/")
	f.Add([]byte("null"), "\xff")
	f.Fuzz(func(t *testing.T, file []byte, host string) {
		credential, err := Parse(file, host)
		if err != nil {
			var invalid *push.InvalidError
			require.ErrorAs(t, err, &invalid)
			require.Contains(t, []string{"service_account", "host"}, invalid.Field)
			return
		}
		require.True(t, strings.HasPrefix(credential.endpoint(), "https://"))
		credential.Foreign()
		again, err := Load(credential.Settings(), credential.Secret())
		require.NoError(t, err)
		require.Equal(t, credential, again)
	})
}

package apns

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

var keySettings = Settings{TeamID: "TEAM000001", KeyID: "KEY0000001", Topics: []string{bundle}}

func p8Of(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func TestParseToken_ReadsWhatAppleGives(t *testing.T) {
	p8, _ := simulate.NewAPNsKey()
	settings := keySettings
	settings.Topics = []string{bundle, "com.example-2.App", bundle}
	settings.Host, settings.SandboxHost = "https://127.0.0.1:4711/", "https://[::1]:4712"
	for _, file := range [][]byte{p8, append([]byte("\xef\xbb\xbf\r\n"), p8...), bytes.TrimSpace(p8), bytes.ReplaceAll(p8, []byte("\n"), []byte("\r\n"))} {
		credential, err := ParseToken(file, settings)
		require.NoError(t, err)
		require.Equal(t, p8, credential.Secret(), "in the canonical form")
		require.Equal(t, Settings{
			TeamID: "TEAM000001", KeyID: "KEY0000001", Topics: []string{bundle, "com.example-2.App"},
			Host: "https://127.0.0.1:4711", SandboxHost: "https://[::1]:4712",
		}, credential.Settings())
	}
}

func TestParseToken_NamesTheFieldThatIsWrong(t *testing.T) {
	good, _ := simulate.NewAPNsKey()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	sec1, err := x509.MarshalECPrivateKey(p256)
	require.NoError(t, err)

	for name, file := range map[string][]byte{
		"nothing":        nil,
		"no PEM":         []byte("AuthKey"),
		"another block":  pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: sec1}),
		"SEC 1":          pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}),
		"damaged":        pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("key")}),
		"two keys":       append(slices.Clone(good), good...),
		"another curve":  p8Of(t, p384),
		"another system": p8Of(t, ed),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseToken(file, keySettings)
			requireInvalid(t, err, "key")
		})
	}
	for field, settings := range map[string][]func(*Settings){
		"team_id": {func(s *Settings) { s.TeamID = "" }, func(s *Settings) { s.TeamID = "team000001" }, func(s *Settings) { s.TeamID = "TEAM0000001" }},
		"key_id":  {func(s *Settings) { s.KeyID = "" }, func(s *Settings) { s.KeyID = "KEY-000001" }},
		"topics": {
			func(s *Settings) { s.Topics = nil }, func(s *Settings) { s.Topics = []string{bundle, ""} }, func(s *Settings) { s.Topics = []string{"*"} },
			func(s *Settings) { s.Topics = []string{"com..example"} }, func(s *Settings) { s.Topics = []string{"com.example\n"} },
			func(s *Settings) { s.Topics = []string{strings.Repeat("x", 256)} }, func(s *Settings) { s.Topics = topics(257) },
		},
		"host": {
			func(s *Settings) { s.Host = "http://127.0.0.1" }, func(s *Settings) { s.Host = "127.0.0.1:4711" }, func(s *Settings) { s.Host = "https://" },
			func(s *Settings) { s.Host = "https://me:secret@relay" }, func(s *Settings) { s.Host = "https://relay/path" },
			func(s *Settings) { s.Host = "https://relay?x" }, func(s *Settings) { s.Host = "https://relay#x" }, func(s *Settings) { s.Host = "https://relay:port" },
			func(s *Settings) { s.Host = "https://bücher.example" }, func(s *Settings) { s.Host = "https://" + strings.Repeat("x", 248) },
		},
		"sandbox_host": {
			func(s *Settings) { s.Host, s.SandboxHost = "https://a", "b" }, func(s *Settings) { s.SandboxHost = "https://b" },
		},
	} {
		for _, change := range settings {
			bad := keySettings
			change(&bad)
			_, err := ParseToken(good, bad)
			requireInvalid(t, err, field)
			require.NotContains(t, err.Error(), "secret")
			require.Less(t, len(err.Error()), 300)
		}
	}
	most := keySettings
	most.Topics = topics(256)
	credential, err := ParseToken(good, most)
	require.NoError(t, err)
	require.Less(t, len(credential.String()), 300)
}

// topics are as many bundle IDs.
func topics(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("com.example.app%d", i)
	}
	return all
}

func TestCredential_ServesItsTopicsAndWhatAppleDerives(t *testing.T) {
	credential := keyed(t)
	for topic, want := range map[string]bool{
		bundle: true, bundle + ".voip": true, bundle + ".complication": true, bundle + ".push-type.liveactivity": true,
		bundle + ".pushkit.fileprovider": true, bundle + ".location-query": true, bundle + ".voip-ptt": true,
		bundle + ".push-type.widgets": true, bundle + ".push-type.controls": true,
		"": false, ".voip": false, "com.example": false, bundle + ".other": false, bundle + ".voip.voip": false, "x" + bundle: false, strings.ToUpper(bundle): false,
	} {
		require.Equal(t, want, credential.Serves(topic), topic)
	}
}

func TestLoad_GivesWhatWasKept(t *testing.T) {
	for name, credential := range map[string]*Credential{"key": keyed(t), "certificate": certificateOf(t)} {
		t.Run(name, func(t *testing.T) {
			encoded, err := json.Marshal(credential.Settings())
			require.NoError(t, err)
			var settings Settings
			require.NoError(t, json.Unmarshal(encoded, &settings))
			again, err := Load(settings, credential.Secret())
			require.NoError(t, err)
			require.Equal(t, credential.Settings(), again.Settings())
			require.Equal(t, credential.Secret(), again.Secret())
			require.Equal(t, credential.String(), again.String())
		})
	}
	_, err := Load(keySettings, nil)
	requireInvalid(t, err, "key")
}

// Neither it nor a copy does.
func TestCredential_NeverShowsItsSecret(t *testing.T) {
	for name, credential := range map[string]*Credential{"key": keyed(t), "certificate": certificateOf(t)} {
		for _, value := range []any{credential, *credential, []Credential{*credential}, struct{ Credential Credential }{*credential}} {
			var text, structured bytes.Buffer
			slog.New(slog.NewTextHandler(&text, nil)).Info("shown", "value", value)
			slog.New(slog.NewJSONHandler(&structured, nil)).Info("shown", "value", value)
			encoded, err := json.Marshal(value)
			require.NoError(t, err)
			printed := []string{
				fmt.Sprintf("%v", value), fmt.Sprintf("%+v", value), fmt.Sprintf("%#v", value), fmt.Sprintf("%s", value),
				fmt.Errorf("send with %v: %w", value, ErrNoCredential).Error(), text.String(),
			}
			for _, shown := range printed {
				require.Contains(t, shown, credential.String(), name)
			}
			for _, shown := range append(printed, structured.String(), string(encoded), fmt.Sprintf("%q", value)) {
				require.NotContains(t, shown, "PRIVATE KEY", name)
				require.NotContains(t, shown, "45 45 45 45 45 66 69 71 73 78", "PEM in decimal")
				require.NotContains(t, shown, "0x2d, 0x2d, 0x2d", "PEM as Go source")
				require.NotContains(t, shown, "LS0tLS1CRUdJTi", "PEM in base64")
			}
		}
	}
}

func TestSettings_AreACopy(t *testing.T) {
	credential := keyed(t)
	credential.Settings().Topics[0] = "com.example.other"
	clear(credential.Secret())
	require.True(t, credential.Serves(bundle))
	require.Contains(t, string(credential.Secret()), "PRIVATE KEY")
}

func FuzzParseToken(f *testing.F) {
	p8, _ := simulate.NewAPNsKey()
	f.Add(p8, "TEAM000001", "KEY0000001", bundle, "")
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"), "", "", "*", "https://a b")
	f.Add(p8[:len(p8)/2], "TEAM000001", "KEY0000001", bundle+".voip", "https://[::1%25lo]:1")
	f.Fuzz(func(t *testing.T, file []byte, team, key, topic, host string) {
		credential, err := ParseToken(file, Settings{TeamID: team, KeyID: key, Topics: []string{topic}, Host: host})
		if err != nil {
			require.ErrorAs(t, err, new(*push.InvalidError))
			return
		}
		again, err := Load(credential.Settings(), credential.Secret())
		require.NoError(t, err)
		require.Equal(t, credential.Secret(), again.Secret())
		require.Equal(t, credential.Settings(), again.Settings())
		require.True(t, again.Serves(topic))
	})
}

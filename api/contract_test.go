package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// contract is what the tests need of openapi.yaml.
type contract struct {
	Paths map[string]map[string]struct {
		Operator    bool `yaml:"x-operator"`
		Security    []map[string][]string
		RequestBody *struct {
			Ref      string `yaml:"$ref"`
			Required bool
		} `yaml:"requestBody"`
	}
}

// The table of operations says what openapi.yaml says.
func TestOperations_AreThoseOfTheContract(t *testing.T) {
	raw, err := os.ReadFile("openapi.yaml")
	require.NoError(t, err)
	var spec contract
	require.NoError(t, yaml.Unmarshal(raw, &spec))
	described := make(map[string]bool)
	for path, methods := range spec.Paths {
		for method, o := range methods {
			pattern := strings.ToUpper(method) + " " + path
			described[pattern] = true
			op, ok := operations[pattern]
			require.True(t, ok, "%s is not in the table", pattern)
			require.Equal(t, o.RequestBody != nil, op.body != nil, "the body of %s", pattern)
			if o.RequestBody != nil {
				required := o.RequestBody.Required || o.RequestBody.Ref != "" // the one that is shared is required
				require.Equal(t, !required, op.bodyOptional, "the body of %s", pattern)
			}
			require.Equal(t, neededBy(o.Security), op.needs, "who may call %s", pattern)
			require.Equal(t, o.Operator, op.operator, "who may call %s", pattern)
		}
	}
	for pattern := range operations {
		require.True(t, described[pattern], "%s is not in openapi.yaml", pattern)
	}
}

func neededBy(security []map[string][]string) scope {
	switch {
	case len(security) == 0:
		return open
	case security[0]["apiKey"] != nil:
		return scope(security[0]["apiKey"][0])
	case len(security) == 3:
		return anyone
	default:
		return userToken
	}
}

// The generated code is what openapi.yaml gives now.
func TestGeneratedCode_IsCurrent(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the generator")
	}
	for config, generated := range map[string]string{
		"oapi-server.yaml":        "api.gen.go",
		"client/oapi-client.yaml": "client/client.gen.go",
	} {
		dir := t.TempDir()
		out, elsewhere := filepath.Join(dir, "out.go"), filepath.Join(dir, "config.yaml")
		settings, err := os.ReadFile(config)
		require.NoError(t, err)
		settings = bytes.Replace(settings, []byte("output: "+filepath.Base(generated)), []byte("output: "+out), 1)
		require.NoError(t, os.WriteFile(elsewhere, settings, 0o600))
		command := exec.Command("go", "tool", "-modfile=../tools.mod", "oapi-codegen", "-config", elsewhere, "openapi.yaml")
		message, err := command.CombinedOutput()
		require.NoError(t, err, "%s", message)
		want, err := os.ReadFile(out)
		require.NoError(t, err)
		have, err := os.ReadFile(generated)
		require.NoError(t, err)
		require.Equal(t, string(want), string(have), "run: make generate")
	}
}

// Only problem.go writes a status of 400 or more: the others return errors.
func TestProblems_AreWrittenInOnePlace(t *testing.T) {
	sources, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, source := range sources {
		if source == "problem.go" || strings.HasSuffix(source, "_test.go") || strings.HasSuffix(source, ".gen.go") {
			continue
		}
		text, err := os.ReadFile(source)
		require.NoError(t, err)
		require.NotContains(t, string(text), "http.Error(", source)
		for _, line := range strings.Split(string(text), "\n") {
			if strings.Contains(line, ".WriteHeader(") && !strings.Contains(line, "w.ResponseWriter.WriteHeader(status)") { // which passes it on
				require.Contains(t, line, "http.StatusNoContent", "%s: %s", source, line)
			}
		}
	}
}

func TestHref_EscapesEachSegment(t *testing.T) {
	require.Equal(t, "/debug/actors", hrefOf("/"))
	require.Equal(t, "/debug/actors/registry/03/default:a%252Fb%3F", hrefOf("/registry/03/default:a%2Fb?"))
}

func TestOpenable(t *testing.T) {
	for raw, want := range map[string]bool{
		"": true, "https://x.dev": true, "http://x.dev/a?b#c": true, "/": true, "/inbox?x=//y": true,
		"//x.dev": false, `/\x.dev`: false, "javascript:alert(1)": false, "https:": false, "https:///x": false,
		"inbox": false, "data:,x": false, "/a\nb": false, "%zz": false, "mailto:a@b.dev": false,
	} {
		require.Equal(t, want, openable(raw), raw)
	}
}

func FuzzReadJSON(f *testing.F) {
	for _, seed := range []string{`{"user":"ann","title":"x"}`, `{"users":["a"],"actions":[{"action":"a","title":"t"}],"data":{"x":[1]}}`, `[`, `null`, "\xff", `{"ttl":1e99}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r, err := http.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		var into NewNotifications
		_, err = readJSON(nil, r, &into, maxBody)
		if err != nil {
			p, internal := problemOf(err)
			require.False(t, internal)
			require.Less(t, p.status, 500)
			return
		}
		if _, err := usersOf(&into); err != nil {
			return
		}
		if draft, err := new(Server).draftOf(tenant{}, &into); err == nil {
			require.NotEmpty(t, draft.Content)
		}
	})
}

func FuzzRegistration(f *testing.F) {
	for _, seed := range []string{
		`{"endpoint":"https://push.dev/x","expirationTime":null,"keys":{"p256dh":"BAAA","auth":"AAAA"}}`,
		`{"kind":"apns","token":"00FC","topic":"a.b","environment":"sandbox"}`, `{"kind":"fcm","token":"x:y"}`, `{"expirationTime":-1e18}`, `null`,
	} {
		f.Add(seed)
	}
	app := tenant{vapidKeys: []store.VAPIDKey{{Public: []byte{4}}}, kinds: []push.Kind{push.WebPush, push.APNs, push.FCM}}
	f.Fuzz(func(t *testing.T, body string) {
		var into Registration
		if json.Unmarshal([]byte(body), &into) != nil {
			return
		}
		sub, err := app.subscriptionOf(push.User{App: "default", ID: "ann"}, nil, &into)
		if err != nil {
			p, internal := problemOf(err)
			require.False(t, internal)
			require.Less(t, p.status, 500)
			return
		}
		require.Equal(t, push.DigestOf(sub.Endpoint), sub.Digest)
	})
}

package main_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/belfryhq/belfry"

// imports says which of Belfry's packages each may import, beside those of
// the standard library and of others. docs/architecture.md draws it.
var imports = map[string][]string{
	"push":                   {},
	"push/answer":            {"push"},
	"push/guard":             {"push"},
	"push/webpush":           {"push", "push/answer", "push/guard", "push/pool"},
	"push/pool":              {},
	"push/apns":              {"push", "push/answer", "push/pool"},
	"push/fcm":               {"push", "push/answer"},
	"push/simulate":          {"push"},
	"push/pushtest":          {"push", "push/simulate"},
	"store":                  {"push"},
	"store/postgres":         {"store", "push", "migrations"},
	"store/sqlite":           {"store", "push", "migrations"},
	"store/sealed":           {"store", "push"},
	"store/storetest":        {"store", "push", "store/postgres", "store/sqlite"},
	"migrations":             {},
	"actors":                 {"store", "push"},
	"api":                    {"actors", "store", "push", "push/apns", "push/fcm", "push/webpush", "push/guard", "api/webhook"},
	"api/client":             {},
	"api/webhook":            {"actors", "store", "push", "push/answer", "push/guard"},
	"cmd/belfry":             {"api", "api/client", "api/webhook", "actors", "store", "store/postgres", "store/sqlite", "store/sealed", "push", "push/guard", "push/apns", "push/fcm", "push/webpush", "push/simulate"},
	"cmd/belfry/browsertest": {},
}

// reserved says which package alone may import a library.
var reserved = map[string]string{
	"github.com/asynkron/protoactor-go": "actors",
	"github.com/jackc/pgx":              "store/postgres",
	"modernc.org/sqlite":                "store/sqlite",
	"code.dny.dev/ssrf":                 "push/guard",
}

// forTests are imported by tests alone.
var forTests = []string{"push/pushtest", "store/storetest", "cmd/belfry/browsertest"}

type listed struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

func TestImports_FollowTheRules(t *testing.T) {
	command := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	command.Dir = "../.."
	out, err := command.Output()
	require.NoError(t, err)
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	seen := map[string]bool{}
	for {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		seen[name] = true
		allowed, known := imports[name]
		require.True(t, known, "say in this test what %s may import", name)
		for _, path := range p.Imports {
			if own, ok := strings.CutPrefix(path, module+"/"); ok {
				require.Contains(t, allowed, own, "%s must not import %s", name, own)
				if !isForTests(name) {
					require.False(t, isForTests(own), "%s is for tests, and %s is not one", own, name)
				}
			}
			if name == "push" {
				require.False(t, strings.Contains(strings.Split(path, "/")[0], "."), "push imports the standard library alone, not %s", path)
			}
			for library, owner := range reserved {
				if strings.HasPrefix(path, library) && !isForTests(name) {
					require.Equal(t, owner, name, "only %s imports %s", owner, library)
				}
			}
		}
	}
	for name := range imports {
		require.True(t, seen[name], "%s is gone: take it out of this test", name)
	}
}

func isForTests(name string) bool {
	for _, test := range forTests {
		if name == test {
			return true
		}
	}
	return false
}

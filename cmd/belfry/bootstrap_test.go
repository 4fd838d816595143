package main

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/storetest"
)

func TestBootstrap_AKeyThatIsNoLongerGivenEnds(t *testing.T) {
	const given = "an-admin-key-of-the-environment"
	for name, test := range map[string]struct {
		other []string // the scopes of another key
		then  string   // what is given at the next start
		works bool     // the key that was given before
		says  string
	}{
		"there is another admin key": {[]string{"admin"}, "", false, "the key it gave has ended"},
		"it is the only one":         {[]string{"send", "read"}, "", true, "make one with belfry keys create --scope admin"},
		"another is given":           {[]string{"send", "read"}, "another-admin-key-of-it", false, ""},
		"it is still given":          {[]string{"admin"}, given, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			db := storetest.OpenSQLite(t)
			var log bytes.Buffer
			start := func(key string) firstRun {
				made, err := (&serveFlags{AdminKey: key}).bootstrap(t.Context(), db, slog.New(slog.NewTextHandler(&log, nil)))
				require.NoError(t, err)
				return made
			}
			require.Empty(t, start(given).adminKey)
			other, _ := api.NewAPIKey(push.DefaultApp, "the backend", test.other, time.Now())
			require.NoError(t, db.CreateAPIKey(t.Context(), other))
			log.Reset()
			require.Empty(t, start(test.then).adminKey)

			_, err := db.FindAPIKey(t.Context(), api.APIKeyOf("", "", given, nil, time.Now()).Hash)
			if test.works {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, store.ErrNotFound)
			}
			if test.says == "" {
				require.Empty(t, log.String())
			} else {
				require.Contains(t, log.String(), test.says)
			}
			_, err = db.FindAPIKey(t.Context(), other.Hash)
			require.NoError(t, err, "others go on")
		})
	}
}

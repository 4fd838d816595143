//go:build !race

package api_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push"
)

const (
	costUsers = 100_000         // in memory
	costLooks = 40              // at each page
	costEvery = 2 * time.Second // between two looks of a page that is open
	costMax   = 0.01            // of one core
)

// What an open page at /debug/ costs does not grow with those in memory beyond
// what an operator may neglect. It is looked at as fast as it goes, and what a look
// costs, this client's part included, is set against how seldom the page looks.
func TestDebugPage_CostsNextToNothingWithAHundredThousandUsers(t *testing.T) {
	if testing.Short() {
		t.Skip("half a minute")
	}
	r := newRig(t, func(c *actors.Config) { c.Window, c.IdleAfter = costUsers, time.Hour })
	for i := 0; i < costUsers; {
		var drafts []actors.Draft
		for range 500 {
			drafts = append(drafts, actors.Draft{User: push.User{App: push.DefaultApp, ID: fmt.Sprintf("user-%06d", i)}, Content: []byte(`{}`), TTL: time.Hour})
			i++
		}
		_, err := r.system.Notify(drafts)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return r.system.Backlog() == 0 }, time.Minute, 50*time.Millisecond)
	var seen api.Overview
	r.must(http.StatusOK, request{path: "/debug/overview"}, &seen)
	require.Equal(t, costUsers, seen.Actors["user"])
	user := r.search(map[string][]string{"q": {"user-012345"}}).Actors[0].Href
	shards := user[:strings.LastIndexByte(user, '/')]

	for _, page := range []struct {
		name  string
		looks []string // each time
		more  []string // each fifth time
	}{
		{"the overview", []string{"/debug/overview", "/debug/actors"}, nil},
		{"the lanes", []string{"/debug/overview", "/debug/actors/lanes?limit=50"}, nil},
		{"a range", []string{"/debug/overview", shards + "?limit=50"}, nil},
		{"a user", []string{"/debug/overview", user + "?limit=500"}, []string{"/v1/users/user-012345/explain"}},
		{"a user who is not in memory", []string{"/debug/overview"}, []string{"/v1/users/nobody/explain", "/debug/search?q=nobody&limit=1"}},
		{"a search", []string{"/debug/overview"}, []string{"/debug/search?q=1234&limit=100"}},
	} {
		before := cpu()
		for i := range costLooks {
			looks := page.looks
			if i%5 == 0 {
				looks = append(looks[:len(looks):len(looks)], page.more...)
			}
			for _, path := range looks {
				r.look(path)
			}
		}
		used := cpu() - before
		share := used.Seconds() / costLooks / costEvery.Seconds()
		t.Logf("%-28s %.3f %% of a core, %.2f ms a look", page.name, 100*share, 1000*used.Seconds()/costLooks)
		require.Less(t, share, costMax, page.name)
	}
}

// look makes one of the page's requests, and keeps the connection as a browser does.
func (r *rig) look(path string) {
	r.Helper()
	asked, err := http.NewRequestWithContext(r.Context(), http.MethodGet, r.url+path, nil)
	require.NoError(r, err)
	asked.Header.Set("Authorization", "Bearer "+r.keys["admin"])
	response, err := http.DefaultClient.Do(asked)
	require.NoError(r, err)
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(r, err)
	require.Equal(r, http.StatusOK, response.StatusCode, path)
}

// cpu is how long this process has run on processors.
func cpu() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push/simulate"
)

func (r *rig) search(query url.Values) api.ActorList {
	r.Helper()
	var found api.ActorList
	r.must(http.StatusOK, request{path: "/debug/search?" + query.Encode()}, &found)
	return found
}

func pathsOf(found api.ActorList) (paths []string) {
	for _, actor := range found.Actors {
		paths = append(paths, actor.Path)
	}
	return paths
}

func TestOverview_HasTheFiguresOfAll(t *testing.T) {
	r := newRig(t).with(func(c *api.Config) { c.Version = "v1.2.3" })
	_, laptop := r.browser()
	r.subscribe("ann", laptop)
	r.finished(r.send("ann"))
	began := time.Now()
	var seen api.Overview
	eventually(t, "the delivery is counted", func() bool { // which is after it is final
		r.must(http.StatusOK, request{path: "/debug/overview"}, &seen)
		return seen.Counters["delivery.delivered"] > 0 && seen.Backlog == 0
	})
	require.Equal(t, "v1.2.3", seen.Version)
	require.WithinRange(t, seen.At, began, time.Now())
	require.True(t, seen.ActiveSince.Before(seen.At))
	require.Equal(t, int64(1), seen.Counters["accepted"])
	require.Equal(t, int64(1), seen.Counters["attempt.delivered"])
	require.Equal(t, int64(1), seen.Counters["delivery.delivered"])
	require.Positive(t, seen.Counters["commits"])
	require.Equal(t, 1, seen.Actors["user"])
	require.Equal(t, 1, seen.Actors["lane"])
	require.Len(t, seen.Lanes, 1)
	require.Equal(t, "running", seen.Lanes[0].State)
	require.Empty(t, seen.Failures)
	require.Zero(t, seen.LanesMore)
}

func TestOverview_SaysWhyALaneIsPausedAndUntilWhen(t *testing.T) {
	r := newRig(t)
	for _, user := range []string{"ann", "bob", "cem"} { // so many it takes
		_, laptop := r.browser(simulate.Status(http.StatusUnauthorized))
		r.subscribe(user, laptop)
		r.send(user)
	}
	var seen api.Overview
	require.Eventually(t, func() bool {
		r.must(http.StatusOK, request{path: "/debug/overview"}, &seen)
		return len(seen.Lanes) == 1 && seen.Lanes[0].Cause != ""
	}, patience, 5*time.Millisecond)
	lane := seen.Lanes[0]
	require.Equal(t, "credentials refused", lane.Cause)
	require.Contains(t, lane.Reason, "401")
	require.NotNil(t, lane.NextAttemptAt)
	require.True(t, lane.NextAttemptAt.After(seen.At))
}

func TestSearch_FindsUsersAndLanesByAPartOfTheirName(t *testing.T) {
	r := newRig(t)
	for _, user := range []string{"Zoe", "zoe/2", "ann"} {
		_, laptop := r.browser()
		r.subscribe(user, laptop)
		r.finished(r.send(user))
	}
	found := r.search(url.Values{"q": {"ZOE"}})
	require.Len(t, found.Actors, 2)
	require.False(t, found.More)
	for _, actor := range found.Actors {
		require.Equal(t, "user", actor.Kind)
		var page api.ActorPage
		r.must(http.StatusOK, request{path: actor.Href}, &page)
		require.Equal(t, actor.Path, page.Actor.Path)
	}
	lanes := r.search(url.Values{"q": {"webpush:127.0.0.1"}})
	require.Len(t, lanes.Actors, 1)
	require.Equal(t, "lane", lanes.Actors[0].Kind)
	require.Empty(t, r.search(url.Values{"q": {"nobody"}}).Actors)
}

func TestSearch_BeginsWithWhoIsCalledExactlySo(t *testing.T) {
	r := newRig(t, func(c *actors.Config) { c.IdleAfter = time.Hour })
	var ids []string
	for i := range 30 {
		ids = append(ids, fmt.Sprintf("user-1%d", i))
	}
	for _, id := range append(ids, "user-1") {
		r.finished(r.send(id))
	}
	for _, limit := range []string{"1", "2", "100"} {
		found := r.search(url.Values{"q": {"user-1"}, "limit": {limit}})
		require.True(t, strings.HasSuffix(found.Actors[0].Path, "/default:user-1"), "%v", pathsOf(found))
		require.Equal(t, limit != "100", found.More)
	}
	all := pathsOf(r.search(url.Values{"q": {"user-1"}}))
	require.Len(t, all, 31, "and once")
	require.IsIncreasing(t, all[1:])
}

func TestSearch_RefusesWhatCannotBeSearchedFor(t *testing.T) {
	r := newRig(t)
	for query, field := range map[string]string{
		"": "q", "q=": "q", "q=%20": "q", "q=" + strings.Repeat("x", 256): "q",
		"q=x&limit=-1": "limit", "q=x&limit=" + fmt.Sprint(actors.MaxPage+1): "limit",
	} {
		got := r.do(request{path: "/debug/search?" + query})
		require.Equal(t, http.StatusBadRequest, got.status, query)
		require.Equal(t, field, got.problem.Field, query)
	}
}

func TestDebug_IsForTheOperatorAlone(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/debug/overview", "/debug/search?q=x", "/debug/actors", "/debug/actors/lanes"} {
		require.Equal(t, http.StatusUnauthorized, r.do(request{path: path, key: "-"}).status, path)
		require.Equal(t, http.StatusForbidden, r.do(request{path: path, key: r.keys["read"]}).status, path)
		require.Equal(t, http.StatusForbidden, r.do(request{path: path, key: r.keys["other"]}).status, "%s: an admin of another app", path)
		require.Equal(t, http.StatusOK, r.do(request{path: path}).status, path)
	}
}

// Nothing of the page needs a key, so that it can ask for one; and it says what a
// standby is, and that nobody answers, so it is there whatever the state.
func TestDebugPage_IsServedToAnybodyInAnyState(t *testing.T) {
	r := newRig(t)
	standby := *r
	standby.url = newFront(t, api.Waiting("it is starting"))
	for name, r := range map[string]*rig{"active": r, "standby": &standby} {
		redirect := r.do(request{path: "/debug", key: "-"})
		require.Equal(t, http.StatusFound, redirect.status, name)
		require.Equal(t, "/debug/", redirect.header.Get("Location"))

		page := r.do(request{path: "/debug/", key: "-"})
		require.Equal(t, http.StatusOK, page.status, name)
		require.Equal(t, "text/html; charset=utf-8", page.header.Get("Content-Type"))
		policy := page.header.Get("Content-Security-Policy")
		require.Contains(t, policy, "default-src 'none'")
		require.Contains(t, policy, "script-src 'self'")
		require.Contains(t, policy, "frame-ancestors 'none'")
		require.Contains(t, policy, "require-trusted-types-for 'script'")
		require.NotContains(t, policy, "unsafe")
		require.Equal(t, "no-referrer", page.header.Get("Referrer-Policy"))
		require.Equal(t, "nosniff", page.header.Get("X-Content-Type-Options"))

		for path, contentType := range map[string]string{"/debug/debug.css": "text/css; charset=utf-8", "/debug/debug.js": "text/javascript; charset=utf-8"} {
			got := r.do(request{path: path, key: "-"})
			require.Equal(t, http.StatusOK, got.status, "%s: %s", name, path)
			require.Equal(t, contentType, got.header.Get("Content-Type"))
			require.Equal(t, "no-cache", got.header.Get("Cache-Control"), "the next version counts at once")
		}
	}
}

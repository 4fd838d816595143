package api_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

// page asks for events.
func (r *rig) page(query string) api.EventPage {
	r.Helper()
	var page api.EventPage
	r.must(http.StatusOK, request{path: "/v1/events?" + query}, &page)
	return page
}

// feed is everything that there is, once there are as many. A delivery is final
// before it is told of.
func (r *rig) feed(n int) (events []api.Event) {
	r.Helper()
	require.Eventually(r, func() bool {
		events = r.page("limit=1000").Events
		return len(events) >= n
	}, patience, 5*time.Millisecond)
	return events
}

func typesOf(events []api.Event) (types []string) {
	for _, e := range events {
		types = append(types, e.Type)
	}
	return types
}

func TestEvents_TellWhatHappenedInOrder(t *testing.T) {
	r := newRig(t)
	_, laptop := r.browser(simulate.Status(503).With("Retry-After", "1"), simulate.Status(201))
	sub := r.subscribe("ann", laptop)
	id := r.send("ann")
	r.finished(id)
	events := r.feed(3)
	require.Equal(t, []string{"subscription.added", "delivery.retrying", "delivery.delivered"}, typesOf(events))
	for i, e := range events {
		require.Equal(t, "ann", e.User)
		require.Equal(t, sub.Id, e.Subscription)
		require.Equal(t, "webpush", e.Kind)
		require.Equal(t, sub.Host, e.Host)
		require.WithinDuration(t, time.Now(), e.At, time.Minute)
		if i > 0 {
			require.Greater(t, e.Id, events[i-1].Id)
			require.Equal(t, id, e.Notification)
		}
	}
	require.Equal(t, 503, events[1].Status)
	require.Equal(t, 1, events[1].Attempts)
	require.NotNil(t, events[1].NextAttemptAt)
	require.Equal(t, 2, events[2].Attempts)
	require.Nil(t, events[2].NextAttemptAt)
}

func TestEvents_ComeInPagesThatLeaveNothingOut(t *testing.T) {
	r := newRig(t)
	for range 7 {
		r.finished(r.send("nobody"))
	}
	all := r.feed(7)
	require.Len(t, all, 7)
	var got []api.Event
	next := ""
	for range 10 {
		page := r.page("limit=3&after=" + next)
		require.LessOrEqual(t, len(page.Events), 3)
		require.NotEmpty(t, page.Next, "also of an empty page")
		got, next = append(got, page.Events...), page.Next
	}
	require.Equal(t, all, got)
	require.Equal(t, all[4:], r.page("after="+all[3].Id).Events, "the id of an event is a place, too")
	require.Empty(t, r.page("after=latest").Events)

	require.Equal(t, all, r.page("types=delivery.gone,delivery.no_subscription").Events)
	page := r.page("types=delivery.gone")
	require.Empty(t, page.Events)
	require.Equal(t, all[6].Id, page.Next, "what is not wanted is passed over")

	var theirs api.EventPage
	r.must(http.StatusOK, request{path: "/v1/events", key: r.keys["other"]}, &theirs)
	require.Empty(t, theirs.Events, "another app's feed is its own")
}

func TestEvents_RefuseWhatMakesNoSense(t *testing.T) {
	r := newRig(t)
	for query, field := range map[string]string{
		"after=yesterday": "after", "after=0": "after", "after=ffffffff-ffff-7fff-bfff-ffffffffffff": "after",
		"types=delivered": "types", "types=delivery.gone,": "types", "types=%20": "types",
		"limit=1001": "limit", "limit=-1": "limit", "limit=x": "limit", "wait=51": "wait", "wait=-1": "wait",
	} {
		got := r.do(request{path: "/v1/events?" + query})
		require.Equal(t, http.StatusBadRequest, got.status, query)
		require.Equal(t, field, got.problem.Field, query)
	}
	got := r.do(request{path: "/v1/events", key: r.keys["send"]})
	require.Equal(t, http.StatusForbidden, got.status)
}

// A reader that was away for longer than events are kept is told so, instead of
// being given a feed with a gap.
func TestEvents_SayThatSomeAreGone(t *testing.T) {
	r := newRig(t)
	r.finished(r.send("nobody"))
	r.feed(1)
	old := idAt(time.Now().Add(-73 * time.Hour)).String()
	got := r.do(request{path: "/v1/events?after=" + old})
	require.Equal(t, http.StatusGone, got.status)
	require.Equal(t, "events_gone", got.problem.Code)
	require.Equal(t, "after", got.problem.Field)
	require.Contains(t, got.problem.Detail, "Events are kept for 3 d")
	require.Contains(t, got.problem.Detail, "after=latest")
	require.Contains(t, got.problem.Detail, "GET /v1/notifications")

	require.Len(t, r.page("after="+push.ID{}.String()).Events, 1, "what is given before anything happened stays good")
	young := idAt(time.Now().Add(-71 * time.Hour)).String()
	require.Len(t, r.page("after="+young).Events, 1)
	patient := r.with(func(c *api.Config) { c.EventRetention = 74 * time.Hour })
	require.Len(t, patient.page("after="+old).Events, 1)

	none := r.with(func(c *api.Config) { c.EventRetention = -1 })
	got = none.do(request{path: "/v1/events"})
	require.Equal(t, http.StatusNotFound, got.status)
	require.Equal(t, "events_off", got.problem.Code)
	require.Contains(t, got.problem.Detail, "BELFRY_EVENT_RETENTION")
}

// idAt is an ID that was made at a time.
func idAt(at time.Time) (id push.ID) {
	millis := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(millis >> (40 - 8*i))
	}
	return id
}

func TestEvents_WaitForOneToCome(t *testing.T) {
	r := newRig(t)
	next := r.page("after=latest").Next
	began := time.Now()
	page := r.page("wait=1&after=" + next)
	require.Empty(t, page.Events)
	require.NotEmpty(t, page.Next)
	require.Greater(t, time.Since(began), 900*time.Millisecond)

	answers := make(chan api.EventPage, 1)
	go func() { answers <- r.page("wait=50&types=delivery.no_subscription&after=" + page.Next) }()
	r.registerSomebody() // which is not what is waited for
	id := r.send("nobody")
	answer := <-answers
	require.Equal(t, id, answer.Events[0].Notification)
	require.Len(t, answer.Events, 1)

	began = time.Now()
	require.NotEmpty(t, r.page("wait=50").Events, "what is there is not waited for")
	require.Less(t, time.Since(began), 20*time.Second)
}

func (r *rig) registerSomebody() {
	r.Helper()
	_, laptop := r.browser()
	r.subscribe("somebody", laptop)
}

// waiting asks for events and returns when the server is at it.
func (r *rig) waiting(query, key string) (answered <-chan answer) {
	r.Helper()
	arrived, answers := make(chan struct{}), make(chan answer, 1)
	front := *r
	front.url = newFront(r.T, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		close(arrived)
		r.handler.ServeHTTP(w, q)
	}))
	go func() { answers <- front.do(request{path: "/v1/events?" + query, key: key}) }()
	<-arrived
	r.page("limit=1") // which takes longer than the other one to come to its wait
	return answers
}

func TestEvents_AWaitEndsWithTheKey(t *testing.T) {
	r := newRig(t)
	var made api.CreatedKey
	r.must(http.StatusCreated, request{method: "POST", path: "/v1/keys", body: map[string]any{"scopes": []string{"read"}}}, &made)
	answered := r.waiting("wait=50&after=latest", made.Key)
	r.must(http.StatusNoContent, request{method: "DELETE", path: "/v1/keys/" + made.Id}, nil)
	got := <-answered
	require.Equal(t, http.StatusUnauthorized, got.status)
	require.Equal(t, "unauthorized", got.problem.Code)
}

func TestEvents_AWaitEndsWhenTheSystemDrains(t *testing.T) {
	r := newRig(t)
	answered := r.waiting("wait=50&after=latest", "")
	r.drain()
	got := <-answered
	require.Equal(t, http.StatusOK, got.status)
	var page api.EventPage
	require.NoError(t, json.Unmarshal(got.body, &page))
	require.NotEmpty(t, page.Next)
}

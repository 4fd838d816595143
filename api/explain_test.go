package api_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push/simulate"
)

func (r *rig) explain(user, notification string) api.Explanation {
	r.Helper()
	query := ""
	if notification != "" {
		query = "?notification=" + notification
	}
	var answer api.Explanation
	r.must(http.StatusOK, request{path: "/v1/users/" + url.PathEscape(user) + "/explain" + query, key: r.keys["read"]}, &answer)
	require.Equal(r, user, answer.User)
	return answer
}

func TestExplain_TellsTheCourseOfANotification(t *testing.T) {
	r := newRig(t)
	_, laptop := r.browser(simulate.Status(503).With("Retry-After", "1"), simulate.Status(201))
	sub := r.subscribe("ann", laptop)
	id := r.send("ann")
	r.finished(id)
	answer := r.explain("ann", id)
	require.Equal(t, id, answer.Notification.Id)
	require.Nil(t, answer.Recent)
	require.Len(t, answer.Summary, 1)
	require.Regexp(t, `^Delivered: the push service \S+ took it at .+, after 1 attempt that failed\. .*no receipt was asked for\.$`, answer.Summary[0])
	require.Len(t, answer.Subscriptions, 1)
	there := answer.Subscriptions[0]
	require.Equal(t, sub.Id, there.Id)
	require.Equal(t, sub.Id, there.Subscription.Id)
	require.Equal(t, answer.Summary[0], there.Summary)
	require.Equal(t, "delivered", there.Delivery.State)
	require.Len(t, there.Attempts, 2)
	require.Equal(t, "retry", there.Attempts[0].Outcome)
	require.Equal(t, 503, there.Attempts[0].Status)
	require.NotNil(t, there.Attempts[0].NextAttemptAt)
	require.Equal(t, "delivered", there.Attempts[1].Outcome)
	require.Equal(t, 2, there.Attempts[1].Number)
}

func TestExplain_TellsWhatADeviceSaid(t *testing.T) {
	r := newRig(t)
	n := r.sendWithReceipts("shown")
	require.Contains(t, r.explain("ann", n.id).Summary[0], "no receipt has come")
	r.must(http.StatusNoContent, report(n.token, "shown"), nil)
	require.Contains(t, r.explain("ann", n.id).Summary[0], "The browser showed it at ")
}

func TestExplain_TellsWhatANotificationWaitsFor(t *testing.T) {
	r := newRig(t)
	endpoint, laptop := r.browser(simulate.Status(429).With("Retry-After", "1800"))
	r.subscribe("ann", laptop)
	first := r.send("ann")
	_, err := endpoint.Await(t.Context(), 1)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return strings.HasPrefix(r.explain("ann", first).Summary[0], "Waiting to be tried again: it failed once, with: HTTP 429")
	}, patience, 5*time.Millisecond)
	second := r.send("ann")
	require.Eventually(t, func() bool {
		return strings.HasPrefix(r.explain("ann", second).Summary[0], "Waiting behind notification "+first+", which failed once, with: HTTP 429")
	}, patience, 5*time.Millisecond)
	require.Contains(t, r.explain("ann", "").Summary[1], "Resting until ")
}

func TestExplain_TellsThatTheHostIsShut(t *testing.T) {
	r := newRig(t)
	var id string
	for _, user := range []string{"ann", "bob", "cid"} { // as many as it takes
		_, laptop := r.browser(simulate.Status(401))
		r.subscribe(user, laptop)
		id = r.send(user)
	}
	var answer api.Explanation
	require.Eventually(t, func() bool {
		answer = r.explain("cid", id)
		return len(answer.Subscriptions) == 1 && answer.Subscriptions[0].Lane.Cause != ""
	}, patience, 10*time.Millisecond)
	require.Contains(t, answer.Summary[0], " refuses the app's credentials (401")
	lane := answer.Subscriptions[0].Lane
	require.Contains(t, lane.Name, "default:webpush:")
	require.NotEmpty(t, lane.State)
	require.NotNil(t, lane.Until)
}

func TestExplain_TellsWhoTookItsPlace(t *testing.T) {
	r := newRig(t)
	hold := make(chan struct{})
	endpoint, laptop := r.browser(simulate.Status(201).When(hold))
	r.subscribe("ann", laptop)
	r.send("ann")
	_, err := endpoint.Await(t.Context(), 1)
	require.NoError(t, err)
	send := func(key string) string {
		var accepted api.AcceptedNotifications
		r.must(http.StatusAccepted, request{method: "POST", path: "/v1/notifications", body: map[string]any{"user": "ann", "title": "x", "collapse_key": key}}, &accepted)
		return accepted.Notifications[0].Id
	}
	old, _, new := send("score"), send("weather"), send("score")
	r.finished(old)
	close(hold)
	r.finished(new)
	require.Regexp(t, `^Superseded at .+: a newer notification with the same collapse key, `+new+`, took its place before it was sent\.$`, r.explain("ann", old).Summary[0])
}

func TestExplain_TellsWhatEndedASubscription(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(r *rig, browser *simulate.Browser, id string)
		want string
	}{
		"removed": {
			func(r *rig, _ *simulate.Browser, id string) {
				r.must(http.StatusNoContent, request{method: "DELETE", path: "/v1/users/ann/subscriptions/" + id}, nil)
			}, `^Unsubscribed: at .+, before it was sent, the subscription was removed`,
		},
		"moved": {
			func(r *rig, browser *simulate.Browser, _ string) {
				r.must(http.StatusOK, request{method: "PUT", path: "/v1/users/bob/subscriptions", body: r.json(browser)}, nil)
			},
			`^Moved: at .+, before it was sent, the browser was registered for another user, so it was not sent there\.$`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			endpoint, laptop := r.browser(simulate.Status(429).With("Retry-After", "30"))
			sub := r.subscribe("ann", laptop)
			id := r.send("ann")
			_, err := endpoint.Await(t.Context(), 1)
			require.NoError(t, err)
			test.end(r, laptop, sub.Id)
			r.finished(id)
			require.Regexp(t, test.want, r.explain("ann", id).Summary[0])
		})
	}
}

func TestExplain_TellsThatNobodyWasThere(t *testing.T) {
	r := newRig(t)
	require.Contains(t, r.explain("ann", "").Summary[0], "Belfry knows nothing of ann")
	id := r.send("ann")
	r.finished(id)
	require.Contains(t, r.explain("ann", id).Summary[0], "No subscription: ")
	require.Contains(t, r.explain("ann", id).Summary[1], "ann has no subscription now")
	_, laptop := r.browser()
	r.subscribe("ann", laptop)
	require.Regexp(t, `^There is one now: the browser registered at .+ after\.$`, r.explain("ann", id).Summary[1])

	later := r.send("ann")
	r.finished(later)
	overview := r.explain("ann", "")
	require.Len(t, overview.Recent, 2)
	require.Equal(t, later, overview.Recent[0].Id)
	require.Equal(t, id, overview.Recent[1].Id)
	require.Contains(t, overview.Summary, "Of the newest 2 notifications, 1 was taken by a push service; 1 was delivered nowhere.")
	require.Zero(t, overview.Notification)
}

func TestExplain_KeepsOthersApart(t *testing.T) {
	r := newRig(t)
	id := r.send("bob")
	r.finished(id)
	answer := r.explain("ann", id)
	require.Equal(t, "Notification "+id+" belongs to another user, so it was not sent to ann.", answer.Summary[0])
	require.Zero(t, answer.Notification)

	got := r.do(request{path: "/v1/users/bob/explain?notification=" + id, key: r.keys["other"]})
	require.Equal(t, http.StatusNotFound, got.status, "another app's")
	require.Equal(t, "notification", got.problem.Field)
	require.Contains(t, got.problem.Detail, "BELFRY_RETENTION")
	require.Equal(t, "notification", r.do(request{path: "/v1/users/bob/explain?notification=x"}).problem.Field)
	require.Equal(t, "user", r.do(request{path: "/v1/users/%07/explain"}).problem.Field)
	require.Equal(t, http.StatusForbidden, r.do(request{path: "/v1/users/bob/explain", key: r.keys["send"]}).status)
}

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

// logOf is an eventLog at a level, and what it wrote.
func logOf(level slog.Level) (*eventLog, *safeBuffer) {
	var text safeBuffer
	return newEventLog(slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: level}))), &text
}

func refusedAt(lane string) actors.AttemptMade {
	return actors.AttemptMade{Lane: lane, Result: push.Result{Outcome: push.Refused, Status: 403, Reason: "InvalidProviderToken"}}
}

func TestLog_ALaneThatIsRefusedIsToldOfOnceAndThenSummedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, text := logOf(slog.LevelInfo)
		for range 1000 {
			log.observe(refusedAt("shop:apns:org.example@api.push.apple.com"))
			log.observe(refusedAt("other:apns:org.example@api.push.apple.com"))
			time.Sleep(101 * time.Millisecond)
		}
		lines := strings.Split(strings.TrimSpace(text.String()), "\n")
		require.Len(t, lines, 4, text.String())
		require.Contains(t, lines[0], `msg="attempt failed"`)
		require.Contains(t, lines[0], "lane=shop:apns:org.example@api.push.apple.com outcome=refused status=403 reason=InvalidProviderToken")
		require.Contains(t, lines[1], "lane=other:apns")
		require.Contains(t, lines[2]+lines[3], `level=WARN msg="more of the same: attempt failed" times=594 in=1m0s about=shop:apns:org.example@api.push.apple.com`)

		time.Sleep(3 * repeatsEvery)
		require.Contains(t, text.String(), "times=405", "what came last is not forgotten")
		told := len(text.String())
		log.observe(refusedAt("shop:apns:org.example@api.push.apple.com"))
		require.Contains(t, text.String()[told:], `msg="attempt failed"`, "after a minute without, it is news again")
		time.Sleep(2 * repeatsEvery)
	})
}

func TestLog_AStoreThatFailsAllTheTimeIsALineAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, text := logOf(slog.LevelInfo)
		for range 6000 {
			log.observe(actors.StoreFailed{What: "record outcomes", Err: errors.New("no room on the disk")})
			time.Sleep(100 * time.Millisecond)
		}
		require.Equal(t, 1, strings.Count(text.String(), "no room on the disk"))
		require.LessOrEqual(t, strings.Count(text.String(), "\n"), 11)
		time.Sleep(3 * repeatsEvery)
	})
}

// Strangers choose the hosts of push endpoints, so lines are bounded whatever
// they are about.
func TestLog_IsBoundedWhateverStrangersDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, text := logOf(slog.LevelInfo)
		for i := range 10_000 {
			host := fmt.Sprintf("push-%d.example", i)
			log.observe(refusedAt("default:webpush:" + host))
			log.observe(actors.LanePaused{Lane: "default:webpush:" + host, Cause: "push host failing"})
			log.observe(deliveryAt(host, push.StateGone))
			log.observe(actors.ActorFailed{Path: "/lanes/default:webpush:" + host, Stack: "a long one"})
			log.observe(actors.SubscriptionUnused{Host: host})
		}
		require.Less(t, strings.Count(text.String(), "\n"), 10*repeatsMax)
		known := func() int {
			log.repeats.mu.Lock()
			defer log.repeats.mu.Unlock()
			return len(log.repeats.known)
		}
		require.LessOrEqual(t, known(), repeatsMax+10)
		time.Sleep(3 * repeatsEvery)
		require.Zero(t, known(), "nor is anything kept for ever")
	})
}

// While the store is out, whoever sends requests has a line written by each.
func TestLog_OfRequestsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text safeBuffer
		log := newBounded(slog.New(slog.NewTextHandler(&text, nil)))
		count := func(part string) int { return strings.Count(text.String(), part) }
		for range 1000 {
			log.Error("request failed", "pattern", "GET /v1/config", "error", "no connection")
			log.Error("request failed", "pattern", "POST /v1/notifications", "error", "no connection")
			log.Warn("the store does not answer", "error", "no connection")
			log.Debug("a client has gone before it was answered")
		}
		require.Equal(t, firstOthers, count(`level=ERROR msg="request failed" pattern="GET /v1/config" error="no connection"`))
		require.Equal(t, firstOthers, count(`pattern="POST /v1/notifications"`), "each operation has its own")
		require.Equal(t, firstOthers, count("the store does not answer"))
		require.Equal(t, 3*firstOthers, count("\n"))
		time.Sleep(repeatsEvery + time.Second)
		require.Equal(t, 1, count(`level=ERROR msg="more of the same: request failed" times=995 in=1m0s about="GET /v1/config"`))
		require.Equal(t, 3*firstOthers+3, count("\n"))
		time.Sleep(3 * repeatsEvery)
	})
}

func TestLog_TellsOfEveryDecisionInALine(t *testing.T) {
	until := time.Date(2026, time.March, 1, 9, 0, 0, 0, time.UTC)
	for want, event := range map[string]actors.Event{
		`level=ERROR msg="lane paused" lane=default:webpush:push.example cause="push host failing" reason="503 Service Unavailable" until=2026-03-01T09:00:00.000Z`: actors.LanePaused{
			Lane: "default:webpush:push.example", Cause: "push host failing", Reason: "503 Service Unavailable", Until: until},
		`level=INFO msg="lane resumed" lane=default:webpush:push.example`: actors.LaneResumed{Lane: "default:webpush:push.example"},
		`level=INFO msg="delivery concluded" state=gone`:                  deliveryAt("push.example", push.StateGone),
		`level=WARN msg="a webhook did not take events; they are sent again" app=shop webhook=orders status=503 reason=busy attempts=3 next=2026-03-01T09:00:00.000Z`: actors.WebhookFailed{
			App: "shop", Name: "orders", Result: actors.CallResult{Status: 503, Reason: "busy"}, Attempts: 3, Next: until},
		`level=WARN msg="a webhook's receiver wants no more events; put the webhook again to have it go on" app=shop webhook=orders status=410 reason=gone`: actors.WebhookFailed{
			App: "shop", Name: "orders", Result: actors.CallResult{Status: 410, Reason: "gone", Ended: true}},
		`level=ERROR msg="events were not sent to a webhook, and are given up" app=shop webhook=orders events=7 before=2026-03-01T09:00:00.000Z`: actors.WebhookGaveUp{
			App: "shop", Name: "orders", Events: 7, Before: until},
		`level=WARN msg="the store failed; it is tried again" what="record outcomes" error="the disk is full"`: actors.StoreFailed{What: "record outcomes", Err: errors.New("the disk is full")},
		`level=ERROR msg="actor failed and starts anew" path=/journal reason="index out of range"`:             actors.ActorFailed{Path: "/journal", Reason: "index out of range"},
		`level=WARN msg="pending work that nobody held was taken up" notification=`:                            actors.WorkRejoined{},
	} {
		synctest.Test(t, func(t *testing.T) {
			log, text := logOf(slog.LevelInfo)
			log.observe(event)
			require.Equal(t, 1, strings.Count(text.String(), "\n"), text.String())
			require.Contains(t, text.String(), want)
			time.Sleep(2 * repeatsEvery)
		})
	}
}

// What goes well, and what comes in masses, is in the metrics and in the feed.
func TestLog_IsSilentAboutWhatIsNoNews(t *testing.T) {
	log, text := logOf(slog.LevelInfo)
	for _, event := range []actors.Event{
		attemptAt("push.example", 201), deliveryAt("push.example", push.StateDelivered), actors.GroupCommitted{Notifications: 3}, actors.ReceiptTaken{},
		actors.AttemptMade{Lane: "default:webpush:push.example", Result: push.Result{Outcome: push.Retry, Status: 429}},
	} {
		log.observe(event)
	}
	require.Empty(t, text.String())
}

func TestLog_TellsOfEverythingWithDebug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, text := logOf(slog.LevelDebug)
		for range 50 {
			log.observe(refusedAt("default:fcm:project@fcm.googleapis.com"))
			log.observe(deliveryAt("push.example", push.StateGone))
		}
		require.Equal(t, 50, strings.Count(text.String(), `msg="attempt failed"`))
		require.Equal(t, 50, strings.Count(text.String(), `msg="delivery concluded"`))
		time.Sleep(3 * repeatsEvery)
	})
}

var receiptTokens = regexp.MustCompile(`default\.[A-Za-z0-9_-]{60,}`)

// Whoever reads the log must not be able to send, to register, or to call.
func TestLog_HoldsNoSecret(t *testing.T) {
	s := startServing(t)
	secrets := []string{servingKey}
	for user, status := range map[string]int{"ann": 201, "bob": 404, "carol": 401, "dora": 503, "emil": 400} {
		endpoint := s.subscribe(user, simulate.Status(status))
		secrets = append(secrets, strings.TrimPrefix(endpoint.URL, s.service.Origin()))
		var made struct{ Token string }
		s.must("POST", "/v1/users/"+user+"/tokens", nil, &made)
		secrets = append(secrets, made.Token)
	}
	const hidden = "whispered-in-the-query"
	status, _ := s.ask("PUT", "/v1/apps/default/webhooks/orders", map[string]any{"url": "http://127.0.0.1:1/hook?key=" + hidden, "private": true})
	require.Less(t, status, 300)
	s.must("POST", "/v1/apps/default/webhooks/orders/test", nil, nil)
	secrets = append(secrets, hidden)
	var ids []string
	for _, user := range []string{"ann", "bob", "emil"} {
		var accepted struct{ Notifications []struct{ ID string } }
		s.must("POST", "/v1/notifications", map[string]any{"user": user, "title": "an important word", "receipts": []string{"shown"}}, &accepted)
		ids = append(ids, accepted.Notifications[0].ID)
	}
	s.finished(ids...)
	for _, user := range []string{"carol", "dora"} {
		s.send(user, "an important word")
	}
	s.eventually("the attempts were made", func() bool { return strings.Count(s.out.String(), "attempt failed") >= 4 })
	s.ask("POST", "/v1/receipts", map[string]any{"token": "default." + strings.Repeat("A", 87), "type": "shown"})
	s.ask("GET", "/v1/config?key=belfry_in-the-query", nil, "Authorization", "Bearer belfry_a-wrong-key")
	s.stop()

	logged := s.out.String()
	for _, secret := range append(secrets, "an important word", "belfry_in-the-query", "belfry_a-wrong-key", "eyJ") {
		require.NotContains(t, logged, secret)
	}
	require.NotRegexp(t, receiptTokens, logged)
}

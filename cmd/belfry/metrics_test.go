package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// exampleEvents are one of each that is counted.
var exampleEvents = []actors.Event{
	attemptAt("push.example:8443", 201),
	deliveryAt("push.example:8443", push.StateDelivered),
	actors.GroupCommitted{Notifications: 3, Records: 2, Took: 20 * time.Millisecond, Events: []push.Event{{Type: push.EventDelivered}, {Type: push.EventDelivered}, {Type: push.EventGone}}},
	actors.ReceiptTaken{Receipt: push.Receipt{Type: push.ReceiptClicked}},
	actors.LanePaused{Lane: "default:webpush:push.example:8443", Cause: "push host failing"},
	actors.ActorFailed{Path: "/registry/03/default:ann/webpush-2d7b2a0f5f8e1c43"},
	actors.StoreFailed{What: "record outcomes", Err: errors.New("the disk is full")},
	actors.SubscriptionUnused{Kind: push.WebPush, Host: "push.example:8443"},
	actors.WebhookGaveUp{App: "shop", Name: "orders", Events: 7},
	actors.WorkRejoined{},
}

func attemptAt(host string, status int) actors.AttemptMade {
	result := push.Result{Outcome: push.Delivered, Status: status}
	return actors.AttemptMade{Lane: "default:webpush:" + host, Result: result, Took: 30 * time.Millisecond}
}

// deliveryAt is final two seconds after its notification was accepted.
func deliveryAt(host string, state push.State) actors.DeliveryConcluded {
	accepted := time.Date(2026, time.March, 1, 9, 0, 0, 0, time.UTC)
	return actors.DeliveryConcluded{AcceptedAt: accepted, Delivery: push.Delivery{
		Notification: push.ID{0x01, 0x93}, Kind: push.WebPush, Host: host, State: state, DoneAt: accepted.Add(2 * time.Second),
	}}
}

// read gives every counter, gauge, and histogram's sum, by its name and the
// values of its labels.
func (m *metrics) read(t testing.TB) map[string]float64 {
	t.Helper()
	families, err := m.registry.Gather()
	require.NoError(t, err)
	values := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			for _, label := range metric.GetLabel() {
				name += " " + label.GetValue()
			}
			values[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + metric.GetHistogram().GetSampleSum()
		}
	}
	return values
}

func TestMetrics_CountEveryEvent(t *testing.T) {
	m := newMetrics()
	for _, event := range exampleEvents {
		m.observe(event)
	}
	m.observe(actors.GroupCommitted{Notifications: 7, Took: 5 * time.Second, Err: errors.New("the disk is full"), Events: []push.Event{{Type: push.EventGone}}})
	m.observe(actors.StoreFailed{What: "something that nobody thought of"})
	m.observe(actors.DeliveryConcluded{Delivery: push.Delivery{State: push.StateNoSubscription}})
	got := m.read(t)
	for name, want := range map[string]float64{
		"belfry_accepted_total": 3,
		"belfry_attempts_total push.example:8443 webpush delivered 201":                1,
		"belfry_attempt_seconds push.example:8443 webpush":                             0.03,
		"belfry_deliveries_total push.example:8443 webpush delivered":                  1,
		"belfry_deliveries_total none none no_subscription":                            1,
		"belfry_delivery_seconds":                                                      2,
		"belfry_commit_seconds":                                                        5.02,
		"belfry_commit_rows":                                                           5,
		"belfry_lane_pauses_total push host failing default:webpush:push.example:8443": 1,
		"belfry_actor_failures_total subscription":                                     1,
		"belfry_actor_failures_total journal":                                          0,
		"belfry_store_failures_total record outcomes":                                  1,
		"belfry_store_failures_total read what is due":                                 0,
		"belfry_store_failures_total other":                                            1,
		"belfry_commit_failures_total":                                                 1,
		"belfry_events_total delivery.delivered":                                       2,
		"belfry_events_total delivery.gone":                                            1,
		"belfry_events_total lane.paused":                                              0,
		"belfry_receipts_total clicked":                                                1,
		"belfry_webhook_events_given_up_total":                                         7,
		"belfry_active":                                                                0,
		"belfry_ready":                                                                 0,
		"belfry_work_rejoined_total":                                                   1,
		"belfry_subscriptions_unused_total":                                            1,
	} {
		value, ok := got[name]
		require.True(t, ok, "%s is not there", name)
		require.InDelta(t, want, value, 1e-9, name)
	}
	require.Contains(t, got, "go_goroutines")
	require.NotContains(t, got, "belfry_backlog", "there is no System")
}

// What is to be sent later waits because it is meant to.
func TestMetrics_CountFromWhenANotificationIsToBeSent(t *testing.T) {
	m := newMetrics()
	scheduled := deliveryAt("push.example", push.StateDelivered)
	scheduled.SendAt = scheduled.AcceptedAt.Add(1500 * time.Millisecond)
	m.observe(scheduled)
	require.InDelta(t, 0.5, m.read(t)["belfry_delivery_seconds"], 1e-9)
}

var storeFailure = regexp.MustCompile("(?:StoreFailed\\{What: |storeFailed\\(ctx, )\"([^\"]*)\"")

// A failure of a kind that begins at 0 is an increase, which alerts see.
func TestMetrics_KnowWhateverTheStoreFailsAt(t *testing.T) {
	files, err := filepath.Glob("../../actors/*.go")
	require.NoError(t, err)
	var found []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, match := range storeFailure.FindAllSubmatch(source, -1) {
			found = append(found, string(match[1]))
		}
	}
	slices.Sort(found)
	require.Equal(t, slices.Compact(found), slices.Sorted(slices.Values(storeTasks)))
}

func TestMetrics_FollowTheConventions(t *testing.T) {
	m := newMetrics()
	for _, event := range exampleEvents {
		m.observe(event)
	}
	m.observeRequest(api.Request{Operation: "GET /v1/config", Status: 200})
	families, err := m.registry.Gather()
	require.NoError(t, err)
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
}

// Push hosts and their answers are strangers'.
func TestMetrics_AreBoundedWhateverStrangersDo(t *testing.T) {
	m := newMetrics()
	const hosts = 500
	for i := range hosts {
		host := fmt.Sprintf("push-%d.example", i)
		m.observe(attemptAt(host, 201))
		m.observe(deliveryAt(host, push.StateDelivered))
		m.observe(actors.LanePaused{Lane: "default:webpush:" + host, Cause: "push host failing"})
	}
	for status := 100; status < 1000; status++ {
		m.observe(attemptAt("push-0.example", status))
	}
	series, sums := map[string]int{}, map[string]float64{}
	got := m.read(t)
	for name, value := range got {
		family, _, _ := strings.Cut(name, " ")
		series[family]++
		sums[family] += value
	}
	for family, own := range map[string]int{
		"belfry_attempt_seconds": labelsMax - len(wellKnownHosts), "belfry_deliveries_total": labelsMax - len(wellKnownHosts), "belfry_lane_pauses_total": labelsMax,
	} {
		require.Equal(t, own+1, series[family], family)
	}
	require.Less(t, series["belfry_attempts_total"], labelsMax+1+80)
	require.Equal(t, float64(hosts+900), sums["belfry_attempts_total"], "none is left out")
	require.Equal(t, float64(hosts-labelsMax+len(wellKnownHosts)), got["belfry_deliveries_total other webpush delivered"])
	require.Equal(t, float64(hosts-labelsMax), got["belfry_lane_pauses_total push host failing other"])
	require.Equal(t, 1.0, got["belfry_attempts_total push-0.example webpush delivered 410"])
	require.NotZero(t, got["belfry_attempts_total push-0.example webpush delivered 5xx"])
}

// An app's admin makes lanes by topics and projects.
func TestMetrics_AreBoundedWhateverAppsDo(t *testing.T) {
	m := newMetrics()
	const topics = 500
	for i := range topics {
		m.observe(actors.LanePaused{Lane: fmt.Sprintf("shop:apns:org.example.app%d@api.push.apple.com", i), Cause: "credentials refused"})
	}
	m.observe(actors.LanePaused{Lane: "default:webpush:push.example", Cause: "push host failing"})
	for i := range 2 * labelsMax {
		m.observe(actors.LanePaused{Lane: fmt.Sprintf("app-%d:webpush:web.push.apple.com", i), Cause: "push host failing"})
	}
	pauses := 0
	got := m.read(t)
	for name := range got {
		if strings.HasPrefix(name, "belfry_lane_pauses_total ") {
			pauses++
		}
	}
	require.Equal(t, 2*labelsMax+3, pauses, "of phones, of Apple's, and three")
	require.Equal(t, float64(topics-labelsMax), got["belfry_lane_pauses_total credentials refused other"])
	require.Contains(t, got, "belfry_lane_pauses_total push host failing default:webpush:push.example", "browsers' lanes have room of their own")
}

// Whoever came first, what goes to the push services that everybody uses is told apart.
func TestMetrics_KnowTheGreatPushServices(t *testing.T) {
	m := newMetrics()
	for i := range 2 * labelsMax {
		m.observe(attemptAt(fmt.Sprintf("push-%d.example", i), 201))
		m.observe(actors.LanePaused{Lane: fmt.Sprintf("default:webpush:push-%d.example", i), Cause: "push host failing"})
	}
	for i, host := range wellKnownHosts {
		lane := fmt.Sprintf("app-%d:webpush:%s", i, host)
		m.observe(actors.LanePaused{Lane: lane, Cause: "push host failing"})
		require.Contains(t, m.read(t), "belfry_lane_pauses_total push host failing "+lane)
	}
	m.observe(actors.AttemptMade{Lane: "shop:fcm:my-project@fcm.googleapis.com", Result: push.Result{Outcome: push.Delivered, Status: 200}})
	require.Equal(t, 1.0, m.read(t)["belfry_attempts_total fcm.googleapis.com fcm delivered 200"])
}

func TestMetrics_TakeAHostThatIsNoText(t *testing.T) {
	m := newMetrics()
	m.observe(attemptAt("\xff.example", 0))
	require.Equal(t, 1.0, m.read(t)["belfry_attempts_total other webpush delivered none"])
}

func TestMetrics_KnowTheKindOfAnActorByItsPath(t *testing.T) {
	for path, kind := range map[string]string{
		"/journal": "journal", "/janitor": "janitor", "/lanes": "lanes", "/lanes/default:webpush:push.example": "lane", "/registry": "registry",
		"/webhooks": "webhooks", "/webhooks/shop:orders": "webhook", "/registry/03": "shards", "/registry/03/default:ann": "user", "/registry/03/default:ann/webpush-2d7b2a0f5f8e1c43": "subscription",
	} {
		require.Equal(t, kind, actorKind(path), path)
		require.Contains(t, actorKinds, kind)
	}
}

func TestMetrics_CostNoMemoryForEachEvent(t *testing.T) {
	m := newMetrics()
	for _, event := range exampleEvents {
		require.LessOrEqual(t, testing.AllocsPerRun(100, func() { m.observe(event) }), 1.0, "%T", event)
	}
}

func TestMetrics_CountRequestsByOperation(t *testing.T) {
	m := newMetrics()
	for _, request := range []api.Request{
		{Operation: "POST /v1/notifications", Status: 202, Took: 20 * time.Millisecond},
		{Operation: "POST /v1/notifications", Status: 202, Took: 30 * time.Millisecond},
		{Operation: "POST /v1/notifications", Status: 429, Problem: "rate_limited", Took: time.Millisecond},
		{Operation: "GET /v1/events", Status: 200, Took: 50 * time.Second, Held: true},
		{Status: 404, Problem: "no_such_path"},
	} {
		m.observeRequest(request)
	}
	got := m.read(t)
	for name, want := range map[string]float64{
		"belfry_http_requests_total POST /v1/notifications 2xx": 2,
		"belfry_http_requests_total POST /v1/notifications 4xx": 1,
		"belfry_http_requests_total GET /v1/events 2xx":         1,
		"belfry_http_requests_total other 4xx":                  1,
		"belfry_http_request_seconds POST /v1/notifications":    0.051,
		"belfry_http_problems_total rate_limited":               1,
		"belfry_http_problems_total no_such_path":               1,
		"belfry_http_problems_total unavailable":                0,
	} {
		value, ok := got[name]
		require.True(t, ok, "%s is not there", name)
		require.InDelta(t, want, value, 1e-9, name)
	}
	require.NotContains(t, got, "belfry_http_request_seconds GET /v1/events", "it waited on purpose")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		m.observeRequest(api.Request{Operation: "POST /v1/notifications", Status: 429, Problem: "rate_limited"})
	}))
}

// answeringCaller answers as it is told.
type answeringCaller actors.CallResult

// Call gives the answer.
func (c answeringCaller) Call(context.Context, store.Webhook, push.ID, []push.Event) actors.CallResult {
	return actors.CallResult(c)
}

func TestMetrics_CountCallsOfWebhooks(t *testing.T) {
	m := newMetrics()
	for _, answer := range []actors.CallResult{{Taken: true, Status: 200}, {Taken: true, Status: 204}, {Status: 503}, {}, {Ended: true, Status: 410}} {
		require.Equal(t, answer, m.counted(answeringCaller(answer)).Call(t.Context(), store.Webhook{}, push.ID{}, nil))
	}
	got := m.read(t)
	require.Equal(t, 2.0, got["belfry_webhook_calls_total taken"])
	require.Equal(t, 2.0, got["belfry_webhook_calls_total failed"])
	require.Equal(t, 1.0, got["belfry_webhook_calls_total ended"])
}

// BenchmarkMetrics is what counting costs a send and a delivery, from several
// goroutines as in life.
func BenchmarkMetrics(b *testing.B) {
	for _, event := range exampleEvents[:3] {
		b.Run(fmt.Sprintf("%T", event), func(b *testing.B) {
			m := newMetrics()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					m.observe(event)
				}
			})
		})
	}
}

package main_test

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/pushtest"
	"github.com/belfryhq/belfry/push/simulate"
	"github.com/belfryhq/belfry/store/storetest"
)

// metrics gives every counter, gauge, and histogram's count, by its name and the
// values of its labels; the push service is called P.
func (d *daemon) metrics(service *simulate.WebPush) map[string]float64 {
	d.t.Helper()
	status, body := d.try("GET", "/metrics", nil)
	require.Equal(d.t, http.StatusOK, status, "%s", body)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	require.NoError(d.t, err)
	values := map[string]float64{}
	for name, family := range families {
		for _, metric := range family.GetMetric() {
			name := name
			for _, label := range metric.GetLabel() {
				name += " " + strings.ReplaceAll(label.GetValue(), strings.TrimPrefix(service.Origin(), "http://"), "P")
			}
			values[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return values
}

// requireMetrics waits until the metrics are these, among others.
func (d *daemon) requireMetrics(service *simulate.WebPush, want map[string]float64) {
	d.t.Helper()
	var wrong map[string]float64
	defer func() {
		if d.t.Failed() {
			d.t.Logf("still so: %v", wrong)
		}
	}()
	eventually(d.t, "the metrics are as they should be", func() bool {
		got := d.metrics(service)
		wrong = map[string]float64{}
		for name, value := range want {
			if found, ok := got[name]; !ok || found != value {
				wrong[name] = found
			}
		}
		return len(wrong) == 0
	})
}

func TestMetrics_TellWhatHappened(t *testing.T) {
	service := pushtest.StartWebPush(t)
	d := startDaemon(t, append(allowing(service), "--idle-after", "10m")...)
	subscribe := func(user string, answers ...simulate.Answer) {
		d.register(user, simulate.NewBrowser(push.Endpoint(service.NewEndpoint(answers...).URL)))
	}
	subscribe("ann")
	subscribe("bob", simulate.Status(http.StatusTooManyRequests).With("Retry-After", "1"))
	subscribe("carol", simulate.Status(http.StatusGone))
	d.finished(d.send("ann", "one"), d.send("ann", "two"), d.send("bob", "one"), d.send("carol", "one"), d.send("nobody", "one"))
	d.requireMetrics(service, map[string]float64{
		"belfry_accepted_total":                                 5,
		"belfry_attempts_total P webpush delivered 201":         3,
		"belfry_attempts_total P webpush retry 429":             1,
		"belfry_attempts_total P webpush gone 410":              1,
		"belfry_attempt_seconds P webpush":                      5,
		"belfry_deliveries_total P webpush delivered":           3,
		"belfry_deliveries_total P webpush gone":                1,
		"belfry_deliveries_total none none no_subscription":     1,
		"belfry_delivery_seconds":                               3,
		"belfry_store_failures_total record outcomes":           0,
		"belfry_commit_failures_total":                          0,
		"belfry_events_total delivery.delivered":                3,
		"belfry_events_total delivery.retrying":                 1,
		"belfry_events_total subscription.added":                3,
		"belfry_http_requests_total POST /v1/notifications 2xx": 5,
		"belfry_http_request_seconds POST /v1/notifications":    5,
		"belfry_active":                           1,
		"belfry_ready":                            1,
		"belfry_in_flight":                        0,
		"belfry_lanes open":                       1,
		"belfry_lanes credentials refused":        0,
		"belfry_actors user":                      4,
		"belfry_actors lane":                      1,
		"belfry_backlog_limit":                    10_000_000,
		"belfry_actor_failures_total user":        0,
		"belfry_work_rejoined_total":              0,
		"belfry_backlog":                          0,
		"belfry_waiting_for_commit":               0,
		"belfry_users_resident":                   4,
		"belfry_window 00":                        0,
		"belfry_window 15":                        0,
		"belfry_lane_open default:webpush:P":      1,
		"belfry_lane_queue default:webpush:P":     0,
		"belfry_lane_in_flight default:webpush:P": 0,
	})
	got := d.metrics(service)
	require.GreaterOrEqual(t, got["belfry_commit_seconds"], 2.0)
	require.Equal(t, got["belfry_commit_seconds"], got["belfry_commit_rows"], "none failed")
	require.Positive(t, got["process_start_time_seconds"])

	for _, user := range []string{"dora", "emil", "fritz"} {
		subscribe(user, slices.Repeat([]simulate.Answer{simulate.Status(http.StatusUnauthorized)}, 50)...)
		d.send(user, "refused")
	}
	d.requireMetrics(service, map[string]float64{
		"belfry_lane_pauses_total credentials refused default:webpush:P": 1,
		"belfry_lane_open default:webpush:P":                             0,
		"belfry_lane_in_flight default:webpush:P":                        0,
		"belfry_lanes open":                                              0,
		"belfry_lanes credentials refused":                               1,
		"belfry_backlog":                                                 3,
	})
	require.GreaterOrEqual(t, d.metrics(service)["belfry_attempts_total P webpush refused 401"], 3.0)
}

func TestMetrics_GoOnWhenTheProcessIsActiveAgain(t *testing.T) {
	cluster := storetest.NewCluster(t, storetest.ClusterConfig{Durable: true})
	service := pushtest.StartWebPush(t)
	d := startDaemon(t, append(allowing(service), "--database-url", cluster.NewDatabase(t))...)
	d.register("ann", simulate.NewBrowser(push.Endpoint(service.NewEndpoint().URL)))
	d.finished(d.send("ann", "one"))
	cluster.Stop(t)
	eventually(t, "it is no longer active", func() bool { return d.status("/readyz") == http.StatusServiceUnavailable })
	cluster.Start(t)
	eventually(t, "it is active again", func() bool { return d.status("/readyz") == http.StatusOK })
	eventually(t, "it said so", func() bool { return strings.Contains(d.output.String(), "waiting to be active again") })
	d.finished(d.send("ann", "two"))
	d.requireMetrics(service, map[string]float64{
		"belfry_accepted_total":                       2,
		"belfry_deliveries_total P webpush delivered": 2,
		"belfry_backlog":                              0,
		"belfry_users_resident":                       1,
		"belfry_lane_open default:webpush:P":          1,
	})
}

// Prometheus watches both processes, so it has to tell the one from the other.
func TestMetrics_AStandbySaysThatItIsOne(t *testing.T) {
	service := pushtest.StartWebPush(t)
	active := startDaemon(t, append(allowing(service), "--database-url", storetest.Postgres(t).NewDatabase(t))...)
	standby := &daemon{t: t, flags: append(active.flags[:len(active.flags):len(active.flags)], "--listen", "127.0.0.1:0"), output: active.output}
	require.NoError(t, standby.launch())
	t.Cleanup(standby.kill)
	eventually(t, "the standby knows the operator's key", func() bool { status, _ := standby.try("GET", "/metrics", nil); return status == http.StatusOK })
	got := standby.metrics(service)
	require.Zero(t, got["belfry_active"])
	require.Zero(t, got["belfry_ready"])
	require.Contains(t, got, "process_start_time_seconds")
	require.NotContains(t, got, "belfry_backlog")
	require.Equal(t, 1.0, active.metrics(service)["belfry_active"])
	status, _ := standby.tryAs("belfry_wrong", "GET", "/metrics", nil)
	require.Equal(t, http.StatusUnauthorized, status)

	active.kill()
	eventually(t, "it takes over", func() bool { return standby.status("/readyz") == http.StatusOK })
	require.Equal(t, 1.0, standby.metrics(service)["belfry_active"])
}

func TestHealth_PrintsWhatIsWrongAndWhatToDo(t *testing.T) {
	active := startDaemon(t, "--database-url", storetest.Postgres(t).NewDatabase(t))
	out, err := active.run("health", "--ready")
	require.NoError(t, err)
	require.Equal(t, "ready\n", out)
	standby := &daemon{t: t, flags: append(active.flags[:len(active.flags):len(active.flags)], "--listen", "127.0.0.1:0"), output: active.output}
	require.NoError(t, standby.launch())
	t.Cleanup(standby.kill)
	eventually(t, "it stands by", func() bool {
		_, err = standby.run("health", "--ready")
		return strings.Contains(err.Error(), "belfry: not ready\n  It waits for the database, or for another process that is active on it.")
	})
}

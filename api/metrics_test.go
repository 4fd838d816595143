package api_test

import (
	"bytes"
	"errors"
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
)

// withMetrics serves the rig with one counter, which stands at 3.
func withMetrics(t *testing.T) (r *rig, registry *prometheus.Registry) {
	registry = prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "bells_total", Help: "Bells that rang."})
	registry.MustRegister(counter)
	counter.Add(3)
	return newRig(t).with(func(c *api.Config) { c.Metrics = registry }), registry
}

func TestMetrics_AreInTheFormatThatPrometheusReads(t *testing.T) {
	r, _ := withMetrics(t)
	got := r.do(request{path: "/metrics"})
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "text/plain; version=0.0.4; charset=utf-8", got.header.Get("Content-Type"))
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(got.body))
	require.NoError(t, err)
	require.Len(t, families, 1)
	require.Equal(t, 3.0, families["bells_total"].GetMetric()[0].GetCounter().GetValue())
}

func TestMetrics_NeedTheScopeRead(t *testing.T) {
	r, _ := withMetrics(t)
	for _, scope := range api.AllScopes {
		want := http.StatusForbidden
		if scope == "read" || scope == "admin" {
			want = http.StatusOK
		}
		require.Equal(t, want, r.do(request{path: "/metrics", key: r.keys[scope]}).status, scope)
	}
	for _, key := range []string{"-", "belfry_wrong", r.token("ann")} {
		require.Equal(t, http.StatusUnauthorized, r.do(request{path: "/metrics", key: key}).status, key)
	}
}

func TestMetrics_ThatCannotBeReadDoNotHideTheOthers(t *testing.T) {
	r, registry := withMetrics(t)
	registry.MustRegister(unreadable{prometheus.NewDesc("broken", "It is.", nil, nil)})
	got := r.do(request{path: "/metrics"})
	require.Equal(t, http.StatusOK, got.status)
	require.Contains(t, string(got.body), "bells_total 3\n")
}

// unreadable is a collector that fails.
type unreadable struct{ desc *prometheus.Desc }

// Describe says what it would give.
func (u unreadable) Describe(to chan<- *prometheus.Desc) { to <- u.desc }

// Collect gives an error instead.
func (u unreadable) Collect(to chan<- prometheus.Metric) {
	to <- prometheus.NewInvalidMetric(u.desc, errors.New("not now"))
}

func TestMetrics_ThatAreNotConfiguredAreNotThere(t *testing.T) {
	r := newRig(t)
	got := r.do(request{path: "/metrics"})
	require.Equal(t, http.StatusNotFound, got.status)
	require.Equal(t, "not_found", got.problem.Code)
}

package api

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// GetMetrics shows the process's metrics. Those that could be read are shown
// whatever became of the others: they are wanted most when something fails.
func (s *Server) GetMetrics(ctx context.Context, _ GetMetricsRequestObject) (GetMetricsResponseObject, error) {
	if s.config.Metrics == nil {
		return nil, errNotFound
	}
	return encodeMetrics(ctx, s.config.Metrics, s.config.Log)
}

func encodeMetrics(ctx context.Context, from prometheus.Gatherer, log *slog.Logger) (metricsText, error) {
	families, err := from.Gather()
	if err != nil {
		log.WarnContext(ctx, "some metrics cannot be read", "error", err)
	}
	var text bytes.Buffer
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			return nil, fmt.Errorf("encode the metric %s: %w", family.GetName(), err)
		}
	}
	return metricsText(text.Bytes()), nil
}

// metricsText is the generated GetMetrics200TextResponse with the version of
// the format, without which a scraper would have to guess it.
type metricsText []byte

var metricsFormat = string(expfmt.NewFormat(expfmt.TypeTextPlain))

// VisitGetMetricsResponse writes the answer.
func (m metricsText) VisitGetMetricsResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", metricsFormat)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, err := w.Write(m)
	return err
}

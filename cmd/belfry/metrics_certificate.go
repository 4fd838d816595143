package main

import (
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var certificateDesc = prometheus.NewDesc("belfry_certificate_expiry_timestamp_seconds",
	"When the certificate ends that the API is served with, in seconds since 1970; of several, the first. Not there if it is served by plain HTTP.", nil, nil)

// certificateCollector looks at the files of the certificate for the listeners.
type certificateCollector struct{ flags *serveFlags }

// Describe lists what Collect gives.
func (certificateCollector) Describe(to chan<- *prometheus.Desc) { to <- certificateDesc }

// Collect reads the files.
func (c certificateCollector) Collect(to chan<- prometheus.Metric) {
	if end := c.flags.certificateEnd(); !end.IsZero() {
		to <- prometheus.MustNewConstMetric(certificateDesc, prometheus.GaugeValue, float64(end.Unix()))
	}
}

// certificateEnd is zero if there is no certificate, or none yet.
func (f *serveFlags) certificateEnd() (first time.Time) {
	if f.TLSCert != "" {
		pair := &keyPair{certFile: f.TLSCert, keyFile: f.TLSKey}
		if pair.load() == nil {
			first = pair.current.Leaf.NotAfter
		}
	}
	for _, domain := range f.ACMEDomains {
		pair, err := readACME(filepath.Join(f.DataDir, acmeFolder, domain))
		if err == nil && (first.IsZero() || pair.Leaf.NotAfter.Before(first)) {
			first = pair.Leaf.NotAfter
		}
	}
	return first
}

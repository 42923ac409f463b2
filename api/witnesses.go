package api

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairnlog/cairn/witness"
)

// WatchWitnesses shows how the cosigning of the log goes. The status is asked
// for when it is scraped.
func (m *Metrics) WatchWitnesses(status func() witness.Status) error {
	name := []string{"witness"}
	return m.registry.Register(&witnessCollector{
		status:    status,
		published: prometheus.NewDesc("cairn_published_size", "Entries in the newest tree with a quorum of cosignatures.", nil, nil),
		at:        prometheus.NewDesc("cairn_published_timestamp_seconds", "When that tree was published, Unix time; 0 for never.", nil, nil),
		size:      prometheus.NewDesc("cairn_witness_size", "Entries in the newest tree that the witness has cosigned.", name, nil),
		success:   prometheus.NewDesc("cairn_witness_last_success_timestamp_seconds", "When the witness has cosigned last for this process, Unix time; 0 for never.", name, nil),
		requests:  prometheus.NewDesc("cairn_witness_requests_total", "Requests for a cosignature, by result.", append(name, "result"), nil),
		against:   prometheus.NewDesc("cairn_witness_contradicts", "1 if the witness says that this log contradicts what it said before.", name, nil),
	})
}

type witnessCollector struct {
	status                                          func() witness.Status
	published, at, size, success, requests, against *prometheus.Desc
}

func (c *witnessCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.published, c.at, c.size, c.success, c.requests, c.against} {
		ch <- d
	}
}

func (c *witnessCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(c.published, float64(s.Published))
	gauge(c.at, unixSeconds(s.At))
	for _, w := range s.Witnesses {
		if !utf8.ValidString(w.Name) { // a policy takes any bytes
			w.Name = strconv.Quote(w.Name)
		}
		gauge(c.size, float64(w.Size), w.Name)
		gauge(c.success, unixSeconds(w.Success), w.Name)
		against := 0.0
		if w.Contradicts {
			against = 1
		}
		gauge(c.against, against, w.Name)
		ch <- prometheus.MustNewConstMetric(c.requests, prometheus.CounterValue, float64(w.Cosigned), w.Name, "cosigned")
		ch <- prometheus.MustNewConstMetric(c.requests, prometheus.CounterValue, float64(w.Failed), w.Name, "failed")
	}
}

func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

package api

import (
	"context"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/cairnlog/cairn/log"
)

// A Build says what program is running.
type Build struct {
	Version  string
	Revision string
	Date     string
}

// Metrics counts what a server and its log do. Those named rekor_ are what
// dashboards of Rekor read, with its units; those named cairn_ are in seconds
// and bytes.
type Metrics struct {
	registry *prometheus.Registry

	newEntries prometheus.Counter
	latency    *prometheus.HistogramVec // nanoseconds
	requests   *prometheus.CounterVec
	seconds    *prometheus.HistogramVec

	batch     prometheus.Histogram
	commit    prometheus.Histogram
	conflicts prometheus.Counter
}

// opCounters are an operation's children of the vectors, found once.
type opCounters struct {
	latency prometheus.Observer
	seconds prometheus.Observer
	byCode  map[int]prometheus.Counter // the statuses that the operation is likely to have
}

// NewMetrics returns metrics with a registry of their own.
func NewMetrics(b Build) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		newEntries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rekor_new_entries",
			Help: "Entries added to the log by this process.",
		}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "rekor_latency_by_api",
			Help:    "Time to answer a request, in nanoseconds.",
			Buckets: []float64{1e6, 4e6, 16e6, 64e6, 256e6, 1e9, 4e9, 15e9, 30e9, 60e9},
		}, []string{"path", "method"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rekor_qps_by_api",
			Help: "Requests answered, by status.",
		}, []string{"path", "method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "cairn_request_seconds",
			Help:    "Time to answer a request, in seconds.",
			Buckets: prometheus.ExponentialBuckets(100e-6, 2.5, 13), // 100 µs to 6 s
		}, []string{"operation"}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "cairn_batch_entries",
			Help:    "Entries of a commit.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "cairn_commit_seconds",
			Help:    "Time of a commit until it was known to be durable.",
			Buckets: prometheus.ExponentialBuckets(500e-6, 2.5, 11), // 500 µs to 5 s
		}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cairn_commit_conflicts",
			Help: "Commits that another replica was ahead of; they were done again.",
		}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "rekor_build_info",
		Help: "The program that is running; always 1.",
	}, []string{"version", "revision", "build_date", "goversion"})
	build.WithLabelValues(b.Version, b.Revision, b.Date, runtime.Version()).Set(1)
	m.registry.MustRegister(m.newEntries, m.latency, m.requests, m.seconds, m.batch, m.commit, m.conflicts, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the metrics. It is meant for a listener of its own.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Registry:            m.registry,
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
	})
}

// Commit counts a commit; it serves as log.Options.Observe.
func (m *Metrics) Commit(c log.Commit) {
	if c.Conflict {
		m.conflicts.Inc()
		return
	}
	m.batch.Observe(float64(c.Entries))
	m.commit.Observe(c.Duration.Seconds())
}

// Register adds a collector of the caller's, such as one of a database pool.
func (m *Metrics) Register(c prometheus.Collector) error { return m.registry.Register(c) }

// Watch shows the size of a log's tree and, if the log says it, how many
// leaves are pending. Both are read when they are scraped.
func (m *Metrics) Watch(l interface {
	Head(ctx context.Context) (log.Head, error)
}) error {
	c := &logCollector{
		head: l.Head,
		size: prometheus.NewDesc("cairn_tree_size", "Entries in the tree.", nil, nil),
		pool: prometheus.NewDesc("cairn_pending_entries", "Uploads that wait for their commit.", nil, nil),
	}
	if p, ok := l.(interface{ Pending() int }); ok {
		c.pending = p.Pending
	}
	return m.registry.Register(c)
}

type logCollector struct {
	head       func(ctx context.Context) (log.Head, error)
	pending    func() int // nil if the log does not say
	size, pool *prometheus.Desc
}

func (c *logCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.size
	ch <- c.pool
}

func (c *logCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if h, err := c.head(ctx); err == nil { // a log that cannot be read has no size to show
		ch <- prometheus.MustNewConstMetric(c.size, prometheus.GaugeValue, float64(h.Tree.Size))
	}
	if c.pending != nil {
		ch <- prometheus.MustNewConstMetric(c.pool, prometheus.GaugeValue, float64(c.pending()))
	}
}

// counters returns the counters of an operation.
func (m *Metrics) counters(op *operation) *opCounters {
	c := &opCounters{
		latency: m.latency.WithLabelValues(op.pattern, op.method),
		seconds: m.seconds.WithLabelValues(op.id),
		byCode:  make(map[int]prometheus.Counter),
	}
	for _, code := range []int{
		http.StatusOK, http.StatusCreated, http.StatusBadRequest, http.StatusNotFound, http.StatusConflict,
		http.StatusUnprocessableEntity, http.StatusInternalServerError, http.StatusServiceUnavailable,
	} {
		if (code == http.StatusCreated || code == http.StatusConflict) && op.method != http.MethodPost {
			continue
		}
		c.byCode[code] = m.requests.WithLabelValues(op.pattern, op.method, strconv.Itoa(code))
	}
	return c
}

// observe counts one exchange.
func (m *Metrics) observe(op *operation, status int, took time.Duration) {
	c := op.counters
	if c == nil {
		return
	}
	c.latency.Observe(float64(took))
	c.seconds.Observe(took.Seconds())
	n := c.byCode[status]
	if n == nil {
		n = m.requests.WithLabelValues(op.pattern, op.method, strconv.Itoa(status))
	}
	n.Inc()
}

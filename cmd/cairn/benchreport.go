package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// A report is what one run of bench found.
type report struct {
	Workload         string  `json:"workload"` // upload, index, uuid, search
	Clients          int     `json:"clients"`
	Rate             float64 `json:"rate,omitempty"` // of an open loop
	Keys             int     `json:"keys,omitempty"` // different entries that were read
	Certificate      string  `json:"certificate,omitempty"`
	CertificateBytes int     `json:"certificate_bytes,omitempty"`
	ProposalBytes    int     `json:"proposal_bytes,omitempty"`

	Seconds   float64          `json:"seconds"`
	Requests  int64            `json:"requests"`
	Accepted  int64            `json:"accepted"`
	PerSecond float64          `json:"accepted_per_second"`
	P50       float64          `json:"p50_ms"`
	P90       float64          `json:"p90_ms"`
	P99       float64          `json:"p99_ms"`
	Max       float64          `json:"max_ms"`
	Statuses  map[int]int64    `json:"statuses"`
	Network   map[string]int64 `json:"network_errors,omitempty"`
	Sent      int64            `json:"bytes_sent"`
	Received  int64            `json:"bytes_received"`
	LogSize   int64            `json:"log_size"`
	Sampled   int              `json:"verified_answers"`
	BodyBytes int64            `json:"body_bytes,omitempty"` // mean canonical body

	Yardstick     yardstick `json:"yardstick"`
	LoadToolCPU   float64   `json:"load_tool_cpu_us"`                  // per request
	ServerCPU     float64   `json:"server_cpu_us,omitempty"`           // per accepted
	DatabaseCPU   float64   `json:"database_cpu_us,omitempty"`         // per accepted
	ServerMemory  int64     `json:"server_peak_bytes,omitempty"`       // resident
	CommitP50     float64   `json:"commit_p50_ms,omitempty"`           // of one row, durable
	BarePerSecond float64   `json:"bare_answers_per_second,omitempty"` // of a handler that does nothing
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

func perEntry(d time.Duration, n int64) float64 { return float64(d.Nanoseconds()) / 1e3 / float64(n) }

// fill takes over a tally.
func (r *report) fill(t *tally, accept int) {
	r.Seconds = t.elapsed.Seconds()
	r.Accepted = t.accepted
	r.PerSecond = float64(t.accepted) / r.Seconds
	r.P50 = milliseconds(t.latency.quantile(0.5))
	r.P90 = milliseconds(t.latency.quantile(0.9))
	r.P99 = milliseconds(t.latency.quantile(0.99))
	r.Max = milliseconds(t.latency.max)
	r.Statuses, r.Network = t.statuses, t.network
	r.Sent, r.Received = t.sent, t.received
	for _, n := range t.statuses {
		r.Requests += n
	}
	for _, n := range t.network {
		r.Requests += n
	}
}

// usage takes over what processes used.
func (r *report) usage(u *resources) {
	if r.Accepted == 0 {
		return
	}
	r.ServerCPU = perEntry(u.serverCPU, r.Accepted)
	r.DatabaseCPU = perEntry(u.databaseCPU, r.Accepted)
	r.ServerMemory = u.serverPeak
}

// A resources is what the measured processes use between start and stop.
type resources struct {
	server, database       *processes // nil if not measured
	serverCPU, databaseCPU time.Duration
	serverPeak             int64
}

func newUsage(server, database *processes) *resources {
	return &resources{server: server, database: database}
}

func (u *resources) start() error { return u.read(-1) }

func (u *resources) stop() error {
	if err := u.read(1); err != nil {
		return err
	}
	if u.server != nil {
		var err error
		u.serverPeak, err = u.server.peak()
		return err
	}
	return nil
}

func (u *resources) read(sign time.Duration) error {
	for p, sum := range map[*processes]*time.Duration{u.server: &u.serverCPU, u.database: &u.databaseCPU} {
		if p == nil {
			continue
		}
		d, err := p.cpu()
		if err != nil {
			return err
		}
		*sum += sign * d
	}
	return nil
}

// print writes the report for people.
func (r *report) print(w io.Writer) error {
	var b strings.Builder
	row := func(name, format string, a ...any) {
		fmt.Fprintf(&b, "%-10s "+format+"\n", append([]any{name}, a...)...)
	}
	what := r.Workload
	if what != "upload" {
		what = "read by " + what
	}
	if r.Rate > 0 {
		row("load", "%s, %g requests a second, at most %d at a time", what, r.Rate, r.Clients)
	} else {
		row("load", "%s, %d clients, each waits for its answer", what, r.Clients)
	}
	if r.Certificate != "" {
		row("proposals", "%d bytes each, with a %s certificate of %d bytes", r.ProposalBytes, r.Certificate, r.CertificateBytes)
	} else {
		row("keys", "%d different entries of %d, each asked for %.1f times in the mean", r.Keys, r.LogSize, float64(r.Requests)/float64(r.Keys))
	}
	row("accepted", "%d in %.2f s: %.0f a second", r.Accepted, r.Seconds, r.PerSecond)
	row("latency", "p50 %.3g ms, p90 %.3g ms, p99 %.3g ms, max %.3g ms", r.P50, r.P90, r.P99, r.Max)
	var answers []string
	for _, s := range slices.Sorted(maps.Keys(r.Statuses)) {
		answers = append(answers, fmt.Sprintf("%d: %d", s, r.Statuses[s]))
	}
	for _, s := range slices.Sorted(maps.Keys(r.Network)) {
		answers = append(answers, fmt.Sprintf("%s: %d", s, r.Network[s]))
	}
	row("answers", "%s", strings.Join(answers, ", "))
	row("bytes", "%.1f MB sent, %.1f MB of answers", float64(r.Sent)/1e6, float64(r.Received)/1e6)
	row("verified", "%d sampled answers; the log has %d entries now", r.Sampled, r.LogSize)
	y := r.Yardstick
	row("yardstick", "certificate %.1f + verify %.1f + sign %.1f = %.1f µs on one processor", y.Parse, y.Verify, y.Sign, y.sum())
	if r.ServerCPU > 0 {
		cpu := fmt.Sprintf("server %.1f µs", r.ServerCPU)
		if r.DatabaseCPU > 0 {
			cpu += fmt.Sprintf(" + database %.1f = %.1f µs", r.DatabaseCPU, r.cpu())
		}
		row("processor", "%s for each accepted: %.2f yardsticks", cpu, r.yardsticks())
		row("memory", "server at most %.0f MiB", float64(r.ServerMemory)/(1<<20))
	}
	row("load tool", "%.1f µs of processor a request", r.LoadToolCPU)
	if r.CommitP50 > 0 {
		row("commit", "the database takes %.3g ms for one row, durably (p50)", r.CommitP50)
		if r.Clients == 1 && r.Rate == 0 {
			row("", "an upload takes %.2f times as long (p50)", r.P50/r.CommitP50)
		}
	}
	if r.BarePerSecond > 0 {
		row("bare", "%.0f answers a second from a handler that only writes the same bytes; the log reaches %.0f %%",
			r.BarePerSecond, 100*r.PerSecond/r.BarePerSecond)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// cpu returns the processor time for each accepted request in microseconds.
func (r *report) cpu() float64 { return r.ServerCPU + r.DatabaseCPU }

func (r *report) yardsticks() float64 { return r.cpu() / r.Yardstick.sum() }

func isPostgres(storage string) bool {
	return strings.HasPrefix(storage, "postgres:") || strings.HasPrefix(storage, "postgresql:")
}

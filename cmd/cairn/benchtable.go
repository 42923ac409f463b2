package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// A machine is what the figures depend on.
type machine struct {
	Processor  string `json:"processor"`
	Processors int    `json:"processors"`
	Memory     int64  `json:"memory_bytes"`
	System     string `json:"system"`
	Go         string `json:"go"`
	Postgres   string `json:"postgres,omitempty"`
}

func describeMachine(ctx context.Context, postgres string) (machine, error) {
	m := machine{Processor: runtime.GOARCH, Processors: runtime.NumCPU(), System: runtime.GOOS, Go: runtime.Version()}
	if v := procValue("/proc/cpuinfo", "model name"); v != "" {
		m.Processor = v
	}
	if v, ok := strings.CutSuffix(procValue("/proc/meminfo", "MemTotal"), " kB"); ok {
		n, _ := strconv.ParseInt(v, 10, 64)
		m.Memory = n << 10
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.System += " " + strings.TrimSpace(string(b))
	}
	if postgres == "" {
		return m, nil
	}
	conn, err := connectPostgres(ctx, postgres)
	if err != nil {
		return m, &ExitError{exitTrouble, err}
	}
	defer conn.Close(ctx)
	return m, conn.QueryRow(ctx, "SHOW server_version").Scan(&m.Postgres)
}

// procValue returns the first value of a name in a file of lines "name: value".
func procValue(path, name string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		n, v, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(n) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// print writes the tables in Markdown.
func (s *suiteResult) print(w io.Writer) error {
	var b strings.Builder
	p := func(format string, a ...any) { fmt.Fprintf(&b, format, a...) }
	m := s.Machine
	p("%d × %s, %.0f GiB, %s, %s", m.Processors, m.Processor, float64(m.Memory)/(1<<30), m.System, m.Go)
	if m.Postgres != "" {
		p(", Postgres %s", m.Postgres)
	}
	p(".\nThe load tool runs on the same machine.\n")

	p("\n### Uploads\n\n")
	if len(s.Uploads) > 0 {
		u := s.Uploads[0]
		p("Each a hashedrekord with a %s certificate of its own of %d bytes; proposals of %d, canonical bodies of %d bytes.\n\n",
			u.Certificate, u.CertificateBytes, u.ProposalBytes, u.BodyBytes)
	}
	p("| database | entries before | clients | accepted/s | p50 ms | p90 ms | p99 ms | max ms | server µs | database µs | yardstick µs | ratio | load tool µs | server peak MiB | refused |\n")
	p("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, u := range s.Uploads {
		p("| %s | %d | %d | %.0f | %.3g | %.3g | %.3g | %.3g | %.0f | %.0f | %.0f | **%.2f** | %.0f | %.0f | %d |\n",
			u.Database, u.Entries, u.Clients, u.PerSecond, u.P50, u.P90, u.P99, u.Max,
			u.ServerCPU, u.DatabaseCPU, u.Yardstick.sum(), u.yardsticks(), u.LoadToolCPU, mebibytes(u.ServerMemory), u.Requests-u.Accepted)
	}
	p("\n### A lone client\n\n| database | upload p50 ms | commit of one row p50 ms | ratio |\n|---|--:|--:|--:|\n")
	for _, u := range s.Uploads {
		if u.Clients == 1 {
			p("| %s | %.3g | %.3g | **%.2f** |\n", u.Database, u.P50, u.CommitP50, u.P50/u.CommitP50)
		}
	}
	p("\n### Reads by %d clients\n\n", readClients)
	p("| database | entries | by | answers/s | p50 ms | p99 ms | server µs | database µs | bare handler/s | share | to the small log |\n")
	p("|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range s.Reads {
		p("| %s | %d | %s | %.0f | %.3g | %.3g | %.0f | %.0f | %.0f | **%.0f %%** | %.2f |\n",
			r.Database, r.Entries, r.Workload, r.PerSecond, r.P50, r.P99, r.ServerCPU, r.DatabaseCPU, r.BarePerSecond,
			100*r.PerSecond/r.BarePerSecond, s.small(r)/r.PerSecond)
	}
	p("\n### Disk\n\n| database | entries | bytes an entry | canonical body | ratio |\n|---|--:|--:|--:|--:|\n")
	for _, d := range s.Disk {
		p("| %s | %d | %.0f | %.0f | **%.2f** |\n", d.Database, d.Entries, d.perEntry(), d.Body, d.perEntry()/d.Body)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// small returns the answers a second of the same read from the smallest log.
func (s *suiteResult) small(r result) float64 {
	least := r
	for _, o := range s.Reads {
		if o.Database == r.Database && o.Workload == r.Workload && o.Entries < least.Entries {
			least = o
		}
	}
	return least.PerSecond
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cairnlog/cairn/merkle"
)

// A suiteCmd measures everything, on logs that it makes and removes again.
type suiteCmd struct {
	Dir         string        `default:"." type:"existingdir" placeholder:"DIR" help:"Where the logs' files go: the disk that is measured (${default})."`
	Postgres    string        `placeholder:"URL" help:"Measure on this Postgres database too, in schemas of its own; 'postgres:///' takes the PG* variables."`
	NoSqlite    bool          `help:"Measure on Postgres alone."`
	Clients     []int         `default:"1,8,64,256" placeholder:"N" help:"How many clients upload, one load after the other (${default})."`
	Duration    time.Duration `default:"10s" placeholder:"TIME" help:"Of each load (${default})."`
	Small       int64         `default:"10000" placeholder:"N" help:"Entries of the small log that is read (${default})."`
	Large       int64         `default:"1000000" placeholder:"N" help:"Entries of the large one, 0 for none (${default})."`
	Certificate string        `enum:"ci,email" default:"ci" placeholder:"KIND" help:"As in bench load: ${enum} (${default})."`
}

// A suiteResult is all that a suite found.
type suiteResult struct {
	Machine machine  `json:"machine"`
	Uploads []result `json:"uploads"`
	Reads   []result `json:"reads"`
	Disk    []disk   `json:"disk"`
}

// A result is one report with where it comes from.
type result struct {
	Database string `json:"database"`
	Entries  int64  `json:"entries"` // in the log before
	report
}

// A disk is what a log has on disk.
type disk struct {
	Database string  `json:"database"`
	Entries  int64   `json:"entries"`
	Bytes    int64   `json:"bytes"`
	Body     float64 `json:"body_bytes"` // mean canonical body
}

func (d disk) perEntry() float64 { return float64(d.Bytes) / float64(d.Entries) }

// readClients is how many clients read at a time.
const readClients = 32

// Run prints the tables of docs/performance.md.
func (c *suiteCmd) Run(g *Globals) error {
	asJSON, err := g.json()
	if err != nil {
		return err
	}
	if len(c.Clients) == 0 || c.Duration <= 0 || c.Duration > maxDuration || c.Small < 1 || c.Large < 0 {
		return usage("--clients, --duration, --small and --large must be positive, --duration at most %v", maxDuration)
	}
	s := &suite{suiteCmd: c, g: g}
	ctx := g.Context
	if s.result.Machine, err = describeMachine(ctx, c.Postgres); err != nil {
		return err
	}
	if !c.NoSqlite {
		err = s.database(ctx, "SQLite")
	}
	if err == nil && c.Postgres != "" {
		err = s.database(ctx, "Postgres")
	}
	if err != nil {
		return err
	}
	if asJSON {
		return g.printJSON(s.result)
	}
	return s.result.print(g.Stdout)
}

// A suite is a running suiteCmd.
type suite struct {
	*suiteCmd
	g      *Globals
	result suiteResult
}

// database measures on one database: uploads to a new log, then reads from a
// small and a large one.
func (s *suite) database(ctx context.Context, name string) error {
	err := s.withLog(ctx, name, func(ctx context.Context, l suiteLog) error {
		p, err := l.serve(ctx)
		if err != nil {
			return err
		}
		defer p.stop()
		for _, clients := range s.Clients {
			if err := s.upload(ctx, name, l, p, clients); err != nil {
				return err
			}
		}
		p.stop() // so that nothing is left in a write-ahead log
		last := s.result.Uploads[len(s.result.Uploads)-1]
		return s.disk(ctx, name, l, last.LogSize, last.BodyBytes)
	})
	if err != nil {
		return err
	}
	return s.withLog(ctx, name, func(ctx context.Context, l suiteLog) error {
		for _, size := range []int64{s.Small, s.Large} {
			if size == 0 {
				continue
			}
			s.g.warn("%s: fill a log up to %d entries", name, size)
			fill, err := l.command(ctx, "bench", "fill", "--count", strconv.FormatInt(size, 10), "--certificate", s.Certificate)
			if err == nil {
				err = fill.Run()
			}
			if err != nil {
				return fmt.Errorf("fill: %w", err)
			}
			if err := s.reads(ctx, name, l, size); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *suite) reads(ctx context.Context, name string, l suiteLog, size int64) error {
	p, err := l.serve(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	var body int64
	for _, kind := range []string{"index", "uuid", "search", "tile", "bundle"} {
		if size < merkle.TileWidth && (kind == "tile" || kind == "bundle") {
			continue
		}
		c := &loadCmd{Clients: readClients, Duration: s.Duration, Reads: kind, Keys: 100_000, Sample: 200, Bare: true, Certificate: s.Certificate}
		r, err := s.measure(ctx, c, fmt.Sprintf("%s: %d clients read by %s from %d entries", name, readClients, kind, size), l, p)
		if err != nil {
			return err
		}
		if kind == "index" {
			body = r.BodyBytes
		}
		s.result.Reads = append(s.result.Reads, result{name, size, *r})
	}
	if size == s.Large {
		if err := s.upload(ctx, name, l, p, 64); err != nil {
			return err
		}
		p.stop()
		return s.disk(ctx, name, l, s.result.Uploads[len(s.result.Uploads)-1].LogSize, body)
	}
	return nil
}

// upload measures uploads from a number of clients.
func (s *suite) upload(ctx context.Context, name string, l suiteLog, p *server, clients int) error {
	most := int64(s.Duration.Seconds() * 12_000) // no log on such a machine takes more
	if clients == 1 {
		most /= 4
	}
	c := &loadCmd{Clients: clients, Duration: s.Duration, Count: min(max(most, 1000), maxUploads), Sample: 200, Certificate: s.Certificate, Keys: 1}
	r, err := s.measure(ctx, c, fmt.Sprintf("%s: %d clients upload", name, clients), l, p)
	if err != nil {
		return err
	}
	s.result.Uploads = append(s.result.Uploads, result{name, r.LogSize - r.Accepted, *r})
	return nil
}

func (s *suite) measure(ctx context.Context, c *loadCmd, what string, l suiteLog, p *server) (*report, error) {
	c.Pid, c.Storage, c.pause = []int{p.cmd.Process.Pid}, l.storage, s.Duration/5
	r, err := c.measure(ctx, p.url, nil, 30*time.Second, s.g.warn)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	s.g.warn("%s: %.0f a second, p50 %.3g ms, %.1f µs of processor each, %.2f yardsticks", what, r.PerSecond, r.P50, r.cpu(), r.yardsticks())
	for status, n := range r.Statuses {
		if status >= 400 {
			s.g.warn("%s: status %d %d times", what, status, n)
		}
	}
	return r, nil
}

func (s *suite) disk(ctx context.Context, name string, l suiteLog, entries, body int64) error {
	n, err := diskBytes(ctx, l.storage)
	if err != nil {
		return fmt.Errorf("measure disk: %w", err)
	}
	s.result.Disk = append(s.result.Disk, disk{name, entries, n, float64(body)})
	return nil
}

// A suiteLog is a log that a suite made.
type suiteLog struct {
	data, storage string
	g             *Globals
}

// withLog makes a place for a log, calls f, and removes it.
func (s *suite) withLog(ctx context.Context, name string, f func(context.Context, suiteLog) error) (err error) {
	dir, err := os.MkdirTemp(s.Dir, "bench-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	l := suiteLog{data: dir, storage: "sqlite:" + filepath.Join(dir, "cairn.db"), g: s.g}
	if name == "Postgres" {
		u, err := url.Parse(s.Postgres)
		if err != nil || !isPostgres(s.Postgres) {
			return usage("--postgres must be a URL like postgres://user@host/database")
		}
		schema := "bench_" + hex.EncodeToString(randomBytes(6))
		q := u.Query()
		q.Set("search_path", schema)
		u.RawQuery = q.Encode()
		l.storage = u.String()
		if strings.HasPrefix(l.storage, "postgres:?") { // url.URL drops the empty host
			l.storage = "postgres:///" + strings.TrimPrefix(l.storage, "postgres:")
		}
		defer func() { err = errors.Join(err, dropSchema(context.WithoutCancel(ctx), s.Postgres, schema)) }()
	}
	return f(ctx, l)
}

func dropSchema(ctx context.Context, storage, schema string) error {
	conn, err := connectPostgres(ctx, storage)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "DROP SCHEMA IF EXISTS "+pgx.Identifier{schema}.Sanitize()+" CASCADE")
	return err
}

// command returns this program with flags for the log.
func (l suiteLog) command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	cmd, err := self(ctx, append(args, "--data", l.data, "--storage", l.storage)...)
	if err == nil {
		cmd.Stderr = l.g.Stderr
	}
	return cmd, err
}

// A server is a running server of the suite.
type server struct {
	cmd  *exec.Cmd
	url  string
	done chan struct{} // closed when the process has ended
}

// serve starts a server on a free port and waits until it serves.
func (l suiteLog) serve(ctx context.Context) (*server, error) {
	cmd, err := l.command(ctx, "serve", "--listen", "127.0.0.1:0", "--metrics-listen", "none", "--create", "--log-level", "warn")
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	p := &server{cmd: cmd, done: make(chan struct{})}
	lines := bufio.NewScanner(out)
	for p.url == "" && lines.Scan() {
		if f := strings.Fields(lines.Text()); len(f) == 2 && f[0] == "URL" {
			p.url = f[1]
		}
	}
	go func() {
		for lines.Scan() { // or the server blocks
		}
		cmd.Wait() //nolint:errcheck // what it had to say is on standard error
		close(p.done)
	}()
	if p.url == "" {
		p.stop()
		return nil, errors.New("start server: it did not say where it serves")
	}
	return p, nil
}

// stop ends the server. It may be called again.
func (p *server) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
	select {
	case <-p.done:
	case <-time.After(drainTime + 5*time.Second):
		p.cmd.Process.Kill() //nolint:errcheck // likewise
		<-p.done
	}
}

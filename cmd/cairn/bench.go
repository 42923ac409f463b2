package main

import (
	"context"
	"crypto"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"
)

// A benchCmd measures a server under load.
type benchCmd struct {
	Load  loadCmd  `cmd:"" default:"withargs" help:"Put one load on a running server and measure it (this is what bench does by itself)."`
	Fill  fillCmd  `cmd:"" help:"Fill a log with signed entries, without a server."`
	Suite suiteCmd `cmd:"" help:"Start servers, measure all that docs/performance.md shows, print its tables."`
	Bare  bareCmd  `cmd:"" hidden:"" help:"Serve one answer to everything: what reads are held against."`
}

// Bounds on a load. What is uploaded is made before, so it is held in memory.
const (
	maxClients  = 4096
	maxRate     = 100_000
	maxUploads  = 500_000
	maxReads    = 10_000_000
	maxDuration = time.Hour
)

// A loadCmd is one load and what is measured with it.
type loadCmd struct {
	Clients     int           `default:"64" placeholder:"N" help:"Connections that each wait for an answer before they send again (${default})."`
	Rate        float64       `placeholder:"N" help:"Requests a second, sent when they are due whether or not the server keeps up; latency counts from then."`
	Duration    time.Duration `default:"10s" placeholder:"TIME" help:"How long at most (${default})."`
	Count       int64         `placeholder:"N" help:"How many requests at most (uploads 20000, as they are made before; reads 10000000)."`
	Reads       string        `enum:",index,uuid,search,tile,bundle" default:"" placeholder:"KIND" help:"Read what the log has, by index, by uuid, search by artifact digest, full tiles or entry bundles; else upload."`
	Keys        int           `default:"100000" placeholder:"N" help:"How many different entries are read, drawn from the whole log (${default})."`
	API         string        `name:"api" enum:"v1,v2" default:"v1" placeholder:"VERSION" help:"Upload through this version of Rekor's API: ${enum} (${default})."`
	Certificate string        `enum:"ci,email" default:"ci" placeholder:"KIND" help:"Certificates as keyless signing has them for: ${enum} (${default})."`
	Sample      int           `default:"200" placeholder:"N" help:"How many answers are verified after the run (${default})."`
	Pid         []int         `placeholder:"PID" help:"Process of the server, whose processor time and memory is measured, with its children. May be repeated."`
	Storage     string        `env:"CAIRN_STORAGE" placeholder:"URL" help:"The server's database, if it is on this machine: its processor time, commits and disk are measured too."`
	Bare        bool          `help:"With --reads: measure also a bare net/http handler that returns the same bytes."`
	MyOwnServer bool          `help:"Allow a server that is not on this machine."`

	pause time.Duration // at most as long as settle and yardstickTime; 0 for those
}

// Help is shown with the flags.
func (c *loadCmd) Help() string {
	return `Each upload is a hashedrekord with a key, a short-lived certificate and a digest
of its own. Uploads stay in the log for ever: use a log made for the purpose.

  cairn bench --clients 64 --pid $(pidof cairn)
  cairn bench --rate 500 --duration 1m
  cairn bench --api v2 --pid $(pidof cairn)
  cairn bench --reads uuid --clients 32 --bare`
}

func (c *loadCmd) Run(g *Globals) error {
	asJSON, err := g.json()
	if err != nil {
		return err
	}
	key, err := g.logKey()
	if err != nil {
		return err
	}
	r, err := c.measure(g.Context, g.Server, key, g.Timeout, g.warn)
	if r != nil { // a report says also what did not hold
		if asJSON {
			err = errors.Join(err, g.printJSON(r))
		} else {
			err = errors.Join(err, r.print(g.Stdout))
		}
	}
	return err
}

// check fills in what depends on other flags and holds all to their bounds.
func (c *loadCmd) check() error {
	limit := int64(maxUploads)
	if c.Reads != "" {
		limit = maxReads
	}
	if c.Count == 0 {
		c.Count = 20_000
		if c.Reads != "" {
			c.Count = maxReads
		}
	}
	switch {
	case c.Clients < 1 || c.Clients > maxClients:
		return usage("--clients must be from 1 to %d", maxClients)
	case c.Rate < 0 || c.Rate > maxRate:
		return usage("--rate must be from 0 to %d", maxRate)
	case c.Count < 1 || c.Count > limit:
		return usage("--count must be from 1 to %d", limit)
	case c.Duration <= 0 || c.Duration > maxDuration:
		return usage("--duration must be over 0 and at most %v", maxDuration)
	case c.Keys < 1 || c.Keys > maxUploads:
		return usage("--keys must be from 1 to %d", maxUploads)
	case c.Sample < 0 || c.Sample > 10_000:
		return usage("--sample must be from 0 to 10000")
	case c.Bare && c.Reads == "":
		return usage("--bare is for --reads")
	case c.v2() && c.Reads != "":
		return usage("--api v2 is for uploads; entries are read by v1")
	}
	return nil
}

func (c *loadCmd) v2() bool { return c.API == "v2" }

// settle is how long the server and its database may go on working for a load
// after the last answer and have that counted.
const settle = time.Second

// yardstickTime is how long each part of the yardstick is measured, before the
// load and after it.
const yardstickTime = 200 * time.Millisecond

// measure puts the load on a server. When a sampled answer does not hold it
// returns the report and a *fault.
func (c *loadCmd) measure(ctx context.Context, server string, key crypto.PublicKey, timeout time.Duration, note func(string, ...any)) (*report, error) {
	// 1. Where to, and is it allowed.
	if err := c.check(); err != nil {
		return nil, err
	}
	u, err := url.Parse(server)
	if err != nil {
		return nil, usage("--server: %w", err)
	}
	addr, err := loopback(ctx, u, c.MyOwnServer)
	if err != nil {
		return nil, err
	}
	v := &verifier{conn: httpConn{addr: addr}, host: u.Host, key: key}
	defer v.conn.hangUp()
	if err := v.learnKey(ctx); err != nil {
		return nil, err
	}
	if c.v2() {
		if err := v.learnVKeys(ctx); err != nil {
			return nil, err
		}
	}
	before, err := v.size(ctx)
	if err != nil {
		return nil, err
	}

	// 2. All that is sent is made before.
	l := &traffic{
		addr: addr, clients: c.Clients, rate: c.Rate, count: c.Count, duration: c.Duration,
		timeout: timeout, accept: http.StatusOK, sample: c.Sample,
	}
	r := &report{Workload: "upload", Clients: c.Clients, Rate: c.Rate, LogSize: before}
	f, err := newForge(c.Certificate, time.Now())
	if err != nil {
		return nil, err
	}
	made := int64(yardstickSamples)
	if c.Reads == "" {
		l.accept, made = http.StatusCreated, c.Count
		if c.Rate > 0 {
			made = min(made, int64(c.Rate*c.Duration.Seconds())+1)
		}
	}
	stock, err := newStock(ctx, f, u.Host, int(made), c.v2())
	if err != nil {
		return nil, err
	}
	var bare *bareServer
	if c.Reads == "" {
		l.request = func(i int64) []byte { return stock.requests[i] }
		l.count = made
		if c.v2() {
			r.Workload = "upload v2"
		}
		r.Certificate, r.CertificateBytes, r.ProposalBytes = c.Certificate, stock.certSize, stock.bodySize
	} else {
		requests, err := v.reads(ctx, c.Reads, before, c.Keys)
		if err != nil {
			return nil, err
		}
		r.Workload, r.Keys = c.Reads, len(requests)
		// At random, not in turn: going round would defeat a cache that holds
		// nearly all, as no real reader does.
		l.request = func(int64) []byte { return requests[rand.IntN(len(requests))] }
		if c.Bare {
			if bare, err = startBare(ctx, v, requests[len(requests)/2]); err != nil {
				return nil, err
			}
			defer bare.stop()
		}
		warm := *l
		warm.duration, warm.rate, warm.sample = min(time.Second, c.Duration/4), 0, 0
		if _, err := warm.run(ctx); err != nil {
			return nil, err
		}
	}

	// 3. Measures before.
	server1, database, err := c.processes(ctx, note)
	if err != nil {
		return nil, err
	}
	y1, err := measureYardstick(stock.samples, c.atMost(yardstickTime))
	if err != nil {
		return nil, err
	}
	commits := c.Reads == "" && c.Storage != ""
	var commit histogram
	if commits {
		if err := measureCommits(ctx, c.Storage, &commit); err != nil {
			return nil, err
		}
	}
	var bareRate []float64
	if bare != nil {
		if err := bare.measure(ctx, l, &bareRate); err != nil {
			return nil, err
		}
	}
	use := newUsage(server1, database)

	// 4. The load.
	if err := use.start(); err != nil {
		return nil, err
	}
	own := ownTime()
	t, err := l.run(ctx)
	if err != nil {
		return nil, err
	}
	own = ownTime() - own
	time.Sleep(c.atMost(settle))
	if err := use.stop(); err != nil {
		return nil, err
	}
	r.fill(t, l.accept)

	// 5. Measures after.
	if bare != nil {
		if err := bare.measure(ctx, l, &bareRate); err != nil {
			return nil, err
		}
		r.BarePerSecond = (bareRate[0] + bareRate[1]) / 2
	}
	if commits {
		if err := measureCommits(ctx, c.Storage, &commit); err != nil {
			return nil, err
		}
		r.CommitP50 = milliseconds(commit.quantile(0.5))
	}
	y2, err := measureYardstick(stock.samples, c.atMost(yardstickTime))
	if err != nil {
		return nil, err
	}
	r.Yardstick = y1.mean(y2)
	if n := r.Requests; n > 0 {
		r.LoadToolCPU = perEntry(own, n)
	}
	r.usage(use)

	// 6. Is it true what was answered?
	err = c.verify(ctx, v, t, r, before)
	if err == nil && t.accepted == 0 {
		err = &ExitError{exitTrouble, errors.New("the server accepted nothing")}
	}
	return r, err
}

func (c *loadCmd) atMost(d time.Duration) time.Duration {
	if c.pause > 0 {
		return min(d, c.pause)
	}
	return d
}

// processes finds out which processes to measure.
func (c *loadCmd) processes(ctx context.Context, note func(string, ...any)) (server, database *processes, err error) {
	if len(c.Pid) > 0 {
		server = &processes{name: "server", pids: c.Pid}
		if _, err := server.cpu(); err != nil {
			return nil, nil, usage("--pid: %w", err)
		}
	}
	if isPostgres(c.Storage) {
		if database, err = postmaster(ctx, c.Storage); err != nil {
			note("the database's processor time is not measured: %v", err)
		}
	}
	return server, database, nil
}

// verify verifies the sampled answers of a run.
func (c *loadCmd) verify(ctx context.Context, v *verifier, t *tally, r *report, before int64) error {
	var bodies int64
	for _, x := range t.samples {
		if r.Sampled == c.Sample {
			break
		}
		var err error
		switch {
		case c.v2():
			err = v.uploadV2(ctx, x)
		case c.Reads == "":
			err = v.upload(ctx, x)
		case c.Reads == "tile" || c.Reads == "bundle":
			err = v.tile(ctx, x)
			bodies += int64(len(x.answer))
		default:
			err = v.read(c.Reads, x)
		}
		if err != nil {
			return err
		}
		r.Sampled++
		bodies += int64(bodySize(x.answer))
	}
	if r.Sampled > 0 {
		r.BodyBytes = bodies / int64(r.Sampled)
	}
	after, err := v.size(ctx)
	if err != nil {
		return err
	}
	if c.Reads == "" && after < before+t.accepted {
		return faultf("the log had %d entries, accepted %d, and now has %d", before, t.accepted, after)
	}
	r.LogSize = after
	return nil
}

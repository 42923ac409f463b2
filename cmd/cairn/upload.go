package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cairnlog/cairn/client"
	"github.com/cairnlog/cairn/entry"
)

type uploadCmd struct {
	artifactFlags
	API         string   `name:"api" enum:"v1,v2" default:"v1" placeholder:"VERSION" help:"Upload through this version of Rekor's API: ${enum} (${default}). Only a hashedrekord can go through v2."`
	Concurrency int      `name:"concurrency" default:"8" placeholder:"N" help:"How many of several files are uploaded at a time, up to 64 (${default})."`
	Quiet       bool     `name:"quiet" short:"q" help:"No progress, no summary."`
	Files       []string `arg:"" optional:"" name:"file" help:"Signed files; a detached signature is FILE.sig beside it."`
}

// Help is shown with the flags.
func (c *uploadCmd) Help() string {
	return `The entry is checked here before it is sent; what the log answers is verified
before it is shown. A file that the log already has is no error.

  openssl dgst -sha256 -sign key.pem -out hello.txt.sig hello.txt
  cairn upload -k key.pub hello.txt
  cairn upload -k RPM-GPG-KEY hello-1.0-1.x86_64.rpm

` + kindsHelp
}

const entriesPath = "/api/v1/log/entries/"

// An uploaded is what became of one job.
type uploaded struct {
	name  string
	guess string // what was guessed of it, if anything
	s     *client.Submission
	err   error
}

func (c *uploadCmd) Run(g *Globals) error {
	asJSON, err := g.json()
	if err != nil {
		return err
	}
	if c.Concurrency < 1 || c.Concurrency > 64 {
		return usage("--concurrency must be from 1 to 64")
	}
	jobs, err := c.jobs(g, c.Files)
	if err != nil {
		return err
	}
	return g.withLog(func(ctx context.Context, l *client.Client) error {
		if len(jobs) == 1 {
			r := c.upload(ctx, l, jobs[0])
			g.warnGuess(r.name, r.guess)
			if r.err != nil {
				if errors.As(r.err, new(*entry.Error)) {
					r.err = fmt.Errorf("%s: %w", r.name, r.err)
				}
				return r.err
			}
			g.warnOlder(r.s.Entry)
			return c.print(g, l, r, asJSON, false)
		}
		return c.many(ctx, g, l, jobs, asJSON)
	})
}

func (c *uploadCmd) upload(ctx context.Context, l *client.Client, j job) uploaded {
	p, err := j.propose()
	if err != nil {
		return uploaded{j.name, p.guess, nil, err}
	}
	send := l.Upload
	if c.API == "v2" {
		send = l.UploadAsV2
	}
	s, err := send(ctx, p.Proposal)
	return uploaded{j.name, p.guess, s, p.refused(err)}
}

// refused says of an entry that was refused here what kind it was to be.
func (p proposed) refused(err error) error {
	if !errors.As(err, new(*entry.Error)) {
		return err
	}
	hint := ""
	switch {
	case p.Kind == "cose" && !bytes.Contains(p.Spec, []byte(`"aad":`)):
		hint = "; if something was signed along with the message, give it with --aad"
	case p.guess != "":
		hint = "; if it is of another kind, name that with --type"
	}
	return fmt.Errorf("refused as %s %s: %w%s", p.Kind, p.APIVersion, err, hint)
}

// warnGuess says what was guessed about a file.
func (g *Globals) warnGuess(name, guess string) {
	if guess != "" {
		g.warn("%s: %s", client.Printable(name, ""), client.Printable(guess, ""))
	}
}

// many uploads all that can be uploaded, and shows the results in the order of
// the jobs. Only an alarm ends it early: nothing more goes to such a log.
func (c *uploadCmd) many(ctx context.Context, g *Globals, l *client.Client, jobs []job, asJSON bool) error {
	// The first use of a log's key is one question, not as many as there are workers.
	if _, err := l.Key(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var workers sync.WaitGroup
	next := make(chan int)
	results := make(chan int)
	done := make([]*uploaded, len(jobs))
	for range min(c.Concurrency, len(jobs)) {
		workers.Go(func() {
			for i := range next {
				r := c.upload(ctx, l, jobs[i])
				if errors.As(r.err, new(*client.AlarmError)) {
					cancel()
				}
				done[i] = &r
				results <- i
			}
		})
	}
	go func() {
		defer close(results)
		defer workers.Wait()
		defer close(next)
		for i := range jobs {
			select {
			case next <- i:
			case <-ctx.Done():
				return
			}
		}
	}()

	p := progress{g: g, total: len(jobs), start: time.Now(), shown: !c.Quiet && people(g.Stderr)}
	var created, existed, shown int
	var failed []error
	var printErr error
	finished := map[int]bool{}
	for i := range results {
		finished[i] = true
		p.add()
		for finished[shown] {
			r := done[shown]
			delete(finished, shown)
			shown++
			p.clear()
			g.warnGuess(r.name, r.guess)
			if r.err != nil {
				failed = append(failed, r.err)
				if !errors.Is(r.err, context.Canceled) && !errors.As(r.err, new(*client.AlarmError)) {
					g.warn("%s: %s", client.Printable(r.name, ""), client.Printable(r.err.Error(), "\n"))
				}
				continue
			}
			if r.s.Existed {
				existed++
			} else {
				created++
			}
			if printErr == nil {
				if printErr = c.print(g, l, *r, asJSON, true); printErr != nil {
					cancel()
				}
			}
		}
	}
	p.clear()
	if rest := len(jobs) - created - existed - len(failed); !c.Quiet {
		s := fmt.Sprintf("%d created, %d there before, %d failed", created, existed, len(failed))
		if rest > 0 {
			s += fmt.Sprintf(", %d not tried", rest)
		}
		fmt.Fprintln(g.Stderr, s)
	}
	switch {
	case len(failed) > 0:
		return worst(failed)
	case printErr != nil:
		return printErr
	}
	return ctx.Err()
}

// worst returns the error that decides the exit code: what fails to verify
// before what was called wrongly, refused, not found, or may do better later.
func worst(errs []error) error {
	order := []int{exitUnverified, exitUsage, exitRefused, exitNotFound, exitTrouble}
	rank := func(err error) int {
		if errors.As(err, new(*client.AlarmError)) {
			return -1
		}
		if i := slices.Index(order, exitCode(err)); i >= 0 {
			return i
		}
		return len(order)
	}
	w := slices.MinFunc(errs, func(a, b error) int { return rank(a) - rank(b) })
	if errors.As(w, new(*client.AlarmError)) {
		return w
	}
	return &ExitError{exitCode(w), errTold}
}

// print shows what the log has. One of many also has the name of its file.
func (c *uploadCmd) print(g *Globals, l *client.Client, r uploaded, asJSON, many bool) error {
	location := entriesPath + r.s.ID.String()
	if asJSON {
		v := struct {
			AlreadyExists bool
			Location      string
			Index         int64
			File          string `json:",omitempty"`
		}{AlreadyExists: r.s.Existed, Location: location, Index: r.s.Index}
		if many {
			v.File = r.name
		} else if r.s.Existed && g.RekorCLI {
			v.Index = 0 // as scripts know it
		}
		return g.printJSON(v)
	}
	prefix := ""
	if many {
		prefix = client.Printable(r.name, "") + ": "
	}
	var err error
	if r.s.Existed {
		_, err = fmt.Fprintf(g.Stdout, "%sEntry already exists; available at: %s%s\n", prefix, l.URL(), location)
	} else {
		_, err = fmt.Fprintf(g.Stdout, "%sCreated entry at index %d, available at: %s%s\n", prefix, r.s.Index, l.URL(), location)
	}
	if err == nil && !many && people(g.Stdout) {
		_, err = fmt.Fprintf(g.Stdout, "verified: signature, the log's promise of %s, and its proof in a tree of %d entries\n%s\n",
			r.s.Time.Format(time.RFC3339), r.s.Proof.Tree.Size, strings.Join(describe(r.s.Entry).lines(), "\n"))
	}
	return err
}

// progress shows on a terminal how far a long run is.
type progress struct {
	g     *Globals
	total int
	done  int
	start time.Time
	last  time.Time
	shown bool
}

func (p *progress) add() {
	p.done++
	if !p.shown || time.Since(p.last) < 100*time.Millisecond {
		return
	}
	p.last = time.Now()
	passed := time.Since(p.start)
	rate := float64(p.done) / passed.Seconds()
	left := time.Duration(float64(p.total-p.done) / rate * float64(time.Second)).Round(time.Second)
	fmt.Fprintf(p.g.Stderr, "\r\x1b[K%d of %d, %.0f a second, %s left", p.done, p.total, rate, left)
}

func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.g.Stderr, "\r\x1b[K")
	}
}

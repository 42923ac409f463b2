package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cairnlog/cairn/entry"
	"github.com/cairnlog/cairn/log"
)

// A fillCmd adds entries to a log straight, without HTTP. They are as those
// that the load uploads, and are checked as the server checks.
type fillCmd struct {
	logFlags
	Count       int64  `default:"1000000" placeholder:"N" help:"Fill up to this many entries (${default})."`
	Certificate string `enum:"ci,email" default:"ci" placeholder:"KIND" help:"As in bench load: ${enum} (${default})."`
}

// fillers is how many entries are under way at once, so that each commit is a full one.
const fillers = 768

func (c *fillCmd) Run(g *Globals) error {
	if c.Count < 1 || c.Count > 100_000_000 {
		return usage("--count must be from 1 to 100000000")
	}
	ctx := g.Context
	h, err := c.open(ctx, openOrCreate)
	if err != nil {
		return err
	}
	defer h.store.Close()
	l, err := log.Open(ctx, h.store, log.Options{Identity: h.identity, Signer: h.signer})
	if err != nil {
		return err
	}
	defer l.Close()
	head, err := l.Head(ctx)
	if err != nil {
		return err
	}
	f, err := newForge(c.Certificate, time.Now())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	next.Store(head.Tree.Size)
	start, last := time.Now(), time.Now()
	var wg sync.WaitGroup
	for range fillers {
		wg.Go(func() {
			for ctx.Err() == nil && next.Add(1) <= c.Count {
				if err := fillOne(ctx, l, f); err != nil {
					cancel(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-ticks.C:
			if people(g.Stderr) || time.Since(last) >= 30*time.Second {
				last = time.Now()
				n := min(next.Load(), c.Count)
				g.warn("%d of %d entries, %.0f a second", n, c.Count, float64(n-head.Tree.Size)/time.Since(start).Seconds())
			}
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintf(g.Stdout, "%d entries, %d of them new\n", max(c.Count, head.Tree.Size), max(0, c.Count-head.Tree.Size))
	return err
}

func fillOne(ctx context.Context, l *log.Log, f *forge) error {
	e, err := f.forge()
	if err != nil {
		return err
	}
	p, err := entry.ParseProposal(e.appendProposal(nil))
	if err != nil {
		return err
	}
	checked, err := entry.Check(p, entry.Options{})
	if err != nil {
		return err
	}
	_, err = l.Add(ctx, log.Leaf{Body: checked.Body, Terms: checked.Terms})
	return err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
	"github.com/cairnlog/cairn/witness"
)

// firstAsk is how long a start waits for what the witnesses know. If one has
// proof that the log was set back, there is no start.
const firstAsk = 6 * time.Second

// readPolicy reads a policy, or returns nil for no file.
func readPolicy(path string) (*checkpoint.Policy, error) {
	if path == "" {
		return nil, nil
	}
	text, err := readFile(path, 1<<20)
	if err != nil {
		return nil, refuse("--witness-policy: %v", err)
	}
	p, err := checkpoint.ParsePolicy(text)
	if err != nil {
		return nil, refuse("--witness-policy %s: %v", path, err)
	}
	return p, nil
}

// witnesses returns the Asker for the log of h by a policy, or nil without one.
func (h *home) witnesses(l *log.Log, p *checkpoint.Policy, logger *zap.Logger) (*witness.Asker, error) {
	if p == nil {
		return nil, nil
	}
	vkeys := h.author.VKeys()
	if !slices.ContainsFunc(p.Logs(), func(l checkpoint.PolicyLog) bool { return slices.Contains(vkeys, l.VKey) }) {
		return nil, refuse("--witness-policy: the policy has no key of this log, so no checkpoint of it could meet the policy. Its line would be\nlog %s", strings.Join(vkeys, "\nor\nlog "))
	}
	a, err := witness.NewAsker(witnessedLog{l}, witness.AskOptions{
		Origin: h.identity.Origin,
		Policy: p,
		Logger: logger,
		Alarm: func(e *witness.ContradictionError) {
			logger.Error("ALARM: this log contradicts what it said before and is stopped", zap.Error(e))
			if !h.lasting() {
				return
			}
			if err := writeFile(h.stoppedPath(), e.Evidence()); err != nil {
				logger.Error("keep the evidence", zap.Error(err), zap.ByteString("evidence", e.Evidence()))
				return
			}
			logger.Error("the evidence is kept", zap.String("file", h.stoppedPath()))
		},
	})
	if err != nil {
		return nil, refuse("--witness-policy: %v", err)
	}
	return a, nil
}

// ask runs a until the returned function is called. It fails if a witness has
// proof, at once, that the log must not be served.
func (h *home) ask(ctx context.Context, a *witness.Asker, m *api.Metrics) (stop func(), err error) {
	if a == nil {
		return func() {}, nil
	}
	if err := m.WatchWitnesses(a.Status); err != nil {
		return nil, err
	}
	asking, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.Run(asking) //nolint:errcheck // it has told the log, the alarm and the status
	}()
	stop = func() { cancel(); <-ended }
	wait := time.NewTimer(firstAsk)
	defer wait.Stop()
	select {
	case <-a.First():
	case <-wait.C:
	case <-ctx.Done():
	}
	if why := a.Status().Stopped; why != nil {
		stop()
		return nil, h.stopped(why)
	}
	return stop, nil
}

func (h *home) stoppedPath() string { return filepath.Join(h.data, "stopped.txt") }

// stopped says why a log is not served.
func (h *home) stopped(err error) error {
	return refuse("%v. To go on would be a fork. The evidence is in %s: bring back a database that has what the witness has seen, or start a new log",
		err, h.stoppedPath())
}

// wasStopped refuses to serve a log that was stopped by its witnesses until
// somebody has looked into it.
func (h *home) wasStopped() error {
	text, err := os.ReadFile(h.stoppedPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read why the log was stopped: %w", err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return refuse("this log was stopped: %s. When that is explained and mended, remove %s", first, h.stoppedPath())
}

// healthOf says in a few words how witnesses do; nil without any.
func healthOf(a *witness.Asker) func() string {
	if a == nil {
		return nil
	}
	return func() string {
		if t := a.Status().Trouble(time.Now()); t != "" {
			return t
		}
		return "ok"
	}
}

// A witnessedLog is a log as its Asker needs it.
type witnessedLog struct{ *log.Log }

func (l witnessedLog) Consistency(ctx context.Context, first, last int64) ([]merkle.Hash, error) {
	proof, _, err := l.Log.Consistency(ctx, first, last)
	return proof, err
}

func (l witnessedLog) Published(ctx context.Context) ([]byte, error) {
	p, err := l.Log.Published(ctx)
	return p.Note, err
}

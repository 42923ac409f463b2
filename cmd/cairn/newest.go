package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

// The data directory remembers the newest checkpoint that the server has seen.
// A database that does not continue it was set back: restored from a backup,
// or failed over to a standby that lagged. Others may have seen what is
// missing, so going on from there would be a fork, and the start is refused.

// rememberEvery is how often the newest checkpoint is written. What a database
// loses of the time since then is not noticed.
const rememberEvery = time.Second

func (h *home) newestPath() string { return filepath.Join(h.data, "newest.checkpoint") }

// seen returns the tree of the newest checkpoint, or an empty one if nothing
// is remembered.
func (h *home) seen() (merkle.Tree, error) {
	if !h.lasting() {
		return merkle.Tree{}, nil
	}
	note, err := os.ReadFile(h.newestPath())
	if errors.Is(err, fs.ErrNotExist) {
		return merkle.Tree{}, nil
	}
	if err != nil {
		return merkle.Tree{}, fmt.Errorf("read the newest checkpoint: %w", err)
	}
	c, err := checkpoint.Open(note, checkpoint.V1Origin(h.identity.Origin, h.identity.TreeID), h.key.Public())
	if err != nil {
		return merkle.Tree{}, refuse("%s should hold the newest checkpoint of this log, but: %v", h.newestPath(), err)
	}
	return c.Tree, nil
}

// remember writes the newest checkpoint of l until ctx ends, and once more then.
func (h *home) remember(ctx context.Context, l *log.Log, logger *zap.Logger) {
	if !h.lasting() {
		return
	}
	var written merkle.Tree
	write := func(ctx context.Context) {
		head, err := l.Head(ctx)
		if err != nil || head.Tree == written {
			return // the log says itself what is wrong
		}
		if err := writeFile(h.newestPath(), head.Checkpoint); err != nil {
			logger.Warn("remember the newest checkpoint", zap.Error(err))
			return
		}
		written = head.Tree
	}
	tick := time.NewTicker(rememberEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			write(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), rememberEvery)
			defer cancel()
			write(last)
			return
		}
	}
}

// rolledBack says what an operator can do about a store that was set back.
func (h *home) rolledBack(e *log.RollbackError) error {
	return refuse("%s does not continue the log as %s remembers it: %v. Others may have seen what is missing. "+
		"Bring back a database that has it, or start a new log in another data directory",
		redact(h.storage), h.newestPath(), e)
}

// writeFile writes a file that appears whole and is durable.
func writeFile(path string, b []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	return err
}

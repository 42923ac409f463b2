package main

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/sign"
)

// The keys of C2SP checkpoints are beside the log's key, which v1 clients
// know and which never changes. They may: docs/checkpoint-keys.md says how.

// loadCheckpointKeys loads those at the paths, in the order of their
// signature lines, for a log of that origin.
func (h *home) loadCheckpointKeys(origin string, paths []string) error {
	keys := make([]crypto.Signer, len(paths))
	for i, path := range paths {
		var err error
		keys[i], err = sign.LoadCheckpointKey(path)
		if errors.Is(err, fs.ErrNotExist) {
			return refuse("there is no key at %s; make one with cairn keygen, or leave --checkpoint-key out", path)
		}
		if err != nil {
			return &refusal{err.Error()}
		}
	}
	var err error
	if h.author, err = checkpoint.NewAuthor(origin, keys...); err != nil {
		return refuse("cannot sign checkpoints of %q with %s: %v", origin, strings.Join(paths, ", "), err)
	}
	h.checkpointPaths = paths
	return nil
}

// checkpointKeys sees to it that there are keys, and that clients can follow
// from those that there were, unless the operator says that they cannot.
func (h *home) checkpointKeys(ctx context.Context, others bool) error {
	// 1. The key that a log has without further words.
	if h.author == nil {
		path := filepath.Join(h.data, "checkpoint-key.pem")
		if err := h.makeCheckpointKey(path); err != nil {
			return err
		}
		if err := h.loadCheckpointKeys(h.identity.Origin, []string{path}); err != nil {
			return err
		}
	}
	if !h.lasting() {
		return nil
	}

	// 2. A client knows some of the keys that there were. If none of them is
	// left, it takes every checkpoint from now on for a forgery.
	vkeys := h.author.VKeys()
	have, err := os.ReadFile(h.vkeysPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the keys of checkpoints: %w", err)
	}
	known := strings.Fields(string(have))
	if len(known) > 0 && !others && !slices.ContainsFunc(known, func(k string) bool { return slices.Contains(vkeys, k) }) {
		return h.unknownKeys("the keys in " + h.vkeysPath())
	}
	// What witnesses have cosigned is in the database, for all servers.
	_, note, err := h.store.Published(ctx)
	if err != nil && !errors.Is(err, log.ErrNotFound) {
		return fmt.Errorf("read the published checkpoint: %w", err)
	}
	if err == nil && !others {
		if _, _, err := checkpoint.OpenNote(note, h.identity.Origin, h.author.Verifiers()...); err != nil {
			return h.unknownKeys("those that signed the one published in " + redact(h.storage))
		}
	}

	// 3. Remember them.
	now := []byte(strings.Join(vkeys, "\n") + "\n")
	if bytes.Equal(now, have) {
		return nil
	}
	if err := writeFile(h.vkeysPath(), now); err != nil {
		return fmt.Errorf("remember the keys of checkpoints: %w", err)
	}
	return nil
}

// unknownKeys refuses keys of which clients know none, and says which they know.
func (h *home) unknownKeys(known string) error {
	return refuse("clients know the checkpoints of this log by %s, and would refuse all from now on: none of them is in %s. "+
		"Name an old key as well until clients know the new one, with --checkpoint-key OLD --checkpoint-key NEW, "+
		"or say with --new-checkpoint-keys that the old ones are lost or stolen",
		known, strings.Join(h.checkpointPaths, ", "))
}

func (h *home) vkeysPath() string { return filepath.Join(h.data, "checkpoint.vkeys") }

// makeCheckpointKey writes a key derived from the log's, if there is none.
func (h *home) makeCheckpointKey(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	key, err := sign.CheckpointKey(h.key, h.identity.Origin)
	if err != nil {
		return err
	}
	if err := sign.WriteKey(path, key); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create checkpoint key: %w", err)
	}
	return nil
}

package client

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/merkle"
)

const (
	// saveEvery is how long a run of many checkpoints may go without keeping
	// the newest. A single one is always kept before it is returned.
	saveEvery = time.Second
	// maxSeen bounds the checkpoints whose consistency is remembered in memory.
	maxSeen = 4096
	// A replica that is a little behind cannot prove up to a tree that it
	// will have in a moment. It is asked this often.
	shrinkAttempts = 3
)

// Info is a log's newest tree, verified: the checkpoint is signed by the log's
// key and consistent with all that were seen before.
type Info struct {
	TreeID     int64
	Tree       merkle.Tree
	Checkpoint []byte
	LogID      string
	TotalSize  int64 // with the frozen shards
	First      bool  // no checkpoint of this log was known before
	// Before is the tree that was remembered, the newest seen in earlier runs.
	Before merkle.Tree
	// Older says that Tree is smaller than Before, and a prefix of it: the
	// answer came from a replica that is behind.
	Older bool
}

// LogInfo returns the log's newest tree.
func (c *Client) LogInfo(ctx context.Context) (*Info, error) {
	var w v1.LogInfo
	if err := c.getJSON(ctx, "/api/v1/log", nil, &w); err != nil {
		return nil, err
	}
	before, known, err := c.Remembered(ctx)
	if err != nil {
		return nil, err
	}
	cp, err := c.open(ctx, []byte(w.SignedTreeHead))
	if err != nil {
		return nil, err
	}
	bad := func(format string, a ...any) (*Info, error) {
		return nil, &VerifyError{What: "log info", Err: fmt.Errorf(format, a...)}
	}
	if w.TreeSize != cp.Tree.Size || !strings.EqualFold(w.RootHash, cp.Tree.Root.String()) {
		return bad("size or root differ from the checkpoint's")
	}
	treeID, err := TreeID(cp.Origin)
	if err != nil {
		return bad("%w", err)
	}
	if w.TreeID != strconv.FormatInt(treeID, 10) {
		return bad("tree id %q is not the checkpoint's, %d", Printable(w.TreeID, ""), treeID)
	}
	total := cp.Tree.Size
	for _, s := range w.InactiveShards {
		// A frozen shard has its own tree; its key has to be the one that is trusted.
		f, err := checkpoint.Open([]byte(s.SignedTreeHead), "", c.key)
		if err != nil {
			return bad("frozen shard %q: %w", Printable(s.TreeID, ""), err)
		}
		if f.Tree.Size != s.TreeSize || f.Origin == cp.Origin || total+f.Tree.Size < total {
			return bad("frozen shard %q: size or tree id differ from its checkpoint's", Printable(s.TreeID, ""))
		}
		total += f.Tree.Size
	}
	older, err := c.observe(ctx, cp, []byte(w.SignedTreeHead))
	if err != nil {
		return nil, err
	}
	return &Info{
		TreeID: treeID, Tree: cp.Tree, Checkpoint: []byte(w.SignedTreeHead), LogID: c.logID(),
		TotalSize: total, First: !known, Before: before.Tree, Older: older,
	}, nil
}

// TreeID returns the tree id at the end of a Rekor v1 checkpoint's origin.
func TreeID(origin string) (int64, error) {
	i := strings.LastIndex(origin, " - ")
	if i >= 0 {
		if id, err := strconv.ParseInt(origin[i+3:], 10, 64); err == nil && id > 0 {
			return id, nil
		}
	}
	return 0, fmt.Errorf("origin %q does not end in a tree id", Printable(origin, ""))
}

// open verifies that a note is by the log's key and of the tree that is
// remembered. It does not yet hold its tree against those seen before.
func (c *Client) open(ctx context.Context, note []byte) (checkpoint.Checkpoint, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(ctx); err != nil {
		return checkpoint.Checkpoint{}, err
	}
	cp, sigs, err := checkpoint.Parse(note)
	if err != nil {
		return cp, &VerifyError{What: "checkpoint", Err: err}
	}
	sameKey := bytes.Equal(c.keyDER, c.known.Key) // else another one is pinned now
	if c.known.Checkpoint != nil && sameKey && !bytes.Equal(sigs[0].KeyHash[:], c.keyID[:4]) {
		return cp, c.alarm(note, OtherKey, nil, nil)
	}
	if cp, err = checkpoint.Open(note, "", c.key); err != nil {
		return cp, &VerifyError{What: "checkpoint", Err: err}
	}
	if c.known.Checkpoint == nil {
		return cp, nil
	}
	if !sameKey {
		return cp, c.alarm(note, OtherKey, nil, errors.New("the pinned key verifies it, but another key was trusted before"))
	}
	if cp.Origin != c.tree.Origin {
		return cp, c.alarm(note, OtherOrigin, nil, nil)
	}
	return cp, nil
}

// alarm returns the error for a note that cannot stand beside c.known. The
// caller holds mu.
func (c *Client) alarm(note []byte, d Discord, hashes []merkle.Hash, err error) *AlarmError {
	return &AlarmError{URL: c.name, Discord: d, Before: c.known, Now: note, KeyNow: c.keyDER, Hashes: hashes, Underlies: err}
}

// observe holds an opened checkpoint against the newest that was seen, and
// remembers it if it is newer. It returns true for one that is older than what
// was remembered when the client started.
func (c *Client) observe(ctx context.Context, cp checkpoint.Checkpoint, note []byte) (older bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known.Checkpoint == nil {
		c.known.Checkpoint, c.tree = note, cp
		return false, c.save(ctx)
	}
	if cp.Origin != c.tree.Origin { // the first of several at the same time decided
		return false, c.alarm(note, OtherOrigin, nil, nil)
	}
	if err := c.relate(ctx, cp.Tree, note); err != nil {
		return false, err
	}
	if cp.Tree.Size > c.tree.Tree.Size {
		c.known.Checkpoint, c.tree = note, cp
	}
	if time.Since(c.saved) >= saveEvery {
		err = c.save(ctx)
	}
	return cp.Tree.Size < c.start, err
}

// relate proves that one of t and the newest tree is a prefix of the other.
// The caller holds mu.
func (c *Client) relate(ctx context.Context, t merkle.Tree, note []byte) error {
	have := c.tree.Tree
	if t.Size == have.Size {
		if t.Root != have.Root {
			return c.alarm(note, OtherRoot, nil, nil)
		}
		return nil
	}
	if s, ok := c.seen[t.Size]; ok {
		if t.Root != s.root {
			e := c.alarm(note, OtherRoot, nil, nil)
			e.Before.Checkpoint = s.note
			return e
		}
		return nil
	}
	if t.Size == 0 {
		return c.alarm(note, Shrunken, nil, nil)
	}
	a, b := have, t
	if t.Size < have.Size {
		a, b = t, have
	}
	var hashes []merkle.Hash
	if a.Size > 0 {
		treeID, err := TreeID(c.tree.Origin)
		if err != nil {
			return &VerifyError{What: "checkpoint", Err: err}
		}
		pause := firstPause
		for attempt := 1; ; attempt++ {
			hashes, err = c.proof(ctx, treeID, a.Size, b.Size)
			var refused *StatusError
			if !errors.As(err, &refused) || refused.Retryable() {
				break
			}
			if b == t {
				return &VerifyError{What: "consistency", Err: fmt.Errorf("the log does not prove that size %d continues size %d: %w", b.Size, a.Size, err)}
			}
			if attempt == shrinkAttempts || ctx.Err() != nil {
				return c.alarm(note, Shrunken, nil, fmt.Errorf("size %d was seen before, now it is %d: %w", b.Size, a.Size, err))
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause *= 2
		}
		if err != nil {
			return err
		}
	}
	if merkle.VerifyConsistency(a, b, hashes) != nil {
		return c.alarm(note, Inconsistent, hashes, fmt.Errorf("the proof from size %d to size %d does not hold", a.Size, b.Size))
	}
	if len(c.seen) >= maxSeen {
		clear(c.seen)
	}
	c.seen[have.Size] = sighting{have.Root, c.known.Checkpoint}
	c.seen[t.Size] = sighting{t.Root, note}
	return nil
}

// save keeps what is known. Another process may have kept a newer checkpoint
// meanwhile: then the two are held against each other. The caller holds mu.
func (c *Client) save(ctx context.Context) error {
	if c.known.Checkpoint == nil {
		return nil // a key that has verified nothing yet is not worth remembering
	}
	for !c.known.equal(c.kept) {
		ok, err := c.o.State.Store(ctx, c.kept, c.known)
		if err != nil {
			return &StateError{Err: err}
		}
		if ok {
			c.kept = c.known
			break
		}
		other, err := c.o.State.Load(ctx)
		if err != nil {
			return &StateError{Err: err}
		}
		c.kept = other
		if other.Checkpoint == nil {
			continue
		}
		note := c.known.Checkpoint
		if !bytes.Equal(other.Key, c.known.Key) {
			e := c.alarm(note, OtherKey, nil, nil)
			e.Before = other
			return e
		}
		cp, err := checkpoint.Open(other.Checkpoint, "", c.key)
		if err != nil {
			return &StateError{Err: err}
		}
		if cp.Origin != c.tree.Origin {
			return c.alarm(other.Checkpoint, OtherOrigin, nil, nil)
		}
		if err := c.relate(ctx, cp.Tree, other.Checkpoint); err != nil {
			return err
		}
		if cp.Tree.Size >= c.tree.Tree.Size {
			c.known.Checkpoint, c.tree = other.Checkpoint, cp
		}
		c.known.Pinned = c.known.Pinned || other.Pinned
	}
	c.saved = time.Now()
	return nil
}

// proof fetches a consistency proof; nothing is verified. It takes no lock.
func (c *Client) proof(ctx context.Context, treeID, first, last int64) ([]merkle.Hash, error) {
	var w v1.ConsistencyProof
	q := url.Values{
		"firstSize": {strconv.FormatInt(first, 10)},
		"lastSize":  {strconv.FormatInt(last, 10)},
		"treeID":    {strconv.FormatInt(treeID, 10)},
	}
	if err := c.getJSON(ctx, "/api/v1/log/proof", q, &w); err != nil {
		return nil, err
	}
	hashes, err := parseHashes(w.Hashes)
	if err != nil {
		return nil, &VerifyError{What: "consistency proof", Err: err}
	}
	return hashes, nil
}

// maxProof is the most hashes that a proof in a tree of 2^63 leaves can have.
const maxProof = 128

func parseHashes(hexes []string) ([]merkle.Hash, error) {
	if len(hexes) > maxProof {
		return nil, fmt.Errorf("a proof of %d hashes is longer than any tree is deep", len(hexes))
	}
	hashes := make([]merkle.Hash, len(hexes))
	for i, s := range hexes {
		b, err := hex.DecodeString(s)
		if err != nil || len(b) != merkle.HashSize {
			return nil, fmt.Errorf("hash %d of the proof is not %d bytes in hex", i, merkle.HashSize)
		}
		hashes[i] = merkle.Hash(b)
	}
	return hashes, nil
}

package storagetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

// Check reads everything that a store holds and verifies it: that segments
// follow each other without a gap, that times never go back, that the leaves
// lead to the root of the head and to each full tile by RFC 6962, computed in
// the plainest way, that each key leads to the entries that have it and to no
// other, and that attachments are where they should be. It returns all entries.
// The store must hold still.
func Check(ctx context.Context, t testing.TB, r log.Reader) []log.KeyedEntry {
	t.Helper()
	entries, err := check(ctx, r)
	if err != nil {
		t.Fatalf("check of the whole log: %v", err)
	}
	return entries
}

func check(ctx context.Context, r log.Reader) ([]log.KeyedEntry, error) {
	head, err := r.Head(ctx)
	if err != nil {
		return nil, err
	}
	if len(head.Checkpoint) == 0 {
		return nil, errors.New("the head has no checkpoint")
	}
	entries, last, err := checkSegments(ctx, r, head.Tree.Size)
	if err != nil {
		return nil, err
	}
	if len(entries) > 0 {
		if last.Nonce != head.Nonce {
			return nil, fmt.Errorf("the head has nonce %x, but the last segment %x", head.Nonce, last.Nonce)
		}
		if at := entries[len(entries)-1].Time; at != head.Time {
			return nil, fmt.Errorf("the head is of time %d, but the last entry of %d", head.Time, at)
		}
	}
	leaves := make([]merkle.Hash, len(entries))
	for i, e := range entries {
		leaves[i] = sha256.Sum256(append([]byte{0}, e.Body...))
	}
	if root := treeHash(leaves); root != head.Tree.Root {
		return nil, fmt.Errorf("the head has root %v, but its %d leaves have %v", head.Tree.Root, len(leaves), root)
	}
	if err := checkTiles(ctx, r, leaves); err != nil {
		return nil, err
	}
	if err := checkKeys(ctx, r, entries); err != nil {
		return nil, err
	}
	for _, e := range entries {
		_, err := r.Attachment(ctx, e.Index)
		if e.HasAttachment && err != nil {
			return nil, err
		}
		if !e.HasAttachment && !errors.Is(err, log.ErrNotFound) {
			return nil, fmt.Errorf("attachment of entry %d, which has none: %v", e.Index, err)
		}
	}
	return entries, nil
}

// checkSegments returns all entries and the last segment.
func checkSegments(ctx context.Context, r log.Reader, size int64) (entries []log.KeyedEntry, last log.Segment, err error) {
	var now int64
	for int64(len(entries)) < size {
		segments, err := r.SegmentsFrom(ctx, int64(len(entries)), 100)
		if err != nil {
			return nil, last, err
		}
		if len(segments) == 0 {
			return nil, last, fmt.Errorf("no segment at %d, of %d entries", len(entries), size)
		}
		for _, seg := range segments {
			if seg.Start != int64(len(entries)) {
				return nil, last, fmt.Errorf("a segment starts at %d, not %d", seg.Start, len(entries))
			}
			run, err := log.DecodeSegment(seg)
			if err != nil {
				return nil, last, err
			}
			for _, e := range run {
				if e.Time < now {
					return nil, last, fmt.Errorf("entry %d is of time %d, after %d", e.Index, e.Time, now)
				}
				now = e.Time
			}
			entries, last = append(entries, run...), seg
		}
	}
	if int64(len(entries)) != size {
		return nil, last, fmt.Errorf("%d entries in segments, but the tree has %d", len(entries), size)
	}
	if _, err := r.SegmentsAt(ctx, []int64{size}); !errors.Is(err, log.ErrNotFound) {
		return nil, last, fmt.Errorf("a segment past the end, at %d: %v", size, err)
	}
	return entries, last, nil
}

// checkTiles compares all full tiles over the leaves, and looks for ones
// that should not be there.
func checkTiles(ctx context.Context, r log.Reader, leaves []merkle.Hash) error {
	const width = merkle.TileWidth
	row := leaves // the hashes of a level
	for level := 0; ; level++ {
		var parents []merkle.Hash
		var index int64
		for ; len(row) >= width; row = row[width:] {
			t := merkle.Tile{Level: level, Index: index, Width: width}
			have, err := r.ReadTiles(ctx, []merkle.Tile{t})
			if err != nil {
				return err
			}
			for i, h := range row[:width] {
				if merkle.Hash(have[0][i*merkle.HashSize:]) != h {
					return fmt.Errorf("tile %v: hash %d is wrong", t, i)
				}
			}
			parents = append(parents, treeHash(row[:width]))
			index++
		}
		past := merkle.Tile{Level: level, Index: index, Width: max(len(row), 1)}
		if _, err := r.ReadTiles(ctx, []merkle.Tile{past}); !errors.Is(err, log.ErrNotFound) {
			return fmt.Errorf("tile %v is past the end: %v", past, err)
		}
		if len(parents) == 0 {
			return nil
		}
		row = parents
	}
}

// checkKeys finds every key of every entry.
func checkKeys(ctx context.Context, r log.Reader, entries []log.KeyedEntry) error {
	at := make(map[log.Key][]int64)
	var keys []log.Key
	for _, e := range entries {
		if len(e.Keys) == 0 || e.Keys[0] != log.LeafKey(e.Hash) {
			return fmt.Errorf("entry %d does not have its leaf's key", e.Index)
		}
		for _, k := range e.Keys {
			if at[k] == nil {
				keys = append(keys, k)
			}
			at[k] = append(at[k], e.Index)
		}
	}
	for run := range slices.Chunk(keys, 200) {
		most := 0
		for _, k := range run {
			most = max(most, len(at[k]))
		}
		found, err := r.Find(ctx, run, -1, most+1)
		if err != nil {
			return err
		}
		if len(found) != len(run) {
			return fmt.Errorf("%d answers for %d keys", len(found), len(run))
		}
		for i, k := range run {
			if !slices.Equal(found[i], at[k]) {
				return fmt.Errorf("key %x leads to entries %v, but it is of %v", k, found[i], at[k])
			}
		}
	}
	return nil
}

// treeHash is MTH of RFC 6962, section 2.1, over leaf hashes.
// https://www.rfc-editor.org/rfc/rfc6962#section-2.1
func treeHash(leaves []merkle.Hash) merkle.Hash {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	left, right := treeHash(leaves[:k]), treeHash(leaves[k:])
	return sha256.Sum256(slices.Concat([]byte{1}, left[:], right[:]))
}

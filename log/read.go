package log

import (
	"context"
	"fmt"
	"slices"

	"github.com/cairnlog/cairn/merkle"
)

// Head returns the newest head, over all replicas.
func (l *Log) Head(ctx context.Context) (Head, error) {
	st, err := l.refresh(ctx)
	if err != nil {
		return Head{}, err
	}
	return st.head, nil
}

// covering returns a state with more than index leaves: the one at hand if it
// will do, so that most reads do not touch the head, else the newest.
// It fails with ErrNotFound if there is no such leaf.
func (l *Log) covering(ctx context.Context, index int64) (*state, error) {
	if err := l.fault.Load(); err != nil {
		return nil, *err
	}
	st := l.newest.Load()
	if index < st.head.Tree.Size {
		return st, nil
	}
	st, err := l.refresh(ctx)
	if err != nil {
		return nil, err
	}
	if index >= st.head.Tree.Size {
		return nil, fmt.Errorf("entry %d: %w", index, ErrNotFound)
	}
	return st, nil
}

// Entry returns the entry at index with a promise and a proof, or ErrNotFound.
func (l *Log) Entry(ctx context.Context, index int64) (*ProvenEntry, error) {
	if index < 0 {
		return nil, fmt.Errorf("entry %d: %w", index, ErrNotFound)
	}
	st, err := l.covering(ctx, index)
	if err != nil {
		return nil, err
	}
	e, err := l.entry(ctx, index)
	if err != nil {
		return nil, err
	}
	proven, err := l.prove(ctx, st, e)
	if err != nil {
		return nil, err
	}
	if len(proven.Promise) == 0 {
		err = l.promise(&proven.Entry)
	}
	return proven, err
}

// prove adds a proof in the tree of st to an entry.
func (l *Log) prove(ctx context.Context, st *state, e Entry) (*ProvenEntry, error) {
	hashes, err := l.inclusion(ctx, st, e, st.head.Tree)
	if err != nil {
		return nil, err
	}
	return &ProvenEntry{Entry: e, Proof: Proof{Index: e.Index, Tree: st.head.Tree, Hashes: hashes, Checkpoint: st.head.Checkpoint, state: st}}, nil
}

// inclusion returns a proof of an entry in a tree that st continues, and
// verifies it: what is wrong in store or memory must not leave as if it were
// right.
func (l *Log) inclusion(ctx context.Context, st *state, e Entry, tree merkle.Tree) ([]merkle.Hash, error) {
	hashes, err := l.prover.Inclusion(ctx, st.edge, e.Index, tree.Size)
	if err != nil {
		return nil, err
	}
	if err := merkle.VerifyInclusion(e.Hash, e.Index, tree, hashes); err != nil {
		l.prover.Forget()
		l.entries.Remove(e.Index)
		return nil, fmt.Errorf("entry %d is not what the tree holds: %w", e.Index, err)
	}
	return hashes, nil
}

// Lookup is Entry for the leaf that has the given hash.
func (l *Log) Lookup(ctx context.Context, leaf merkle.Hash) (*ProvenEntry, error) {
	if index, ok := l.known.Get(leaf); ok {
		return l.Entry(ctx, index)
	}
	indexes, err := l.places.one(ctx, LeafKey(leaf))
	if err != nil {
		return nil, err
	}
	for after := int64(-1); ; {
		for _, index := range indexes {
			e, err := l.Entry(ctx, index)
			if err != nil {
				return nil, err
			}
			if e.Hash == leaf {
				l.known.Add(leaf, index)
				return e, nil
			}
			after = index
		}
		if len(indexes) < placesLimit {
			return nil, fmt.Errorf("leaf %v: %w", leaf, ErrNotFound)
		}
		// Somebody spent 2^64 hashes to get here.
		found, err := l.store.Find(ctx, []Key{LeafKey(leaf)}, after, placesLimit)
		if err != nil {
			return nil, fmt.Errorf("find leaf %v: %w", leaf, err)
		}
		indexes = found[0]
	}
}

// placesLimit is how many indexes of one key are read at first.
const placesLimit = 64

func (l *Log) loadPlaces(ctx context.Context, keys []Key) ([][]int64, error) {
	found, err := l.store.Find(ctx, keys, -1, placesLimit)
	if err != nil {
		return nil, fmt.Errorf("find %d keys: %w", len(keys), err)
	}
	return found, nil
}

// Attachment returns what is kept beside the entry at index, or ErrNotFound.
func (l *Log) Attachment(ctx context.Context, index int64) ([]byte, error) {
	if err := l.fault.Load(); err != nil {
		return nil, *err
	}
	b, err := l.store.Attachment(ctx, index)
	if err != nil {
		return nil, fmt.Errorf("read attachment of %d: %w", index, err)
	}
	return b, nil
}

// Consistency proves that the tree of size first is a prefix of the tree of
// size last, 1 ≤ first ≤ last, and returns the newest head beside. It fails
// with ErrOutOfRange if last is past the newest tree.
func (l *Log) Consistency(ctx context.Context, first, last int64) ([]merkle.Hash, Head, error) {
	st, err := l.refresh(ctx)
	if err != nil {
		return nil, Head{}, err
	}
	if first < 1 || first > last || last > st.head.Tree.Size {
		return nil, st.head, fmt.Errorf("consistency of %d and %d in %d: %w", first, last, st.head.Tree.Size, ErrOutOfRange)
	}
	older, err := l.tree(ctx, st, first)
	if err != nil {
		return nil, st.head, err
	}
	newer, err := l.tree(ctx, st, last)
	if err != nil {
		return nil, st.head, err
	}
	hashes, err := l.prover.Consistency(ctx, st.edge, first, last)
	if err != nil {
		return nil, st.head, err
	}
	if err := merkle.VerifyConsistency(older, newer, hashes); err != nil {
		l.prover.Forget()
		return nil, st.head, err
	}
	return hashes, st.head, nil
}

// tree returns the tree that the log had at a size of at least 1. That it
// leads to the signed tree of st is verified: roots and proofs that come from
// the same damaged tile would agree with each other.
func (l *Log) tree(ctx context.Context, st *state, size int64) (merkle.Tree, error) {
	if size == st.head.Tree.Size {
		return st.head.Tree, nil
	}
	root, err := l.prover.Root(ctx, st.edge, size)
	if err != nil {
		return merkle.Tree{}, err
	}
	t := merkle.Tree{Size: size, Root: root}
	hashes, err := l.prover.Consistency(ctx, st.edge, size, st.head.Tree.Size)
	if err != nil {
		return merkle.Tree{}, err
	}
	if err := merkle.VerifyConsistency(t, st.head.Tree, hashes); err != nil {
		l.prover.Forget()
		return merkle.Tree{}, fmt.Errorf("tiles do not lead to the newest tree: %w", err)
	}
	return t, nil
}

// entry returns the entry at index, which the log must have.
func (l *Log) entry(ctx context.Context, index int64) (Entry, error) {
	if e, ok := l.entries.Get(index); ok {
		return e, nil
	}
	return l.runs.one(ctx, index)
}

// loadRuns reads the segments that hold the indexes.
func (l *Log) loadRuns(ctx context.Context, indexes []int64) ([]Entry, error) {
	segments, err := l.store.SegmentsAt(ctx, indexes)
	if err != nil {
		// Not wrapped: the log has these entries, so it is not that they
		// were not found.
		return nil, fmt.Errorf("read segments: %v", err)
	}
	out := make([]Entry, len(indexes))
	for i, index := range indexes {
		at := slices.IndexFunc(segments, func(s Segment) bool { return s.Holds(index) })
		if at < 0 {
			return nil, fmt.Errorf("read segments: the store lost the one of entry %d", index)
		}
		if out[i], err = decodeEntry(segments[at], index); err != nil {
			return nil, err
		}
		l.keep(out[i])
	}
	return out, nil
}

// keep remembers an entry for the reads that follow.
func (l *Log) keep(e Entry) {
	if len(e.Body) <= keptBody {
		l.entries.Add(e.Index, e)
	}
}

// An edgeReader gives the partial tiles of the right edge, which a store does
// not keep: hashes of leaves from their segments, those above from the full
// tiles below them.
type edgeReader struct{ log *Log }

func (r *edgeReader) ReadTiles(ctx context.Context, tiles []merkle.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		var hashes []merkle.Hash
		var err error
		if t.Level == 0 {
			hashes, err = r.leaves(ctx, t.Index*merkle.TileWidth, t.Width)
		} else {
			hashes, err = r.roots(ctx, t)
		}
		if err != nil {
			return nil, err
		}
		row := make([]byte, 0, t.Width*merkle.HashSize)
		for _, h := range hashes {
			row = append(row, h[:]...)
		}
		out[i] = row
	}
	return out, nil
}

// leaves returns the hashes of count leaves from start on.
func (r *edgeReader) leaves(ctx context.Context, start int64, count int) ([]merkle.Hash, error) {
	hashes := make([]merkle.Hash, 0, count)
	for len(hashes) < count {
		next := start + int64(len(hashes))
		segments, err := r.log.store.SegmentsFrom(ctx, next, 64)
		if err != nil {
			return nil, fmt.Errorf("read segments from %d: %w", next, err)
		}
		before := len(hashes)
		for _, s := range segments {
			entries, err := DecodeSegment(s)
			if err != nil {
				return nil, err
			}
			for _, e := range entries {
				if e.Index == start+int64(len(hashes)) && len(hashes) < count {
					hashes = append(hashes, e.Hash)
				}
			}
		}
		if len(hashes) == before {
			return nil, fmt.Errorf("read leaf %d: %w", next, ErrNotFound)
		}
	}
	return hashes, nil
}

// roots returns the hashes of a tile above level 0: the roots of full tiles below.
func (r *edgeReader) roots(ctx context.Context, t merkle.Tile) ([]merkle.Hash, error) {
	below := make([]merkle.Tile, t.Width)
	for i := range below {
		below[i] = merkle.Tile{Level: t.Level - 1, Index: t.Index*merkle.TileWidth + int64(i), Width: merkle.TileWidth}
	}
	rows, err := r.log.store.ReadTiles(ctx, below)
	if err != nil {
		return nil, fmt.Errorf("read tiles below %v: %w", t, err)
	}
	hashes := make([]merkle.Hash, len(rows))
	for i, row := range rows {
		if hashes[i], err = merkle.TileRoot(row); err != nil {
			return nil, fmt.Errorf("tile %v: %w", below[i], err)
		}
	}
	return hashes, nil
}

// tileLoader reads full tiles for many callers at once.
type tileLoader struct {
	loader[merkle.Tile, []byte]
}

func newTileLoader(s Store, stop <-chan struct{}) *tileLoader {
	return &tileLoader{loader[merkle.Tile, []byte]{load: s.ReadTiles, maxKeys: 64, atOnce: 2, timeout: storeTimeout, stop: stop}}
}

func (t *tileLoader) ReadTiles(ctx context.Context, tiles []merkle.Tile) ([][]byte, error) {
	return t.many(ctx, tiles)
}

package log

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cairnlog/cairn/merkle"
)

// Tile returns the hashes of a tile, full or partial, side by side: the
// caller's to keep. That they lead to the newest tree has been verified. It
// fails with ErrNotFound if the tree has no such tile yet, or not as wide.
func (l *Log) Tile(ctx context.Context, t merkle.Tile) ([]byte, error) {
	st, err := l.withTile(ctx, t)
	if err != nil {
		return nil, err
	}
	return l.row(ctx, st, t)
}

// row returns the hashes of a tile that the tree of st has.
func (l *Log) row(ctx context.Context, st *state, t merkle.Tile) ([]byte, error) {
	row, err := l.prover.Tile(ctx, st.edge, t)
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("the store lost a tile: %v", err) // not that there is none
	}
	return row, err
}

// withTile returns a state whose tree has the tile or the bundle.
func (l *Log) withTile(ctx context.Context, t merkle.Tile) (*state, error) {
	level := max(t.Level, 0)
	if t.Index < 0 || t.Width < 1 || t.Width > merkle.TileWidth {
		return nil, fmt.Errorf("%v: %w", t, ErrNotFound)
	}
	// Its last hash stands for the leaves up to this index.
	shift := merkle.TileHeight * level
	if shift >= 63 || t.Index > (1<<63-1)>>(shift+merkle.TileHeight)-1 {
		return nil, fmt.Errorf("%v: %w", t, ErrNotFound)
	}
	last := (t.Index*merkle.TileWidth+int64(t.Width))<<shift - 1
	st, err := l.covering(ctx, last)
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("%v: %w", t, ErrNotFound)
	}
	return st, err
}

// EntryBundle returns the first width leaves of the bundle number n in the
// form of C2SP: two bytes of length, big-endian, and the leaf. A bundle has
// merkle.TileWidth leaves. That the tree has these leaves has been verified.
// It fails with ErrNotFound if there are not as many yet.
func (l *Log) EntryBundle(ctx context.Context, n int64, width int) ([]byte, error) {
	t := merkle.Tile{Level: merkle.Entries, Index: n, Width: width}
	st, err := l.withTile(ctx, t)
	if err != nil {
		return nil, err
	}
	t.Level = 0
	row, err := l.row(ctx, st, t)
	if err != nil {
		return nil, err
	}
	var bundle []byte
	add := func(i int, body []byte, hash merkle.Hash) error {
		if merkle.Hash(row[i*merkle.HashSize:]) != hash {
			return fmt.Errorf("entry %d is not what the tree holds", n*merkle.TileWidth+int64(i))
		}
		bundle = binary.BigEndian.AppendUint16(bundle, uint16(len(body)))
		bundle = append(bundle, body...)
		return nil
	}
	for done := 0; done < width; {
		index := n*merkle.TileWidth + int64(done)
		// What was committed last is at hand.
		if e, ok := l.entries.Peek(index); ok {
			if err := add(done, e.Body, e.Hash); err != nil {
				return nil, err
			}
			done++
			continue
		}
		segments, err := l.store.SegmentsFrom(ctx, index, bundleSegments)
		if err != nil {
			return nil, fmt.Errorf("read segments from %d: %v", index, err)
		}
		before := done
		for _, s := range segments {
			entries, err := DecodeSegment(s)
			if err != nil {
				return nil, err
			}
			for _, r := range entries {
				if r.Index != n*merkle.TileWidth+int64(done) || done == width {
					continue
				}
				if err := add(done, r.Body, r.Hash); err != nil {
					return nil, err
				}
				done++
			}
		}
		if done == before {
			return nil, fmt.Errorf("read segments: the store lost the one of entry %d", index)
		}
	}
	return bundle, nil
}

// bundleSegments is how many segments are read at once for a bundle, of at
// most 7,900 bytes each unless they are a single large entry.
const bundleSegments = 64

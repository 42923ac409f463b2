package merkle

import (
	"context"
	"fmt"
)

// A MissingTileError means that a tree has no such tile yet, or not as wide.
type MissingTileError struct {
	Tile Tile
	Size int64
}

func (e *MissingTileError) Error() string {
	return fmt.Sprintf("a tree of size %d has no tile %v", e.Size, e.Tile)
}

// Tile returns the hashes of a tile, full or partial, side by side, after it
// has verified that they lead to the tree of the edge. A partial tile is a
// prefix of the full one, so it is to be had for good. It fails with a
// MissingTileError, or with a RootError if what was read is damaged.
func (p *Prover) Tile(ctx context.Context, e *Edge, t Tile) ([]byte, error) {
	if t.Level < 0 || t.Level >= len(e.levels) || t.Index < 0 || t.Width < 1 || t.Width > TileWidth ||
		t.Index > fullTiles(e.size, t.Level) ||
		t.Index == fullTiles(e.size, t.Level) && t.Width > e.levels[t.Level].width() {
		return nil, &MissingTileError{t, e.size}
	}
	if t.Index == fullTiles(e.size, t.Level) {
		return e.levels[t.Level].row(t.Width), nil
	}
	x, err := p.full(ctx, e, t.Level, t.Index)
	if err != nil {
		return nil, err
	}
	// The hash that stands for a full tile is in the one above, up to one of
	// the edge, which has the root of the tree.
	below := x
	for level, index := t.Level, t.Index; ; level, index = level+1, index>>TileHeight {
		above, at := e.levels[level+1], index%TileWidth
		edge := index>>TileHeight == fullTiles(e.size, level+1)
		if !edge {
			if above, err = p.full(ctx, e, level+1, index>>TileHeight); err != nil {
				return nil, err
			}
		}
		if have, want := below.at[TileHeight][0], above.at[0][at]; have != want {
			p.Forget()
			return nil, fmt.Errorf("tile %v: %w", Tile{Level: level, Index: index, Width: TileWidth}, &RootError{Size: e.size, Want: want, Have: have})
		}
		if edge {
			return x.row(t.Width), nil
		}
		below = above
	}
}

// full returns a full tile of the edge's tree.
func (p *Prover) full(ctx context.Context, e *Edge, level int, index int64) (*expanded, error) {
	if x, ok := p.cache.Get(tileID{level, index}); ok {
		return x, nil
	}
	read, err := p.read(ctx, []Tile{{Level: level, Index: index, Width: TileWidth}})
	if err != nil {
		return nil, err
	}
	return read[tileID{level, index}], nil
}

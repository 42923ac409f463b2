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
	x, err := p.full(ctx, t.Level, t.Index)
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
			if above, err = p.full(ctx, level+1, index>>TileHeight); err != nil {
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

// full returns a full tile of a tree that has it. However many ask for one at the
// same time, it is read once.
func (p *Prover) full(ctx context.Context, level int, index int64) (*expanded, error) {
	id := tileID{level, index}
	if x, ok := p.cache.Get(id); ok {
		return x, nil
	}
	t := Tile{Level: level, Index: index, Width: TileWidth}
	read := p.reads.DoChan(t.Path(), func() (any, error) {
		if x, ok := p.cache.Get(id); ok { // since we looked
			return x, nil
		}
		// Others wait for it as well, so it does not end with ctx.
		read, err := p.read(context.WithoutCancel(ctx), []Tile{t})
		if err != nil {
			return nil, err
		}
		return read[id], nil
	})
	select {
	case r := <-read:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*expanded), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

package merkle

import (
	"context"
	"fmt"
	"slices"

	"github.com/transparency-dev/merkle/compact"
)

// An expanded tile is a tile with all perfect subtrees inside it:
// at[h][i] is the root over its hashes i<<h up to (i+1)<<h.
type expanded struct {
	at [TileHeight + 1][]Hash
}

// append adds one hash and the parents that it completes.
func (x *expanded) append(h Hash) {
	for height := 0; ; height++ {
		if x.at[height] == nil {
			x.at[height] = make([]Hash, 0, TileWidth>>height)
		}
		x.at[height] = append(x.at[height], h)
		n := len(x.at[height])
		if n%2 != 0 || height == TileHeight {
			return
		}
		h = HashChildren(x.at[height][n-2], x.at[height][n-1])
	}
}

func (x *expanded) width() int { return len(x.at[0]) }

// row returns the first width hashes of the tile, side by side.
func (x *expanded) row(width int) []byte {
	b := make([]byte, 0, width*HashSize)
	for i := range x.at[0][:width] {
		b = append(b, x.at[0][i][:]...)
	}
	return b
}

func (x *expanded) clone() *expanded {
	c := new(expanded)
	for h, row := range x.at {
		if row != nil {
			c.at[h] = append(make([]Hash, 0, TileWidth>>h), row...)
		}
	}
	return c
}

func expand(row []byte) (*expanded, error) {
	if len(row)%HashSize != 0 || len(row) > TileWidth*HashSize {
		return nil, fmt.Errorf("tile of %d bytes", len(row))
	}
	x := new(expanded)
	for i := 0; i < len(row); i += HashSize {
		x.append(Hash(row[i : i+HashSize]))
	}
	return x, nil
}

// An Edge is the right edge of a tree: at each tile level the tile that is
// not full yet. With it a tree grows without reading what is already there.
//
// An Edge may be read by many as long as nobody appends to it; to go on from
// a shared one, Clone it.
type Edge struct {
	size   int64
	levels []*expanded // none is full
	root   Hash
	stale  bool // root is not that of size
}

// NewEdge returns the edge of the empty tree.
func NewEdge() *Edge { return &Edge{root: EmptyRoot} }

// Size returns the number of leaves of the tree.
func (e *Edge) Size() int64 { return e.size }

// Clone returns an independent copy, of about 16 KiB a tile level.
func (e *Edge) Clone() *Edge {
	c := &Edge{size: e.size, root: e.root, stale: e.stale, levels: make([]*expanded, len(e.levels))}
	for i, x := range e.levels {
		c.levels[i] = x.clone()
	}
	return c
}

// A Grown tile is one that an Append made full.
type Grown struct {
	Tile Tile
	x    *expanded
}

// Data returns the hashes of the tile side by side.
func (g Grown) Data() []byte { return g.x.row(TileWidth) }

// Append adds leaf hashes and returns the tiles that became full, lower
// levels first for each leaf.
func (e *Edge) Append(hashes ...Hash) []Grown {
	var grown []Grown
	for _, h := range hashes {
		index := e.size
		e.size++
		for level := 0; ; level++ {
			if level == len(e.levels) {
				e.levels = append(e.levels, new(expanded))
			}
			x := e.levels[level]
			x.append(h)
			if x.width() < TileWidth {
				break
			}
			index >>= TileHeight
			grown = append(grown, Grown{Tile: Tile{Level: level, Index: index, Width: TileWidth}, x: x})
			e.levels[level] = new(expanded)
			h = x.at[TileHeight][0]
		}
	}
	e.stale = true
	return grown
}

// Tree returns the size and root of the tree. The first call after an Append
// computes the root and must not run beside other calls on e.
func (e *Edge) Tree() Tree {
	if e.stale {
		if e.size == 0 {
			e.root = EmptyRoot
		} else {
			// Fold the perfect subtrees from right to left.
			ids := compact.RangeNodes(0, uint64(e.size), nil)
			h := e.node(ids[len(ids)-1].Level, ids[len(ids)-1].Index)
			for _, id := range slices.Backward(ids[:len(ids)-1]) {
				h = HashChildren(e.node(id.Level, id.Index), h)
			}
			e.root = h
		}
		e.stale = false
	}
	return Tree{Size: e.size, Root: e.root}
}

// node returns a perfect subtree that lies in a tile of the edge.
func (e *Edge) node(level uint, index uint64) Hash {
	height := level % TileHeight
	return e.levels[level/TileHeight].at[height][index&(TileWidth>>height-1)]
}

// fullTiles returns how many tiles of a level are full in a tree of size leaves.
func fullTiles(size int64, level int) int64 { return size >> (TileHeight * (level + 1)) }

// LoadEdge reads the edge of a tree from its partial tiles and checks that it
// has the tree's root.
func LoadEdge(ctx context.Context, r TileReader, t Tree) (*Edge, error) {
	e := &Edge{size: t.Size, root: EmptyRoot}
	var tiles []Tile
	for level := 0; t.Size>>(TileHeight*level) > 0; level++ {
		e.levels = append(e.levels, new(expanded))
		if w := int(t.Size >> (TileHeight * level) % TileWidth); w > 0 {
			tiles = append(tiles, Tile{Level: level, Index: fullTiles(t.Size, level), Width: w})
		}
	}
	if len(tiles) > 0 {
		rows, err := r.ReadTiles(ctx, tiles)
		if err != nil {
			return nil, fmt.Errorf("read edge of tree of size %d: %w", t.Size, err)
		}
		for i, row := range rows {
			if len(row) != tiles[i].Width*HashSize {
				return nil, fmt.Errorf("read edge: tile %v has %d bytes", tiles[i], len(row))
			}
			if e.levels[tiles[i].Level], err = expand(row); err != nil {
				return nil, fmt.Errorf("read edge: %w", err)
			}
		}
		e.stale = true
	}
	if got := e.Tree(); got != t {
		return nil, &RootError{Size: t.Size, Want: t.Root, Have: got.Root}
	}
	return e, nil
}

// A RootError means that hashes do not lead to the root they should.
type RootError struct {
	Size       int64
	Want, Have Hash
}

func (e *RootError) Error() string {
	return fmt.Sprintf("tree of size %d has root %v by its hashes, but should have %v", e.Size, e.Have, e.Want)
}

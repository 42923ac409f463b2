package merkle

import (
	"context"
	"fmt"
	"slices"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/sync/singleflight"
)

// A Prover makes proofs from tiles. Full tiles never change, so those it has
// read it keeps, up to a number; a partial tile it takes from the edge that
// each call brings along.
type Prover struct {
	tiles TileReader
	cache *lru.Cache[tileID, *expanded]
	reads singleflight.Group // of full tiles for Tile
}

type tileID struct {
	level int
	index int64
}

// NewProver returns a Prover that keeps up to keep full tiles, of 16 KiB each.
func NewProver(tiles TileReader, keep int) *Prover {
	c, err := lru.New[tileID, *expanded](max(keep, 1))
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &Prover{tiles: tiles, cache: c}
}

// Keep takes tiles that have just become full and are in the log for good.
func (p *Prover) Keep(grown []Grown) {
	for _, g := range grown {
		p.cache.Add(tileID{g.Tile.Level, g.Tile.Index}, g.x)
	}
}

// Forget drops all tiles that were kept, after one has turned out to be wrong.
func (p *Prover) Forget() { p.cache.Purge() }

// Inclusion returns the hashes, leaf to root, that prove the leaf at index in
// the tree of the given size, at most that of the edge.
// https://www.rfc-editor.org/rfc/rfc6962#section-2.1.1
func (p *Prover) Inclusion(ctx context.Context, e *Edge, index, size int64) ([]Hash, error) {
	if index < 0 || index >= size || size > e.size {
		return nil, fmt.Errorf("prove inclusion of %d in %d: tree has %d leaves", index, size, e.size)
	}
	n, err := proof.Inclusion(uint64(index), uint64(size))
	if err != nil {
		return nil, fmt.Errorf("prove inclusion of %d in %d: %w", index, size, err)
	}
	return p.prove(ctx, e, n)
}

// Consistency returns the hashes that prove that the tree of size first is a
// prefix of the tree of size second, 0 < first ≤ second.
// https://www.rfc-editor.org/rfc/rfc6962#section-2.1.2
func (p *Prover) Consistency(ctx context.Context, e *Edge, first, second int64) ([]Hash, error) {
	if first < 1 || first > second || second > e.size {
		return nil, fmt.Errorf("prove consistency of %d and %d: tree has %d leaves", first, second, e.size)
	}
	n, err := proof.Consistency(uint64(first), uint64(second))
	if err != nil {
		return nil, fmt.Errorf("prove consistency of %d and %d: %w", first, second, err)
	}
	return p.prove(ctx, e, n)
}

func (p *Prover) prove(ctx context.Context, e *Edge, n proof.Nodes) ([]Hash, error) {
	hashes, err := p.nodes(ctx, e, n.IDs)
	if err != nil {
		return nil, err
	}
	rows := make([][]byte, len(hashes))
	for i := range hashes {
		rows[i] = hashes[i][:]
	}
	rows, err = n.Rehash(rows, rfc6962.DefaultHasher.HashChildren)
	if err != nil {
		return nil, fmt.Errorf("rehash proof: %w", err)
	}
	out := make([]Hash, len(rows))
	for i, r := range rows {
		out[i] = Hash(r)
	}
	return out, nil
}

// Root returns the root of the tree of the given size, at most that of the edge.
func (p *Prover) Root(ctx context.Context, e *Edge, size int64) (Hash, error) {
	if size < 0 || size > e.size {
		return Hash{}, fmt.Errorf("root of %d: tree has %d leaves", size, e.size)
	}
	if size == 0 {
		return EmptyRoot, nil
	}
	hashes, err := p.nodes(ctx, e, compact.RangeNodes(0, uint64(size), nil))
	if err != nil {
		return Hash{}, err
	}
	root := hashes[len(hashes)-1]
	for _, h := range slices.Backward(hashes[:len(hashes)-1]) {
		root = HashChildren(h, root)
	}
	return root, nil
}

// LeafHashes returns the leaf hash at each index.
func (p *Prover) LeafHashes(ctx context.Context, e *Edge, indexes []int64) ([]Hash, error) {
	ids := make([]compact.NodeID, len(indexes))
	for i, index := range indexes {
		if index < 0 || index >= e.size {
			return nil, fmt.Errorf("leaf hash of %d: tree has %d leaves", index, e.size)
		}
		ids[i] = compact.NewNodeID(0, uint64(index))
	}
	return p.nodes(ctx, e, ids)
}

// nodes returns perfect subtrees of the edge's tree, reading the full tiles
// that it does not have in one call.
func (p *Prover) nodes(ctx context.Context, e *Edge, ids []compact.NodeID) ([]Hash, error) {
	hashes := make([]Hash, len(ids))
	var missing []Tile
	var absent []int // positions in ids of what is in the missing tiles
	for i, id := range ids {
		level := int(id.Level / TileHeight)
		height := id.Level % TileHeight
		tile := int64(id.Index >> (TileHeight - height))
		if tile >= fullTiles(e.size, level) {
			hashes[i] = e.node(id.Level, id.Index)
			continue
		}
		if x, ok := p.cache.Get(tileID{level, tile}); ok {
			hashes[i] = x.at[height][id.Index&(TileWidth>>height-1)]
			continue
		}
		t := Tile{Level: level, Index: tile, Width: TileWidth}
		if !slices.Contains(missing, t) {
			missing = append(missing, t)
		}
		absent = append(absent, i)
	}
	if len(missing) == 0 {
		return hashes, nil
	}
	read, err := p.read(ctx, missing)
	if err != nil {
		return nil, err
	}
	for _, i := range absent {
		id := ids[i]
		height := id.Level % TileHeight
		x := read[tileID{int(id.Level / TileHeight), int64(id.Index >> (TileHeight - height))}]
		hashes[i] = x.at[height][id.Index&(TileWidth>>height-1)]
	}
	return hashes, nil
}

// read reads full tiles and keeps them.
func (p *Prover) read(ctx context.Context, tiles []Tile) (map[tileID]*expanded, error) {
	rows, err := p.tiles.ReadTiles(ctx, tiles)
	if err != nil {
		return nil, fmt.Errorf("read tiles: %w", err)
	}
	read := make(map[tileID]*expanded, len(rows))
	for i, row := range rows {
		if len(row) != TileWidth*HashSize {
			return nil, fmt.Errorf("read tile %v: %d bytes", tiles[i], len(row))
		}
		x, err := expand(row)
		if err != nil {
			return nil, fmt.Errorf("read tile %v: %w", tiles[i], err)
		}
		id := tileID{tiles[i].Level, tiles[i].Index}
		read[id] = x
		p.cache.Add(id, x)
	}
	return read, nil
}

// TileRoot returns the root over the hashes of a full tile, which is the hash
// that stands for it one level up.
func TileRoot(row []byte) (Hash, error) {
	if len(row) != TileWidth*HashSize {
		return Hash{}, fmt.Errorf("full tile of %d bytes", len(row))
	}
	x, err := expand(row)
	if err != nil {
		return Hash{}, err
	}
	return x.at[TileHeight][0], nil
}

package merkle_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/cairnlog/cairn/merkle"
)

// TestTiles compares every tile with the tree as it is defined, at sizes where
// a level begins or ends.
func TestTiles(t *testing.T) {
	t.Parallel()
	f := plant(256*256 + 2*256 + 3)
	for _, size := range []int{1, 255, 256, 257, 1000, 65535, 65536, 65537, len(f)} {
		f := f[:size]
		e, _ := grow(f)
		p := merkle.NewProver(full{f}, 8)
		for level := range 4 {
			span := 1
			for range level {
				span *= merkle.TileWidth
			}
			hashes := size / span // of this level
			for index := 0; index <= hashes/merkle.TileWidth; index += max(1, hashes/merkle.TileWidth/3) {
				for _, width := range []int{1, 2, 7, 128, 255, 256} {
					tile := merkle.Tile{Level: level, Index: int64(index), Width: width}
					row, err := p.Tile(t.Context(), e, tile)
					if index*merkle.TileWidth+width > hashes {
						var missing *merkle.MissingTileError
						if !errors.As(err, &missing) {
							t.Fatalf("size %d: tile %v: %v", size, tile, err)
						}
						continue
					}
					if err != nil {
						t.Fatalf("size %d: %v", size, err)
					}
					want, err := f.ReadTiles(t.Context(), []merkle.Tile{tile})
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(row, want[0]) {
						t.Fatalf("size %d: tile %v is another", size, tile)
					}
				}
			}
		}
	}
}

func TestNoSuchTile(t *testing.T) {
	t.Parallel()
	f := plant(300)
	e, _ := grow(f)
	p := merkle.NewProver(full{f}, 8)
	for name, tile := range map[string]merkle.Tile{
		"negative level":  {Level: -1, Index: 0, Width: 1},
		"level too high":  {Level: 2, Index: 0, Width: 1},
		"highest level":   {Level: 63, Index: 0, Width: 1},
		"negative number": {Level: 0, Index: -1, Width: 1},
		"number too high": {Level: 0, Index: 2, Width: 1},
		"highest number":  {Level: 0, Index: 1<<63 - 1, Width: 256},
		"width 0":         {Level: 0, Index: 0, Width: 0},
		"width 257":       {Level: 0, Index: 0, Width: 257},
		"too wide":        {Level: 0, Index: 1, Width: 45},
		"too wide above":  {Level: 1, Index: 0, Width: 2},
	} {
		var missing *merkle.MissingTileError
		if _, err := p.Tile(t.Context(), e, tile); !errors.As(err, &missing) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A damaged log has one hash of one full tile wrong.
type damaged struct {
	rows map[merkle.Tile][]byte
	tile merkle.Tile
	at   int
}

func (d damaged) ReadTiles(_ context.Context, tiles []merkle.Tile) ([][]byte, error) {
	rows := make([][]byte, len(tiles))
	for i, t := range tiles {
		rows[i] = d.rows[t]
		if t == d.tile {
			rows[i] = bytes.Clone(rows[i])
			rows[i][d.at*merkle.HashSize] ^= 1
		}
	}
	return rows, nil
}

// TestDamagedTiles wants that no hash leaves that does not lead to the root.
func TestDamagedTiles(t *testing.T) {
	t.Parallel()
	f := plant(256*256 + 600)
	e, grown := grow(f)
	rows := make(map[merkle.Tile][]byte)
	for _, g := range grown {
		rows[g.Tile] = g.Data()
	}
	rapid.Check(t, func(t *rapid.T) {
		bad := merkle.Tile{Level: rapid.IntRange(0, 1).Draw(t, "level"), Width: merkle.TileWidth}
		if bad.Level == 0 {
			bad.Index = rapid.Int64Range(0, 257).Draw(t, "index")
		}
		asked := bad
		if bad.Level == 1 {
			asked = merkle.Tile{Level: 0, Index: rapid.Int64Range(0, 255).Draw(t, "asked"), Width: merkle.TileWidth}
		}
		d := damaged{rows, bad, rapid.IntRange(0, 255).Draw(t, "at")}
		p := merkle.NewProver(d, 8)
		for range 2 { // the second one must not find it in memory
			_, err := p.Tile(context.Background(), e, asked)
			var root *merkle.RootError
			if !errors.As(err, &root) {
				t.Fatalf("%v with a wrong hash in %v: %v", asked, bad, err)
			}
		}
	})
}

// A counted log counts what is read from it, and keeps readers waiting.
type counted struct {
	full
	reads atomic.Int64
	hold  chan struct{}
}

func (c *counted) ReadTiles(ctx context.Context, tiles []merkle.Tile) ([][]byte, error) {
	c.reads.Add(int64(len(tiles)))
	<-c.hold
	return c.full.ReadTiles(ctx, tiles)
}

// TestTileHerd has many ask for a tile that is not in memory: it is read once,
// also if who asked first has gone.
func TestTileHerd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := plant(600)
		e, _ := grow(f)
		c := &counted{full: full{f}, hold: make(chan struct{})}
		p := merkle.NewProver(c, 8)
		first, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				ctx := t.Context()
				if i < 10 {
					ctx = first
				}
				_, err := p.Tile(ctx, e, merkle.Tile{Level: 0, Index: 1, Width: 256})
				if (err != nil) != (i < 10) {
					t.Errorf("reader %d: %v", i, err)
				}
			})
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		close(c.hold)
		wg.Wait()
		if _, err := p.Tile(t.Context(), e, merkle.Tile{Level: 0, Index: 1, Width: 9}); err != nil {
			t.Error(err)
		}
		if n := c.reads.Load(); n != 1 {
			t.Errorf("one tile was read %d times", n)
		}
	})
}

func BenchmarkTile(b *testing.B) {
	f := plant(256*256 + 600)
	e, grown := grow(f)
	p := merkle.NewProver(full{f}, 1000)
	p.Keep(grown)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Tile(b.Context(), e, merkle.Tile{Level: 0, Index: 77, Width: 256}); err != nil {
			b.Fatal(err)
		}
	}
}

package merkle_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"pgregory.net/rapid"

	"github.com/cairnlog/cairn/merkle"
)

// A forest is all of a tree that the tests need, made the slow way: the
// definition of RFC 6962 section 2.1, without tiles.
type forest []merkle.Hash

func plant(n int) forest {
	f := make(forest, n)
	for i := range f {
		f[i] = merkle.HashLeaf(binary.BigEndian.AppendUint64(nil, uint64(i)))
	}
	return f
}

func (f forest) root() merkle.Hash {
	switch len(f) {
	case 0:
		return merkle.EmptyRoot
	case 1:
		return f[0]
	}
	k := 1
	for 2*k < len(f) {
		k *= 2
	}
	return merkle.HashChildren(f[:k].root(), f[k:].root())
}

func (f forest) tree() merkle.Tree { return merkle.Tree{Size: int64(len(f)), Root: f.root()} }

// ReadTiles serves tiles as a log does over HTTP, partial ones too.
func (f forest) ReadTiles(_ context.Context, tiles []merkle.Tile) ([][]byte, error) {
	var out [][]byte
	for _, t := range tiles {
		span := 1
		for range t.Level {
			span *= merkle.TileWidth
		}
		var row []byte
		for i := range t.Width {
			start := (int(t.Index)*merkle.TileWidth + i) * span
			if start+span > len(f) {
				return nil, fmt.Errorf("no tile %v in a tree of size %d", t, len(f))
			}
			h := f[start : start+span].root()
			row = append(row, h[:]...)
		}
		out = append(out, row)
	}
	return out, nil
}

// full refuses partial tiles, as a store does.
type full struct{ forest }

func (f full) ReadTiles(ctx context.Context, tiles []merkle.Tile) ([][]byte, error) {
	for _, t := range tiles {
		if t.Width != merkle.TileWidth {
			return nil, fmt.Errorf("asked for partial tile %v", t)
		}
	}
	return f.forest.ReadTiles(ctx, tiles)
}

func grow(f forest) (*merkle.Edge, []merkle.Grown) {
	e := merkle.NewEdge()
	return e, e.Append(f...)
}

func TestEdgeRoot(t *testing.T) {
	t.Parallel()
	f := plant(1100)
	e := merkle.NewEdge()
	for n := range f {
		if got, want := e.Tree(), f[:n].tree(); got != want {
			t.Fatalf("size %d: have %v, want %v", n, got, want)
		}
		e.Append(f[n])
	}
}

func TestGrownTiles(t *testing.T) {
	t.Parallel()
	f := plant(256*256 + 300)
	_, grown := grow(f)
	var level0, level1 int
	for _, g := range grown {
		want, err := f.ReadTiles(t.Context(), []merkle.Tile{g.Tile})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want[0], g.Data()); diff != "" {
			t.Fatalf("tile %v: %s", g.Tile, diff)
		}
		switch g.Tile.Level {
		case 0:
			level0++
		case 1:
			level1++
		}
	}
	if level0 != 257 || level1 != 1 || len(grown) != 258 {
		t.Errorf("grew %d tiles of level 0 and %d of level 1, %d in all", level0, level1, len(grown))
	}
}

func TestCloneIsIndependent(t *testing.T) {
	t.Parallel()
	f := plant(600)
	base, _ := grow(f[:250])
	a, b := base.Clone(), base.Clone()
	a.Append(f[250:600]...)
	b.Append(f[300:310]...)
	if got, want := a.Tree(), f.tree(); got != want {
		t.Errorf("a: have %v, want %v", got, want)
	}
	if got, want := b.Tree(), append(f[:250:250], f[300:310]...).tree(); got != want {
		t.Errorf("b: have %v, want %v", got, want)
	}
	if got, want := base.Tree(), f[:250].tree(); got != want {
		t.Errorf("base: have %v, want %v", got, want)
	}
}

func TestLoadEdge(t *testing.T) {
	t.Parallel()
	f := plant(66000)
	for _, n := range []int{0, 1, 2, 255, 256, 257, 511, 512, 65535, 65536, 65537, 66000} {
		e, err := merkle.LoadEdge(t.Context(), f, f[:n].tree())
		if err != nil {
			t.Fatalf("size %d: %v", n, err)
		}
		e.Append(f[n:min(n+300, len(f))]...)
		if got, want := e.Tree(), f[:min(n+300, len(f))].tree(); got != want {
			t.Errorf("grown from %d: have %v, want %v", n, got, want)
		}
	}

	wrong := f[:300].tree()
	wrong.Root[0] ^= 1
	var re *merkle.RootError
	if _, err := merkle.LoadEdge(t.Context(), f, wrong); !errors.As(err, &re) {
		t.Errorf("wrong root: have %v, want a RootError", err)
	}
	if _, err := merkle.LoadEdge(t.Context(), f[:100], f[:300].tree()); err == nil {
		t.Error("missing tile: no error")
	}
}

// TestProofsOfSmallTrees proves every index and every pair of sizes.
func TestProofsOfSmallTrees(t *testing.T) {
	t.Parallel()
	f := plant(40)
	for n := 1; n <= len(f); n++ {
		e, _ := grow(f)
		p := merkle.NewProver(full{f}, 8)
		tree := f[:n].tree()
		for i := range n {
			hashes, err := p.Inclusion(t.Context(), e, int64(i), int64(n))
			if err != nil {
				t.Fatal(err)
			}
			if err := merkle.VerifyInclusion(f[i], int64(i), tree, hashes); err != nil {
				t.Fatal(err)
			}
			if err := merkle.VerifyInclusion(f[(i+1)%len(f)], int64(i), tree, hashes); err == nil {
				t.Fatalf("size %d, index %d: another leaf verifies", n, i)
			}
		}
		for m := 1; m <= n; m++ {
			hashes, err := p.Consistency(t.Context(), e, int64(m), int64(n))
			if err != nil {
				t.Fatal(err)
			}
			if err := merkle.VerifyConsistency(f[:m].tree(), tree, hashes); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestProofsOfLargeTrees takes random places of a tree of three levels, with
// a cache too small for it.
func TestProofsOfLargeTrees(t *testing.T) {
	t.Parallel()
	f := plant(70000)
	e, grown := grow(f)
	p := merkle.NewProver(full{f}, 4)
	p.Keep(grown[:2])
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		n := rapid.Int64Range(1, int64(len(f))).Draw(t, "size")
		i := rapid.Int64Range(0, n-1).Draw(t, "index")
		m := rapid.Int64Range(1, n).Draw(t, "older")
		root, err := p.Root(ctx, e, n)
		if err != nil {
			t.Fatal(err)
		}
		tree := merkle.Tree{Size: n, Root: root}
		hashes, err := p.Inclusion(ctx, e, i, n)
		if err != nil {
			t.Fatal(err)
		}
		if err := merkle.VerifyInclusion(f[i], i, tree, hashes); err != nil {
			t.Fatal(err)
		}
		older, err := p.Root(ctx, e, m)
		if err != nil {
			t.Fatal(err)
		}
		if hashes, err = p.Consistency(ctx, e, m, n); err != nil {
			t.Fatal(err)
		}
		if err := merkle.VerifyConsistency(merkle.Tree{Size: m, Root: older}, tree, hashes); err != nil {
			t.Fatal(err)
		}
		leaves, err := p.LeafHashes(ctx, e, []int64{i, n - 1})
		if err != nil {
			t.Fatal(err)
		}
		if leaves[0] != f[i] || leaves[1] != f[n-1] {
			t.Fatal("wrong leaf hashes")
		}
	})
	for _, n := range []int{1, 256, 257, 65536, 70000} {
		root, err := p.Root(t.Context(), e, int64(n))
		if err != nil {
			t.Fatal(err)
		}
		if want := f[:n].root(); root != want {
			t.Errorf("root of %d: have %v, want %v", n, root, want)
		}
	}
}

func TestProverRefuses(t *testing.T) {
	t.Parallel()
	f := plant(10)
	e, _ := grow(f)
	p := merkle.NewProver(full{f}, 1)
	ctx := t.Context()
	for name, do := range map[string]func() error{
		"index at size":       func() error { _, err := p.Inclusion(ctx, e, 5, 5); return err },
		"negative index":      func() error { _, err := p.Inclusion(ctx, e, -1, 5); return err },
		"size past the edge":  func() error { _, err := p.Inclusion(ctx, e, 1, 11); return err },
		"consistency from 0":  func() error { _, err := p.Consistency(ctx, e, 0, 5); return err },
		"consistency falling": func() error { _, err := p.Consistency(ctx, e, 6, 5); return err },
		"root past the edge":  func() error { _, err := p.Root(ctx, e, 11); return err },
		"leaf past the edge":  func() error { _, err := p.LeafHashes(ctx, e, []int64{10}); return err },
	} {
		if do() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestVerifyConsistencyOfEmptyTree(t *testing.T) {
	t.Parallel()
	f := plant(3)
	empty := merkle.Tree{Root: merkle.EmptyRoot}
	if err := merkle.VerifyConsistency(empty, f.tree(), nil); err != nil {
		t.Error(err)
	}
	if err := merkle.VerifyConsistency(empty, f.tree(), []merkle.Hash{f[0]}); err == nil {
		t.Error("proof from the empty tree with a hash verifies")
	}
	if err := merkle.VerifyConsistency(merkle.Tree{Root: f[0]}, f.tree(), nil); err == nil {
		t.Error("empty tree with a root of its own verifies")
	}
	if err := merkle.VerifyConsistency(f.tree(), f[:2].tree(), nil); err == nil {
		t.Error("shrinking tree verifies")
	}
}

func TestParseHash(t *testing.T) {
	t.Parallel()
	h := plant(1)[0]
	if got, err := merkle.ParseHash(h.String()); err != nil || got != h {
		t.Errorf("have %v, %v", got, err)
	}
	for _, s := range []string{"", "00", h.String() + "00", "g" + h.String()[1:]} {
		if _, err := merkle.ParseHash(s); err == nil {
			t.Errorf("%q parses", s)
		}
	}
}

func BenchmarkInclusion(b *testing.B) {
	f := plant(70000)
	e, grown := grow(f)
	p := merkle.NewProver(full{f}, 512)
	p.Keep(grown)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Inclusion(context.Background(), e, 12345, 70000); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyInclusion(b *testing.B) {
	f := plant(70000)
	e, grown := grow(f)
	p := merkle.NewProver(full{f}, 512)
	p.Keep(grown)
	hashes, err := p.Inclusion(context.Background(), e, 12345, 70000)
	if err != nil {
		b.Fatal(err)
	}
	tree := f.tree()
	b.ReportAllocs()
	for b.Loop() {
		if err := merkle.VerifyInclusion(f[12345], 12345, tree, hashes); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend64(b *testing.B) {
	f := plant(200)
	base, _ := grow(f[:100])
	b.ReportAllocs()
	for b.Loop() {
		e := base.Clone()
		e.Append(f[100:164]...)
		e.Tree()
	}
}

// TestVerifyInclusionAgrees compares verdicts with those of the library on
// proofs that are right, and on ones with something changed.
func TestVerifyInclusionAgrees(t *testing.T) {
	t.Parallel()
	f := plant(70)
	e, _ := grow(f)
	p := merkle.NewProver(full{f}, 1)
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, int64(len(f))).Draw(t, "size")
		hashes, err := p.Inclusion(context.Background(), e, rapid.Int64Range(0, size-1).Draw(t, "of"), size)
		if err != nil {
			t.Fatal(err)
		}
		tree := f[:size].tree()
		index := rapid.Int64Range(0, size-1).Draw(t, "index")
		switch rapid.IntRange(0, 4).Draw(t, "change") {
		case 1:
			hashes = append(hashes, f[0])
		case 2:
			if len(hashes) > 0 {
				hashes = hashes[1:]
			}
		case 3:
			if len(hashes) > 0 {
				hashes[rapid.IntRange(0, len(hashes)-1).Draw(t, "hash")][3] ^= 4
			}
		case 4:
			tree.Size = rapid.Int64Range(1, 1<<40).Draw(t, "claimed size")
		}
		rows := make([][]byte, len(hashes))
		for i := range hashes {
			rows[i] = hashes[i][:]
		}
		want := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(index), uint64(tree.Size), f[index][:], rows, tree.Root[:])
		got := merkle.VerifyInclusion(f[index], index, tree, hashes)
		if (want == nil) != (got == nil) {
			t.Fatalf("index %d, size %d, %d hashes: library says %v, we say %v", index, tree.Size, len(hashes), want, got)
		}
	})
}

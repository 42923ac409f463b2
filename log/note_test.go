package log_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
	"github.com/cairnlog/cairn/storage/memory"
)

// A countingNoter counts the checkpoints that it signs, and fails for as long
// as it should.
type countingNoter struct {
	signed atomic.Int64
	fails  atomic.Bool
}

func (c *countingNoter) Checkpoint(t merkle.Tree) ([]byte, error) {
	if c.fails.Load() {
		return nil, errBroken
	}
	return fmt.Appendf(nil, "note %d over %d %v", c.signed.Add(1), t.Size, t.Root), nil
}

// A countingSigner counts the promises that it makes.
type countingSigner struct {
	plainSigner
	promises atomic.Int64
}

func (c *countingSigner) SignEntry(index, time int64, body []byte) ([]byte, error) {
	c.promises.Add(1)
	return c.plainSigner.SignEntry(index, time, body)
}

// TestNotesAreSignedWhenAsked wants one signature a tree, and none for trees
// that nobody asks about.
func TestNotesAreSignedWhenAsked(t *testing.T) {
	t.Parallel()
	s := memory.New()
	create(t, s)
	noter := new(countingNoter)
	o := options(&clock{at: time.Unix(2000, 0)})
	o.Checkpointer = noter
	l := open(t, s, o)
	var last *log.ProvenEntry
	for i := range 10 {
		last = add(t, l, leaf(i))
	}
	if n := noter.signed.Load(); n != 0 {
		t.Errorf("%d notes were signed that nobody asked for", n)
	}

	noter.fails.Store(true)
	if _, err := last.Proof.Note(); !errors.Is(err, errBroken) {
		t.Errorf("a signer that fails: %v", err)
	}
	noter.fails.Store(false)
	var wg sync.WaitGroup
	notes := make([][]byte, 20)
	for i := range notes {
		wg.Go(func() {
			var err error
			if i%2 == 0 {
				notes[i], err = last.Proof.Note()
			} else {
				var p log.Published
				if p, err = l.Published(t.Context()); p.Tree != last.Proof.Tree || p.Cosigned {
					t.Errorf("published %+v", p)
				}
				notes[i] = p.Note
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, n := range notes {
		if !bytes.Equal(n, notes[0]) {
			t.Errorf("two notes over one tree: %s, %s", n, notes[0])
		}
	}
	if n := noter.signed.Load(); n != 1 {
		t.Errorf("one tree was signed %d times", n)
	}
	p, err := l.WaitPublished(t.Context(), 9)
	if err != nil || p.Tree.Size != 10 {
		t.Errorf("published with entry 9: %+v, %v", p, err)
	}
	if _, err := l.WaitPublished(t.Context(), 10); !errors.Is(err, log.ErrNotFound) {
		t.Errorf("published with what is not there: %v", err)
	}
}

func TestNoNotes(t *testing.T) {
	t.Parallel()
	l, _, _ := fixture(t)
	e := add(t, l, leaf(0))
	if _, err := e.Proof.Note(); !errors.Is(err, log.ErrNoNote) {
		t.Errorf("note: %v", err)
	}
	if _, err := l.Published(t.Context()); !errors.Is(err, log.ErrNoNote) {
		t.Errorf("published: %v", err)
	}
	if _, err := (log.Proof{}).Note(); !errors.Is(err, log.ErrNoNote) {
		t.Errorf("note of no proof: %v", err)
	}
}

// TestNoPromise adds leaves that want no promise among some that do. One is
// made when the entry is read, once, by a log that was opened later as well.
func TestNoPromise(t *testing.T) {
	t.Parallel()
	s := memory.New()
	create(t, s)
	signer := new(countingSigner)
	o := options(&clock{at: time.Unix(2000, 0)})
	o.Signer = signer
	l := open(t, s, o)
	const n = 300
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			lf := leaf(i)
			lf.NoPromise = i%3 > 0
			e, err := l.Add(t.Context(), lf)
			if err != nil {
				t.Error(err)
				return
			}
			if (len(e.Promise) == 0) != lf.NoPromise {
				t.Errorf("entry %d has the promise %q", i, e.Promise)
			}
		})
	}
	wg.Wait()
	if got := signer.promises.Load(); got != n/3 {
		t.Errorf("%d promises for %d leaves", got, n/3)
	}
	l.Close()
	l = open(t, s, o)
	signer.promises.Store(0)
	for range 3 {
		for i := range int64(n) {
			e, err := l.Entry(t.Context(), i)
			if err != nil {
				t.Fatal(err)
			}
			check(t, e)
			again, err := l.Lookup(t.Context(), e.Hash)
			if err != nil {
				t.Fatal(err)
			}
			want, _ := plainSigner{}.SignEntry(e.Index, e.Time, e.Body)
			if !bytes.Equal(e.Promise, want) || !bytes.Equal(again.Promise, want) {
				t.Fatalf("entry %d has the promises %q and %q, want %q", i, e.Promise, again.Promise, want)
			}
		}
	}
	if got := signer.promises.Load(); got != n-n/3 {
		t.Errorf("%d promises were made when read, for %d entries", got, n-n/3)
	}
}

// TestEntryIn proves entries in all trees that there were.
func TestEntryIn(t *testing.T) {
	t.Parallel()
	l, _, _ := fixture(t)
	trees := []merkle.Tree{{Root: merkle.EmptyRoot}}
	for i := range 40 {
		trees = append(trees, add(t, l, leaf(i)).Proof.Tree)
	}
	for _, tree := range trees {
		for index := range tree.Size {
			e, err := l.EntryIn(t.Context(), index, tree.Size)
			if err != nil {
				t.Fatal(err)
			}
			if e.Proof.Tree != tree || e.Index != index || string(e.Body) != string(leaf(int(index)).Body) {
				t.Fatalf("entry %d in %d: %+v", index, tree.Size, e)
			}
			if err := merkle.VerifyInclusion(e.Hash, index, tree, e.Proof.Hashes); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Proof.Note(); !errors.Is(err, log.ErrNoNote) {
				t.Fatalf("the caller has the note: %v", err)
			}
		}
		if _, err := l.EntryIn(t.Context(), tree.Size, tree.Size); tree.Size < 40 && !errors.Is(err, log.ErrOutOfRange) {
			t.Errorf("entry %d in the tree before: %v", tree.Size, err)
		}
	}
	for name, c := range map[string]struct {
		index, size int64
		want        error
	}{
		"negative":                  {-1, 10, log.ErrNotFound},
		"past the end":              {40, 41, log.ErrNotFound},
		"far past the end":          {1 << 62, 1<<63 - 1, log.ErrNotFound},
		"in a tree that is not yet": {3, 41, log.ErrOutOfRange},
		"in no tree":                {3, 0, log.ErrOutOfRange},
		"in a negative tree":        {3, -1, log.ErrOutOfRange},
	} {
		if _, err := l.EntryIn(t.Context(), c.index, c.size); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// split takes a bundle apart.
func split(t testing.TB, bundle []byte) (leaves [][]byte) {
	t.Helper()
	for len(bundle) > 0 {
		n := int(binary.BigEndian.Uint16(bundle))
		leaves, bundle = append(leaves, bundle[2:2+n]), bundle[2+n:]
	}
	return leaves
}

// TestTilesAndBundles reads a log by its tiles, from the one that wrote it,
// from another that shares its store, and from one that was opened later.
func TestTilesAndBundles(t *testing.T) {
	t.Parallel()
	l, s, c := fixture(t)
	other := open(t, s, options(c))
	const size = 2*256 + 50
	var wg sync.WaitGroup
	for i := range size {
		wg.Go(func() {
			if _, err := l.Add(t.Context(), leaf(i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for name, l := range map[string]*log.Log{"writer": l, "replica": other, "later": open(t, s, options(c))} {
		for n := int64(0); n <= size/256; n++ {
			for _, width := range []int{1, 49, 50, 51, 255, 256} {
				missing := n*256+int64(width) > size
				row, err := l.Tile(t.Context(), merkle.Tile{Level: 0, Index: n, Width: width})
				bundle, e := l.EntryBundle(t.Context(), n, width)
				if missing {
					if !errors.Is(err, log.ErrNotFound) || !errors.Is(e, log.ErrNotFound) {
						t.Errorf("%s: %d of tile %d: %v, %v", name, width, n, err, e)
					}
					continue
				}
				if err != nil || e != nil {
					t.Fatalf("%s: %d of tile %d: %v, %v", name, width, n, err, e)
				}
				leaves := split(t, bundle)
				if len(leaves) != width || len(row) != width*merkle.HashSize {
					t.Fatalf("%s: %d of tile %d: %d leaves, %d bytes", name, width, n, len(leaves), len(row))
				}
				for i, body := range leaves {
					if merkle.HashLeaf(body) != merkle.Hash(row[i*merkle.HashSize:]) {
						t.Fatalf("%s: leaf %d of bundle %d is not that of the tile", name, i, n)
					}
				}
			}
		}
		row, err := l.Tile(t.Context(), merkle.Tile{Level: 1, Index: 0, Width: 2})
		if err != nil || len(row) != 64 {
			t.Errorf("%s: the tile above: %v", name, err)
		}
	}
	for name, tile := range map[string]merkle.Tile{
		"negative number": {Level: 0, Index: -1, Width: 256},
		"width 0":         {Level: 0, Index: 0, Width: 0},
		"width 257":       {Level: 0, Index: 0, Width: 257},
		"level 7":         {Level: 7, Index: 0, Width: 1},
		"level 63":        {Level: 63, Index: 0, Width: 1},
		"highest number":  {Level: 0, Index: 1<<63 - 1, Width: 256},
		"large above":     {Level: 3, Index: 1 << 50, Width: 256},
		"level 6, large":  {Level: 6, Index: 127, Width: 256},
	} {
		if _, err := l.Tile(t.Context(), tile); !errors.Is(err, log.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, n := range []int64{-1, 3, 1 << 55, 1<<63 - 1} {
		if _, err := l.EntryBundle(t.Context(), n, 1); !errors.Is(err, log.ErrNotFound) {
			t.Errorf("bundle %d: %v", n, err)
		}
	}
}

// A lyingStore gives other leaves than were added, or fails.
type lyingStore struct {
	log.Store
	lies atomic.Bool
	err  atomic.Pointer[error] // of reads
}

func (s *lyingStore) ReadTiles(ctx context.Context, tiles []merkle.Tile) ([][]byte, error) {
	if err := s.err.Load(); err != nil {
		return nil, *err
	}
	return s.Store.ReadTiles(ctx, tiles)
}

func (s *lyingStore) SegmentsFrom(ctx context.Context, start int64, limit int) ([]log.Segment, error) {
	if err := s.err.Load(); err != nil {
		return nil, *err
	}
	segments, err := s.Store.SegmentsFrom(ctx, start, limit)
	if err != nil || !s.lies.Load() {
		return segments, err
	}
	out := make([]log.Segment, len(segments))
	for i, seg := range segments {
		out[i] = seg
		out[i].Data = bytes.Replace(bytes.Clone(seg.Data), []byte("leaf"), []byte("lead"), 1)
	}
	return out, nil
}

// TestBundlesAreVerified wants that no leaf leaves that the tree does not have.
func TestBundlesAreVerified(t *testing.T) {
	t.Parallel()
	s := &lyingStore{Store: memory.New()}
	create(t, s)
	c := &clock{at: time.Unix(2000, 0)}
	l := open(t, s, options(c))
	for i := range 20 {
		add(t, l, leaf(i))
	}
	later := open(t, s, options(c))
	if _, err := later.EntryBundle(t.Context(), 0, 20); err != nil {
		t.Fatal(err)
	}
	s.lies.Store(true)
	if b, err := later.EntryBundle(t.Context(), 0, 20); err == nil {
		t.Errorf("wrong leaves were given out: %q", b)
	}
}

// TestTilesOfABrokenStore wants errors that say that something is wrong, and
// not that there is no such tile; and that the next read goes well again.
func TestTilesOfABrokenStore(t *testing.T) {
	t.Parallel()
	s := &lyingStore{Store: memory.New()}
	create(t, s)
	c := &clock{at: time.Unix(2000, 0)}
	l := open(t, s, options(c))
	for i := range 300 {
		add(t, l, leaf(i))
	}
	later := open(t, s, options(c))
	full := merkle.Tile{Level: 0, Index: 0, Width: 256}
	for name, err := range map[string]error{"lost": log.ErrNotFound, "broken": errBroken} {
		s.err.Store(&err)
		if _, err := later.Tile(t.Context(), full); err == nil || errors.Is(err, log.ErrNotFound) {
			t.Errorf("%s: tile: %v", name, err)
		}
		for n, width := range map[int64]int{0: 256, 1: 44} {
			if _, err := later.EntryBundle(t.Context(), n, width); err == nil || errors.Is(err, log.ErrNotFound) {
				t.Errorf("%s: bundle %d: %v", name, n, err)
			}
		}
	}
	s.err.Store(nil)
	if _, err := later.Tile(t.Context(), full); err != nil {
		t.Error(err)
	}
	for n, width := range map[int64]int{0: 256, 1: 44} {
		if _, err := later.EntryBundle(t.Context(), n, width); err != nil {
			t.Error(err)
		}
	}
}

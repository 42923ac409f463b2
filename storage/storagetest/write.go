package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

func testCreate(t *testing.T, m Medium) {
	s, h := create(t, m)
	headIs(t, s, h)
	other := h
	other.Identity.TreeID++
	if err := s.Create(t.Context(), other); !errors.Is(err, log.ErrExists) {
		t.Errorf("second Create: %v, want ErrExists", err)
	}
	headIs(t, s, h)
	headIs(t, m(t), h)
}

func testCreateRace(t *testing.T, m Medium) {
	const n = 4
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		s, h := m(t), emptyHead()
		h.Identity.TreeID = int64(i + 1)
		wg.Go(func() { errs[i] = s.Create(t.Context(), h) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, log.ErrExists) {
			t.Errorf("Create: %v, want nil or ErrExists", err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d created the log, want 1", won, n)
	}
}

func testNoLog(t *testing.T, m Medium) {
	s, ctx := m(t), t.Context()
	if _, err := s.Head(ctx); !errors.Is(err, log.ErrNoLog) {
		t.Errorf("Head: %v, want ErrNoLog", err)
	}
	if err := s.Commit(ctx, batch(emptyHead(), 1, 1)); !errors.Is(err, log.ErrConflict) {
		t.Errorf("Commit: %v, want ErrConflict", err)
	}
	if _, err := s.SegmentsAt(ctx, []int64{0}); !errors.Is(err, log.ErrNotFound) {
		t.Errorf("SegmentsAt: %v, want ErrNotFound", err)
	}
	if segments, err := s.SegmentsFrom(ctx, 0, 10); err != nil || len(segments) > 0 {
		t.Errorf("SegmentsFrom: %v, %v, want none", segments, err)
	}
	if found, err := s.Find(ctx, []log.Key{uniqueKey(0)}, -1, 10); err != nil || len(found) != 1 || len(found[0]) > 0 {
		t.Errorf("Find: %v, %v, want one empty list", found, err)
	}
	if _, err := s.ReadTiles(ctx, []merkle.Tile{{Width: 1}}); !errors.Is(err, log.ErrNotFound) {
		t.Errorf("ReadTiles: %v, want ErrNotFound", err)
	}
	if _, err := s.Attachment(ctx, 0); !errors.Is(err, log.ErrNotFound) {
		t.Errorf("Attachment: %v, want ErrNotFound", err)
	}
	if err := s.Publish(ctx, 0, []byte("x")); !errors.Is(err, log.ErrConflict) {
		t.Errorf("Publish: %v, want ErrConflict", err)
	}
	if _, _, err := s.Published(ctx); !errors.Is(err, log.ErrNotFound) {
		t.Errorf("Published: %v, want ErrNotFound", err)
	}
	if _, err := s.Head(ctx); !errors.Is(err, log.ErrNoLog) {
		t.Errorf("Head after a refused commit: %v, want ErrNoLog", err)
	}
}

func testCommit(t *testing.T, m Medium) {
	s, h := create(t, m)
	for _, n := range []int{1, 2, 16, 17, 100} {
		b := batch(h, n, 16)
		h = commit(t, s, b)
		holds(t, s, b)
		headIs(t, s, h)
	}
	if h.Tree.Size != 136 {
		t.Errorf("size is %d, want 136", h.Tree.Size)
	}
}

// testEmptyBatch commits a new checkpoint over the same tree.
func testEmptyBatch(t *testing.T, m Medium) {
	s, h := create(t, m)
	h = commit(t, s, batch(h, 3, 3))
	again := h
	again.Checkpoint = []byte("signed by another key\n")
	again.Nonce = log.Nonce{7}
	commit(t, s, &log.Batch{Old: h, New: again})
	headIs(t, s, again)
}

// testBigBatch commits what a loaded log does: many entries, tiles and keys at once.
func testBigBatch(t *testing.T, m Medium) {
	s, h := create(t, m)
	b := batch(h, 1024, 16)
	for i := range b.Segments {
		b.Segments[i].Data = bytes.Repeat([]byte{byte(i), 0, 0xff}, 7000)
	}
	for i := range int64(40) {
		b.Attachments = append(b.Attachments, log.Attachment{Index: i * 20, Data: bytes.Repeat([]byte{byte(i)}, 1<<10)})
	}
	h = commit(t, s, b)
	holds(t, s, b)
	headIs(t, m(t), h)
}

func testConflict(t *testing.T, m Medium) {
	s, h := create(t, m)
	first := batch(h, 3, 2)
	h = commit(t, s, first)
	rootOff, sizeOff := h, h
	rootOff.Tree.Root[0]++
	sizeOff.Tree.Size++
	for name, old := range map[string]log.Head{
		"an older head":          first.Old,
		"same size, other root":  rootOff,
		"same root, larger size": sizeOff,
	} {
		b := batch(old, 2, 2)
		b.Keys = append(b.Keys, log.KeyAt{Key: log.Key{0xff}, Index: old.Tree.Size})
		b.Attachments = []log.Attachment{{Index: old.Tree.Size, Data: []byte("x")}}
		b.Tiles = append(b.Tiles, fullTile(3, 3))
		if err := s.Commit(t.Context(), b); !errors.Is(err, log.ErrConflict) {
			t.Errorf("%s: %v, want ErrConflict", name, err)
		}
		headIs(t, s, h)
		if found, err := s.Find(t.Context(), []log.Key{{0xff}}, -1, 1); err != nil || len(found[0]) > 0 {
			t.Errorf("%s: Find: %v, %v, want none", name, found, err)
		}
		if _, err := s.Attachment(t.Context(), old.Tree.Size); !errors.Is(err, log.ErrNotFound) {
			t.Errorf("%s: Attachment: %v, want ErrNotFound", name, err)
		}
		if _, err := s.ReadTiles(t.Context(), []merkle.Tile{fullTile(3, 3).Tile}); !errors.Is(err, log.ErrNotFound) {
			t.Errorf("%s: ReadTiles: %v, want ErrNotFound", name, err)
		}
	}
	holds(t, s, first)
	commit(t, s, batch(h, 2, 2))
}

// testCommitRace lets writers race from the same head: one wins each round.
func testCommitRace(t *testing.T, m Medium) {
	s, h := create(t, m)
	stores := []log.Store{s, m(t), m(t)}
	for round := range 10 {
		errs := make([]error, 2*len(stores))
		batches := make([]*log.Batch, len(errs))
		var wg sync.WaitGroup
		for i := range errs {
			b := batch(h, i+1, 16) // another size, so another root, each
			b.Attachments = []log.Attachment{{Index: h.Tree.Size, Data: fmt.Appendf(nil, "%d %d", round, i)}}
			batches[i] = b
			wg.Go(func() { errs[i] = stores[i%len(stores)].Commit(t.Context(), b) })
		}
		wg.Wait()
		var winner *log.Batch
		for i, err := range errs {
			switch {
			case err == nil && winner == nil:
				winner = batches[i]
			case err == nil:
				t.Fatalf("round %d: two writers won", round)
			case !errors.Is(err, log.ErrConflict):
				t.Fatalf("round %d: %v, want ErrConflict", round, err)
			}
		}
		if winner == nil {
			t.Fatalf("round %d: nobody won", round)
		}
		h = winner.New
		for _, s := range stores {
			headIs(t, s, h)
			holds(t, s, winner)
		}
	}
}

// testAtomic commits a batch whose last parts cannot be written, because a
// tile or segment is there already: nothing of it may stay.
func testAtomic(t *testing.T, m Medium) {
	s, h := create(t, m)
	h = commit(t, s, batch(h, 256, 16))
	for name, spoil := range map[string]func(b *log.Batch){
		"segment": func(b *log.Batch) { b.Segments = append(b.Segments, log.Segment{Start: 16, Count: 1}) },
		"tile":    func(b *log.Batch) { b.Tiles = append(b.Tiles, fullTile(0, 0)) },
	} {
		b := batch(h, 5, 5)
		b.Attachments = []log.Attachment{{Index: 258, Data: []byte("x")}}
		spoil(b)
		if err := s.Commit(t.Context(), b); err == nil {
			t.Errorf("%s: a batch that overwrites was committed", name)
		}
		headIs(t, s, h)
		if _, err := s.SegmentsAt(t.Context(), []int64{256}); !errors.Is(err, log.ErrNotFound) {
			t.Errorf("%s: SegmentsAt: %v, want ErrNotFound", name, err)
		}
		if found, err := s.Find(t.Context(), []log.Key{uniqueKey(256)}, -1, 1); err != nil || len(found[0]) > 0 {
			t.Errorf("%s: Find: %v, %v, want none", name, found, err)
		}
		if _, err := s.Attachment(t.Context(), 258); !errors.Is(err, log.ErrNotFound) {
			t.Errorf("%s: Attachment: %v, want ErrNotFound", name, err)
		}
	}
	b := batch(h, 5, 5)
	commit(t, s, b)
	holds(t, s, b)
}

// testRepeatedKeys commits one key at one index twice, which is once.
func testRepeatedKeys(t *testing.T, m Medium) {
	s, h := create(t, m)
	b := batch(h, 2, 2)
	b.Keys = append(b.Keys, b.Keys...)
	commit(t, s, b)
	found, err := s.Find(t.Context(), []log.Key{uniqueKey(0), uniqueKey(1)}, -1, 10)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "found", found, [][]int64{{0}, {1}})
}

func testCanceled(t *testing.T, m Medium) {
	s, h := create(t, m)
	b := batch(h, 2, 2)
	h = commit(t, s, b)
	ctx := canceled(t)
	for name, call := range map[string]func(context.Context) error{
		"Create":       func(ctx context.Context) error { return m(t).Create(ctx, emptyHead()) },
		"Commit":       func(ctx context.Context) error { return s.Commit(ctx, batch(h, 1, 1)) },
		"Head":         func(ctx context.Context) error { _, err := s.Head(ctx); return err },
		"SegmentsAt":   func(ctx context.Context) error { _, err := s.SegmentsAt(ctx, []int64{0}); return err },
		"SegmentsFrom": func(ctx context.Context) error { _, err := s.SegmentsFrom(ctx, 0, 1); return err },
		"Find":         func(ctx context.Context) error { _, err := s.Find(ctx, []log.Key{{}}, -1, 1); return err },
		"ReadTiles":    func(ctx context.Context) error { _, err := s.ReadTiles(ctx, []merkle.Tile{{Width: 1}}); return err },
		"Attachment":   func(ctx context.Context) error { _, err := s.Attachment(ctx, 0); return err },
		"Publish":      func(ctx context.Context) error { return s.Publish(ctx, 1, []byte("x")) },
		"Published":    func(ctx context.Context) error { _, _, err := s.Published(ctx); return err },
	} {
		if err := call(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want context.Canceled", name, err)
		}
	}
	headIs(t, s, h)
	holds(t, s, b)
	commit(t, s, batch(h, 1, 1)) // and it works as before
}

func testReopen(t *testing.T, m Medium) {
	var h log.Head
	var batches []*log.Batch
	for i := range 5 {
		s := m(t)
		if i == 0 {
			h = emptyHead()
			if err := s.Create(t.Context(), h); err != nil {
				t.Fatal(err)
			}
		}
		headIs(t, s, h)
		for _, b := range batches {
			holds(t, s, b)
		}
		b := batch(h, 100, 16)
		b.Attachments = []log.Attachment{{Index: h.Tree.Size + 1, Data: []byte("kept")}}
		h = commit(t, s, b)
		batches = append(batches, b)
		if err := s.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
}

// testReadYourWrites reads through one handle, without waiting, what was
// committed through another.
func testReadYourWrites(t *testing.T, m Medium) {
	s, h := create(t, m)
	reader := m(t)
	for range 50 {
		b := batch(h, 20, 16)
		h = commit(t, s, b)
		headIs(t, reader, h)
		holds(t, reader, b)
		s, reader = reader, s
	}
}

// testConcurrent reads all the time while batches come in: a reader sees a
// batch whole or not at all.
func testConcurrent(t *testing.T, m Medium) {
	s, h := create(t, m)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 4 {
		r := s
		if i%2 == 1 {
			r = m(t)
		}
		wg.Go(func() {
			var size int64
			for {
				select {
				case <-done:
					return
				default:
				}
				h, err := r.Head(t.Context())
				if err != nil {
					t.Errorf("Head: %v", err)
					return
				}
				if h.Tree.Size < size {
					t.Errorf("size went back from %d to %d", size, h.Tree.Size)
					return
				}
				size = h.Tree.Size
				if size == 0 {
					continue
				}
				segments, err := r.SegmentsAt(t.Context(), []int64{size - 1, 0})
				if err != nil || len(segments) == 0 {
					t.Errorf("SegmentsAt %d: %d segments, %v", size-1, len(segments), err)
					return
				}
				found, err := r.Find(t.Context(), []log.Key{uniqueKey(size - 1), uniqueKey(size / 2), sharedKey(0)}, -1, int(size))
				if err != nil || len(found[0]) != 1 || len(found[1]) != 1 || int64(len(found[2])) < (size+9)/10 {
					t.Errorf("Find at size %d: %v, %v", size, found, err)
					return
				}
			}
		})
	}
	for i := range 60 {
		h = commit(t, s, batch(h, 1+i, 16))
	}
	close(done)
	wg.Wait()
	headIs(t, s, h)
}

package storagetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cairnlog/cairn/log"
)

// publishedIs checks what a store says was published.
func publishedIs(t testing.TB, s log.Store, size int64, note string) {
	t.Helper()
	haveSize, have, err := s.Published(t.Context())
	if err != nil {
		t.Fatalf("Published: %v", err)
	}
	if haveSize != size || string(have) != note {
		t.Fatalf("published is %q of size %d, want %q of size %d", have, haveSize, note, size)
	}
}

func testPublish(t *testing.T, m Medium) {
	s, h := create(t, m)
	ctx := t.Context()
	if _, _, err := s.Published(ctx); !errors.Is(err, log.ErrNotFound) {
		t.Fatalf("Published of a new log: %v, want ErrNotFound", err)
	}
	if err := s.Publish(ctx, 1, []byte("too early")); !errors.Is(err, log.ErrConflict) {
		t.Errorf("Publish past the end: %v, want ErrConflict", err)
	}
	if _, _, err := s.Published(ctx); !errors.Is(err, log.ErrNotFound) {
		t.Fatalf("Published after a refused one: %v, want ErrNotFound", err)
	}
	if err := s.Publish(ctx, 0, []byte("empty tree")); err != nil {
		t.Fatal(err)
	}
	publishedIs(t, s, 0, "empty tree")
	h = commit(t, s, batch(h, 20, 16))
	publishedIs(t, s, 0, "empty tree")
	for _, step := range []struct {
		size int64
		note string
		err  error
	}{
		{7, "seven", nil},
		{7, "seven again", nil},
		{6, "six", log.ErrConflict},
		{0, "none", log.ErrConflict},
		{21, "past the end", log.ErrConflict},
		{20, "twenty\x00\xff", nil},
		{19, "nineteen", log.ErrConflict},
	} {
		before, note, err := s.Published(ctx)
		if err != nil {
			t.Fatal(err)
		}
		err = s.Publish(ctx, step.size, []byte(step.note))
		if !errors.Is(err, step.err) {
			t.Errorf("Publish %q: %v, want %v", step.note, err, step.err)
		}
		if step.err != nil {
			publishedIs(t, s, before, string(note))
			continue
		}
		publishedIs(t, s, step.size, step.note)
		publishedIs(t, m(t), step.size, step.note)
	}
	headIs(t, s, h)
	commit(t, s, batch(h, 1, 1))
	publishedIs(t, s, 20, "twenty\x00\xff")
}

// testPublishRace publishes and reads through several handles while the log
// grows: nobody sees a size that went back, and the largest stays.
func testPublishRace(t *testing.T, m Medium) {
	s, h := create(t, m)
	const size = 60
	h = commit(t, s, batch(h, size, 16))
	done := make(chan struct{})
	var readers, writers sync.WaitGroup
	for i := range 3 {
		r := m(t)
		readers.Go(func() {
			last := int64(-1)
			for {
				at, note, err := r.Published(t.Context())
				switch {
				case errors.Is(err, log.ErrNotFound) && last < 0:
				case err != nil:
					t.Errorf("Published: %v", err)
					return
				case at < last:
					t.Errorf("published went back from %d to %d", last, at)
					return
				case string(note) != fmt.Sprint("note of ", at):
					t.Errorf("published %q at size %d", note, at)
					return
				default:
					last = at
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
		w := m(t)
		writers.Go(func() {
			for j := range int64(size) {
				at := (j*7 + int64(i)*13) % (size + 1)
				if j == 40 {
					at = size
				}
				if err := w.Publish(t.Context(), at, fmt.Append(nil, "note of ", at)); err != nil && !errors.Is(err, log.ErrConflict) {
					t.Errorf("Publish: %v", err)
				}
			}
		})
	}
	for range 10 {
		h = commit(t, s, batch(h, 1, 1))
	}
	writers.Wait()
	close(done)
	readers.Wait()
	publishedIs(t, s, size, fmt.Sprint("note of ", size))
}

// testPublishFaults makes Publish fail in each way: what is published is what
// was there before, or what should have been, and never goes back.
func testPublishFaults(t *testing.T, m Medium) {
	s, h := create(t, m)
	commit(t, s, batch(h, 30, 16))
	f := NewFaulty(m(t))
	for i, fault := range []Fault{Before, After, Late, Before, Late, After} {
		size := int64(i*2 + 1)
		note := fmt.Sprint("note ", size)
		f.Fail("Publish", 0, fault)
		if err := f.Publish(t.Context(), size, []byte(note)); !errors.Is(err, ErrFault) {
			t.Fatalf("%v: %v, want a fault", fault, err)
		}
		// Another replica, which knows nothing of that, is faster.
		if err := s.Publish(t.Context(), size+1, []byte("newer")); err != nil {
			t.Fatal(err)
		}
		f.Heal()
		publishedIs(t, s, size+1, "newer")
		if err := f.Publish(t.Context(), size, []byte(note)); !errors.Is(err, log.ErrConflict) {
			t.Fatalf("%v: again: %v, want ErrConflict", fault, err)
		}
		f.Fail("Published", 0, fault)
		if _, _, err := f.Published(t.Context()); !errors.Is(err, ErrFault) {
			t.Fatalf("%v: Published: %v, want a fault", fault, err)
		}
		publishedIs(t, f, size+1, "newer")
	}
}

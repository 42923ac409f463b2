package storagetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/cairnlog/cairn/log"
)

// A witnessStore keeps the state of a witness, beside a log or without one.
// Every back end has it; package witness says what it is for.
type witnessStore interface {
	Witnessed(ctx context.Context, origin string) ([]byte, error)
	Witness(ctx context.Context, origin string, old, note []byte) (bool, error)
}

func asWitness(t testing.TB, s log.Store) witnessStore {
	t.Helper()
	w, ok := s.(witnessStore)
	if !ok {
		t.Fatalf("%T cannot keep the state of a witness", s)
	}
	return w
}

func testWitness(t *testing.T, m Medium) {
	ctx := t.Context()
	w := asWitness(t, m(t)) // there is no log in it
	is := func(w witnessStore, origin, want string) {
		t.Helper()
		note, err := w.Witnessed(ctx, origin)
		if err != nil {
			t.Fatal(err)
		}
		if (note == nil) != (want == "") || string(note) != want {
			t.Fatalf("witnessed of %s is %q, want %q", origin, note, want)
		}
	}
	for _, step := range []struct {
		origin   string
		old, new string // "" for none
		ok       bool
	}{
		{"a", "x", "a0", false},
		{"a", "", "a1", true},
		{"a", "", "a2", false},
		{"a", "a0", "a2", false},
		{"b", "a1", "b1", false},
		{"b", "", "b1\x00\xff\n", true},
		{"a", "a1", "a2", true},
		{"a", "a1", "a3", false},
		{"a", "a2", "a2", true},
		{"ünicode/ log", "", "u", true},
	} {
		before, err := w.Witnessed(ctx, step.origin)
		if err != nil {
			t.Fatal(err)
		}
		var old []byte
		if step.old != "" {
			old = []byte(step.old)
		}
		ok, err := w.Witness(ctx, step.origin, old, []byte(step.new))
		if err != nil || ok != step.ok {
			t.Errorf("%+v: %t, %v", step, ok, err)
		}
		want := step.new
		if !step.ok {
			want = string(before)
		}
		is(w, step.origin, want)
		is(asWitness(t, m(t)), step.origin, want)
	}
	is(w, "c", "")
	gone := canceled(t)
	if _, err := w.Witnessed(gone, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("Witnessed: %v, want context.Canceled", err)
	}
	if _, err := w.Witness(gone, "a", []byte("a2"), []byte("a9")); !errors.Is(err, context.Canceled) {
		t.Errorf("Witness: %v, want context.Canceled", err)
	}
	is(w, "a", "a2")
}

// testWitnessRace counts up through several handles: each number is written once.
func testWitnessRace(t *testing.T, m Medium) {
	ctx := t.Context()
	const writers, each = 4, 15
	handles := make([]witnessStore, writers)
	for i := range handles {
		handles[i] = asWitness(t, m(t))
	}
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for won := 0; won < each; {
				old, err := handles[i].Witnessed(ctx, "log")
				if err != nil {
					t.Error(err)
					return
				}
				n := 0
				if old != nil {
					n, _ = strconv.Atoi(string(old))
				}
				ok, err := handles[i].Witness(ctx, "log", old, fmt.Append(nil, n+1))
				if err != nil {
					t.Error(err)
					return
				}
				if ok {
					won++
				}
			}
		})
	}
	wg.Wait()
	note, err := handles[0].Witnessed(ctx, "log")
	if err != nil || string(note) != fmt.Sprint(writers*each) {
		t.Errorf("counted to %s, want %d: %v", note, writers*each, err)
	}
}

package keyindex

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairnlog/cairn/log"
)

func TestFilter(t *testing.T) {
	t.Parallel()
	const n = 20000
	f := newFilter(n)
	for i := range int64(n) {
		f.add(key(i))
	}
	for i := range int64(n) {
		if !f.has(key(i)) {
			t.Fatalf("key %d is not in the filter", i)
		}
	}
	wrong := 0
	for i := range int64(n) {
		if f.has(key(n + i)) {
			wrong++
		}
	}
	if wrong > n/100 {
		t.Errorf("%d of %d keys that are not there may be", wrong, n)
	}
	if newFilter(0).has(key(1)) {
		t.Error("an empty filter may have a key")
	}
}

// TestRun builds a run and finds everything in it: keys of one row, and keys
// that go over many pages.
func TestRun(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Int64Range(0, 1<<40).Draw(t, "first")
		rows := rapid.SliceOf(rapid.Custom(func(t *rapid.T) log.KeyAt {
			return log.KeyAt{Key: key(rapid.Int64Range(0, 9).Draw(t, "key")), Index: first + rapid.Int64Range(0, 30).Draw(t, "index")}
		})).Draw(t, "rows")
		run := &Run{ID: 1, First: first, Past: first + 31}
		b := newBuilder(run, int64(len(rows)), 3)
		want := sorted(slices.Clone(rows))
		for _, k := range sorted(rows) {
			for range 2 { // the second is dropped
				if err := b.add(k); err != nil {
					t.Fatal(err)
				}
			}
		}
		b.flush()
		if err := run.check(); err != nil {
			t.Fatal(err)
		}
		if run.pages() != len(b.full) || run.Rows != int64(len(want)) {
			t.Fatalf("%d rows on %d pages, with %d fences, want %d rows", run.Rows, len(b.full), run.pages(), len(want))
		}
		for n := range int64(11) {
			after := first + rapid.Int64Range(-2, 31).Draw(t, "after")
			var have, all []int64
			from, past := run.span(key(n), after)
			for p := from; p < past; p++ {
				var err error
				if have, err = scan(b.full[p], first, key(n), after, math.MaxInt, have); err != nil {
					t.Fatal(err)
				}
			}
			for _, k := range want {
				if k.Key == key(n) && k.Index > after {
					all = append(all, k.Index)
				}
			}
			if !slices.Equal(have, all) {
				t.Fatalf("key %d after %d: found %v, want %v", n, after, have, all)
			}
			if len(all) > 0 && !filter(run.Filter).has(key(n)) {
				t.Fatalf("key %d is not in the filter", n)
			}
		}
	})
}

func TestBuilderRefuses(t *testing.T) {
	t.Parallel()
	k := log.KeyAt{Key: key(1), Index: 10}
	for name, bad := range map[string][]log.KeyAt{
		"out of order":      {k, {Key: k.Key, Index: 9}},
		"before the run":    {{Key: k.Key, Index: 4}},
		"after the run":     {{Key: k.Key, Index: 20}},
		"keys out of order": {{Key: log.Key{2}, Index: 10}, {Key: log.Key{1}, Index: 11}},
	} {
		b := newBuilder(&Run{First: 5, Past: 20}, 2, 3)
		var err error
		for _, k := range bad {
			if err = b.add(k); err != nil {
				break
			}
		}
		if err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}

func TestDamage(t *testing.T) {
	t.Parallel()
	good := Run{First: 5, Past: 20, Rows: 3, Fences: make([]byte, fenceSize), Filter: newFilter(3)}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Run){
		"no entries":       func(r *Run) { r.Past = r.First },
		"negative":         func(r *Run) { r.First = -1 },
		"too many":         func(r *Run) { r.Past = 1 << 33 },
		"half a fence":     func(r *Run) { r.Fences = r.Fences[1:] },
		"half a filter":    func(r *Run) { r.Filter = r.Filter[1:] },
		"no filter":        func(r *Run) { r.Filter = nil },
		"rows less than 0": func(r *Run) { r.Rows = -1 },
	} {
		r := good
		spoil(&r)
		if r.check() == nil {
			t.Errorf("%s: not found", name)
		}
	}
	if _, err := scan(make([]byte, rowSize+1), 0, key(1), -1, 1, nil); err == nil {
		t.Error("a page of a row and a byte was read")
	}
	if _, err := (Append{Start: 5, Past: 6, Data: make([]byte, rowSize-1)}).decode(); err == nil {
		t.Error("an append of less than a row was read")
	}
	if _, err := (Append{Start: 5, Past: 6, Data: EncodeAppend(5, []log.KeyAt{{Index: 6}})}).decode(); err == nil {
		t.Error("an append with a key of a later entry was read")
	}
}

package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

// A signer signs by writing down what it was given, so that it can be compared.
type signer struct{}

func (signer) SignTree(t merkle.Tree) ([]byte, error) {
	return fmt.Appendf(nil, "%d %v\n", t.Size, t.Root), nil
}

func (signer) SignEntry(index, time int64, body []byte) ([]byte, error) {
	return fmt.Appendf(nil, "%d %d %v", index, time, merkle.HashLeaf(body)), nil
}

// openLog opens the log in s, which it makes if create is set. It is closed
// when the test ends; closing it before is fine.
func openLog(t testing.TB, s log.Store, create bool) *log.Log {
	t.Helper()
	if create {
		if err := log.Create(t.Context(), s, identity, signer{}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	l, err := log.Open(t.Context(), s, log.Options{Identity: identity, Signer: signer{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// leaf returns leaf number n: every third has an attachment, and terms are
// shared by some.
func leaf(n int) log.Leaf {
	l := log.Leaf{
		Body:  fmt.Appendf(nil, `{"leaf":%d}`, n),
		Terms: []string{fmt.Sprintf("sha256:%064x", n), fmt.Sprintf("group%d@log.example", n%7), "everybody"},
	}
	if n%3 == 0 {
		l.Attachment = fmt.Appendf(nil, "attachment of %d", n)
	}
	return l
}

// inLog checks that e is leaf number n, as the store's entries have it.
func inLog(t testing.TB, entries []log.KeyedEntry, e *log.ProvenEntry, n int) {
	t.Helper()
	if e.Index >= int64(len(entries)) {
		t.Fatalf("leaf %d was answered with index %d, but the log has %d", n, e.Index, len(entries))
	}
	if want := leaf(n).Body; !bytes.Equal(e.Body, want) || !bytes.Equal(entries[e.Index].Body, want) {
		t.Fatalf("leaf %d was answered with index %d, which holds %q", n, e.Index, entries[e.Index].Body)
	}
	if err := merkle.VerifyInclusion(merkle.HashLeaf(e.Body), e.Index, e.Proof.Tree, e.Proof.Hashes); err != nil {
		t.Fatal(err)
	}
}

// once checks that leaf number n is in entries exactly once.
func once(t testing.TB, entries []log.KeyedEntry, n int) {
	t.Helper()
	count := 0
	for _, r := range entries {
		if bytes.Equal(r.Body, leaf(n).Body) {
			count++
		}
	}
	if count != 1 {
		t.Fatalf("leaf %d is in the log %d times", n, count)
	}
}

// testFaultMatrix makes each method of the store fail, in each way, while a
// log adds, reads and opens on it. After each step the whole log is checked:
// what was answered is there, once, and what failed can be done again.
func testFaultMatrix(t *testing.T, m Medium) {
	testFaultyCreate(t, m)
	plain := m(t)
	f := NewFaulty(m(t))
	next := 0
	// More than a tile, so that there are tiles to read.
	fill := openLog(t, plain, false)
	addMany(t, fill, next, 300)
	next = 300
	fill.Close()

	for _, method := range Methods {
		for _, fault := range []Fault{Before, After, Late} {
			for nth := range 3 {
				name := fmt.Sprintf("%s, call %d, %v", method, nth, fault)
				f.Heal()
				f.Fail(method, nth, fault)
				l, err := log.Open(t.Context(), f, log.Options{Identity: identity, Signer: signer{}})
				if err != nil {
					if !errors.Is(err, ErrFault) {
						t.Fatalf("%s: open: %v", name, err)
					}
					f.Heal()
					l = openLog(t, f, false)
				}
				f.Heal()
				f.Fail(method, nth, fault)
				next = step(t, name, l, f, plain, next)
				l.Close()
			}
		}
	}

	// All at once, and again and again.
	l := openLog(t, f, false)
	for round := range 5 {
		f.Heal()
		for _, method := range Methods {
			for n := range 6 {
				f.Fail(method, n, Fault((n+round)%3))
			}
		}
		next = step(t, fmt.Sprintf("all, round %d", round), l, f, plain, next)
	}
}

func testFaultyCreate(t *testing.T, m Medium) {
	f := NewFaulty(m(t))
	f.Fail("Create", 0, Before)
	f.Fail("Create", 1, After)
	now := time.Now()
	if err := log.Create(t.Context(), f, identity, signer{}, now); !errors.Is(err, ErrFault) {
		t.Fatalf("Create: %v, want a fault", err)
	}
	if _, err := f.Head(t.Context()); !errors.Is(err, log.ErrNoLog) {
		t.Fatalf("Head after a create that failed before: %v, want ErrNoLog", err)
	}
	if err := log.Create(t.Context(), f, identity, signer{}, now); !errors.Is(err, ErrFault) {
		t.Fatalf("Create: %v, want a fault", err)
	}
	if err := log.Create(t.Context(), f, identity, signer{}, now); !errors.Is(err, log.ErrExists) {
		t.Fatalf("Create after one that persisted: %v, want ErrExists", err)
	}
	Check(t.Context(), t, f)
}

// step adds and reads while faults come up; then it heals the store, and
// checks that nothing was lost, doubled or wrong.
func step(t testing.TB, name string, l *log.Log, f *Faulty, plain log.Store, next int) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	fine := func(what string, err error) bool {
		t.Helper()
		if err != nil && !strings.Contains(err.Error(), ErrFault.Error()) { // not all errors are wrapped
			t.Fatalf("%s: %s: %v, want a fault or none", name, what, err)
		}
		return err == nil
	}

	// 1. Add a few at a time, and one that is there.
	const n = 5
	answered := make([]*log.ProvenEntry, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { answered[i], errs[i] = l.Add(ctx, leaf(next+i)) })
	}
	var twin error
	wg.Go(func() { _, twin = l.Add(ctx, leaf(next-1)) })
	wg.Wait()
	for i, err := range errs {
		fine(fmt.Sprintf("add %d", i), err)
	}
	var d *log.DuplicateError
	if !errors.As(twin, &d) && fine("add a duplicate", twin) {
		t.Fatalf("%s: a duplicate was added", name)
	}

	// 2. Read old and new, near and far. An answer is right or it is a fault.
	for _, at := range []int64{0, 17, 255, 256, int64(next - 1)} {
		if e, err := l.Entry(ctx, at); fine("entry", err) && e.Index != at {
			t.Fatalf("%s: entry %d is said to be at %d", name, at, e.Index)
		}
	}
	if e, err := l.Lookup(ctx, merkle.HashLeaf(leaf(3).Body)); fine("lookup", err) && !bytes.Equal(e.Body, leaf(3).Body) {
		t.Fatalf("%s: lookup of leaf 3 gave %q", name, e.Body)
	}
	hits, err := l.Search(ctx, log.Query{Terms: [][]string{{"everybody"}, leaf(7).Terms[:1]}, All: true, After: -1})
	if fine("search", err) && len(hits) != 1 {
		t.Fatalf("%s: search found %v", name, hits)
	}
	if hashes, head, err := l.Consistency(ctx, 100, 299); fine("consistency", err) && (len(hashes) == 0 || head.Tree.Size < 300) {
		t.Fatalf("%s: consistency proof of %d hashes in a tree of %d", name, len(hashes), head.Tree.Size)
	}
	if e, err := l.Lookup(ctx, merkle.HashLeaf(leaf(3).Body)); err == nil {
		if data, err := l.Attachment(ctx, e.Index); fine("attachment", err) && !bytes.Equal(data, leaf(3).Attachment) {
			t.Fatalf("%s: attachment is %q", name, data)
		}
	}

	// 3. The faults are over. What was answered is there, and the rest can be added.
	f.Heal()
	entries := Check(ctx, t, plain)
	for i, e := range answered {
		if e != nil {
			inLog(t, entries, e, next+i)
		}
	}
	for i := range n {
		e, err := l.Add(ctx, leaf(next+i))
		switch {
		case errors.As(err, &d):
			if e, err = l.Entry(ctx, d.Index); err != nil {
				t.Fatalf("%s: a duplicate at %d cannot be read: %v", name, d.Index, err)
			}
		case err != nil:
			t.Fatalf("%s: add again: %v", name, err)
		case answered[i] != nil:
			t.Fatalf("%s: leaf %d was added twice", name, next+i)
		}
		answered[i] = e
	}
	entries = Check(ctx, t, plain)
	for i, e := range answered {
		inLog(t, entries, e, next+i)
		once(t, entries, next+i)
	}
	once(t, entries, next-1)
	return next + n
}

// addMany adds leaves from the given number on, many at a time.
func addMany(t testing.TB, l *log.Log, from, count int) {
	t.Helper()
	errs := make([]error, count)
	var wg sync.WaitGroup
	for i := range count {
		wg.Go(func() { _, errs[i] = l.Add(t.Context(), leaf(from+i)) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

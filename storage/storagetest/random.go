package storagetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

// A model is what a log must hold after operations at random: the leaves that
// were answered, with their indexes.
type model struct {
	medium Medium
	plain  log.Store // reads what is there
	store  log.Store // of the log
	faulty *Faulty
	log    *log.Log
	at     map[int]int64 // of leaves that were answered
	tried  map[int]bool  // leaves whose outcome nobody was told
	next   int
}

// patience is how long a caller waits for an answer that may never come.
const patience = 50 * time.Millisecond

// testRandomOperations adds, adds again, reads, crashes and reopens at
// random, with faults, and compares with a model.
func testRandomOperations(t *testing.T, fresh func(testing.TB) Medium) {
	rapid.Check(t, func(rt *rapid.T) {
		medium := fresh(t)
		m := &model{plain: medium(t), medium: medium, at: make(map[int]int64), tried: make(map[int]bool)}
		defer m.plain.Close()
		if err := log.Create(t.Context(), m.plain, identity, signer{}, time.Now()); err != nil {
			rt.Fatal(err)
		}
		m.store = medium(t)
		m.open(t, rt)
		defer func() {
			m.crash()
			m.store.Close()
		}()
		rt.Repeat(map[string]func(*rapid.T){
			"add": func(rt *rapid.T) {
				m.add(t.Context(), rt, rapid.IntRange(1, 40).Draw(rt, "count"))
			},
			"add again": func(rt *rapid.T) {
				m.again(t.Context(), rt, rapid.IntRange(0, max(m.next-1, 0)).Draw(rt, "leaf"))
			},
			"crash": func(rt *rapid.T) {
				m.faulty.Kill()
				m.add(t.Context(), rt, rapid.IntRange(0, 3).Draw(rt, "in flight"))
				m.crash()
				if rapid.IntRange(0, 4).Draw(rt, "of the store") == 0 {
					m.store.Close()
					m.store = m.medium(t)
				}
				m.open(t, rt)
			},
			"fault": func(rt *rapid.T) {
				m.faulty.Fail(rapid.SampledFrom(Methods).Draw(rt, "method"), rapid.IntRange(0, 3).Draw(rt, "call"),
					Fault(rapid.IntRange(int(Before), int(Late)).Draw(rt, "fault")))
			},
			"check": func(rt *rapid.T) { m.check(t.Context(), rt) },
		})
		m.faulty.Heal()
		m.check(t.Context(), rt)
	})
}

func (m *model) open(t testing.TB, rt *rapid.T) {
	m.faulty = NewFaulty(m.store)
	var err error
	if m.log, err = log.Open(t.Context(), m.faulty, log.Options{Identity: identity, Signer: signer{}}); err != nil {
		rt.Fatal(err)
	}
}

// crash drops the log, in the middle of what it does.
func (m *model) crash() {
	m.faulty.Kill()
	m.log.Close()
	m.faulty.Heal()
}

// add adds new leaves, at the same time.
func (m *model) add(ctx context.Context, rt *rapid.T, count int) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	entries := make([]*log.ProvenEntry, count)
	var wg sync.WaitGroup
	for i := range count {
		wg.Go(func() { entries[i], _ = m.log.Add(ctx, leaf(m.next+i)) })
	}
	wg.Wait()
	for i, e := range entries {
		if e != nil {
			m.at[m.next+i] = e.Index
		} else {
			m.tried[m.next+i] = true
		}
	}
	m.next += count
}

// again adds a leaf that was added before: if that was answered, it is a
// duplicate now.
func (m *model) again(ctx context.Context, rt *rapid.T, n int) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	at, answered := m.at[n]
	e, err := m.log.Add(ctx, leaf(n))
	m.next = max(m.next, n+1)
	var d *log.DuplicateError
	switch {
	case err == nil && answered:
		rt.Fatalf("leaf %d was added at %d and again at %d", n, at, e.Index)
	case err == nil:
		m.at[n] = e.Index
	case errors.As(err, &d) && answered && d.Index != at:
		rt.Fatalf("leaf %d was added at %d, but is said to be at %d", n, at, d.Index)
	case errors.As(err, &d):
		m.at[n] = d.Index
	default:
		m.tried[n] = true
	}
}

// check compares the whole log with the model.
func (m *model) check(ctx context.Context, rt *rapid.T) {
	entries := m.settled(ctx, rt)
	have := make(map[merkle.Hash]int64)
	for _, r := range entries {
		if at, ok := have[r.Hash]; ok {
			rt.Fatalf("one leaf is at %d and at %d", at, r.Index)
		}
		have[r.Hash] = r.Index
	}
	known := 0
	for n := range m.next {
		index, ok := have[merkle.HashLeaf(leaf(n).Body)]
		if at, answered := m.at[n]; answered && (!ok || index != at) {
			rt.Fatalf("leaf %d was answered with index %d, but is at %d (%v)", n, at, index, ok)
		}
		if ok {
			known++
		}
	}
	if known != len(entries) {
		rt.Fatalf("%d of %d entries were never added", len(entries)-known, len(entries))
	}
}

// settled reads the whole log when nothing moves any more. A leaf whose
// caller gave up may still come in, so a failed check is tried again
// on a newer head.
func (m *model) settled(ctx context.Context, rt *rapid.T) []log.KeyedEntry {
	for {
		before, err := m.plain.Head(ctx)
		if err != nil {
			rt.Fatal(err)
		}
		entries, err := check(ctx, m.plain)
		after, e := m.plain.Head(ctx)
		if e != nil {
			rt.Fatal(e)
		}
		if before.Tree != after.Tree {
			continue
		}
		if err != nil {
			rt.Fatal(err)
		}
		return entries
	}
}

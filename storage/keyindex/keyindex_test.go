package keyindex

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/cairnlog/cairn/log"
)

func key(n int64) log.Key {
	h := sha256.Sum256(fmt.Appendf(nil, "key %d", n))
	return log.Key(h[:])
}

// small makes an index do much with few keys.
var small = Sizes{Flush: 10, Fanout: 3, Levels: 3, PageRows: 4, Chunk: 3}

// A model is what an index must find, with servers that share a disk.
type model struct {
	disk    *fakeDisk
	servers []*keeper
	at      map[log.Key][]int64
	next    int64 // key that was not used yet
	started int   // servers
}

func newModel(servers int) *model {
	m := &model{disk: newFakeDisk(), at: make(map[log.Key][]int64)}
	for range servers {
		m.servers = append(m.servers, m.server())
	}
	return m
}

// server returns a server that makes pages of another length than the last.
func (m *model) server() *keeper {
	m.started++
	sizes := small
	sizes.PageRows += m.started % 4
	return &keeper{Index: newIndex(m.disk, sizes)}
}

// commit adds entries, with keys of their own and one that they share.
func (m *model) commit(entries int64, shared log.Key) (start, past int64, keys []log.KeyAt) {
	for i := range entries {
		index := m.disk.size + i
		keys = append(keys, log.KeyAt{Key: key(m.next), Index: index}, log.KeyAt{Key: shared, Index: index})
		m.next++
	}
	for _, k := range keys {
		if !slices.Contains(m.at[k.Key], k.Index) {
			m.at[k.Key] = append(m.at[k.Key], k.Index)
		}
	}
	keys = append(keys, keys...) // one that comes twice counts once
	start, past = m.disk.commit(entries, keys)
	return start, past, keys
}

// want is what Find must return.
func (m *model) want(keys []log.Key, after int64, limit int) [][]int64 {
	found := make([][]int64, len(keys))
	for i, k := range keys {
		for _, index := range m.at[k] {
			if index > after && len(found[i]) < limit {
				found[i] = append(found[i], index)
			}
		}
	}
	return found
}

// TestModel commits, searches, keeps the index, loses servers and leases at
// random, with faults, on three servers that share a disk.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(3)
		server := rapid.Custom(func(t *rapid.T) *keeper { return rapid.SampledFrom(m.servers).Draw(t, "server") })
		ctx := context.Background()
		find := func(t *rapid.T, s *keeper) {
			var keys []log.Key
			for range rapid.IntRange(1, 20).Draw(t, "keys") {
				keys = append(keys, key(rapid.Int64Range(-3, m.next+3).Draw(t, "key")))
			}
			after, limit := rapid.Int64Range(-1, m.disk.size+1).Draw(t, "after"), rapid.IntRange(1, 30).Draw(t, "limit")
			found, err := s.Find(ctx, keys, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(m.want(keys, after, limit), found, cmpopts.EquateEmpty()); d != "" {
				t.Fatalf("after %d, limit %d: (-want +have)\n%s", after, limit, d)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"commit": func(t *rapid.T) {
				start, past, keys := m.commit(rapid.Int64Range(1, 9).Draw(t, "entries"), key(-rapid.Int64Range(1, 2).Draw(t, "shared")))
				if rapid.Bool().Draw(t, "told") {
					server.Draw(t, "to").Added(start, past, keys)
				}
			},
			"commit without keys": func(t *rapid.T) { m.disk.commit(1, nil) },
			"find":                func(t *rapid.T) { find(t, server.Draw(t, "s")) },
			"keep":                func(t *rapid.T) { server.Draw(t, "s").step(ctx) },
			"keep with faults": func(t *rapid.T) {
				n := rapid.IntRange(0, 8).Draw(t, "call")
				after := rapid.Bool().Draw(t, "but it took effect")
				m.disk.fail = func(string) (bool, bool) {
					n--
					return n == -1 && !after, n == -1 && after
				}
				server.Draw(t, "s").step(ctx)
				m.disk.fail = nil
			},
			"lease runs out": func(*rapid.T) { m.disk.expires = 0 },
			"crash": func(t *rapid.T) {
				i := rapid.IntRange(0, len(m.servers)-1).Draw(t, "server")
				m.servers[i] = m.server()
			},
		})
		// In the end one server can put everything in order.
		m.disk.expires = 0
		m.commit(int64(small.Flush), key(-1))
		last := m.server()
		if _, err := last.Find(ctx, []log.Key{key(0)}, -1, 1); err != nil {
			t.Fatal(err)
		}
		if err := last.step(ctx); err != nil {
			t.Fatal(err)
		}
		for id := range m.disk.runs {
			if m.disk.state[id] != counts {
				t.Fatalf("run %d is left over", id)
			}
		}
		for p := range m.disk.pages {
			if m.disk.runs[p.Run] == nil {
				t.Fatalf("page %v is left over", p)
			}
		}
		for _, s := range append(m.servers, last) {
			find(t, s)
		}
	})
}

// TestLostLease lets another server take over between any two steps of a
// merge. The first must give up, and nothing may be lost.
func TestLostLease(t *testing.T) {
	t.Parallel()
	for n := range 40 {
		m := newModel(2)
		ctx := t.Context()
		first, second := m.servers[0], m.servers[1]
		for _, s := range m.servers {
			if err := s.load(ctx, s.loadCount()); err != nil {
				t.Fatal(err)
			}
		}
		for range 20 {
			first.Added(m.commit(9, key(-1)))
		}
		calls, inside := 0, false
		m.disk.fail = func(method string) (bool, bool) {
			if inside {
				return false, false
			}
			if calls++; calls == n {
				inside = true
				m.disk.mu.Unlock()
				m.disk.expires = 0
				if _, err := second.Find(ctx, []log.Key{key(1)}, -1, 1); err != nil {
					t.Error(err)
				}
				if err := second.step(ctx); err != nil {
					t.Errorf("call %d: the second server: %v", n, err)
				}
				m.disk.mu.Lock()
				inside = false
			}
			return false, false
		}
		err := first.step(ctx)
		if err != nil && !errors.Is(err, ErrMoved) && !errors.Is(err, errPage) {
			t.Errorf("call %d: %v, want ErrMoved, a page that is gone, or none", n, err)
		}
		m.disk.fail = nil
		for _, s := range m.servers {
			for k := range m.at {
				found, err := s.Find(ctx, []log.Key{k}, -1, 1000)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(m.want([]log.Key{k}, -1, 1000), found); d != "" {
					t.Fatalf("call %d: (-want +have)\n%s", n, d)
				}
			}
		}
	}
}

// TestKeeps runs two servers as they run in a store: they keep up by
// themselves, and one takes over from the other.
func TestKeeps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newModel(0)
		a, err := Open(t.Context(), m.disk, small)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Open(t.Context(), m.disk, small)
		if err != nil {
			t.Fatal(err)
		}
		load := func(ix *Index) {
			for range 200 {
				start, past, keys := m.commit(7, key(-2))
				if _, err := ix.Find(t.Context(), []log.Key{key(0)}, -1, 1); err != nil {
					t.Error(err)
				}
				ix.Added(start, past, keys)
			}
			synctest.Wait()
			m.disk.mu.Lock()
			defer m.disk.mu.Unlock()
			if n := len(m.disk.appends); n > 3 {
				t.Errorf("%d appends are not indexed", n)
			}
		}
		load(a)
		a.Close()
		load(b)
		for _, ix := range []*Index{a, b} {
			found, err := ix.Find(t.Context(), []log.Key{key(-2), key(0), key(2799)}, -1, math.MaxInt32)
			if err != nil {
				t.Fatal(err)
			}
			if len(found[0]) != 2800 || len(found[1]) != 1 || len(found[2]) != 1 {
				t.Errorf("found %d, %d, %d, want 2800, 1, 1", len(found[0]), len(found[1]), len(found[2]))
			}
		}
		b.Close()
	})
}

// TestKeepsUpAfterFaults has the disk fail for a while.
func TestKeepsUpAfterFaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newModel(0)
		ix, err := Open(t.Context(), m.disk, small)
		if err != nil {
			t.Fatal(err)
		}
		defer ix.Close()
		m.disk.mu.Lock()
		m.disk.fail = func(method string) (bool, bool) { return method == "Apply", false }
		m.disk.mu.Unlock()
		for range 20 {
			ix.Added(m.commit(7, key(-2)))
		}
		synctest.Wait()
		if err := ix.Ready(); err != nil {
			t.Errorf("not ready with few keys: %v", err)
		}
		ix.mu.Lock()
		if !errors.Is(ix.failed, errFault) {
			t.Errorf("failed is %v", ix.failed)
		}
		ix.mu.Unlock()
		m.disk.mu.Lock()
		m.disk.fail = nil
		m.disk.mu.Unlock()
		for range 2 { // one more pause than was begun
			time.Sleep(2 * retryPause)
			synctest.Wait()
		}
		m.disk.mu.Lock()
		defer m.disk.mu.Unlock()
		if n := len(m.disk.appends); n > 3 {
			t.Errorf("%d appends are not indexed", n)
		}
	})
}

// TestConcurrent searches while runs come and go, for the race detector.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	disk := newFakeDisk()
	var mu sync.Mutex
	size := int64(0)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		ix, err := Open(t.Context(), disk, small)
		if err != nil {
			t.Fatal(err)
		}
		defer ix.Close()
		for range 2 {
			wg.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					mu.Lock()
					n := size
					mu.Unlock()
					found, err := ix.Find(t.Context(), []log.Key{key(n - 1), key(n / 2), key(n + 100000)}, -1, 10)
					if err != nil {
						t.Error(err)
						return
					}
					if n > 0 && (!slices.Equal(found[0], []int64{n - 1}) || !slices.Equal(found[1], []int64{n / 2}) || len(found[2]) > 0) {
						t.Errorf("size %d: found %v", n, found)
						return
					}
				}
			})
		}
	}
	for range 2000 {
		_, past := disk.commit(1, []log.KeyAt{{Key: key(size), Index: size}})
		mu.Lock()
		size = past
		mu.Unlock()
	}
	close(done)
	wg.Wait()
}

func TestSaysWhenBehind(t *testing.T) {
	t.Parallel()
	m := newModel(1)
	s := m.servers[0]
	if err := s.load(t.Context(), s.loadCount()); err != nil {
		t.Fatal(err)
	}
	keys := make([]log.KeyAt, maxTail)
	s.Added(0, maxTail, keys)
	if err := s.Ready(); !errors.Is(err, log.ErrNotReady) || !errors.Is(err, errBehind) {
		t.Errorf("Ready: %v, want ErrNotReady and errBehind", err)
	}
	s.failed = errFault
	if err := s.Ready(); !errors.Is(err, errFault) {
		t.Errorf("Ready: %v, want the reason", err)
	}
}

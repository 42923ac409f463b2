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

// testReplicas runs two logs on one medium, each over a store of its own.
// Both add at the same time, the same leaves in part; each sees at once what
// the other answered.
func testReplicas(t *testing.T, m Medium) {
	a := m(t)
	logs := []*log.Log{openLog(t, a, true), nil}
	logs[1] = openLog(t, m(t), false)

	const writers, each = 8, 25
	var mu sync.Mutex
	answered := make(map[int]int64) // index of each leaf that was added
	var wg sync.WaitGroup
	for w := range writers {
		mine, other := logs[w%2], logs[1-w%2]
		wg.Go(func() {
			for i := range each {
				// Writers in pairs add the same leaves.
				n := (w/2)*each + i
				e, err := mine.Add(t.Context(), leaf(n))
				var d *log.DuplicateError
				index := int64(-1)
				switch {
				case err == nil:
					index = e.Index
					mu.Lock()
					if at, ok := answered[n]; ok {
						t.Errorf("leaf %d was added at %d and at %d", n, at, index)
					}
					answered[n] = index
					mu.Unlock()
				case errors.As(err, &d):
					index = d.Index
				default:
					t.Errorf("add leaf %d: %v", n, err)
					return
				}
				if err := visible(t.Context(), other, n, index); err != nil {
					t.Errorf("leaf %d, just added to the other replica at %d: %v", n, index, err)
					return
				}
			}
		})
	}
	wg.Wait()
	records := Check(t.Context(), t, a)
	if want := writers / 2 * each; len(records) != want || len(answered) != want {
		t.Errorf("%d entries and %d answers, want %d", len(records), len(answered), want)
	}
	for n, at := range answered {
		if !bytes.Equal(records[at].Body, leaf(n).Body) {
			t.Errorf("leaf %d was answered with index %d, which holds %q", n, at, records[at].Body)
		}
	}
}

// visible says what is wrong if l does not have leaf number n at index, in every way of reading.
func visible(ctx context.Context, l *log.Log, n int, index int64) error {
	e, err := l.Entry(ctx, index)
	if err != nil {
		return fmt.Errorf("entry: %w", err)
	}
	if !bytes.Equal(e.Body, leaf(n).Body) {
		return fmt.Errorf("entry holds %q", e.Body)
	}
	if e, err = l.Lookup(ctx, merkle.HashLeaf(leaf(n).Body)); err != nil {
		return fmt.Errorf("lookup: %w", err)
	}
	if e.Index != index {
		return fmt.Errorf("lookup says it is at %d", e.Index)
	}
	hits, err := l.Search(ctx, log.Query{Terms: [][]string{leaf(n).Terms[:1]}, After: -1})
	if err != nil {
		return fmt.Errorf("search: %w", err)
	}
	if len(hits) != 1 || hits[0].Index != index {
		return fmt.Errorf("search found %v", hits)
	}
	return nil
}

// A mistaken store gives back something else than what was put in.
type mistaken struct {
	log.Store
	head     func(*log.Head)
	segments func([]log.Segment) []log.Segment
	tiles    func([][]byte)
	found    func([][]int64)
	attached bool
}

func (m *mistaken) Head(ctx context.Context) (log.Head, error) {
	h, err := m.Store.Head(ctx)
	if m.head != nil {
		m.head(&h)
	}
	return h, err
}

func (m *mistaken) SegmentsFrom(ctx context.Context, start int64, limit int) ([]log.Segment, error) {
	s, err := m.Store.SegmentsFrom(ctx, start, limit)
	if m.segments != nil && len(s) > 0 {
		s = m.segments(s)
	}
	return s, err
}

func (m *mistaken) ReadTiles(ctx context.Context, tiles []merkle.Tile) ([][]byte, error) {
	rows, err := m.Store.ReadTiles(ctx, tiles)
	if m.tiles != nil && err == nil {
		for i := range rows {
			rows[i] = bytes.Clone(rows[i])
		}
		m.tiles(rows)
	}
	return rows, err
}

func (m *mistaken) Find(ctx context.Context, keys []log.Key, after int64, limit int) ([][]int64, error) {
	found, err := m.Store.Find(ctx, keys, after, limit)
	if m.found != nil && err == nil {
		m.found(found)
	}
	return found, err
}

func (m *mistaken) Attachment(ctx context.Context, index int64) ([]byte, error) {
	if m.attached {
		return nil, nil
	}
	return m.Store.Attachment(ctx, index)
}

// testCheckFindsMistake damages a log in each way that Check is there to find.
func testCheckFindsMistake(t *testing.T, m Medium) {
	s := m(t)
	addMany(t, openLog(t, s, true), 0, 300)
	Check(t.Context(), t, s)
	for name, bad := range map[string]*mistaken{
		"root":              {head: func(h *log.Head) { h.Tree.Root[3]++ }},
		"size too large":    {head: func(h *log.Head) { h.Tree.Size++ }},
		"size too small":    {head: func(h *log.Head) { h.Tree.Size-- }},
		"time of the head":  {head: func(h *log.Head) { h.Time++ }},
		"nonce of the head": {head: func(h *log.Head) { h.Nonce[0]++ }},
		"no checkpoint":     {head: func(h *log.Head) { h.Checkpoint = nil }},
		"missing segment":   {segments: func(s []log.Segment) []log.Segment { return s[1:] }},
		"segment twice":     {segments: func(s []log.Segment) []log.Segment { return append(s[:1:1], s...) }},
		"damaged segment": {segments: func(s []log.Segment) []log.Segment {
			s[0].Data = append(bytes.Clone(s[0].Data), 0)
			return s
		}},
		"time goes back": {segments: func(s []log.Segment) []log.Segment {
			s[0].Data = bytes.Clone(s[0].Data)
			s[0].Data[2] = 0x7f // see the form of a segment
			return s
		}},
		"tile":               {tiles: func(rows [][]byte) { rows[0][8191]++ }},
		"key leads nowhere":  {found: func(f [][]int64) { f[len(f)-1] = nil }},
		"key leads too far":  {found: func(f [][]int64) { f[0] = append(f[0], 299) }},
		"key leads astray":   {found: func(f [][]int64) { f[0], f[len(f)-1] = f[len(f)-1], f[0] }},
		"attachment of none": {attached: true},
	} {
		bad.Store = s
		if _, err := check(t.Context(), bad); err == nil {
			t.Errorf("%s: not found", name)
		}
	}
	if _, err := check(t.Context(), &mistaken{Store: s}); err != nil {
		t.Errorf("no mistake: %v", err)
	}
}

package keyindex

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/cairnlog/cairn/log"
)

// An Index finds keys, and keeps what it finds them by.
type Index struct {
	disk  Disk
	sizes Sizes
	owner Owner

	loading chan struct{} // holds a token while what is below is read anew

	mu     sync.RWMutex
	loaded bool
	loads  int    // how often it was
	runs   []*Run // in order, up to the start of the tail; the slice is never changed
	tail   *tail
	kept   int   // how often the keeper of this index changed runs
	failed error // why the tail was not made into a run last time

	wake chan struct{} // holds one token when there may be something to do
	stop context.CancelFunc
	done chan struct{}
}

// attempts is how often a search starts again because the runs it was
// reading were merged. Each time there must be a merge in between.
const attempts = 20

var errBehind = errors.New("the index is behind")

var errChanging = errors.New("the index changed again and again while it was read")

// Find is Find of log.Reader.
func (ix *Index) Find(ctx context.Context, keys []log.Key, after int64, limit int) ([][]int64, error) {
	if len(keys) == 0 || limit <= 0 {
		return make([][]int64, len(keys)), ctx.Err()
	}
	for range attempts {
		loads := ix.loadCount()
		found, ok, err := ix.find(ctx, keys, max(after, -1), limit)
		if err != nil {
			return nil, fmt.Errorf("find keys: %w", err)
		}
		if ok {
			return found, nil
		}
		if err := ix.load(ctx, loads); err != nil {
			return nil, fmt.Errorf("find keys: %w", err)
		}
	}
	return nil, fmt.Errorf("find keys: %w", errChanging)
}

// A want is where a search for one key has got to.
type want struct {
	run   int // the next of the runs to look at
	found []int64
}

// A need is a page to read for a key.
type need struct {
	key  int // of keys
	run  *Run
	page int // of the pages that were read
}

// find looks once. It is not ok if what is in memory does not fit the
// database any more.
func (ix *Index) find(ctx context.Context, keys []log.Key, after int64, limit int) (found [][]int64, ok bool, err error) {
	// 1. What is in memory, as of one moment: the runs, and what the tail has.
	ix.mu.RLock()
	if !ix.loaded {
		ix.mu.RUnlock()
		return nil, false, nil
	}
	runs, from := ix.runs, ix.tail.past
	tails := make([][]int64, len(keys))
	for i, k := range keys {
		tails[i] = ix.tail.find(k, after, limit)
	}
	ix.mu.RUnlock()

	wants := make([]want, len(keys))
	for first := true; ; first = false {
		// 2. For each key the pages of the runs that may have it, until there
		// must be as many rows as are wanted.
		var pages []PageID
		var needs []need
		at := make(map[PageID]int)
		for i, k := range keys {
			w := &wants[i]
			sure := len(w.found)
			for ; w.run < len(runs) && sure < limit; w.run++ {
				r := runs[w.run]
				if r.Past <= after+1 || !filter(r.Filter).has(k) {
					continue
				}
				from, past := r.span(k, after)
				for p := from; p < past && sure < limit; p++ {
					id := PageID{r.ID, int32(p)}
					n, ok := at[id]
					if !ok {
						n = len(pages)
						at[id] = n
						pages = append(pages, id)
					}
					needs = append(needs, need{i, r, n})
					if p > from && p < past-1 {
						// It has no other key. All pages but the last are
						// full, so it has at least the average.
						sure += int(r.Rows) / r.pages()
					}
				}
			}
		}
		if !first && len(needs) == 0 {
			break
		}

		// 3. Read them, and what was appended since.
		size, fresh, data, err := ix.disk.Look(ctx, from, pages)
		if err != nil {
			return nil, false, err
		}
		if first {
			if !ix.extend(size, fresh, from, keys, tails, after) {
				return nil, false, nil
			}
			from = max(from, size)
		}

		// 4. Look at the pages.
		for _, n := range needs {
			page := data[n.page]
			if page == nil {
				return nil, false, nil // its run was merged
			}
			w := &wants[n.key]
			if w.found, err = scan(page, n.run.First, keys[n.key], after, limit, w.found); err != nil {
				return nil, false, fmt.Errorf("run %d: %w", n.run.ID, err)
			}
		}
	}

	// 5. Runs, then tail: that is ascending order.
	found = make([][]int64, len(keys))
	for i, w := range wants {
		found[i] = append(w.found, tails[i]...)
		if len(found[i]) > limit {
			found[i] = found[i][:limit]
		}
	}
	return found, true, nil
}

// extend adds to the tail what was appended to a log of now size entries
// since it had from, and to tails what keys are in it. It returns false if
// something is missing, because another server has made it into a run.
func (ix *Index) extend(size int64, fresh []Append, from int64, keys []log.Key, tails [][]int64, after int64) bool {
	if size <= from && len(fresh) == 0 {
		return true
	}
	wanted := make(map[log.Key][]int, len(keys))
	for i, k := range keys {
		wanted[k] = append(wanted[k], i)
	}
	past := from
	decoded := make([][]log.KeyAt, len(fresh))
	for i, a := range fresh {
		added, err := a.decode()
		if err != nil || a.Start != past {
			return false
		}
		decoded[i], past = added, a.Past
		for _, k := range added {
			for _, i := range wanted[k.Key] {
				tails[i] = append(tails[i], k.Index)
			}
		}
	}
	if past < size {
		return false
	}
	for i := range tails {
		tails[i] = ascending(tails[i], after, len(tails[i]))
	}

	ix.mu.Lock()
	defer ix.mu.Unlock()
	for i, a := range fresh {
		if ix.loaded && a.Start == ix.tail.past { // else another search was first
			ix.tail.add(a.Past, decoded[i])
		}
	}
	ix.nudge()
	return true
}

// Absent is Absent of log.Screener.
func (ix *Index) Absent(keys []log.Key, size int64) []bool {
	absent := make([]bool, len(keys))
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	if !ix.loaded || ix.tail.past < size {
		return absent
	}
next:
	for i, k := range keys {
		if len(ix.tail.at[k]) > 0 {
			continue
		}
		for _, r := range ix.runs {
			if filter(r.Filter).has(k) {
				continue next
			}
		}
		absent[i] = true
	}
	return absent
}

// Added says that a commit of keys, of the entries from start up to past,
// succeeded. It need not be called, but saves reading them back.
func (ix *Index) Added(start, past int64, keys []log.KeyAt) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if ix.loaded && ix.tail.past == start {
		ix.tail.add(past, keys)
	}
	ix.nudge()
}

// Ready returns a log.ErrNotReady if more keys wait to be indexed than should:
// a commit must wait then.
func (ix *Index) Ready() error {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	if !ix.loaded || len(ix.tail.keys) < maxTail {
		return nil
	}
	return fmt.Errorf("%w: %d keys wait to be indexed: %w", log.ErrNotReady, len(ix.tail.keys), cmp.Or(ix.failed, errBehind))
}

func (ix *Index) loadCount() int {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.loads
}

// load reads runs and tail anew, unless somebody has done so since there had
// been the given number of loads.
func (ix *Index) load(ctx context.Context, loads int) error {
	select {
	case ix.loading <- struct{}{}:
		defer func() { <-ix.loading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ix.mu.RLock()
	done := ix.loaded && ix.loads != loads
	ix.mu.RUnlock()
	if done {
		return nil
	}
	for range attempts {
		have := make(map[int64]*Run)
		ix.mu.RLock()
		kept := ix.kept
		for _, r := range ix.runs {
			have[r.ID] = r
		}
		ix.mu.RUnlock()
		runs, err := ix.disk.Runs(ctx, slices.Collect(maps.Keys(have)))
		if err != nil {
			return err
		}
		start := int64(0)
		for i, r := range runs {
			if h := have[r.ID]; h != nil {
				runs[i] = h
			} else if err := r.check(); err != nil {
				return err
			}
			if r.First != start {
				return fmt.Errorf("run %d starts at entry %d, not %d", r.ID, r.First, start)
			}
			start = r.Past
		}
		size, fresh, _, err := ix.disk.Look(ctx, start, nil)
		if err != nil {
			return err
		}
		t := newTail(start)
		for _, a := range fresh {
			keys, err := a.decode()
			if err != nil {
				return err
			}
			if a.Start != t.past {
				break
			}
			t.add(a.Past, keys)
		}
		if t.past < size {
			continue // what is missing became a run after the runs were read
		}
		ix.mu.Lock()
		if kept != ix.kept {
			ix.mu.Unlock()
			continue // what was read may be older than what is in memory
		}
		if ix.loaded {
			t.follow(ix.tail) // commits since the disk was read
		}
		ix.loaded, ix.runs, ix.tail = true, runs, t
		ix.loads++
		ix.nudge()
		ix.mu.Unlock()
		return nil
	}
	return errChanging
}

// ascending sorts indexes, drops those that are there twice or not greater
// than after, and returns the first limit.
func ascending(indexes []int64, after int64, limit int) []int64 {
	slices.Sort(indexes)
	indexes = slices.Compact(indexes)
	i, found := slices.BinarySearch(indexes, after)
	if found {
		i++
	}
	return indexes[i:min(i+limit, len(indexes))]
}

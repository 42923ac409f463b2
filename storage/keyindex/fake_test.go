package keyindex

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/cairnlog/cairn/log"
)

// A fakeDisk is a Disk in memory that keeps to the contract to the letter.
type fakeDisk struct {
	mu      sync.Mutex
	size    int64
	appends []Append
	runs    map[int64]*Run // a copy each, so that nobody shares
	state   map[int64]int
	pages   map[PageID][]byte
	owner   Owner
	expires int64

	fail  func(method string) (before, after bool) // nil for never
	looks int                                      // pages read
}

const (
	started = iota
	counts
	dead
)

var errFault = errors.New("fault on purpose")

func newFakeDisk() *fakeDisk {
	return &fakeDisk{runs: make(map[int64]*Run), state: make(map[int64]int), pages: make(map[PageID][]byte)}
}

// commit is what a commit of the store does.
func (d *fakeDisk) commit(count int64, keys []log.KeyAt) (start, past int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	start, past = d.size, d.size+count
	d.appends = append(d.appends, Append{start, past, EncodeAppend(start, keys)})
	d.size = past
	return start, past
}

func (d *fakeDisk) do(method string, do func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var before, after bool
	if d.fail != nil {
		before, after = d.fail(method)
	}
	if before {
		return errFault
	}
	if err := do(); err != nil {
		return err
	}
	if after {
		return errFault
	}
	return nil
}

func (d *fakeDisk) Look(_ context.Context, from int64, pages []PageID) (size int64, fresh []Append, data [][]byte, err error) {
	err = d.do("Look", func() error {
		size = d.size
		for _, a := range d.appends {
			if a.Start >= from {
				fresh = append(fresh, a)
			}
		}
		for _, p := range pages {
			data = append(data, d.pages[p])
			d.looks++
		}
		return nil
	})
	return size, fresh, data, err
}

func (d *fakeDisk) Runs(_ context.Context, have []int64) (runs []*Run, err error) {
	err = d.do("Runs", func() error {
		for id, r := range d.runs {
			if d.state[id] != counts {
				continue
			}
			c := *r
			if slices.Contains(have, id) {
				c.Fences, c.Filter = nil, nil
			}
			runs = append(runs, &c)
		}
		slices.SortFunc(runs, func(a, b *Run) int { return int(a.First - b.First) })
		return nil
	})
	return runs, err
}

func (d *fakeDisk) Claim(_ context.Context, owner Owner, now, until int64) (ok bool, err error) {
	err = d.do("Claim", func() error {
		if ok = d.owner == owner || d.expires <= now || d.expires > 2*until-now; ok {
			d.owner, d.expires = owner, until
		}
		return nil
	})
	return ok, err
}

func (d *fakeDisk) Leftover(context.Context) (left []PageID, err error) {
	err = d.do("Leftover", func() error {
		for id := range d.runs {
			if d.state[id] == counts {
				continue
			}
			end := PageID{Run: id}
			for p := range d.pages {
				if p.Run == id {
					end.Page = max(end.Page, p.Page+1)
				}
			}
			left = append(left, end)
		}
		return nil
	})
	return left, err
}

func (d *fakeDisk) Apply(_ context.Context, c *Change) error {
	return d.do("Apply", func() error {
		// 1. All that may be wrong.
		if d.owner != c.Owner {
			return ErrMoved
		}
		for _, id := range c.Dead {
			if d.runs[id] == nil || d.state[id] != counts {
				return ErrMoved
			}
		}
		if len(c.Pages) > 0 && c.Count == nil && (d.runs[c.To.Run] == nil || d.state[c.To.Run] != started) {
			return ErrMoved
		}
		if c.Indexed > 0 {
			past := int64(0)
			for id, r := range d.runs {
				if d.state[id] == counts {
					past = max(past, r.Past)
				}
			}
			if past != c.Count.First {
				return ErrMoved
			}
		}
		// 2. All of it.
		if c.Start != nil {
			r := *c.Start
			d.runs[r.ID], d.state[r.ID] = &r, started
		}
		for i, page := range c.Pages {
			id := PageID{c.To.Run, c.To.Page + int32(i)}
			if d.pages[id] != nil {
				return fmt.Errorf("page %v is there already", id)
			}
			d.pages[id] = slices.Clone(page)
		}
		for _, id := range c.Dead {
			d.state[id] = dead
		}
		if c.Count != nil {
			r := *c.Count
			r.Fences, r.Filter = slices.Clone(r.Fences), slices.Clone(r.Filter)
			d.runs[r.ID], d.state[r.ID] = &r, counts
		}
		d.appends = slices.DeleteFunc(d.appends, func(a Append) bool { return a.Start < c.Indexed })
		maps.DeleteFunc(d.pages, func(p PageID, _ []byte) bool { return p.Run == c.Drop.Run && p.Page < c.Drop.Page })
		if c.Forget != 0 {
			delete(d.runs, c.Forget)
			delete(d.state, c.Forget)
		}
		return nil
	})
}

package keyindex

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cairnlog/cairn/log"
)

// merge makes one run of a group. Searches use the old ones to the end.
func (k *keeper) merge(ctx context.Context, group []*Run) error {
	run := &Run{ID: newID(), Level: group[0].Level + 1, First: group[0].First, Past: group[len(group)-1].Past}
	var rows int64
	from := make([]*cursor, len(group))
	dead := make([]int64, len(group))
	for i, r := range group {
		rows += r.Rows
		from[i] = &cursor{run: r}
		dead[i] = r.ID
	}
	if err := k.apply(ctx, &Change{Start: run}); err != nil {
		return fmt.Errorf("start run: %w", err)
	}
	b := newBuilder(run, rows, k.sizes.PageRows)
	written := 0
	write := func() error {
		c := &Change{To: PageID{run.ID, int32(written)}, Pages: b.full}
		if err := k.apply(ctx, c); err != nil {
			return fmt.Errorf("write pages: %w", err)
		}
		written += len(b.full)
		b.full = nil
		return k.flush(ctx) // the tail does not wait for a long merge
	}
	for {
		least := -1
		for i, c := range from {
			if len(c.data) == 0 && c.page < c.run.pages() {
				if err := k.fill(ctx, from); err != nil {
					return err
				}
			}
			if len(c.data) > 0 && (least < 0 || compare(c.row, from[least].row) < 0) {
				least = i
			}
		}
		if least < 0 {
			break
		}
		if err := b.add(from[least].row); err != nil {
			return fmt.Errorf("merge run %d: %w", from[least].run.ID, err)
		}
		from[least].next()
		if len(b.full) >= k.sizes.Chunk {
			if err := write(); err != nil {
				return err
			}
		}
	}
	b.flush()
	if len(b.full) > 0 {
		if err := write(); err != nil {
			return err
		}
	}
	if run.Rows != rows {
		return fmt.Errorf("runs of %d rows became one of %d", rows, run.Rows)
	}
	if err := k.apply(ctx, &Change{Count: run, Dead: dead}); err != nil {
		return fmt.Errorf("replace runs: %w", err)
	}

	k.mu.Lock()
	at := slices.IndexFunc(k.runs, func(r *Run) bool { return r.ID == group[0].ID })
	if at >= 0 { // else they were read anew, and it is there
		runs := slices.Clone(k.runs)
		k.runs = slices.Replace(runs, at, at+len(group), run)
		k.kept++
	}
	k.mu.Unlock()
	for _, r := range group {
		if err := k.drop(ctx, PageID{r.ID, int32(r.pages())}); err != nil {
			return err
		}
	}
	return nil
}

// A cursor goes through the rows of a run.
type cursor struct {
	run  *Run
	row  log.KeyAt // the first of data
	data []byte
	page int // the next to read
}

func (c *cursor) next() {
	c.data = c.data[rowSize:]
	if len(c.data) > 0 {
		c.row = rowAt(c.data, c.run.First)
	}
}

// fill reads more pages of each cursor that has none left, and no others.
func (k *keeper) fill(ctx context.Context, from []*cursor) error {
	var pages []PageID
	each := max(k.sizes.Chunk/len(from), 1)
	for _, c := range from {
		if len(c.data) == 0 {
			for p := c.page; p < min(c.page+each, c.run.pages()); p++ {
				pages = append(pages, PageID{c.run.ID, int32(p)})
			}
		}
	}
	k.mu.RLock()
	past := k.tail.past
	k.mu.RUnlock()
	_, _, data, err := k.disk.Look(ctx, past, pages)
	if err != nil {
		return fmt.Errorf("read pages: %w", err)
	}
	for _, c := range from {
		if len(c.data) > 0 {
			continue
		}
		for len(data) > 0 && pages[0].Run == c.run.ID {
			if data[0] == nil || len(data[0])%rowSize != 0 {
				return fmt.Errorf("page %d of run %d: %w", pages[0].Page, c.run.ID, errPage)
			}
			c.data = append(c.data, data[0]...)
			c.page++
			data, pages = data[1:], pages[1:]
		}
		if len(c.data) > 0 {
			c.row = rowAt(c.data, c.run.First)
		}
	}
	return nil
}

var errPage = errors.New("it is not there, or damaged")

package keyindex

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

const (
	// leaseTime is how long a server that is gone keeps others from the index.
	leaseTime = 15 * time.Second
	// retryPause is how long a server waits before it asks for the lease
	// again, or tries again what failed.
	retryPause = 2 * time.Second
)

// Open reads the index of disk and starts to keep it.
func Open(ctx context.Context, disk Disk, sizes Sizes) (*Index, error) {
	ix := newIndex(disk, sizes)
	if err := ix.load(ctx, 0); err != nil {
		return nil, fmt.Errorf("read key index: %w", err)
	}
	ctx, ix.stop = context.WithCancel(context.WithoutCancel(ctx))
	go ix.run(ctx)
	return ix, nil
}

func newIndex(disk Disk, sizes Sizes) *Index {
	ix := &Index{disk: timed{disk}, sizes: sizes, loading: make(chan struct{}, 1), wake: make(chan struct{}, 1), done: make(chan struct{})}
	rand.Read(ix.owner[:]) // never fails
	return ix
}

// Close stops keeping the index and gives back the lease. Find still works.
func (ix *Index) Close() {
	ix.stop()
	<-ix.done
}

// nudge wakes the keeper if there is enough for it to do. The caller holds ix.mu.
func (ix *Index) nudge() {
	if ix.loaded && len(ix.tail.keys) >= ix.sizes.Flush {
		select {
		case ix.wake <- struct{}{}:
		default:
		}
	}
}

// run keeps the index until it is closed.
func (ix *Index) run(ctx context.Context) {
	defer close(ix.done)
	k := keeper{Index: ix}
	for {
		select {
		case <-ctx.Done():
			k.release()
			return
		case <-ix.wake:
		}
		if err := k.step(ctx); err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(retryPause):
			}
		}
	}
}

// A keeper changes the index. What it does to the disk is safe whenever it
// stops, and whether or not it still has the lease: see Disk.Apply.
type keeper struct {
	*Index
	until time.Time // end of the lease, zero if there is none
}

// step does what there is to do. If it fails, what is in memory is read anew:
// what was not acknowledged may have happened.
func (k *keeper) step(ctx context.Context) error {
	err := k.work(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	k.mu.Lock()
	k.failed = err
	if err != nil {
		k.until = time.Time{} // claim anew, and clean up what is left over
	}
	k.loaded = k.loaded && err == nil
	k.mu.Unlock()
	if err != nil {
		k.load(ctx, k.loadCount()) // or else a search does it
	}
	k.mu.Lock()
	k.nudge()
	k.mu.Unlock()
	return err
}

// work makes the tail into runs while it is long enough, and merges runs.
func (k *keeper) work(ctx context.Context) error {
	if err := k.claim(ctx); err != nil {
		return err
	}
	for {
		if err := k.flush(ctx); err != nil {
			return err
		}
		group := k.mergeable()
		if group == nil {
			return nil
		}
		if err := k.merge(ctx, group); err != nil {
			return err
		}
	}
}

// claim takes the lease or makes it longer.
func (k *keeper) claim(ctx context.Context) error {
	now := time.Now()
	if now.Add(leaseTime / 2).Before(k.until) {
		return nil
	}
	held := now.Before(k.until)
	until := now.Add(leaseTime)
	ok, err := k.disk.Claim(ctx, k.owner, now.Unix(), until.Unix())
	if err != nil {
		return err
	}
	if !ok {
		k.until = time.Time{}
		return ErrMoved
	}
	k.until = until
	if held {
		return nil
	}
	// Somebody else may have had it in between.
	if err := k.load(ctx, k.loadCount()); err != nil {
		return err
	}
	left, err := k.disk.Leftover(ctx)
	if err != nil {
		return err
	}
	for _, end := range left {
		if err := k.drop(ctx, end); err != nil {
			return err
		}
	}
	return nil
}

// release gives the lease back, so that the next server need not wait.
func (k *keeper) release() {
	if k.until.IsZero() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), retryPause)
	defer cancel()
	k.disk.Claim(ctx, k.owner, time.Now().Unix(), 0)
}

// apply makes a change. Without a positive answer the lease counts as lost:
// then what was begun is given up, for the next owner deletes it.
func (k *keeper) apply(ctx context.Context, c *Change) error {
	if !time.Now().Before(k.until) {
		return ErrMoved
	}
	if err := k.claim(ctx); err != nil {
		return err
	}
	c.Owner = k.owner
	if err := k.disk.Apply(ctx, c); err != nil {
		k.until = time.Time{}
		return err
	}
	return nil
}

// newID returns an id that no run had before. A server that still has an old
// run in memory must not take another for it.
func newID() int64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return int64(binary.BigEndian.Uint64(b[:])>>(64-runBits)) | 1
}

// flush makes the tail into runs of level 0 while it is long enough.
func (k *keeper) flush(ctx context.Context) error {
	for {
		k.mu.RLock()
		if !k.loaded || len(k.tail.keys) < k.sizes.Flush {
			k.mu.RUnlock()
			return nil
		}
		// A long tail is made into larger runs, but not all of it in one transaction.
		keys, past := k.tail.oldest(4 * k.sizes.Flush)
		run := &Run{ID: newID(), First: k.tail.start, Past: past}
		k.mu.RUnlock()

		keys = sorted(keys)
		b := newBuilder(run, int64(len(keys)), k.sizes.PageRows)
		for _, key := range keys {
			if err := b.add(key); err != nil {
				return err
			}
		}
		b.flush()
		if err := k.apply(ctx, &Change{To: PageID{Run: run.ID}, Pages: b.full, Count: run, Indexed: past}); err != nil {
			return fmt.Errorf("write run: %w", err)
		}
		k.mu.Lock()
		if k.tail.start != run.First {
			// A search read everything anew while this was written, and so
			// has the run already or will find out that it has not.
			k.mu.Unlock()
			if err := k.load(ctx, k.loadCount()); err != nil {
				return err
			}
			continue
		}
		k.runs = append(slices.Clip(k.runs), run)
		k.tail = k.tail.from(past)
		k.kept++
		k.mu.Unlock()
	}
}

// mergeable returns runs that follow each other and should be one.
func (k *keeper) mergeable() []*Run {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for i := 0; i < len(k.runs); {
		n := i
		for n < len(k.runs) && k.runs[n].Level == k.runs[i].Level {
			n++
		}
		if n-i >= k.sizes.Fanout && k.runs[i].Level < k.sizes.Levels-1 {
			return slices.Clone(k.runs[i : i+k.sizes.Fanout])
		}
		i = n
	}
	return nil
}

// drop deletes a run that does not count, and its pages before end.
func (k *keeper) drop(ctx context.Context, end PageID) error {
	for page := int32(0); page < end.Page; {
		page = min(page+int32(k.sizes.Chunk), end.Page)
		if err := k.apply(ctx, &Change{Drop: PageID{end.Run, page}}); err != nil {
			return fmt.Errorf("delete pages: %w", err)
		}
	}
	if err := k.apply(ctx, &Change{Forget: end.Run}); err != nil {
		return fmt.Errorf("delete run: %w", err)
	}
	return nil
}

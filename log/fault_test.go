package log_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
	"github.com/cairnlog/cairn/storage/memory"
)

var errBroken = errors.New("connection lost")

// A rigged store does what its hooks say before it does what it should.
type rigged struct {
	log.Store
	mu     sync.Mutex
	commit func(b *log.Batch, do func() error) error
	head   func(log.Head, error) (log.Head, error)
}

func (r *rigged) Commit(ctx context.Context, b *log.Batch) error {
	r.mu.Lock()
	hook := r.commit
	r.mu.Unlock()
	do := func() error { return r.Store.Commit(ctx, b) }
	if hook != nil {
		return hook(b, do)
	}
	return do()
}

func (r *rigged) Head(ctx context.Context) (log.Head, error) {
	h, err := r.Store.Head(ctx)
	r.mu.Lock()
	hook := r.head
	r.mu.Unlock()
	if hook != nil {
		return hook(h, err)
	}
	return h, err
}

func (r *rigged) set(commit func(*log.Batch, func() error) error, head func(log.Head, error) (log.Head, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commit, r.head = commit, head
}

func riggedLog(t *testing.T) (*log.Log, *rigged) {
	t.Helper()
	r := &rigged{Store: memory.New()}
	create(t, r)
	return open(t, r, options(&clock{at: time.Unix(2000, 0)})), r
}

// TestUnknownOutcome loses the answer of commits in every way; the leaf is in
// the log once all the same, and its caller is told so.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(n int, b *log.Batch, do func() error) error{
		"failed before": func(n int, b *log.Batch, do func() error) error {
			if n < 3 {
				return errBroken
			}
			return do()
		},
		"failed but persisted": func(n int, b *log.Batch, do func() error) error {
			err := do()
			if n == 0 {
				return errBroken
			}
			return err
		},
		"failed, and the second try too, but persisted": func(n int, b *log.Batch, do func() error) error {
			if n == 0 {
				return errBroken
			}
			err := do()
			if n == 1 {
				return errBroken
			}
			return err
		},
		"persisted behind the back, seen as a conflict": func(n int, b *log.Batch, do func() error) error {
			if n == 0 {
				return errBroken
			}
			do()
			return do() // the second one conflicts with the first
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, r := riggedLog(t)
			add(t, l, leaf(0))
			var n atomic.Int64
			r.set(func(b *log.Batch, do func() error) error { return fail(int(n.Add(1)-1), b, do) }, nil)
			if e := add(t, l, leaf(1)); e.Index != 1 {
				t.Errorf("index is %d", e.Index)
			}
			r.set(nil, nil)
			if e := add(t, l, leaf(2)); e.Index != 2 {
				t.Errorf("the next has index %d", e.Index)
			}
			if _, err := l.Add(t.Context(), leaf(1)); !errors.As(err, new(*log.DuplicateError)) {
				t.Errorf("again: %v", err)
			}
		})
	}
}

// TestLateCommit has a commit that was given up arrive after another
// replica's: it must not be taken for lost nor for done.
func TestLateCommit(t *testing.T) {
	t.Parallel()
	l, r := riggedLog(t)
	other := open(t, r.Store, options(&clock{at: time.Unix(2000, 0)}))
	var n atomic.Int64
	r.set(func(b *log.Batch, do func() error) error {
		if n.Add(1) == 1 {
			add(t, other, leaf(50)) // takes the place
			return errBroken
		}
		return do()
	}, nil)
	if e := add(t, l, leaf(1)); e.Index != 1 {
		t.Errorf("index is %d", e.Index)
	}
}

func TestStoreIsDown(t *testing.T) {
	t.Parallel()
	l, r := riggedLog(t)
	add(t, l, leaf(0))
	r.set(func(*log.Batch, func() error) error { return errBroken },
		func(log.Head, error) (log.Head, error) { return log.Head{}, errBroken })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := l.Add(ctx, leaf(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("add while the store is down: %v", err)
	}
	if err := l.Ready(t.Context()); !errors.Is(err, errBroken) {
		t.Errorf("ready while the store is down: %v", err)
	}
	if e, err := l.Entry(t.Context(), 0); err != nil || e.Index != 0 {
		t.Errorf("read of what is in memory: %v", err)
	}
	r.set(nil, nil)
	if err := l.Ready(t.Context()); err != nil {
		t.Errorf("ready when it is up again: %v", err)
	}
	add(t, l, leaf(2))
	if _, err := l.Add(t.Context(), leaf(1)); !errors.As(err, new(*log.DuplicateError)) {
		t.Errorf("the leaf whose caller had gone: %v", err)
	}
}

func TestCloseWhileOutcomeIsUnknown(t *testing.T) {
	t.Parallel()
	l, r := riggedLog(t)
	entered := make(chan struct{}, 10)
	r.set(func(*log.Batch, func() error) error { entered <- struct{}{}; return errBroken },
		func(log.Head, error) (log.Head, error) { return log.Head{}, errBroken })
	result := make(chan error, 1)
	go func() {
		_, err := l.Add(context.Background(), leaf(1))
		result <- err
	}()
	<-entered
	l.Close()
	if err := <-result; !errors.Is(err, log.ErrUnknown) {
		t.Errorf("add: %v", err)
	}
}

// TestFailWhileOutcomeIsUnknown stops the log for good while a commit is tried
// over and over: it is not tried again.
func TestFailWhileOutcomeIsUnknown(t *testing.T) {
	t.Parallel()
	l, r := riggedLog(t)
	why := errors.New("a witness has seen another log")
	entered := make(chan struct{}, 1000)
	r.set(func(*log.Batch, func() error) error { entered <- struct{}{}; return errBroken }, nil)
	result := make(chan error, 1)
	go func() {
		_, err := l.Add(context.Background(), leaf(1))
		result <- err
	}()
	<-entered
	l.Fail(why)
	if err := <-result; !errors.Is(err, log.ErrUnknown) || !errors.Is(err, why) {
		t.Errorf("add: %v", err)
	}
	r.set(nil, nil)
	if h, err := r.Head(t.Context()); err != nil || h.Tree.Size != 0 {
		t.Errorf("the store is well again, and the log that was stopped has %d entries: %v", h.Tree.Size, err)
	}
}

// TestIndexPastTheEnd has a store whose search index names an entry that the
// tree does not have: a leaf is refused, and the log neither spins nor hangs.
func TestIndexPastTheEnd(t *testing.T) {
	t.Parallel()
	s := &farIndex{Store: memory.New()}
	create(t, s)
	l := open(t, s, options(&clock{at: time.Unix(2000, 0)}))
	if _, err := l.Add(t.Context(), leaf(1)); err == nil {
		t.Error("added")
	}
	s.well.Store(true)
	add(t, l, leaf(1))
}

// A farIndex finds each key at an index past the end, until it is well.
type farIndex struct {
	*memory.Store
	well atomic.Bool
}

func (s *farIndex) Find(ctx context.Context, keys []log.Key, after int64, limit int) ([][]int64, error) {
	if s.well.Load() {
		return s.Store.Find(ctx, keys, after, limit)
	}
	return slices.Repeat([][]int64{{1000}}, len(keys)), nil
}

func TestBackPressure(t *testing.T) {
	t.Parallel()
	r := &rigged{Store: memory.New()}
	create(t, r)
	o := options(&clock{at: time.Unix(2000, 0)})
	o.MaxPending = 3
	l := open(t, r, o)
	gate, entered := make(chan struct{}), make(chan struct{}, 10)
	r.set(func(b *log.Batch, do func() error) error { entered <- struct{}{}; <-gate; return do() }, nil)

	var wg sync.WaitGroup
	addLater := func(i int) {
		wg.Go(func() {
			if _, err := l.Add(context.Background(), leaf(i)); err != nil {
				t.Errorf("leaf %d: %v", i, err)
			}
		})
	}
	addLater(0)
	<-entered // in the commit, no longer in the pool
	for i := 1; i <= 3; i++ {
		addLater(i)
	}
	for l.Pending() < 3 {
		time.Sleep(time.Millisecond)
	}
	if !l.Busy() {
		t.Error("not busy with a full pool")
	}
	if _, err := l.Add(t.Context(), leaf(4)); !errors.Is(err, log.ErrBusy) {
		t.Errorf("add to a full pool: %v", err)
	}
	close(gate)
	wg.Wait()
	add(t, l, leaf(4))
	if l.Busy() {
		t.Error("busy with an empty pool")
	}
}

// TestStopsRatherThanForks rolls the store back, and gives it another tree:
// the log must stop, for reads and writes.
func TestStopsRatherThanForks(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]func(log.Head, error) (log.Head, error){
		"rolled back": func(h log.Head, err error) (log.Head, error) {
			h.Tree.Size--
			return h, err
		},
		"other root": func(h log.Head, err error) (log.Head, error) {
			h.Tree.Root[0] ^= 1
			return h, err
		},
		"other log": func(h log.Head, err error) (log.Head, error) {
			h.Identity.TreeID++
			return h, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, r := riggedLog(t)
			for i := range 3 {
				add(t, l, leaf(i))
			}
			r.set(nil, head)
			if _, err := l.Head(t.Context()); err == nil {
				t.Error("head: no error")
			}
			r.set(nil, nil)
			if _, err := l.Add(t.Context(), leaf(4)); err == nil {
				t.Error("add afterwards: no error")
			}
			if _, err := l.Entry(t.Context(), 0); err == nil {
				t.Error("entry afterwards: no error")
			}
			if err := l.Ready(t.Context()); err == nil {
				t.Error("ready afterwards: no error")
			}
		})
	}
}

// TestDamage changes bytes in the store: no wrong proof may leave.
func TestDamage(t *testing.T) {
	t.Parallel()
	l, r := riggedLog(t)
	for i := range 300 {
		add(t, l, leaf(i))
	}
	damaged := &damagedTiles{Store: r.Store}
	damaged.on.Store(true)
	if _, err := log.Open(t.Context(), damaged, options(new(clock))); !errors.As(err, new(*merkle.RootError)) {
		t.Errorf("open with a damaged tile: %v", err)
	}
	damaged.on.Store(false)
	fresh := open(t, damaged, options(&clock{at: time.Unix(2000, 0)}))
	damaged.on.Store(true)
	if e, err := fresh.Entry(t.Context(), 3); err == nil {
		t.Errorf("entry of a damaged tile: %+v", e)
	}
	if _, _, err := fresh.Consistency(t.Context(), 3, 299); err == nil {
		t.Error("consistency over a damaged tile: no error")
	}
}

// damagedTiles flips a bit in the second hash of each tile while it is on.
type damagedTiles struct {
	log.Store
	on atomic.Bool
}

func (d *damagedTiles) ReadTiles(ctx context.Context, tiles []merkle.Tile) ([][]byte, error) {
	rows, err := d.Store.ReadTiles(ctx, tiles)
	if !d.on.Load() {
		return rows, err
	}
	for i := range rows {
		rows[i] = append([]byte(nil), rows[i]...)
		rows[i][merkle.HashSize] ^= 1
	}
	return rows, err
}

// TestDamagedConsistency damages a tile of a log that is read for the first
// time: a proof made from it must not pass for one, even where both trees and
// the proof come from the same tile.
func TestDamagedConsistency(t *testing.T) {
	t.Parallel()
	l, r := riggedLog(t)
	for i := range 300 {
		add(t, l, leaf(i))
	}
	damaged := &damagedTiles{Store: r.Store}
	fresh := open(t, damaged, options(&clock{at: time.Unix(2000, 0)}))
	damaged.on.Store(true)
	if hashes, _, err := fresh.Consistency(t.Context(), 3, 200); err == nil {
		t.Errorf("no error, but a proof of %d hashes", len(hashes))
	}
	damaged.on.Store(false)
	if _, _, err := fresh.Consistency(t.Context(), 3, 200); err != nil {
		t.Errorf("when the tile is well again: %v", err)
	}
}

// TestSeen opens stores that do not continue a tree the log has had.
func TestSeen(t *testing.T) {
	t.Parallel()
	s := memory.New()
	create(t, s)
	c := &clock{at: time.Unix(2000, 0)}
	l := open(t, s, options(c))
	var trees []merkle.Tree
	for i := range 5 {
		trees = append(trees, add(t, l, leaf(i)).Proof.Tree)
	}
	newest := trees[4]
	other := trees[2]
	other.Root[0] ^= 1
	larger := newest
	larger.Size++
	for name, test := range map[string]struct {
		seen    merkle.Tree
		refused bool
	}{
		"nothing":      {merkle.Tree{}, false},
		"older":        {trees[1], false},
		"newest":       {newest, false},
		"set back":     {larger, true},
		"other root":   {other, true},
		"other newest": {merkle.Tree{Size: newest.Size, Root: other.Root}, true},
	} {
		o := options(c)
		o.Seen = test.seen
		l, err := log.Open(t.Context(), s, o)
		if err == nil {
			l.Close()
		}
		if refused := errors.As(err, new(*log.RollbackError)); refused != test.refused || !refused && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNotReady has a store that takes no batch for a while, without trying.
func TestNotReady(t *testing.T) {
	t.Parallel()
	l, r := riggedLog(t)
	var n atomic.Int64
	r.set(func(b *log.Batch, do func() error) error {
		if n.Add(1) < 4 {
			return log.ErrNotReady
		}
		return do()
	}, func(log.Head, error) (log.Head, error) { return log.Head{}, errBroken }) // nothing to find out
	if e := add(t, l, leaf(0)); e.Index != 0 {
		t.Errorf("index is %d", e.Index)
	}
}

// TestReadyWhileNothingCommits has commits fail for longer than a hiccup.
func TestReadyWhileNothingCommits(t *testing.T) {
	t.Parallel()
	r := &rigged{Store: memory.New()}
	create(t, r)
	c := &clock{at: time.Unix(2000, 0)}
	l := open(t, r, options(c))
	failed := make(chan struct{}, 100)
	r.set(func(*log.Batch, func() error) error { failed <- struct{}{}; return errBroken }, nil)
	done := make(chan error, 1)
	go func() { _, err := l.Add(context.Background(), leaf(0)); done <- err }()
	<-failed
	<-failed // it has rested once, so the log knows
	if err := l.Ready(t.Context()); err != nil {
		t.Errorf("after a moment: %v", err)
	}
	c.set(2020)
	if err := l.Ready(t.Context()); err == nil {
		t.Error("ready after 20 s without a commit")
	}
	r.set(nil, nil)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := l.Ready(t.Context()); err != nil {
		t.Errorf("when commits succeed again: %v", err)
	}
}

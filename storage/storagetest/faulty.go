package storagetest

import (
	"context"
	"errors"
	"sync"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

// ErrFault is the error of a call that was made to fail.
var ErrFault = errors.New("fault on purpose")

// A Fault is a way in which a call fails.
type Fault int

const (
	Before Fault = iota // it has no effect
	After               // it has its effect, but the caller gets an error
	Late                // the caller gets an error first; then it has its effect
)

// String returns the name of f.
func (f Fault) String() string {
	return [...]string{"before", "after", "late"}[f]
}

// Methods are the names of the methods that a Faulty store can make fail.
var Methods = []string{"Create", "Commit", "Head", "ReadTiles", "SegmentsAt", "SegmentsFrom", "Find", "Attachment", "Publish", "Published"}

// A Faulty store does what another does, but for the calls that Fail names.
type Faulty struct {
	store log.Store

	mu     sync.Mutex
	faults map[call]Fault
	calls  map[string]int
	dead   bool
	late   sync.WaitGroup
}

type call struct {
	method string
	number int
}

// NewFaulty returns a store on s without any fault yet.
func NewFaulty(s log.Store) *Faulty {
	return &Faulty{store: s, faults: make(map[call]Fault), calls: make(map[string]int)}
}

// Fail makes the n-th call of method from now on, counted from 0, fail.
func (f *Faulty) Fail(method string, n int, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[call{method, f.calls[method] + n}] = fault
}

// Heal takes back all faults that have not come up, and waits for late effects.
func (f *Faulty) Heal() {
	f.mu.Lock()
	clear(f.faults)
	f.dead = false
	f.mu.Unlock()
	f.late.Wait()
}

// Kill makes each call from now on fail without effect, as if the process
// that makes them were gone.
func (f *Faulty) Kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead = true
}

// do makes a call, or has it fail.
func (f *Faulty) do(ctx context.Context, method string, do func(context.Context) error) error {
	f.mu.Lock()
	c := call{method, f.calls[method]}
	f.calls[method]++
	fault, ok := f.faults[c]
	delete(f.faults, c)
	if f.dead {
		fault, ok = Before, true
	}
	if ok && fault == Late {
		f.late.Add(1)
	}
	f.mu.Unlock()
	if !ok {
		return do(ctx)
	}
	ctx = context.WithoutCancel(ctx)
	switch fault {
	case After:
		do(ctx)
	case Late:
		go func() {
			defer f.late.Done()
			do(ctx)
		}()
	}
	return ErrFault
}

// get makes a call that returns something.
func get[T any](ctx context.Context, f *Faulty, method string, do func(context.Context) (T, error)) (T, error) {
	answer := make(chan T, 1) // not a variable: a late call still writes
	err := f.do(ctx, method, func(ctx context.Context) error {
		v, err := do(ctx)
		answer <- v
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return <-answer, nil
}

// Create implements log.Store.
func (f *Faulty) Create(ctx context.Context, h log.Head) error {
	return f.do(ctx, "Create", func(ctx context.Context) error { return f.store.Create(ctx, h) })
}

// Commit implements log.Store.
func (f *Faulty) Commit(ctx context.Context, b *log.Batch) error {
	return f.do(ctx, "Commit", func(ctx context.Context) error { return f.store.Commit(ctx, b) })
}

// Head implements log.Reader.
func (f *Faulty) Head(ctx context.Context) (log.Head, error) {
	return get(ctx, f, "Head", func(ctx context.Context) (log.Head, error) { return f.store.Head(ctx) })
}

// ReadTiles implements merkle.TileReader.
func (f *Faulty) ReadTiles(ctx context.Context, tiles []merkle.Tile) ([][]byte, error) {
	return get(ctx, f, "ReadTiles", func(ctx context.Context) ([][]byte, error) { return f.store.ReadTiles(ctx, tiles) })
}

// SegmentsAt implements log.Reader.
func (f *Faulty) SegmentsAt(ctx context.Context, indexes []int64) ([]log.Segment, error) {
	return get(ctx, f, "SegmentsAt", func(ctx context.Context) ([]log.Segment, error) {
		return f.store.SegmentsAt(ctx, indexes)
	})
}

// SegmentsFrom implements log.Reader.
func (f *Faulty) SegmentsFrom(ctx context.Context, start int64, limit int) ([]log.Segment, error) {
	return get(ctx, f, "SegmentsFrom", func(ctx context.Context) ([]log.Segment, error) {
		return f.store.SegmentsFrom(ctx, start, limit)
	})
}

// Find implements log.Reader.
func (f *Faulty) Find(ctx context.Context, keys []log.Key, after int64, limit int) ([][]int64, error) {
	return get(ctx, f, "Find", func(ctx context.Context) ([][]int64, error) {
		return f.store.Find(ctx, keys, after, limit)
	})
}

// Attachment implements log.Reader.
func (f *Faulty) Attachment(ctx context.Context, index int64) ([]byte, error) {
	return get(ctx, f, "Attachment", func(ctx context.Context) ([]byte, error) { return f.store.Attachment(ctx, index) })
}

// Publish implements log.Store.
func (f *Faulty) Publish(ctx context.Context, size int64, note []byte) error {
	return f.do(ctx, "Publish", func(ctx context.Context) error { return f.store.Publish(ctx, size, note) })
}

// Published implements log.Reader.
func (f *Faulty) Published(ctx context.Context) (int64, []byte, error) {
	type row struct {
		size int64
		note []byte
	}
	r, err := get(ctx, f, "Published", func(ctx context.Context) (row, error) {
		size, note, err := f.store.Published(ctx)
		return row{size, note}, err
	})
	return r.size, r.note, err
}

// Close closes the store beneath, after late effects.
func (f *Faulty) Close() error {
	f.late.Wait()
	return f.store.Close()
}

package log

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.uber.org/zap"

	"github.com/cairnlog/cairn/merkle"
)

const (
	// maxPending is how many leaves may wait for a commit. At the slowest
	// commit seen (60 ms for 256) the last one waits a second.
	maxPending = 4096
	// maxPendingBytes bounds the memory of what waits.
	maxPendingBytes = 64 << 20
	// keptTiles is how many full tiles stay in memory, of 16 KiB each: those
	// of a log of a million entries.
	keptTiles = 4096
	// keptEntries is how many entries stay in memory, of about 3 KB each, if
	// their body is at most keptBody bytes.
	keptEntries = 8192
	keptBody    = 8 << 10
	// keptPlaces is how many leaf hashes stay in memory with their indexes.
	keptPlaces = 1 << 16
	// storeTimeout bounds one read from the store.
	storeTimeout = 10 * time.Second
	// unsettledLimit is for how long commits may fail before the log says
	// that it is not ready.
	unsettledLimit = 15 * time.Second
	// refreshEvery is how often a log looks for entries of other replicas
	// when nobody asks.
	refreshEvery = time.Second
)

// Options are what Open needs besides a store.
type Options struct {
	Identity Identity // what the store must hold
	Signer   Signer
	// Checkpointer signs the checkpoints of C2SP; nil if there are none.
	Checkpointer Checkpointer
	Logger       *zap.Logger      // nil for none
	Now          func() time.Time // nil for time.Now
	Observe      func(Commit)     // told of each commit; nil for nobody
	// Seen is a tree that this log is known to have had, such as the newest
	// one before a restart. Open refuses a store that does not continue it.
	Seen merkle.Tree
	// Witnessed says that witnesses cosign this log: what is Published is
	// what was given to Publish. Without it every tree is published at once.
	Witnessed bool
	// MaxPending is how many leaves may wait; 0 for the default.
	MaxPending int
}

// A Commit is one commit as Options.Observe sees it.
type Commit struct {
	Entries  int
	Tree     merkle.Tree
	Duration time.Duration // of Store.Commit, with what it took to learn the outcome
	Conflict bool          // another replica was first; nothing was added
}

// A Log adds to a store and reads from it. Several may share one store, in
// one process or many.
type Log struct {
	store   Store
	options Options
	now     func() time.Time
	logger  *zap.Logger
	prover  *merkle.Prover

	newest   atomic.Pointer[state] // only goes forward
	advances sync.Mutex            // held to change newest
	heads    *loader[struct{}, *state]
	places   *loader[Key, []int64]
	runs     *loader[int64, Entry]
	entries  *lru.Cache[int64, Entry]
	known    *lru.Cache[merkle.Hash, int64]

	published atomic.Pointer[publication] // only goes forward; nil without witnesses
	publishes sync.Mutex                  // held to change published
	shown     *loader[struct{}, Published]
	waiting   atomic.Int64 // callers in WaitPublished

	pool      pool
	unsettled atomic.Int64  // since when, in Unix nanoseconds, a commit has not succeeded; 0 if all is well
	wake      chan struct{} // holds one token when the pool is not empty
	stop      chan struct{} // closed by Close
	fault     atomic.Pointer[error]
	broken    chan struct{} // closed when fault is set
	done      sync.WaitGroup
	closed    sync.Once
}

// A state is a head with the edge of its tree. It never changes, but that
// its tree is signed when it is first asked for.
type state struct {
	head Head
	edge *merkle.Edge
	signedNote
}

// An IdentityError says that a store holds another log than was meant.
type IdentityError struct {
	Field      string // "origin", "tree id" or "key"
	Want, Have string
}

func (e *IdentityError) Error() string {
	return fmt.Sprintf("the store holds another log: its %s is %s, but %s was expected", e.Field, e.Have, e.Want)
}

// check compares the identity of a store with the one meant.
func (id Identity) check(have Identity) error {
	switch {
	case id.Origin != have.Origin:
		return &IdentityError{"origin", fmt.Sprintf("%q", id.Origin), fmt.Sprintf("%q", have.Origin)}
	case id.TreeID != have.TreeID:
		return &IdentityError{"tree id", fmt.Sprint(id.TreeID), fmt.Sprint(have.TreeID)}
	case id.KeyID != have.KeyID:
		return &IdentityError{"key", fmt.Sprintf("%x", id.KeyID), fmt.Sprintf("%x", have.KeyID)}
	}
	return nil
}

// Create makes an empty log in s and signs its empty tree. It fails with
// ErrExists if there is a log.
func Create(ctx context.Context, s Store, id Identity, signer Signer, now time.Time) error {
	if id.Origin == "" || id.TreeID <= 0 {
		return errors.New("create log: origin and a positive tree id are needed")
	}
	h := Head{Identity: id, Tree: merkle.Tree{Root: merkle.EmptyRoot}, Time: now.Unix(), Nonce: newNonce()}
	var err error
	if h.Checkpoint, err = signer.SignTree(h.Tree); err != nil {
		return fmt.Errorf("create log: sign empty tree: %w", err)
	}
	if err := s.Create(ctx, h); err != nil {
		return fmt.Errorf("create log: %w", err)
	}
	return nil
}

// Open starts a log on what s holds: the same path after a clean stop, a
// crash, or another replica's work. The caller closes the log, then s. It
// fails with ErrNoLog, with an IdentityError, with a RollbackError, or with a
// merkle.RootError if the entries do not lead to the root of the head.
func Open(ctx context.Context, s Store, o Options) (*Log, error) {
	l := &Log{
		store:   s,
		options: o,
		now:     o.Now,
		logger:  o.Logger,
		wake:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
		broken:  make(chan struct{}),
	}
	if l.now == nil {
		l.now = time.Now
	}
	if l.logger == nil {
		l.logger = zap.NewNop()
	}
	l.pool.max = o.MaxPending
	if l.pool.max == 0 {
		l.pool.max = maxPending
	}
	var err error
	if l.entries, err = lru.New[int64, Entry](keptEntries); err != nil {
		return nil, err
	}
	if l.known, err = lru.New[merkle.Hash, int64](keptPlaces); err != nil {
		return nil, err
	}
	l.prover = merkle.NewProver(newTileLoader(s, l.stop), keptTiles)
	l.heads = &loader[struct{}, *state]{load: l.loadHead, maxKeys: 1, atOnce: 1, timeout: storeTimeout, stop: l.stop}
	l.places = &loader[Key, []int64]{load: l.loadPlaces, maxKeys: 256, atOnce: 2, timeout: storeTimeout, stop: l.stop}
	l.runs = &loader[int64, Entry]{load: l.loadRuns, maxKeys: 64, atOnce: 2, timeout: storeTimeout, stop: l.stop}
	l.shown = &loader[struct{}, Published]{load: l.loadPublished, maxKeys: 1, atOnce: 1, timeout: storeTimeout, stop: l.stop}

	h, err := s.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if err := o.Identity.check(h.Identity); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	edge, err := merkle.LoadEdge(ctx, &edgeReader{log: l}, h.Tree)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	st := l.newState(h, edge)
	if err := l.continues(ctx, st, o.Seen); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l.newest.Store(st)
	if o.Witnessed {
		if err := l.openPublished(ctx, st); err != nil {
			return nil, fmt.Errorf("open log: %w", err)
		}
		l.done.Go(l.followPublished)
	}

	l.done.Go(l.run)
	l.done.Go(l.follow)
	return l, nil
}

// A RollbackError says that a store does not continue a tree that the log has
// had and may have shown to others. To go on from it would be a fork.
type RollbackError struct {
	Seen, Have merkle.Tree // Have is that of the store; of Seen's size if it is as large
}

func (e *RollbackError) Error() string {
	if e.Have.Size < e.Seen.Size {
		return fmt.Sprintf("the log has had %d entries, but the store has %d: it was set back, and to go on would be a fork", e.Seen.Size, e.Have.Size)
	}
	return fmt.Sprintf("the log has had another history: at size %d its root was %v, but by the store it is %v", e.Seen.Size, e.Seen.Root, e.Have.Root)
}

// continues checks that the tree of st continues seen.
func (l *Log) continues(ctx context.Context, st *state, seen merkle.Tree) error {
	if seen.Size == 0 {
		return nil
	}
	have := st.head.Tree
	if seen.Size <= have.Size {
		var err error
		if have, err = l.tree(ctx, st, seen.Size); err != nil {
			return err
		}
	}
	if have != seen {
		return &RollbackError{Seen: seen, Have: have}
	}
	return nil
}

// Identity says which log this is.
func (l *Log) Identity() Identity { return l.options.Identity }

// Close stops adding. Leaves that wait get ErrClosed; one in a commit gets
// its answer. The store stays open.
func (l *Log) Close() error {
	l.closed.Do(func() { close(l.stop) })
	l.done.Wait()
	return nil
}

// Ready returns nil if the log can be read and added to: the store answers
// and nothing is wrong with the tree.
func (l *Log) Ready(ctx context.Context) error {
	if err := l.fault.Load(); err != nil {
		return *err
	}
	select {
	case <-l.stop:
		return ErrClosed
	default:
	}
	if since := l.unsettled.Load(); since != 0 {
		if d := l.now().Sub(time.Unix(0, since)); d > unsettledLimit {
			return fmt.Errorf("no commit has succeeded for %v", d.Round(time.Second))
		}
	}
	_, err := l.refresh(ctx)
	return err
}

// Fail stops the log for good: somebody has proof that it is not the log that
// it was. Better no log than two.
func (l *Log) Fail(err error) { l.fail(err) }

// fail is Fail, and what the log does when its store contradicts itself.
func (l *Log) fail(err error) {
	if !errors.Is(err, ErrClosed) {
		err = fmt.Errorf("%w: %w", ErrClosed, err)
	}
	if l.fault.CompareAndSwap(nil, &err) {
		close(l.broken)
		l.logger.Error("log stopped for good: it contradicts what it said before", zap.Error(err))
		l.pool.drain(err)
	}
}

// follow keeps up with other replicas, so that a read that asks for no
// refresh is not far behind.
func (l *Log) follow() {
	l.every(refreshEvery, func() {
		if _, err := l.refresh(context.Background()); err != nil && l.fault.Load() == nil {
			l.logger.Warn("read head", zap.Error(err))
		}
	})
}

// every calls do again and again until the log is closed.
func (l *Log) every(pause time.Duration, do func()) {
	t := time.NewTicker(pause)
	defer t.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-t.C:
			do()
		}
	}
}

// refresh returns a state at least as new as the store's at the time of the call.
func (l *Log) refresh(ctx context.Context) (*state, error) {
	return l.heads.one(ctx, struct{}{})
}

// loadHead reads the head and, if it is newer than ours, the entries in
// between. That the tree grown from ours has the root of the head is the
// proof that it is the same log.
func (l *Log) loadHead(ctx context.Context, _ []struct{}) ([]*state, error) {
	if err := l.fault.Load(); err != nil {
		return nil, *err
	}
	h, err := l.store.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("read head: %w", err)
	}
	st := l.newest.Load()
	// A commit of our own may have ended after the head was read.
	if h.Tree.Size < st.head.Tree.Size {
		h, err = l.store.Head(ctx)
		if err != nil {
			return nil, fmt.Errorf("read head: %w", err)
		}
	}
	if err := l.options.Identity.check(h.Identity); err != nil {
		err = fmt.Errorf("%w: %w", ErrClosed, err)
		l.fail(err)
		return nil, err
	}
	if h.Tree.Size < st.head.Tree.Size {
		err := fmt.Errorf("%w: the tree went back from size %d to %d", ErrClosed, st.head.Tree.Size, h.Tree.Size)
		l.fail(err)
		return nil, err
	}
	if h.Tree.Size == st.head.Tree.Size && h.Tree.Root == st.head.Tree.Root {
		return []*state{st}, nil
	}

	edge := st.edge.Clone()
	var grown []merkle.Grown
	for edge.Size() < h.Tree.Size {
		segments, err := l.store.SegmentsFrom(ctx, edge.Size(), 64)
		if err != nil {
			return nil, fmt.Errorf("read segments from %d: %w", edge.Size(), err)
		}
		if len(segments) == 0 {
			return nil, fmt.Errorf("read segments from %d: none, but the tree has %d leaves", edge.Size(), h.Tree.Size)
		}
		for _, s := range segments {
			if s.Start >= h.Tree.Size {
				break // committed after the head was read
			}
			if s.Start != edge.Size() {
				err := fmt.Errorf("%w: segment at %d where one at %d is due", ErrClosed, s.Start, edge.Size())
				l.fail(err)
				return nil, err
			}
			entries, err := DecodeSegment(s)
			if err != nil {
				return nil, err
			}
			for i := range entries {
				grown = append(grown, edge.Append(entries[i].Hash)...)
				l.keep(entries[i].Entry)
			}
		}
	}
	if got := edge.Tree(); got != h.Tree {
		err := fmt.Errorf("%w: %w", ErrClosed, &merkle.RootError{Size: h.Tree.Size, Want: h.Tree.Root, Have: got.Root})
		l.fail(err)
		return nil, err
	}
	st = l.newState(h, edge)
	l.prover.Keep(grown)
	return []*state{l.advance(st)}, nil
}

// advance makes st the newest state unless a newer one is known, and returns
// the newest.
func (l *Log) advance(st *state) *state {
	l.advances.Lock()
	defer l.advances.Unlock()
	if have := l.newest.Load(); have != nil && have.head.Tree.Size >= st.head.Tree.Size {
		return have
	}
	l.newest.Store(st)
	return st
}

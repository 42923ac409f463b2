package log

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/cairnlog/cairn/merkle"
)

const (
	// maxBatch is how many leaves go into one commit: a full tile.
	maxBatch = merkle.TileWidth
	// maxBatchBytes is how many bytes of leaves and attachments go into one
	// commit, unless a single leaf has more.
	maxBatchBytes = 1 << 20
	// settlePause is the first pause between attempts to learn the outcome
	// of a commit; it doubles up to settlePauseMax.
	settlePause    = 5 * time.Millisecond
	settlePauseMax = time.Second
)

func newNonce() Nonce {
	var n Nonce
	rand.Read(n[:]) // never fails
	return n
}

// Add integrates a leaf and returns its entry with a proof: when Add returns,
// the entry is durable, in the tree, provable and searchable. The leaf's
// memory belongs to the log from here on.
//
// It fails with a DuplicateError if the log has the leaf; the entry that it
// names can be read. With ErrBusy and ErrTooLarge nothing was added. After
// ErrUnknown, or when ctx ends first, the leaf may be added or not, or still be.
func (l *Log) Add(ctx context.Context, leaf Leaf) (*ProvenEntry, error) {
	if len(leaf.Body) == 0 {
		return nil, errors.New("add leaf: it is empty")
	}
	if len(leaf.Body) > MaxLeafSize {
		return nil, fmt.Errorf("add leaf of %d bytes: %w", len(leaf.Body), ErrTooLarge)
	}
	hash := merkle.HashLeaf(leaf.Body)
	p := &pending{leaf: leaf, hash: hash, keys: leafKeys(hash, leaf.Terms), packed: pack(leaf.Body), done: make(chan struct{})}
	if err := l.pool.add(p); err != nil {
		return nil, err
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if p.err != nil {
		return nil, p.err
	}
	return l.prove(ctx, p.state, p.entry)
}

// Busy says that Add would refuse a leaf now, so that a caller can save the
// work of checking it.
func (l *Log) Busy() bool { return l.pool.full() }

// Pending returns the number of leaves that wait for a commit.
func (l *Log) Pending() int { return l.pool.len() }

// run is the sequencer: it commits one batch after the other. A batch is what
// arrived while the last one was committed.
func (l *Log) run() {
	for {
		select {
		case <-l.stop:
			l.pool.drain(ErrClosed)
			return
		case <-l.wake:
		}
		for {
			// Who is about to add a leaf goes first: when processors are what
			// is short, that makes one commit of many small ones. When
			// nobody is, this is nothing.
			runtime.Gosched()
			batch := l.pool.take()
			if len(batch) == 0 {
				break
			}
			l.sequence(batch)
			select {
			case <-l.stop:
				l.pool.drain(ErrClosed)
				return
			default:
			}
		}
	}
}

// sequence adds a batch of leaves to the log and answers all who wait for them.
func (l *Log) sequence(batch []*pending) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	started := l.now()

	for {
		if err := l.fault.Load(); err != nil {
			answer(batch, *err)
			return
		}
		st := l.newest.Load()

		// 1. Find what the log has already, or has twice in this batch. The
		// commit below succeeds only if nothing was added since st, so what
		// is not found now is no duplicate then.
		fresh, twins, err := l.sift(ctx, st, batch)
		if errors.Is(err, errBehind) {
			newer, rerr := l.refresh(ctx)
			if rerr == nil && newer != st {
				continue
			}
			err = errors.Join(err, rerr)
		}
		if err != nil {
			answer(batch, fmt.Errorf("find duplicates: %w", err))
			return
		}
		if len(fresh) == 0 {
			return
		}
		batch = append(fresh, twins...) // the rest is answered

		// 2. Give them their places, and grow the tree.
		integrated := max(l.now().Unix(), st.head.Time)
		edge := st.edge.Clone()
		entries := make([]KeyedEntry, len(fresh))
		hashes := make([]merkle.Hash, len(fresh))
		for i, p := range fresh {
			hashes[i] = p.hash
			entries[i] = KeyedEntry{
				Entry: Entry{
					Index:         st.head.Tree.Size + int64(i),
					Time:          integrated,
					Hash:          p.hash,
					Body:          p.leaf.Body,
					HasAttachment: p.leaf.Attachment != nil,
				},
				Keys: p.keys,
			}
		}
		grown := edge.Append(hashes...)
		head := st.head
		head.Tree, head.Time, head.Nonce = edge.Tree(), integrated, newNonce()

		// 3. Sign. None of it leaves before the commit is known.
		if err := l.sign(&head, entries, fresh); err != nil {
			answer(batch, fmt.Errorf("sign: %w", err))
			return
		}

		// 4. Commit, and learn what became of it.
		b, err := l.batch(st.head, head, entries, grown, fresh)
		if err != nil {
			answer(batch, err)
			return
		}
		committing := l.now()
		err = l.commit(ctx, b)
		if l.options.Observe != nil {
			l.options.Observe(Commit{Entries: len(fresh), Tree: head.Tree, Duration: l.now().Sub(committing), Conflict: errors.Is(err, ErrConflict)})
		}
		if errors.Is(err, ErrConflict) {
			// Another replica was first. From the top, on its head.
			if _, err := l.refresh(ctx); err != nil {
				answer(batch, fmt.Errorf("read head after a conflict: %w", err))
				return
			}
			continue
		}
		if err != nil {
			answer(batch, err)
			return
		}

		// 5. It is in the log. Answer.
		l.prover.Keep(grown)
		for i := range entries {
			l.keep(entries[i].Entry)
		}
		next := l.advance(l.newState(head, edge))
		if next.head.Tree.Size == head.Tree.Size && next.head.Tree.Root != head.Tree.Root {
			l.fail(fmt.Errorf("%w: two trees of size %d", ErrClosed, head.Tree.Size))
			continue
		}
		places := make(map[merkle.Hash]int64, len(fresh))
		for i, p := range fresh {
			l.known.Add(p.hash, entries[i].Index)
			places[p.hash] = entries[i].Index
			p.finish(entries[i].Entry, next, nil)
		}
		for _, p := range twins {
			p.finish(Entry{}, nil, &DuplicateError{Index: places[p.hash], Hash: p.hash})
		}
		l.logger.Debug("commit", zap.Int("entries", len(fresh)), zap.Int64("size", head.Tree.Size), zap.Duration("took", l.now().Sub(started)))
		return
	}
}

// answer ends all who wait with an error.
func answer(batch []*pending, err error) {
	for _, p := range batch {
		p.finish(Entry{}, nil, err)
	}
}

// errBehind means that the store has entries that the state does not cover.
var errBehind = errors.New("behind the store")

// sift answers the leaves that the log has already and returns the others:
// fresh ones, each a leaf of its own, and twins, which are in fresh too. It
// answers nobody if it fails.
func (l *Log) sift(ctx context.Context, st *state, batch []*pending) (fresh, twins []*pending, err error) {
	keys := make([]Key, len(batch))
	for i, p := range batch {
		keys[i] = LeafKey(p.hash)
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	found, err := l.lookUp(ctx, keys, st.head.Tree.Size)
	if err != nil {
		return nil, nil, err
	}
	duplicates := make(map[*pending]int64)
	seen := make(map[merkle.Hash]bool, len(batch))
	for i, p := range batch {
		index, err := l.among(ctx, st, p.hash, found[i])
		if err != nil {
			return nil, nil, err
		}
		switch {
		case index >= 0:
			duplicates[p] = index
		case seen[p.hash]:
			twins = append(twins, p)
		default:
			seen[p.hash] = true
			fresh = append(fresh, p)
		}
	}
	for p, index := range duplicates {
		l.known.Add(p.hash, index)
		p.finish(Entry{}, nil, &DuplicateError{Index: index, Hash: p.hash})
	}
	return fresh, twins, nil
}

// lookUp returns the first indexes of each key. It may leave out what is at
// size or later.
func (l *Log) lookUp(ctx context.Context, keys []Key, size int64) ([][]int64, error) {
	screener, ok := l.store.(Screener)
	if !ok {
		return l.store.Find(ctx, keys, -1, placesLimit)
	}
	var unsure []Key
	var at []int
	for i, absent := range screener.Absent(keys, size) {
		if !absent {
			unsure, at = append(unsure, keys[i]), append(at, i)
		}
	}
	all := make([][]int64, len(keys))
	if len(unsure) == 0 {
		return all, nil
	}
	found, err := l.store.Find(ctx, unsure, -1, placesLimit)
	if err != nil {
		return nil, err
	}
	for i, f := range found {
		all[at[i]] = f
	}
	return all, nil
}

// among returns the index, of those that share the leaf's key, that holds the
// leaf, or -1.
func (l *Log) among(ctx context.Context, st *state, leaf merkle.Hash, indexes []int64) (int64, error) {
	for len(indexes) > 0 {
		if indexes[len(indexes)-1] >= st.head.Tree.Size {
			return -1, errBehind
		}
		hashes, err := l.prover.LeafHashes(ctx, st.edge, indexes)
		if err != nil {
			return -1, err
		}
		for i, h := range hashes {
			if h == leaf {
				return indexes[i], nil
			}
		}
		if len(indexes) < placesLimit {
			break
		}
		found, err := l.store.Find(ctx, []Key{LeafKey(leaf)}, indexes[len(indexes)-1], placesLimit)
		if err != nil {
			return -1, err
		}
		indexes = found[0]
	}
	return -1, nil
}

// signAlone is how many signatures a goroutine should have to do: to wake
// another processor takes as long as one or two.
const signAlone = 4

// sign signs the tree of the head and each entry whose leaf wants a promise,
// on all processors if there are many.
func (l *Log) sign(head *Head, entries []KeyedEntry, leaves []*pending) error {
	promises := 0
	for _, p := range leaves {
		if !p.leaf.NoPromise {
			promises++
		}
	}
	var next atomic.Int64
	errs := make([]error, max(min(runtime.GOMAXPROCS(0), (promises+1)/signAlone), 1))
	work := func(worker int) {
		for {
			i := int(next.Add(1) - 1)
			if i > len(entries) {
				return
			}
			var err error
			if i == len(entries) {
				head.Checkpoint, err = l.options.Signer.SignTree(head.Tree)
			} else if r := &entries[i]; !leaves[i].leaf.NoPromise {
				r.Promise, err = l.options.Signer.SignEntry(r.Index, r.Time, r.Body)
			}
			if err != nil {
				errs[worker] = err
				return
			}
		}
	}
	var wg sync.WaitGroup
	for w := 1; w < len(errs); w++ {
		wg.Go(func() { work(w) })
	}
	work(0)
	wg.Wait()
	return errors.Join(errs...)
}

// batch puts together what the store is given.
func (l *Log) batch(old, head Head, entries []KeyedEntry, grown []merkle.Grown, fresh []*pending) (*Batch, error) {
	b := &Batch{Old: old, New: head}
	packed := make([][]byte, len(fresh))
	for i, p := range fresh {
		packed[i] = p.packed
	}
	for rest := entries; len(rest) > 0; {
		n := cut(rest, packed)
		data, err := encodeSegment(rest[:n], packed[:n])
		if err != nil {
			return nil, err
		}
		b.Segments = append(b.Segments, Segment{Start: rest[0].Index, Count: n, Nonce: head.Nonce, Data: data})
		rest, packed = rest[n:], packed[n:]
	}
	for _, g := range grown {
		b.Tiles = append(b.Tiles, FullTile{Tile: g.Tile, Data: g.Data()})
	}
	keys := 0
	for i := range entries {
		keys += len(entries[i].Keys)
	}
	b.Keys = make([]KeyAt, 0, keys)
	for i := range entries {
		for _, k := range entries[i].Keys {
			b.Keys = append(b.Keys, KeyAt{Key: k, Index: entries[i].Index})
		}
	}
	for i, p := range fresh {
		if p.leaf.Attachment != nil {
			b.Attachments = append(b.Attachments, Attachment{Index: entries[i].Index, Data: p.leaf.Attachment})
		}
	}
	return b, nil
}

// commit commits b and finds out what became of it: nil if it is in the log,
// ErrConflict if it is not and never will be. Only when the log is closed, or
// fails, before that is known does it return ErrUnknown.
func (l *Log) commit(ctx context.Context, b *Batch) error {
	defer l.unsettled.Store(0)
	pause := settlePause
	rest := func(err error) error {
		l.unsettled.CompareAndSwap(0, l.now().UnixNano())
		select {
		case <-l.stop:
			return fmt.Errorf("%w: %w", ErrUnknown, err)
		case <-l.broken: // nothing may be added to this log any more
			return fmt.Errorf("%w: %w", ErrUnknown, *l.fault.Load())
		case <-time.After(pause):
			pause = min(2*pause, settlePauseMax)
			return nil
		}
	}
	for {
		// 1. Try.
		attempt, cancel := context.WithTimeout(ctx, storeTimeout)
		err := l.store.Commit(attempt, b)
		cancel()
		if err == nil {
			return nil
		}

		if errors.Is(err, ErrNotReady) && pause == settlePause {
			l.logger.Warn("commits have to wait", zap.Error(err))
		}

		// 2. This attempt, or one before it, may have written the batch.
		if !errors.Is(err, ErrNotReady) {
			if !errors.Is(err, ErrConflict) {
				l.logger.Warn("outcome of a commit is unknown", zap.Int64("size", b.New.Tree.Size), zap.Error(err))
			}
			there, e := l.committed(ctx, b)
			for e != nil {
				if err := rest(e); err != nil {
					return err
				}
				there, e = l.committed(ctx, b)
			}
			if there {
				return nil
			}
			if errors.Is(err, ErrConflict) {
				return ErrConflict
			}
		}

		// 3. It is not there, but may still come: the store could be at it.
		// The same batch again settles that, since all attempts stand on the
		// same head and only one of them can follow it.
		if err := rest(err); err != nil {
			return err
		}
	}
}

// committed reads from the store whether b is in the log at this moment.
func (l *Log) committed(ctx context.Context, b *Batch) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	h, err := l.store.Head(ctx)
	if err != nil {
		return false, fmt.Errorf("read head: %w", err)
	}
	if h.Tree.Size <= b.Old.Tree.Size {
		return false, nil
	}
	segments, err := l.store.SegmentsFrom(ctx, b.Old.Tree.Size, 1)
	if err != nil {
		return false, fmt.Errorf("read segment at %d: %w", b.Old.Tree.Size, err)
	}
	if len(segments) == 0 {
		return false, fmt.Errorf("read segment at %d: %w", b.Old.Tree.Size, ErrNotFound)
	}
	return segments[0].Start == b.Old.Tree.Size && segments[0].Nonce == b.New.Nonce, nil
}

package log

import (
	"sync"

	"github.com/cairnlog/cairn/merkle"
)

// A pool holds the leaves that wait for the next batch.
type pool struct {
	max int // leaves

	mu      sync.Mutex
	waiting []*pending
	bytes   int
	err     error // set once nothing may be added any more
}

// A pending leaf waits to be integrated.
type pending struct {
	leaf   Leaf
	hash   merkle.Hash
	keys   []Key
	packed []byte // the body, see pack

	done  chan struct{} // closed when the rest is set
	entry Entry
	state *state // that covers the entry
	err   error
}

func (p *pending) size() int {
	return len(p.leaf.Body) + len(p.packed) + len(p.leaf.Attachment) + len(p.keys)*KeySize
}

func (p *pending) finish(e Entry, st *state, err error) {
	p.entry, p.state, p.err = e, st, err
	close(p.done)
}

func (q *pool) add(p *pending) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return q.err
	}
	if len(q.waiting) >= q.max || q.bytes+p.size() > maxPendingBytes {
		return ErrBusy
	}
	q.waiting = append(q.waiting, p)
	q.bytes += p.size()
	return nil
}

// full says whether an add would be refused.
func (q *pool) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.err != nil || len(q.waiting) >= q.max || q.bytes >= maxPendingBytes
}

func (q *pool) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// take returns the leaves of the next batch, oldest first: at most maxBatch
// and, unless it is one, maxBatchBytes.
func (q *pool) take() []*pending {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < len(q.waiting) && n < maxBatch {
		size += q.waiting[n].size()
		if n > 0 && size > maxBatchBytes {
			break
		}
		q.bytes -= q.waiting[n].size()
		n++
	}
	batch := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	if len(q.waiting) == 0 {
		q.waiting = nil
	}
	return batch
}

// drain refuses all that waits and all that comes.
func (q *pool) drain(err error) {
	q.mu.Lock()
	waiting := q.waiting
	q.waiting, q.bytes = nil, 0
	if q.err == nil {
		q.err = err
	}
	q.mu.Unlock()
	for _, p := range waiting {
		p.finish(Entry{}, nil, err)
	}
}

package log

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cairnlog/cairn/merkle"
)

// A Checkpointer signs trees for C2SP clients, beside the Signer of what v1
// clients read. It is asked when a checkpoint is wanted and not for each
// commit, and only about a tree that is durable.
type Checkpointer interface {
	// Checkpoint returns a checkpoint: a signed note over t, with the log's
	// own lines. https://c2sp.org/tlog-checkpoint
	Checkpoint(t merkle.Tree) ([]byte, error)
}

// ErrNoNote means that there is no C2SP checkpoint over a tree: the log signs
// none, or the tree is not one that it had as its newest.
var ErrNoNote = errors.New("no C2SP checkpoint over this tree")

// A signedNote is a note over one tree that is signed once.
type signedNote struct {
	checkpointer Checkpointer
	tree         merkle.Tree

	mu   sync.Mutex
	note []byte // nil while nobody has asked
}

func (n *signedNote) sign() ([]byte, error) {
	if n.checkpointer == nil {
		return nil, ErrNoNote
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.note == nil {
		note, err := n.checkpointer.Checkpoint(n.tree)
		if err != nil {
			return nil, fmt.Errorf("sign checkpoint of size %d: %w", n.tree.Size, err)
		}
		n.note = note
	}
	return n.note, nil
}

func (l *Log) newState(h Head, edge *merkle.Edge) *state {
	return &state{head: h, edge: edge, signedNote: signedNote{checkpointer: l.options.Checkpointer, tree: h.Tree}}
}

// Note returns the C2SP checkpoint over p.Tree. It is signed when it is first
// asked for and then shared by all proofs in that tree: the caller must not
// change it. It fails with ErrNoNote if there is none.
func (p Proof) Note() ([]byte, error) {
	if p.state == nil {
		return nil, ErrNoNote
	}
	return p.state.sign()
}

// EntryIn returns the entry at index with a proof in the tree that the log
// had at a size, which the caller has a checkpoint of: the proof has none, and
// the entry may be without a promise. It fails with ErrNotFound if there is no
// such entry, and with ErrOutOfRange if the tree of that size does not have it
// or is past the newest.
func (l *Log) EntryIn(ctx context.Context, index, size int64) (*ProvenEntry, error) {
	if index < 0 {
		return nil, fmt.Errorf("entry %d: %w", index, ErrNotFound)
	}
	st, err := l.covering(ctx, index)
	if err == nil && size > st.head.Tree.Size {
		st, err = l.refresh(ctx)
	}
	if err != nil {
		return nil, err
	}
	if index >= size || size > st.head.Tree.Size {
		return nil, fmt.Errorf("entry %d in the tree of size %d: %w", index, size, ErrOutOfRange)
	}
	tree, err := l.tree(ctx, st, size)
	if err != nil {
		return nil, err
	}
	e, err := l.entry(ctx, index)
	if err != nil {
		return nil, err
	}
	hashes, err := l.inclusion(ctx, st, e, tree)
	if err != nil {
		return nil, err
	}
	return &ProvenEntry{Entry: e, Proof: Proof{Index: index, Tree: tree, Hashes: hashes}}, nil
}

// promise signs what an entry was not promised when it was added, and
// remembers it. That the tree has the entry has been verified.
func (l *Log) promise(e *Entry) error {
	p, err := l.options.Signer.SignEntry(e.Index, e.Time, e.Body)
	if err != nil {
		return fmt.Errorf("promise entry %d: %w", e.Index, err)
	}
	e.Promise = p
	l.keep(*e)
	return nil
}

// Package log is the heart of a transparency log: it takes leaves, batches
// them, extends the tree, signs, commits, and answers with proofs.
//
// It does not know what it logs: a leaf is bytes and search keys.
package log

import (
	"errors"
	"fmt"

	"github.com/cairnlog/cairn/merkle"
)

// Errors of Add and of the reads.
var (
	// ErrBusy means that the pool of pending leaves is full. Retry later.
	ErrBusy = errors.New("too many pending entries")
	// ErrTooLarge means that a leaf is over MaxLeafSize.
	ErrTooLarge = fmt.Errorf("leaf is over %d bytes", MaxLeafSize)
	// ErrUnknown means that it could not be found out in time whether the
	// leaf was committed. Adding it again is safe.
	ErrUnknown = errors.New("outcome of the commit is not known yet")
	// ErrClosed means that the log was closed or has stopped for good.
	ErrClosed = errors.New("log is closed")
	// ErrWaiting means that too many callers wait for a publication. Retry later.
	ErrWaiting = errors.New("too many requests wait for a cosigned checkpoint")
	// ErrOutOfRange means that a tree size or index is past the newest tree.
	ErrOutOfRange = errors.New("past the end of the tree")
)

// A Leaf is what a caller adds.
type Leaf struct {
	Body       []byte   // leaf bytes, 1 to MaxLeafSize
	Terms      []string // search terms; compared without regard to case
	Attachment []byte   // kept beside the leaf, nil for none
	// NoPromise saves the signature of a promise. Should one be wanted later,
	// Entry makes it.
	NoPromise bool
}

// An Entry is a leaf with its index.
type Entry struct {
	Index         int64
	Time          int64 // integrated time, Unix seconds
	Hash          merkle.Hash
	Body          []byte
	Promise       []byte // what Signer.SignEntry made; empty if the leaf asked for none
	HasAttachment bool
}

// A Proof is an inclusion proof with the signed tree it leads to.
type Proof struct {
	Index      int64
	Tree       merkle.Tree
	Hashes     []merkle.Hash // leaf to root
	Checkpoint []byte        // what Signer.SignTree made of Tree; nil if Tree is an earlier one

	state *state // whose head has Tree; nil if Tree is an earlier one
}

// A ProvenEntry is an entry with a proof that was verified.
type ProvenEntry struct {
	Entry
	Proof Proof
}

// A DuplicateError says that the leaf is in the log already. The entry it
// names can be read.
type DuplicateError struct {
	Index int64
	Hash  merkle.Hash
}

func (e *DuplicateError) Error() string {
	return fmt.Sprintf("an equivalent entry is at index %d", e.Index)
}

// A Signer signs for the log. Nothing it returns leaves the process before
// the tree or entry it speaks of is durable.
type Signer interface {
	// SignTree returns a checkpoint: a signed note over t.
	SignTree(t merkle.Tree) ([]byte, error)
	// SignEntry returns the promise kept with an entry, Rekor v1's signed
	// entry timestamp. time is in Unix seconds.
	SignEntry(index, time int64, body []byte) ([]byte, error)
}

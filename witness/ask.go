package witness

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/merkle"
)

// A ContradictionError says that a witness has cosigned a tree of the log that
// the log does not continue: it was set back to an earlier state, or there are
// two of it. To go on would be a fork.
type ContradictionError struct {
	Witness string // name in the policy
	URL     string
	Why     string
	Ours    []byte // the newest checkpoint of the log as it is
	// Proof is a checkpoint that the witness has and the log has signed, but
	// does not continue. It is nil if there is the word of the witness only.
	Proof []byte
}

func (e *ContradictionError) Error() string {
	kind := "without proof of it"
	if e.Proof != nil {
		kind = "and proves it by a checkpoint that this log has signed"
	}
	return fmt.Sprintf("witness %q at %s has seen another history of this log, %s: %s", e.Witness, e.URL, kind, e.Why)
}

// Evidence returns the contradiction as a text to keep.
func (e *ContradictionError) Evidence() []byte {
	text := fmt.Appendf(nil, "%s\n\nThe newest checkpoint of the log as it is:\n\n%s", e.Error(), e.Ours)
	if e.Proof != nil {
		text = fmt.Appendf(text, "\nThe checkpoint that the witness has:\n\n%s", e.Proof)
	}
	return text
}

// errAhead means that a witness has cosigned a larger tree than it is asked
// about: another replica was faster.
var errAhead = errors.New("the witness has cosigned a larger tree already")

// ask has a tree cosigned by one witness, which is thought to have cosigned
// one of size old last. It does not touch what Run owns.
func (a *Asker) ask(ctx context.Context, w *asked, old int64, tree merkle.Tree, msg []byte) answer {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	got := answer{witness: w, tree: tree, size: -1}
	for range 3 { // its size may change between two requests: others ask as well
		if old > tree.Size {
			got.err = a.ahead(ctx, w, old)
			return got
		}
		r := Request{Old: old, Note: msg}
		if old > 0 && old < tree.Size {
			if r.Proof, got.err = a.log.Consistency(ctx, old, tree.Size); got.err != nil {
				return got
			}
		}
		got.line, got.err = w.client.add(ctx, r)
		var stale *StaleError
		switch {
		case got.err == nil:
			got.size = tree.Size
			return got
		case errors.As(got.err, &stale) && stale.Size != old:
			old, got.size = stale.Size, stale.Size
		case errors.Is(got.err, ErrInconsistent) && old > 0:
			got.err = a.contradiction(ctx, w, fmt.Sprintf("the tree of size %d does not continue its tree of size %d", tree.Size, old))
			return got
		default:
			return got
		}
	}
	return got
}

// ahead finds out why a witness knows of a tree of a larger size than that it
// is asked about: another replica may have added, or the log was set back.
func (a *Asker) ahead(ctx context.Context, w *asked, size int64) error {
	// Whatever a witness has cosigned was durable before it was asked, so a
	// head that is read now is not smaller.
	newest, _, err := a.log.Newest(ctx)
	if err != nil {
		return err
	}
	if newest.Size >= size {
		return errAhead
	}
	return a.contradiction(ctx, w, fmt.Sprintf("it has cosigned a tree of size %d, but the log has %d entries", size, newest.Size))
}

// contradiction looks for proof of what a witness says: a checkpoint that it
// has, that the log has signed, and that the log does not continue.
func (a *Asker) contradiction(ctx context.Context, w *asked, why string) error {
	e := &ContradictionError{Witness: w.Name, URL: w.URL, Why: why}
	msg, err := w.client.latest(ctx, a.origin)
	var theirs checkpoint.Checkpoint
	if err == nil {
		theirs, err = a.ours(msg)
	}
	// Only now: the log may have grown by what the witness has.
	newest, ours, nerr := a.log.Newest(ctx)
	if nerr != nil {
		return nerr
	}
	e.Ours = ours
	if err != nil {
		e.Why += fmt.Sprintf(" (its newest checkpoint cannot be had: %v)", err)
		return e
	}
	switch {
	case theirs.Tree.Size > newest.Size:
		e.Proof = msg
	case theirs.Tree.Size > 0:
		proof, err := a.log.Consistency(ctx, theirs.Tree.Size, newest.Size)
		if err != nil {
			return err
		}
		if merkle.VerifyConsistency(theirs.Tree, newest, proof) != nil {
			e.Proof = msg
		}
	}
	return e
}

// ours reads a checkpoint that the log itself must have signed.
func (a *Asker) ours(msg []byte) (checkpoint.Checkpoint, error) {
	c, _, err := checkpoint.Parse(msg)
	if err != nil {
		return checkpoint.Checkpoint{}, err
	}
	if c.Origin != a.origin {
		return checkpoint.Checkpoint{}, fmt.Errorf("it is of %q", c.Origin)
	}
	var keys []note.Verifier
	for _, l := range a.policy.Logs() {
		if l.Verifier.Name() == a.origin {
			keys = append(keys, l.Verifier)
		}
	}
	_, err = note.Open(msg, note.VerifierList(keys...))
	return c, err
}

// learn takes from a published checkpoint which witnesses have cosigned it.
func (a *Asker) learn(msg []byte, size int64) {
	for _, w := range a.witnesses {
		if _, err := w.client.find(msg); err == nil {
			w.size = max(w.size, size)
		}
	}
}

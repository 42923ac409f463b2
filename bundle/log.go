package bundle

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/note"

	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/merkle"
	"github.com/cairnlog/cairn/trust"
)

// errUnknownLog means that an entry is of a log that is not trusted.
var errUnknownLog = errors.New("it is of a log that is not trusted")

// unknownLog says which log that is, and by what sort of key it is known.
func unknownLog(origin string) error {
	sort := "vkey"
	if v1Origin.MatchString(origin) {
		sort = "v1 key"
	}
	return fmt.Errorf("%w: %q, which is known by its %s", errUnknownLog, origin, sort)
}

// v1Origin matches the origins of Rekor v1: they end in a tree id.
var v1Origin = regexp.MustCompile(` - [0-9]+$`)

// A proven says what was found out about an entry.
type proven struct {
	log      string // where it is
	tree     merkle.Tree
	signers  []string  // of the checkpoint
	promised time.Time // when the log promised it, zero if it did not
	until    time.Time // when the trust in the log's key ends, zero for never
}

// prove verifies that the entry is in a log that is trusted.
func (e *Entry) prove(t *Trust) (*proven, error) {
	// 1. The leaf is in the tree of the checkpoint. Whose that is, is not known yet.
	if e.Proof == nil {
		return nil, errors.New("there is no inclusion proof: a promise alone does not show that the log has the entry")
	}
	c, sigs, err := checkpoint.Parse(e.Proof.Checkpoint)
	if err != nil {
		return nil, err
	}
	if merkle.VerifyInclusion(merkle.HashLeaf(e.Body), e.Proof.Index, c.Tree, e.Proof.Hashes) != nil {
		return nil, errors.New("the inclusion proof does not lead from the entry to the root in the checkpoint")
	}
	p := &proven{log: c.Origin, tree: c.Tree}

	// 2. The checkpoint is by the log that the entry names.
	log, known := t.log(e.LogID)
	if e.LogID == nil && !v1Origin.MatchString(c.Origin) {
		log, known = t.signerOf(c, sigs) // a tlog-proof names no log
	}
	switch {
	case known && v1Origin.MatchString(c.Origin):
		// Rekor v1 shows the index over all shards beside that in the tree.
		if e.Index < e.Proof.Index {
			return nil, fmt.Errorf("index %d is less than that in the tree, %d", e.Index, e.Proof.Index)
		}
		if _, err := checkpoint.Open(e.Proof.Checkpoint, "", log.Key); err != nil {
			return nil, err
		}
		p.signers = []string{sigs[0].Name}
	case known:
		if err := openByID(c, sigs, log, p); err != nil {
			return nil, err
		}
	case len(t.Verifiers) == 0:
		return nil, unknownLog(c.Origin)
	}
	if len(t.Verifiers) > 0 && !v1Origin.MatchString(c.Origin) {
		// Keys that were named one by one hold as well, and those of witnesses
		// say who else has seen the tree.
		_, n, err := checkpoint.OpenNote(e.Proof.Checkpoint, c.Origin, t.Verifiers...)
		switch {
		case err == nil:
			p.addNames(n)
			known = known || byLog(n, c.Origin)
		case !known || !errors.Is(err, checkpoint.ErrUnverified):
			return nil, err
		}
	}
	if !known {
		return nil, unknownLog(c.Origin)
	}
	if !v1Origin.MatchString(c.Origin) && e.Index != e.Proof.Index {
		return nil, fmt.Errorf("index %d is not that in the proof, %d", e.Index, e.Proof.Index)
	}

	p.until = log.End

	// 3. The log has promised body, index and time.
	if e.Promise != nil {
		if log.Key == nil {
			return nil, errors.New("there is no key to verify the log's promise by")
		}
		if err := e.verifyPromise(log.Key); err != nil {
			return nil, err
		}
		if p.promised = time.Unix(e.Time, 0).UTC(); !log.ValidAt(p.promised) {
			return nil, fmt.Errorf("the entry is of %s, when the log's key was not trusted", p.promised.Format(time.RFC3339))
		}
	}
	return p, nil
}

// byLog says whether one of the lines that verified is by the log itself.
func byLog(n *note.Note, origin string) bool {
	for _, s := range n.Sigs {
		if s.Name == origin {
			return true
		}
	}
	return false
}

func (p *proven) addNames(n *note.Note) {
next:
	for _, s := range n.Sigs {
		for _, have := range p.signers {
			if have == s.Name {
				continue next
			}
		}
		p.signers = append(p.signers, s.Name)
	}
}

// openByID verifies the line of a C2SP checkpoint that the log id names. A
// line with its hash that does not verify is an error.
func openByID(c checkpoint.Checkpoint, sigs []checkpoint.Signature, log trust.Log, p *proven) error {
	id, err := trust.CheckpointKeyID(c.Origin, log.Key)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(id, log.ID) { // a log id may be cut short
		return fmt.Errorf("the checkpoint is of %q, which is not the log of the id", c.Origin)
	}
	found := false
	for _, s := range sigs {
		if s.Name != c.Origin || !bytes.Equal(s.KeyHash[:], id[:4]) {
			continue
		}
		if err := checkpoint.VerifyMessage(log.Key, []byte(c.Text()), s.Sig); err != nil {
			return fmt.Errorf("checkpoint: signature of %s: %w", s.Name, err)
		}
		found = true
	}
	if !found {
		return errors.New("the checkpoint is not signed by the log's key")
	}
	p.signers = append(p.signers, c.Origin)
	return nil
}

func (e *Entry) verifyPromise(key crypto.PublicKey) error {
	id, err := checkpoint.KeyID(key)
	if err != nil {
		return err
	}
	if !bytes.Equal(id[:], e.LogID) {
		return errors.New("the promise is of another log")
	}
	m := v1.EntryTimestampMessage(e.Body, e.Time, hex.EncodeToString(e.LogID), e.Index)
	if err := checkpoint.VerifyMessage(key, m, e.Promise); err != nil {
		return fmt.Errorf("the log's promise (signed entry timestamp): %w", err)
	}
	return nil
}

// place names the entry for people. The index over all shards is only what the
// log has promised; without that it is the one in the tree.
func (e *Entry) place(p *proven) string {
	index := e.Index
	if e.Promise == nil {
		index = e.Proof.Index
	}
	return "entry " + strconv.FormatInt(index, 10) + " of " + p.log
}

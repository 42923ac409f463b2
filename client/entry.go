package client

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/merkle"
)

// An Entry is an entry of the log, verified: its id is the hash of its body,
// the proof leads to the root of a checkpoint that the log has signed and that
// is consistent with all that were seen before, and the log has promised the
// body, index and time.
type Entry struct {
	ID         v1.EntryID
	Kind       string
	APIVersion string
	Body       []byte // canonical body, the leaf
	LogID      string // hex SHA-256 of the log key's PKIX DER
	Index      int64  // over all shards
	Time       time.Time
	Promise    []byte // signed entry timestamp
	Proof      Proof

	// Attestation is what the log keeps beside the entry, nil for nothing. It
	// is not part of the leaf; it was held against the hash in the body.
	Attestation []byte
	// Older says that the proof is to a tree older than one seen in an
	// earlier run, and a prefix of it.
	Older bool
}

// A Proof leads from an entry to a signed tree.
type Proof struct {
	Index      int64 // in the tree; smaller than that of the entry if there are frozen shards
	Tree       merkle.Tree
	Hashes     []merkle.Hash // leaf to root
	Checkpoint []byte
}

// ByIndex returns the entry at an index.
func (c *Client) ByIndex(ctx context.Context, index int64) (*Entry, error) {
	var w map[string]*v1.LogEntry
	if err := c.getJSON(ctx, "/api/v1/log/entries", url.Values{"logIndex": {strconv.FormatInt(index, 10)}}, &w); err != nil {
		return nil, err
	}
	e, err := c.verify(ctx, w)
	if err != nil {
		return nil, err
	}
	if e.Index != index {
		return nil, &VerifyError{What: "answer", Err: fmt.Errorf("asked for index %d, got %d", index, e.Index)}
	}
	return e, nil
}

// ByID returns the entry of that id. Without a tree id any tree of the log will do.
func (c *Client) ByID(ctx context.Context, id v1.EntryID) (*Entry, error) {
	name := id.String()
	if id.TreeID == 0 {
		name = id.Hash.String()
	}
	var w map[string]*v1.LogEntry
	if err := c.getJSON(ctx, "/api/v1/log/entries/"+name, nil, &w); err != nil {
		return nil, err
	}
	e, err := c.verify(ctx, w)
	if err != nil {
		return nil, err
	}
	if e.ID.Hash != id.Hash || (id.TreeID != 0 && e.ID.TreeID != id.TreeID) {
		return nil, &VerifyError{What: "answer", Err: fmt.Errorf("asked for entry %s, got %s", name, e.ID)}
	}
	return e, nil
}

// verify takes the one entry out of an answer and holds all of it against the
// log's key and the checkpoints seen before.
func (c *Client) verify(ctx context.Context, w map[string]*v1.LogEntry) (*Entry, error) {
	bad := func(what string, err error) (*Entry, error) { return nil, &VerifyError{What: what, Err: err} }
	if len(w) != 1 {
		return bad("answer", fmt.Errorf("it has %d entries, not one", len(w)))
	}
	var id string
	var l *v1.LogEntry
	for id, l = range w {
	}
	if l == nil || l.Verification == nil || l.Verification.InclusionProof == nil {
		return bad("answer", errors.New("there is no proof in it"))
	}
	p := l.Verification.InclusionProof

	// 1. The id is that of the body.
	e := &Entry{LogID: l.LogID, Index: l.LogIndex, Time: time.Unix(l.IntegratedTime, 0).UTC(), Promise: l.Verification.SignedEntryTimestamp}
	var err error
	if e.ID, err = v1.ParseEntryID(id); err != nil {
		return bad("entry id", errors.New(Printable(err.Error(), "")))
	}
	if e.ID.TreeID == 0 {
		return bad("entry id", errors.New("it has no tree id"))
	}
	if e.Body, err = base64.StdEncoding.Strict().DecodeString(l.Body); err != nil {
		return bad("body", err)
	}
	leaf := merkle.HashLeaf(e.Body)
	if leaf != e.ID.Hash {
		return bad("entry id", fmt.Errorf("the hash of the body is %s, the id says %s", leaf, e.ID.Hash))
	}

	// 2. The checkpoint is by the log, of the tree in the id.
	e.Proof = Proof{Index: p.LogIndex, Checkpoint: []byte(p.Checkpoint)}
	cp, err := c.open(ctx, e.Proof.Checkpoint)
	if err != nil {
		return nil, err
	}
	treeID, err := TreeID(cp.Origin)
	if err != nil {
		return bad("checkpoint", err)
	}
	if treeID != e.ID.TreeID {
		return bad("checkpoint", fmt.Errorf("it is of tree %d, the entry of tree %d", treeID, e.ID.TreeID))
	}
	if p.TreeSize != cp.Tree.Size || !strings.EqualFold(p.RootHash, cp.Tree.Root.String()) {
		return bad("inclusion proof", errors.New("its size or root differ from the checkpoint's"))
	}
	e.Proof.Tree = cp.Tree

	// 3. The leaf is in that tree.
	if e.Proof.Hashes, err = parseHashes(p.Hashes); err != nil {
		return bad("inclusion proof", err)
	}
	if merkle.VerifyInclusion(leaf, p.LogIndex, cp.Tree, e.Proof.Hashes) != nil {
		return bad("inclusion proof", errors.New("it does not lead from the entry to the root in the checkpoint"))
	}
	if p.LogIndex > l.LogIndex {
		return bad("answer", fmt.Errorf("index %d is less than that in the tree, %d", l.LogIndex, p.LogIndex))
	}

	// 4. The log has promised body, index and time.
	if err := v1.VerifyEntryTimestamp(l, c.key); err != nil {
		return bad("signed entry timestamp", errors.New(Printable(err.Error(), "")))
	}

	// 5. What is kept beside the leaf is what the leaf says it is.
	if err := e.describe(l.Attestation); err != nil {
		return nil, err
	}

	// 6. The tree continues those seen before.
	if e.Older, err = c.observe(ctx, cp, e.Proof.Checkpoint); err != nil {
		return nil, err
	}
	return e, nil
}

// describe fills in what can be read in the body, and the attestation.
func (e *Entry) describe(a *v1.Attestation) error {
	type hash struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"value"`
	}
	var b struct {
		Kind       string `json:"kind"`
		APIVersion string `json:"apiVersion"`
		Spec       struct {
			Content struct {
				PayloadHash hash `json:"payloadHash"`
			} `json:"content"`
			Data struct {
				EnvelopeHash hash `json:"envelopeHash"`
			} `json:"data"`
		} `json:"spec"`
	}
	// A spec of another shape is no fault: not every kind has a payload.
	if err := json.Unmarshal(e.Body, &b); err != nil && b.Kind == "" {
		return &VerifyError{What: "body", Err: errors.New("it has no kind")}
	}
	e.Kind, e.APIVersion = b.Kind, b.APIVersion
	if a == nil || len(a.Data) == 0 {
		return nil
	}
	h := b.Spec.Content.PayloadHash
	if e.Kind == "cose" {
		h = b.Spec.Data.EnvelopeHash // of the message, payload and all
	}
	sum := sha256.Sum256(a.Data)
	if h.Algorithm != "sha256" || !strings.EqualFold(h.Value, hex.EncodeToString(sum[:])) {
		return &VerifyError{What: "attestation", Err: errors.New("it is not what has the hash in the body")}
	}
	e.Attestation = a.Data
	return nil
}

// TreeAt returns the tree as it was at a size: from the proof of its last
// entry, whose left neighbours are all that such a tree has.
func (c *Client) TreeAt(ctx context.Context, size int64) (merkle.Tree, error) {
	switch {
	case size < 0:
		return merkle.Tree{}, fmt.Errorf("size %d is negative", size)
	case size == 0:
		return merkle.Tree{Root: merkle.EmptyRoot}, nil
	}
	e, err := c.ByIndex(ctx, size-1)
	if err != nil {
		return merkle.Tree{}, err
	}
	if e.Proof.Index != size-1 {
		return merkle.Tree{}, fmt.Errorf("entry %d is in another shard", size-1)
	}
	root := e.ID.Hash
	// https://www.rfc-editor.org/rfc/rfc9162#section-2.1.3.2, left side only.
	at, last := e.Proof.Index, e.Proof.Tree.Size-1
	for _, h := range e.Proof.Hashes {
		if at&1 == 1 || at == last {
			root = merkle.HashChildren(h, root)
			for at&1 == 0 && at != 0 {
				at, last = at>>1, last>>1
			}
		}
		at, last = at>>1, last>>1
	}
	return merkle.Tree{Size: size, Root: root}, nil
}

// Consistency returns the proof that the tree of size last continues that of
// size first, verified against both, and the two trees. The tree id is that of
// LogInfo.
func (c *Client) Consistency(ctx context.Context, treeID, first, last int64) (older, newer merkle.Tree, hashes []merkle.Hash, err error) {
	if hashes, err = c.proof(ctx, treeID, first, last); err != nil {
		return older, newer, nil, err
	}
	if older, err = c.TreeAt(ctx, first); err == nil {
		newer, err = c.TreeAt(ctx, last)
	}
	if err != nil {
		return older, newer, nil, fmt.Errorf("roots to verify the proof by: %w", err)
	}
	if merkle.VerifyConsistency(older, newer, hashes) != nil {
		return older, newer, nil, &VerifyError{What: "consistency proof", Err: fmt.Errorf("it does not lead from size %d to size %d", first, last)}
	}
	return older, newer, hashes, nil
}

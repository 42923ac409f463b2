package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"golang.org/x/mod/sumdb/note"

	v1 "github.com/cairnlog/cairn/api/v1"
	v2 "github.com/cairnlog/cairn/api/v2"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/entry"
	"github.com/cairnlog/cairn/merkle"
)

// ErrNoVKey means that no key of the log's C2SP checkpoints was given.
var ErrNoVKey = errors.New("no vkey of the log is known")

// An EntryV2 is an entry as the v2 API answers with it, verified: it is what
// was sent, and the proof leads to the root of a checkpoint that the log has
// signed. It has no time.
type EntryV2 struct {
	Kind       string
	APIVersion string
	Body       []byte // canonical body, the leaf
	LogID      []byte // id of a checkpoint key
	Proof      Proof
	// Lines are the names of the checkpoint's signature lines that no key of
	// the log made: those of witnesses, which are not verified here.
	Lines []string
}

// UploadV2 checks a request the way the log will, sends it over the Rekor v2
// API, and verifies the answer. With cosigned it waits for witnesses, as long
// as the log does. A request that is refused here is an *entry.Error and was
// not sent. An entry that was there before is no error, if the log is a Cairn;
// others answer with a *StatusError of 409.
//
// The checkpoint is held against the vkeys alone, and not against checkpoints
// of the v1 API that were seen before.
func (c *Client) UploadV2(ctx context.Context, r *v2.Request, cosigned bool) (*EntryV2, error) {
	keys := make([]logKey, len(c.o.VKeys))
	for i, k := range c.o.VKeys {
		var err error
		if keys[i].Verifier, err = checkpoint.ParseVKey(k); err == nil {
			keys[i].id, err = checkpoint.VKeyID(k)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(keys) == 0 {
		return nil, ErrNoVKey
	}
	var sent *entry.Checked
	var err error
	switch {
	case r.HashedRekord != nil:
		sent, err = r.HashedRekord.Check()
	case r.DSSE != nil:
		sent, err = r.DSSE.Check()
	default:
		err = errors.New("the request has no type")
	}
	if err != nil {
		return nil, err
	}
	var query url.Values
	if cosigned {
		query = url.Values{"wait": {"cosigned"}}
	}
	answer, err := c.do(ctx, http.MethodPost, v2.PathEntries, query, r.Append(nil), "application/json", "Prefer", "return=representation")
	if err != nil {
		return nil, err
	}
	e, err := verifyV2(answer, sent, keys)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// UploadAsV2 sends the signature of a hashedrekord as a client of the Rekor v2
// API would, and is else like Upload: what the log then has is read over v1, and
// verified by its key there.
func (c *Client) UploadAsV2(ctx context.Context, p entry.Proposal) (*Submission, error) {
	h, ok := p.Rekor2()
	if !ok {
		return nil, &entry.Error{Reason: entry.NotAllowed, Text: fmt.Sprintf("the v2 API takes signatures over a file's digest by ECDSA, RSA and Ed25519ph, and no %s %s of this key", p.Kind, p.APIVersion)}
	}
	checked, err := h.Check()
	if err != nil {
		return nil, err
	}
	// Without a key nothing that comes back can be verified: find out first.
	if _, err := c.Key(ctx); err != nil {
		return nil, err
	}
	var s Submission
	r := v2.Request{HashedRekord: h}
	_, err = c.do(ctx, http.MethodPost, v2.PathEntries, nil, r.Append(nil), "application/json")
	var refused *StatusError
	if errors.As(err, &refused) && refused.Status == http.StatusConflict {
		s.Existed, err = true, nil
	}
	if err != nil {
		return nil, err
	}
	if s.Entry, err = c.ByID(ctx, v1.EntryID{Hash: merkle.HashLeaf(checked.Body)}); err != nil {
		return nil, err
	}
	return &s, nil
}

// A logKey is a key of a log's checkpoints with its id.
type logKey struct {
	note.Verifier
	id [32]byte
}

// verifyV2 holds an answer against what was sent and the log's keys.
func verifyV2(answer []byte, sent *entry.Checked, keys []logKey) (*EntryV2, error) {
	bad := func(what string, err error) (*EntryV2, error) { return nil, &VerifyError{What: what, Err: err} }
	safe := func(err error) error { return errors.New(Printable(err.Error(), "")) }
	w, err := v2.ParseEntry(answer)
	if err != nil {
		return bad("answer", safe(err))
	}

	// 1. It is what was sent.
	if !bytes.Equal(w.Body, sent.Body) || w.Kind != sent.Kind || w.Version != sent.APIVersion {
		return bad("answer", errors.New("the log has another entry than what was sent"))
	}

	// 2. The checkpoint is by the log, and so is the log id.
	known := make([]note.Verifier, len(keys))
	for i, k := range keys {
		known[i] = k
	}
	c, n, err := checkpoint.OpenNote(w.Checkpoint, keys[0].Name(), known...)
	if err != nil {
		return bad("checkpoint", safe(err))
	}
	signed := func(k logKey) bool {
		return string(k.id[:]) == string(w.LogID) && slices.ContainsFunc(n.Sigs, func(s note.Signature) bool { return s.Hash == k.KeyHash() })
	}
	if !slices.ContainsFunc(keys, signed) {
		return bad("log id", fmt.Errorf("%x is not that of a key that signed the checkpoint", w.LogID))
	}
	if c.Tree != w.Tree {
		return bad("inclusion proof", errors.New("its size or root differ from the checkpoint's"))
	}

	// 3. The leaf is in that tree.
	if merkle.VerifyInclusion(merkle.HashLeaf(w.Body), w.Index, w.Tree, w.Hashes) != nil {
		return bad("inclusion proof", errors.New("it does not lead from the entry to the root in the checkpoint"))
	}
	e := &EntryV2{
		Kind: w.Kind, APIVersion: w.Version, Body: w.Body, LogID: w.LogID,
		Proof: Proof{Index: w.Index, Tree: w.Tree, Hashes: w.Hashes, Checkpoint: w.Checkpoint},
	}
	for _, s := range n.UnverifiedSigs {
		e.Lines = append(e.Lines, Printable(s.Name, ""))
	}
	return e, nil
}

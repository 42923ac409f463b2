package client

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/cairnlog/cairn/bundle"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/merkle"
)

// BundleOptions say what file Bundle makes of an entry.
type BundleOptions struct {
	Format bundle.Format
	// Envelope is the DSSE envelope that was signed, if the entry has hashes
	// of it only.
	Envelope *bundle.Envelope
	// Cosigned wants a checkpoint that the log's witnesses have signed.
	Cosigned bool
}

// Bundle returns an entry in a file that can be verified without the log. The
// proof in it was verified. What cannot be made of the entry is a
// *bundle.ContentError, or a *StatusError if it is the log that says so.
func (c *Client) Bundle(ctx context.Context, e *Entry, o BundleOptions) ([]byte, error) {
	b, err := c.Offline(ctx, e, o.Format == bundle.TLogProof, o.Cosigned)
	if err != nil {
		return nil, err
	}
	switch o.Format {
	case bundle.TLE:
		return b.TLE()
	case bundle.TLogProof:
		return b.TLogProof()
	}
	if o.Cosigned && b.Promise == nil && !isV2(e) {
		return nil, &bundle.ContentError{Text: "verifiers of Sigstore bundles take an entry of kind " + Printable(e.Kind+" "+e.APIVersion, "") +
			" with the v1 checkpoint alone, which witnesses do not sign"}
	}
	if o.Envelope == nil && e.Attestation != nil {
		o.Envelope = b.Envelope(e.Attestation)
	}
	return b.Sigstore(o.Envelope)
}

// isV2 tells entries of Rekor v2, which is about kinds: both APIs of a log see
// all entries.
func isV2(e *Entry) bool {
	return e.APIVersion == "0.0.2" && (e.Kind == "hashedrekord" || e.Kind == "dsse")
}

// Offline returns an entry with the proof that its verifiers know: of a v1
// kind by the v1 checkpoint and the log's promise, of a v2 kind, or if note or
// cosigned is wanted, by the C2SP checkpoint.
func (c *Client) Offline(ctx context.Context, e *Entry, note, cosigned bool) (*bundle.Entry, error) {
	id, err := hex.DecodeString(e.LogID)
	if err != nil {
		return nil, &VerifyError{What: "log id", Err: err}
	}
	if !note && !cosigned && !isV2(e) {
		return &bundle.Entry{
			Kind: e.Kind, Version: e.APIVersion, Body: e.Body, LogID: id, Index: e.Index, Time: e.Time.Unix(), Promise: e.Promise,
			Proof: &bundle.Proof{Index: e.Proof.Index, Tree: e.Proof.Tree, Hashes: e.Proof.Hashes, Checkpoint: e.Proof.Checkpoint},
		}, nil
	}

	// Only Cairn gives v1 clients the C2SP checkpoint.
	format, accept := bundle.TLE, "application/json"
	if note && !cosigned && !isV2(e) {
		format, accept = bundle.TLogProof, "text/plain"
	}
	query := url.Values{"format": {string(format)}}
	if cosigned {
		query.Set("checkpoint", "cosigned")
	}
	answer, err := c.get(ctx, "/api/v1/log/entries/"+e.ID.String()+"/bundle", query, accept)
	if errors.Is(err, ErrNotFound) { // it has the entry
		return nil, &bundle.ContentError{Text: "the log gives no proof of this entry by a C2SP checkpoint; a log by Cairn would"}
	}
	if err != nil {
		return nil, err
	}
	bad := func(what string, err error) (*bundle.Entry, error) {
		return nil, &VerifyError{What: what, Err: errors.New(Printable(err.Error(), ""))}
	}
	b, err := bundle.Parse(answer)
	if err != nil {
		return bad("answer", err)
	}
	got := b.Entries[0]
	if string(got.Body) != string(e.Body) || got.Proof == nil || got.Proof.Index != e.Proof.Index {
		return bad("answer", errors.New("it is another entry, or has no proof"))
	}
	if merkle.VerifyInclusion(e.ID.Hash, got.Proof.Index, got.Proof.Tree, got.Proof.Hashes) != nil {
		return bad("inclusion proof", errors.New("it does not lead from the entry to the root in the checkpoint"))
	}
	if got.LogID != nil && !namesLine(got.Proof.Checkpoint, got.LogID) {
		return bad("answer", errors.New("the checkpoint is not by the log of the id"))
	}
	if err := c.sameTree(ctx, got.Proof.Tree); err != nil {
		return nil, err
	}
	return got, nil
}

// namesLine says whether a log id names a line of the log itself in a C2SP
// checkpoint.
func namesLine(msg, id []byte) bool {
	cp, sigs, err := checkpoint.Parse(msg)
	return err == nil && slices.ContainsFunc(sigs, func(s checkpoint.Signature) bool {
		return s.Name == cp.Origin && bytes.HasPrefix(id, s.KeyHash[:])
	})
}

// sameTree says that a tree is one that the log has signed with its v1 key.
func (c *Client) sameTree(ctx context.Context, t merkle.Tree) error {
	have, err := c.TreeAt(ctx, t.Size)
	if err != nil {
		return err
	}
	if have != t {
		return &VerifyError{What: "checkpoint", Err: fmt.Errorf("the C2SP checkpoint of size %d has another root than the v1 checkpoints", t.Size)}
	}
	return nil
}

// CheckpointKeys returns the vkeys of the log's C2SP checkpoints, none if it
// has no such checkpoints. The log itself says which they are. What is verified
// is that they sign its trees, of which the v1 key tells.
func (c *Client) CheckpointKeys(ctx context.Context) ([]string, error) {
	text, err := c.get(ctx, "/.well-known/log.vkey", nil, "text/plain")
	var refused *StatusError
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	vkeys := strings.Fields(string(text))
	const most = 16
	if len(vkeys) == 0 || len(vkeys) > most {
		return nil, &VerifyError{What: "vkeys of the log", Err: fmt.Errorf("there are %d", len(vkeys))}
	}
	msg, err := c.get(ctx, "/checkpoint", nil, "text/plain")
	if err != nil {
		return nil, err
	}
	for _, vkey := range vkeys {
		v, err := checkpoint.ParseVKey(vkey)
		if err != nil {
			return nil, &VerifyError{What: "vkey of the log", Err: errors.New(Printable(err.Error(), ""))}
		}
		cp, _, err := checkpoint.OpenNote(msg, v.Name(), []note.Verifier{v}...)
		if err != nil {
			return nil, &VerifyError{What: "checkpoint", Err: errors.New(Printable(err.Error(), ""))}
		}
		if err := c.sameTree(ctx, cp.Tree); err != nil {
			return nil, err
		}
	}
	return vkeys, nil
}

// WitnessPolicy returns the tlog-policy by which the log has its checkpoints
// cosigned, nil if it names no witnesses. It is the log's word; it has one of
// the vkeys.
func (c *Client) WitnessPolicy(ctx context.Context, vkeys []string) ([]byte, error) {
	text, err := c.get(ctx, "/.well-known/tlog-policy", nil, "text/plain")
	var refused *StatusError
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p, err := checkpoint.ParsePolicy(text)
	if err != nil {
		return nil, &VerifyError{What: "policy of the log", Err: errors.New(Printable(err.Error(), ""))}
	}
	if !slices.ContainsFunc(p.Logs(), func(l checkpoint.PolicyLog) bool { return slices.Contains(vkeys, l.VKey) }) {
		return nil, &VerifyError{What: "policy of the log", Err: errors.New("it does not name a key of the log")}
	}
	if len(p.Witnesses()) == 0 {
		return nil, nil
	}
	return text, nil
}

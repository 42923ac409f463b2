package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/go-chi/chi/v5"

	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/bundle"
	"github.com/cairnlog/cairn/log"
)

// What proves an entry to somebody who does not ask the log: package bundle
// has the formats.

const (
	typeBundle = "application/vnd.dev.sigstore.bundle.v0.3+json"
	typeText   = "text/plain"
)

// maxDigits is how many an index can have. With more it would be a hash.
const maxDigits = 19

// formats are the media types of the formats.
var formats = map[bundle.Format][]string{
	bundle.Sigstore:  {typeBundle},
	bundle.TLE:       jsonHeader,
	bundle.TLogProof: noteHeader,
}

// offline serves an entry with all that it takes to verify it later.
func (s *server) offline(ctx context.Context, x *exchange, r *http.Request) error {
	// 1. What is asked for.
	format, err := formatOf(r)
	if err != nil {
		return err
	}
	cosigned := false
	switch c := lastValue(r, "checkpoint"); c {
	case "":
	case "cosigned":
		cosigned = true
	default:
		return invalid(v1.CodeEnum, "checkpoint in query should be one of [cosigned]")
	}
	e, err := s.entryNamed(ctx, chi.URLParam(r, paramUUID))
	if err != nil {
		return err
	}

	// 2. The entry, as the clients that made it know it: those of v1 by their
	// own checkpoint and the log's promise, those of v2 by the C2SP checkpoint.
	kind, version, err := bundle.KindOf(e.Body)
	if err != nil {
		return cannotMake(err.Error())
	}
	b := &bundle.Entry{Kind: kind, Version: version, Body: e.Body, Index: e.Index}
	v2 := version == "0.0.2" && (kind == "hashedrekord" || kind == "dsse")
	switch {
	case format == bundle.Sigstore && cosigned && !v2:
		return cannotMake("verifiers of Sigstore bundles take an entry of kind " + kind + " " + version +
			" with the v1 checkpoint alone, which witnesses do not sign; ask for format tle or tlog-proof")
	case v2 || cosigned || format == bundle.TLogProof:
		b.LogID = s.noteKeyID
		if b.Proof, err = s.publishedProof(ctx, e, cosigned); err != nil {
			return err
		}
	default:
		b.LogID, b.Time, b.Promise = s.keyID, e.Time, e.Promise
		p := e.Proof
		b.Proof = &bundle.Proof{Index: p.Index, Tree: p.Tree, Hashes: p.Hashes, Checkpoint: p.Checkpoint}
	}

	// 3. The file.
	var out []byte
	switch format {
	case bundle.TLE:
		out, err = b.TLE()
	case bundle.TLogProof:
		out, err = b.TLogProof()
	default:
		out, err = s.sigstoreBundle(ctx, b, e)
	}
	var missing *bundle.ContentError
	if errors.As(err, &missing) {
		return cannotMake(missing.Text)
	}
	if err != nil {
		return fmt.Errorf("bundle of entry %d: %w", e.Index, err)
	}
	x.Header()["Content-Type"] = formats[format]
	x.buf = append(x.buf[:0], out...)
	x.send(http.StatusOK)
	return nil
}

// sigstoreBundle adds to the entry what is kept beside it, if that is the
// payload of a DSSE envelope.
func (s *server) sigstoreBundle(ctx context.Context, b *bundle.Entry, e *log.ProvenEntry) ([]byte, error) {
	if !e.HasAttachment {
		return b.Sigstore(nil)
	}
	payload, err := s.log.Attachment(ctx, e.Index)
	if err != nil {
		return nil, fmt.Errorf("read attachment %d: %v", e.Index, err)
	}
	return b.Sigstore(b.Envelope(payload))
}

// publishedProof returns a proof in the newest tree that is published, if it
// has the entry, else in the tree of e.
func (s *server) publishedProof(ctx context.Context, e *log.ProvenEntry, cosigned bool) (*bundle.Proof, error) {
	p, err := s.log.Published(ctx)
	switch {
	case errors.Is(err, log.ErrNoNote):
		return nil, cannotMake("this log signs no C2SP checkpoints")
	case err != nil:
		return nil, fmt.Errorf("read published checkpoint: %w", err)
	case cosigned && !p.Cosigned && !s.witnessed:
		return nil, cannotMake("this log has no witnesses that cosign its checkpoints")
	case cosigned && !p.Cosigned:
		return nil, notYet()
	case e.Index < p.Tree.Size:
		in, err := s.log.EntryIn(ctx, e.Index, p.Tree.Size)
		if err != nil {
			return nil, fmt.Errorf("prove entry %d in the tree of size %d: %w", e.Index, p.Tree.Size, err)
		}
		return &bundle.Proof{Index: in.Proof.Index, Tree: in.Proof.Tree, Hashes: in.Proof.Hashes, Checkpoint: p.Note}, nil
	case cosigned:
		return nil, notYet()
	}
	note, err := e.Proof.Note()
	if err != nil {
		return nil, err
	}
	return &bundle.Proof{Index: e.Proof.Index, Tree: e.Proof.Tree, Hashes: e.Proof.Hashes, Checkpoint: note}, nil
}

// entryNamed returns the entry of an entry id, leaf hash, or index.
func (s *server) entryNamed(ctx context.Context, name string) (*log.ProvenEntry, error) {
	if !isEntryID(name) {
		index, err := strconv.ParseUint(name, 10, 63)
		if err != nil || len(name) > maxDigits {
			return nil, pattern(paramUUID, "path", patternNamed)
		}
		e, err := s.log.Entry(ctx, int64(index))
		if isNotFound(err) {
			return nil, log.ErrNotFound
		}
		if err != nil {
			return nil, fmt.Errorf("read entry %d: %w", index, err)
		}
		return e, nil
	}
	id, err := v1.ParseEntryID(name)
	if err != nil {
		return nil, err
	}
	if id.TreeID != 0 && id.TreeID != s.treeID {
		return nil, log.ErrNotFound
	}
	e, err := s.log.Lookup(ctx, id.Hash)
	if isNotFound(err) {
		return nil, log.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("look up entry %v: %w", id.Hash, err)
	}
	return e, nil
}

// formatOf returns the format that a request asks for: in its query, or by its
// Accept header.
func formatOf(r *http.Request) (bundle.Format, error) {
	if f := bundle.Format(lastValue(r, "format")); f != "" {
		if _, ok := formats[f]; !ok {
			return "", invalid(v1.CodeEnum, "format in query should be one of [sigstore tle tlog-proof]")
		}
		return f, nil
	}
	switch negotiate(r.Header["Accept"], typeBundle, typeJSON, typeText) {
	case typeBundle:
		return bundle.Sigstore, nil
	case typeJSON:
		return bundle.TLE, nil
	case typeText:
		return bundle.TLogProof, nil
	}
	return "", notAcceptable(typeBundle + " " + typeJSON + " " + typeText)
}

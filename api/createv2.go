package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	v1 "github.com/cairnlog/cairn/api/v1"
	v2 "github.com/cairnlog/cairn/api/v2"
	"github.com/cairnlog/cairn/entry"
	"github.com/cairnlog/cairn/log"
)

// cosignedWait is how long an upload waits for witnesses at most. They are
// asked about once a second; the rest of DefaultTimeout is for the commit.
const cosignedWait = 10 * time.Second

// createV2 serves CreateEntry of Rekor v2. The answer comes when the entry is
// in the tree, not when the next checkpoint is published.
func (s *server) createV2(ctx context.Context, x *exchange, r *http.Request) error {
	// 1. The request: size, form, type. Cheap. As with the reference, nobody
	// has to declare that it is JSON.
	if s.noteKeyID == nil {
		return noCheckpoints()
	}
	wait, err := waitsForCosigned(r)
	if err != nil {
		return err
	}
	limit := min(s.maxBody, v2.MaxBody)
	body, err := s.readBody(x, r, limit)
	if err != nil {
		return refuseBodyV2(err, limit)
	}
	req, err := s.requests.Parse(body)
	if err != nil {
		return badRequest("%v", err)
	}
	s.dropBody(x)
	if req.HashedRekord == nil && req.DSSE == nil {
		return badRequest("invalid type, must be hashedrekord or dsse")
	}
	// 2. A log that has no room will not have it after the verification either.
	if s.busy() {
		return log.ErrBusy
	}
	// 3. The entry: signatures, canonical body, search terms. Pure CPU.
	var checked *entry.Checked
	if req.HashedRekord != nil {
		if checked, err = req.HashedRekord.Check(); err != nil {
			return invalidV2("hashedrekord", "hashedRekordRequestV002", err)
		}
	} else if checked, err = req.DSSE.Check(); err != nil {
		return invalidV2("dsse", "dsseRequestV002", err)
	}
	// 4. Into the log. A promise is signed should a v1 client ask for one.
	e, err := s.log.Add(ctx, log.Leaf{Body: checked.Body, Terms: checked.Terms, NoPromise: true})
	h := x.Header()
	whole := prefersRepresentation(r)
	var dup *log.DuplicateError
	switch {
	case errors.As(err, &dup):
		h[v2.HeaderIndex] = []string{strconv.FormatInt(dup.Index, 10)}
		h["Location"] = []string{v1.PathEntries + "/" + v1.EntryID{TreeID: s.treeID, Hash: dup.Hash}.String()}
		if !whole {
			return duplicateV2(dup.Index)
		}
		if e, err = s.log.Entry(ctx, dup.Index); err != nil {
			return fmt.Errorf("read the entry that is there: %w", err)
		}
	case err != nil:
		return fmt.Errorf("add entry: %w", refuseAdd(err))
	default:
		s.metrics.newEntries.Inc()
		h["Location"] = []string{v1.PathEntries + "/" + v1.EntryID{TreeID: s.treeID, Hash: e.Hash}.String()}
	}
	// 5. The answer. That of a duplicate is 201 as well, because clients take
	// nothing else for success: an upload that is sent again after its answer
	// was lost has to end like the first.
	if e, err = s.cosigned(ctx, e, wait, dup != nil); err != nil {
		return err
	}
	if whole {
		h["Preference-Applied"] = []string{"return=representation"}
	}
	h["Content-Type"] = jsonHeader
	answer := v2.Entry{
		Index: e.Index, LogID: s.noteKeyID, Kind: checked.Kind, Version: checked.APIVersion,
		Tree: e.Proof.Tree, Hashes: e.Proof.Hashes, Checkpoint: e.Proof.Checkpoint, Body: e.Body,
	}
	x.buf = append(answer.Append(x.buf[:0]), '\n')
	x.send(http.StatusCreated)
	return nil
}

// cosigned returns e with a proof in the newest tree whose checkpoint has the
// lines of witnesses, and that checkpoint. If there is none that has the
// entry, not even after waiting, the proof is that of e with the checkpoint of
// the log alone; it is the client who knows how many witnesses are enough.
//
// Only an entry that was there before can be in a published tree already.
func (s *server) cosigned(ctx context.Context, e *log.ProvenEntry, wait, before bool) (*log.ProvenEntry, error) {
	var p log.Published
	var err error
	switch {
	case wait:
		waiting, cancel := context.WithTimeout(ctx, cosignedWait)
		p, err = s.log.WaitPublished(waiting, e.Index)
		cancel()
		if errors.Is(err, log.ErrWaiting) || errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			p, err = log.Published{}, nil
		}
	case before:
		p, err = s.log.Published(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("wait for a published checkpoint: %w", err)
	}
	if p.Cosigned && e.Index < p.Tree.Size {
		if e, err = s.log.EntryIn(ctx, e.Index, p.Tree.Size); err != nil {
			return nil, fmt.Errorf("prove entry %d in the published tree: %w", e.Index, err)
		}
		if e.Proof.Tree != p.Tree {
			return nil, fmt.Errorf("published checkpoint is of %v, the log had %v", p.Tree, e.Proof.Tree)
		}
		e.Proof.Checkpoint = p.Note
		return e, nil
	}
	note, err := e.Proof.Note()
	if err != nil {
		return nil, err
	}
	alone := *e
	alone.Proof.Checkpoint = note
	return &alone, nil
}

// waitsForCosigned reads the parameter wait.
func waitsForCosigned(r *http.Request) (bool, error) {
	if r.URL.RawQuery == "" {
		return false, nil
	}
	switch wait := r.URL.Query().Get("wait"); wait {
	case "":
		return false, nil
	case "cosigned":
		return true, nil
	default:
		return false, badRequest("wait is %.40q: all one can wait for is cosigned", wait)
	}
}

// prefersRepresentation says that a client wants the entry even if it was
// there before. https://www.rfc-editor.org/rfc/rfc7240#section-4.2
func prefersRepresentation(r *http.Request) bool {
	for _, header := range r.Header["Prefer"] {
		for p := range strings.SplitSeq(header, ",") {
			p, _, _ = strings.Cut(p, ";")
			name, value, _ := strings.Cut(p, "=")
			if strings.EqualFold(strings.TrimSpace(name), "return") { // of several the first counts
				return strings.EqualFold(strings.Trim(strings.TrimSpace(value), `"`), "representation")
			}
		}
	}
	return false
}

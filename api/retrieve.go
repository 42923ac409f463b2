package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/entry"
	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

// A logQuery is a v1.SearchLogQuery whose proposals are not read yet. A list
// that is null counts as absent, an index that is null as 0.
type logQuery struct {
	Entries    []json.RawMessage `json:"entries"`
	EntryUUIDs []string          `json:"entryUUIDs"`
	LogIndexes []int64           `json:"logIndexes"`
}

// retrieve serves searchLogQuery.
func (s *server) retrieve(ctx context.Context, x *exchange, r *http.Request) error {
	var q logQuery
	if err := s.readQuery(x, r, "entry", &q); err != nil {
		return err
	}
	proposals, err := q.validate()
	if err != nil {
		return err
	}

	// What to answer, in order: full entry ids as asked; then leaf hashes,
	// asked for and of proposals; then indexes. What is not there is left out.
	var full, hashes []merkle.Hash
	for _, u := range q.EntryUUIDs {
		id, err := v1.ParseEntryID(u)
		switch {
		case err != nil:
			return badRequest("invalid entryID %s", u)
		case id.TreeID == 0:
			hashes = append(hashes, id.Hash)
		case id.TreeID == s.treeID:
			full = append(full, id.Hash)
		}
	}
	for i, p := range proposals {
		if err := ctx.Err(); err != nil {
			return err // each costs a verification
		}
		c, err := entry.Check(p, entry.Options{Stored: true, MaxAttachment: -1})
		if err != nil {
			return refuseQueried(i, err)
		}
		hashes = append(hashes, merkle.HashLeaf(c.Body))
	}
	q.Entries = nil
	s.dropBody(x)

	b, some := append(x.buf[:0], '['), false
	add := func(e *log.ProvenEntry, err error) error {
		if isNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if some {
			b = append(b, ',')
		}
		some = true
		if b, err = s.appendStored(ctx, b, e); err != nil {
			return err
		}
		b, err = x.sendPart(b)
		return err
	}
	for _, h := range append(full, hashes...) {
		if err := add(s.log.Lookup(ctx, h)); err != nil {
			return fmt.Errorf("look up entry %v: %w", h, err)
		}
	}
	for _, i := range q.LogIndexes {
		if err := add(s.log.Entry(ctx, i)); err != nil {
			return fmt.Errorf("read entry %d: %w", i, err)
		}
	}
	x.buf = append(b, "]\n"...)
	x.sendJSON()
	return nil
}

// validate checks q in the order of Rekor's framework and reads the envelopes
// of its proposals.
func (q *logQuery) validate() ([]entry.Proposal, error) {
	proposals := make([]entry.Proposal, 0, min(len(q.Entries), v1.MaxRetrieve))
	if len(q.Entries) > v1.MaxRetrieve {
		return nil, maxItems("entries", v1.MaxRetrieve)
	}
	for i, raw := range q.Entries {
		p, err := entry.ParseProposal(raw)
		if err != nil {
			return nil, refuseQueried(i, err)
		}
		proposals = append(proposals, p)
	}
	if err := checkItems("entryUUIDs", len(q.EntryUUIDs), q.EntryUUIDs == nil); err != nil {
		return nil, err
	}
	for i, u := range q.EntryUUIDs {
		if !isEntryID(u) {
			return nil, pattern(fmt.Sprintf("entryUUIDs.%d", i), "body", patternUUID)
		}
	}
	if err := checkItems("logIndexes", len(q.LogIndexes), q.LogIndexes == nil); err != nil {
		return nil, err
	}
	for i, n := range q.LogIndexes {
		if n < 0 {
			return nil, invalid(v1.CodeMinimum, "logIndexes.%d in body should be greater than or equal to 0", i)
		}
	}
	if len(q.Entries)+len(q.EntryUUIDs)+len(q.LogIndexes) > v1.MaxRetrieve {
		return nil, tooMany()
	}
	return proposals, nil
}

// checkItems refuses a list that is there but empty, or too long.
func checkItems(name string, n int, absent bool) error {
	if absent {
		return nil
	}
	if n == 0 {
		return invalid(v1.CodeMinItems, "%s in body should have at least 1 items", name)
	}
	if n > v1.MaxRetrieve {
		return maxItems(name, v1.MaxRetrieve)
	}
	return nil
}

func maxItems(name string, n int) error {
	return invalid(v1.CodeMaxItems, "%s in body should have at most %d items", name, n)
}

package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"

	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/entry"
	"github.com/cairnlog/cairn/merkle"
)

// A Submission is an entry that the log has, and whether it had it before.
type Submission struct {
	*Entry
	Existed bool
}

// Upload checks a proposal the way the log will, sends it, and verifies that
// what the log then has is this very entry. A proposal that is refused here is
// an *entry.Error and was not sent. An entry that was there before is no error.
func (c *Client) Upload(ctx context.Context, p entry.Proposal) (*Submission, error) {
	checked, err := entry.Check(p, entry.Options{})
	if err != nil {
		return nil, err
	}
	// Without a key nothing that comes back can be verified: find out first.
	if _, err := c.Key(ctx); err != nil {
		return nil, err
	}
	body, err := p.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encode proposal: %w", err)
	}
	const entries = "/api/v1/log/entries"
	var s Submission
	answer, err := c.do(ctx, http.MethodPost, entries, nil, body, "application/json")
	var refused *StatusError
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusConflict:
		id := v1.EntryID{Hash: merkle.HashLeaf(checked.Body)}
		if named, ok := locationID(refused.location); ok {
			if named.Hash != id.Hash {
				return nil, &VerifyError{What: "answer", Err: fmt.Errorf("the log says entry %s is a duplicate of %s, which has another body", id.Hash, named)}
			}
			id = named
		}
		s.Existed = true
		s.Entry, err = c.ByID(ctx, id)
	case err == nil:
		var w map[string]*v1.LogEntry
		if err = decode(http.MethodPost, entries, answer, &w); err == nil {
			s.Entry, err = c.verify(ctx, w)
		}
	}
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(s.Body, checked.Body) {
		return nil, &VerifyError{What: "answer", Err: errors.New("the log has another body than what was sent")}
	}
	return &s, nil
}

func locationID(location string) (v1.EntryID, bool) {
	location, _, _ = strings.Cut(location, "?")
	id, err := v1.ParseEntryID(path.Base(location))
	return id, err == nil
}

// A Query says what to search for. What is set is combined by "or", or by
// "and" if All.
type Query struct {
	Hash      string // "<alg>:<hex>" or hex
	Email     string
	Subject   string
	Key       []byte // public key or certificate
	KeyFormat string // of Key, such as "x509"
	All       bool
}

// Search returns the ids of the entries that match, in the log's order. What
// matches, and that nothing is missing, is the log's word only; ByID verifies
// an entry.
func (c *Client) Search(ctx context.Context, q Query) ([]v1.EntryID, error) {
	w := v1.SearchIndex{Hash: q.Hash, Email: q.Email, Subject: q.Subject}
	if q.All {
		w.Operator = "and"
	}
	if q.Key != nil {
		w.PublicKey = &v1.SearchIndexKey{Content: q.Key, Format: q.KeyFormat}
	}
	var names []json.RawMessage
	if err := c.postJSON(ctx, "/api/v1/index/retrieve", w, &names); err != nil {
		return nil, err
	}
	ids := make([]v1.EntryID, len(names))
	for i, raw := range names {
		var name string
		if err := json.Unmarshal(raw, &name); err != nil {
			return nil, &VerifyError{What: "answer", Err: errors.New("an entry id is not a string")}
		}
		id, err := v1.ParseEntryID(name)
		if err != nil {
			return nil, &VerifyError{What: "answer", Err: errors.New(Printable(err.Error(), ""))}
		}
		ids[i] = id
	}
	return ids, nil
}

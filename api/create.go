package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/entry"
	"github.com/cairnlog/cairn/log"
)

// create serves createLogEntry.
func (s *server) create(ctx context.Context, x *exchange, r *http.Request) error {
	// 1. The request: type, size, envelope. Cheap.
	if err := isJSON(r); err != nil {
		return err
	}
	body, err := s.readBody(x, r, s.maxBody)
	if err != nil {
		return err
	}
	if isBlank(body) {
		return required("proposedEntry", "body")
	}
	proposal, err := entry.ParseProposal(body)
	if err != nil {
		return refuseProposal(err)
	}
	// 2. A log that has no room will not have it after the verification either.
	if s.busy() {
		return log.ErrBusy
	}
	// 3. The entry: signatures, canonical body, search terms. Pure CPU.
	checked, err := entry.Check(proposal, entry.Options{MaxAttachment: s.maxAttachment})
	if err != nil {
		return refuseProposal(err)
	}
	if len(checked.Body) > log.MaxLeafSize {
		return log.ErrTooLarge
	}
	// 4. Into the log, which keeps the leaf. The request's body goes back;
	// what was checked is no part of it.
	s.dropBody(x)
	e, err := s.log.Add(ctx, log.Leaf{
		Body:       checked.Body,
		Terms:      checked.Terms,
		Attachment: checked.Attachment,
	})
	var dup *log.DuplicateError
	if errors.As(err, &dup) {
		id := v1.EntryID{TreeID: s.treeID, Hash: dup.Hash}.String()
		x.Header()["Location"] = []string{location(x, r, id)}
		return duplicate(id)
	}
	if err != nil {
		return fmt.Errorf("add entry: %w", refuseAdd(err))
	}
	// 5. The answer.
	s.metrics.newEntries.Inc()
	id := v1.EntryID{TreeID: s.treeID, Hash: e.Hash}.String()
	h := x.Header()
	h["Etag"] = []string{id} // without quotes: clients compare it with the id as it is
	h["Location"] = []string{location(x, r, id)}
	h["Content-Type"] = jsonHeader
	x.buf = append(s.appendEntry(x.buf[:0], e, nil), '\n')
	x.send(http.StatusCreated)
	return nil
}

// location returns where the entry is, relative to the host. Like Rekor it
// keeps the slash at the end of the request's path and its query, but for
// apiKey.
func location(x *exchange, r *http.Request, id string) string {
	l := v1.PathEntries + "/"
	if strings.HasSuffix(x.path, "/") {
		l += "/"
	}
	l += id
	if r.URL.RawQuery == "" {
		return l
	}
	q := r.URL.Query()
	q.Del("apiKey")
	if len(q) == 0 {
		return l
	}
	return l + "?" + q.Encode()
}

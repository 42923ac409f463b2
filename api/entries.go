package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/go-chi/chi/v5"

	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/log"
)

// entryByIndex serves getLogEntryByIndex.
func (s *server) entryByIndex(ctx context.Context, x *exchange, r *http.Request) error {
	if err := wantsJSON(r); err != nil {
		return err
	}
	index, err := intParam(r, "logIndex", 0, -1)
	if err != nil {
		return err
	}
	e, err := s.log.Entry(ctx, index)
	if isNotFound(err) {
		return log.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("read entry %d: %w", index, err)
	}
	return s.sendEntry(ctx, x, e)
}

// entryByUUID serves getLogEntryByUUID.
func (s *server) entryByUUID(ctx context.Context, x *exchange, r *http.Request) error {
	if err := wantsJSON(r); err != nil {
		return err
	}
	asked := chi.URLParam(r, paramUUID)
	if !isEntryID(asked) {
		return pattern(paramUUID, "path", patternUUID)
	}
	id, err := v1.ParseEntryID(asked)
	if err != nil {
		return err
	}
	if id.TreeID != 0 && id.TreeID != s.treeID {
		return log.ErrNotFound
	}
	e, err := s.log.Lookup(ctx, id.Hash)
	if isNotFound(err) {
		return log.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("look up entry %v: %w", id.Hash, err)
	}
	return s.sendEntry(ctx, x, e)
}

func (s *server) sendEntry(ctx context.Context, x *exchange, e *log.ProvenEntry) error {
	b, err := s.appendStored(ctx, x.buf[:0], e)
	if err != nil {
		return err
	}
	x.buf = append(b, '\n')
	x.sendJSON()
	return nil
}

// appendStored appends e with its attachment, if it has one.
func (s *server) appendStored(ctx context.Context, b []byte, e *log.ProvenEntry) ([]byte, error) {
	var attachment []byte
	if e.HasAttachment {
		var err error
		if attachment, err = s.log.Attachment(ctx, e.Index); err != nil {
			// Not found would be trouble too: it was committed with the entry.
			return nil, fmt.Errorf("read attachment %d: %v", e.Index, err)
		}
	}
	return s.appendEntry(b, e, attachment), nil
}

package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

// reads are the statements of the reading connections.
type reads struct {
	head, tile, attachment, published *sql.Stmt
}

// Queries of readers.
const (
	segmentAt = `
		SELECT start, count, nonce, data FROM segment
		WHERE start <= ? ORDER BY start DESC LIMIT 1`
	segmentsAt = `
		SELECT start, count, nonce, data FROM segment
		WHERE start IN (
			SELECT (SELECT start FROM segment WHERE start <= want.value ORDER BY start DESC LIMIT 1)
			FROM json_each(?) want)
		ORDER BY start`
	segmentsFrom = `
		SELECT start, count, nonce, data FROM segment
		WHERE start >= (SELECT start FROM segment WHERE start <= ? ORDER BY start DESC LIMIT 1)
		ORDER BY start LIMIT ?`
)

func (r *reads) prepare(ctx context.Context, db *sql.DB) (err error) {
	for _, p := range []struct {
		stmt **sql.Stmt
		sql  string
	}{
		{&r.head, `SELECT origin, tree_id, key_id, size, root, time, nonce, checkpoint FROM head WHERE id = 1`},
		{&r.tile, `SELECT data FROM tile WHERE level = ? AND idx = ?`},
		{&r.attachment, `SELECT data FROM attachment WHERE idx = ?`},
		{&r.published, `SELECT size, note FROM published WHERE id = 1`},
	} {
		if *p.stmt, err = db.PrepareContext(ctx, p.sql); err != nil {
			return err
		}
	}
	return nil
}

// Head implements log.Reader.
func (s *Store) Head(ctx context.Context) (log.Head, error) {
	var h log.Head
	var key, root, nonce []byte
	err := s.out.head.QueryRowContext(ctx).Scan(&h.Identity.Origin, &h.Identity.TreeID, &key,
		&h.Tree.Size, &root, &h.Time, &nonce, &h.Checkpoint)
	if errors.Is(err, sql.ErrNoRows) {
		return log.Head{}, log.ErrNoLog
	}
	if err != nil {
		return log.Head{}, fmt.Errorf("read head: %w", err)
	}
	if len(key) != len(h.Identity.KeyID) || len(root) != len(h.Tree.Root) || len(nonce) != len(h.Nonce) {
		return log.Head{}, errors.New("read head: a column has a wrong length")
	}
	copy(h.Identity.KeyID[:], key)
	copy(h.Tree.Root[:], root)
	copy(h.Nonce[:], nonce)
	return h, nil
}

// ReadTiles implements merkle.TileReader.
func (s *Store) ReadTiles(ctx context.Context, tiles []merkle.Tile) ([][]byte, error) {
	found := make([][]byte, len(tiles))
	for i, t := range tiles {
		var data []byte
		err := s.out.tile.QueryRowContext(ctx, t.Level, t.Index).Scan(&data)
		if errors.Is(err, sql.ErrNoRows) || t.Width < 1 || t.Width > merkle.TileWidth {
			err = log.ErrNotFound
		}
		if err == nil && len(data) != merkle.TileWidth*merkle.HashSize {
			err = fmt.Errorf("it has %d bytes", len(data))
		}
		if err != nil {
			return nil, fmt.Errorf("read tile %v: %w", t, err)
		}
		found[i] = data[:t.Width*merkle.HashSize]
	}
	return found, nil
}

// SegmentsAt implements log.Reader.
func (s *Store) SegmentsAt(ctx context.Context, indexes []int64) ([]log.Segment, error) {
	var segments []log.Segment
	var err error
	switch len(indexes) {
	case 0:
	case 1:
		segments, err = s.segments(ctx, segmentAt, indexes[0])
	default:
		want, _ := json.Marshal(indexes) // integers always can be
		segments, err = s.segments(ctx, segmentsAt, string(want))
	}
	if err != nil {
		return nil, err
	}
	for _, index := range indexes {
		if !slices.ContainsFunc(segments, func(s log.Segment) bool { return s.Holds(index) }) {
			return nil, fmt.Errorf("read segment of entry %d: %w", index, log.ErrNotFound)
		}
	}
	return segments, nil
}

// SegmentsFrom implements log.Reader.
func (s *Store) SegmentsFrom(ctx context.Context, start int64, limit int) ([]log.Segment, error) {
	segments, err := s.segments(ctx, segmentsFrom, start, int64(max(limit, 0)))
	if err != nil || !slices.ContainsFunc(segments, func(s log.Segment) bool { return s.Holds(start) }) {
		return nil, err
	}
	return segments, nil
}

func (s *Store) segments(ctx context.Context, query string, args ...driver.Value) ([]log.Segment, error) {
	var segments []log.Segment
	err := s.fast.each(ctx, query, args, func(row []driver.Value) error {
		start, err := integer(row[0])
		count, e1 := integer(row[1])
		nonce, e2 := blobOf(row[2])
		data, e3 := blobOf(row[3])
		if err := errors.Join(err, e1, e2, e3); err != nil {
			return err
		}
		seg := log.Segment{Start: start, Count: int(count), Data: data}
		if copy(seg.Nonce[:], nonce) != len(seg.Nonce) {
			return fmt.Errorf("segment %d has a nonce of %d bytes", seg.Start, len(nonce))
		}
		segments = append(segments, seg)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read segments: %w", err)
	}
	return segments, nil
}

// Find implements log.Reader.
func (s *Store) Find(ctx context.Context, keys []log.Key, after int64, limit int) ([][]int64, error) {
	return s.keys.Find(ctx, keys, after, limit)
}

// Attachment implements log.Reader.
func (s *Store) Attachment(ctx context.Context, index int64) ([]byte, error) {
	var data []byte
	err := s.out.attachment.QueryRowContext(ctx, index).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		err = log.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read attachment of entry %d: %w", index, err)
	}
	return blob(data), nil
}

// Published implements log.Reader.
func (s *Store) Published(ctx context.Context) (size int64, note []byte, err error) {
	err = s.out.published.QueryRowContext(ctx).Scan(&size, &note)
	if errors.Is(err, sql.ErrNoRows) {
		err = log.ErrNotFound
	}
	if err != nil {
		return 0, nil, fmt.Errorf("read published checkpoint: %w", err)
	}
	return size, note, nil
}

// Absent implements log.Screener.
func (s *Store) Absent(keys []log.Key, size int64) []bool { return s.keys.Absent(keys, size) }

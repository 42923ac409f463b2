package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

// Head implements log.Reader.
func (s *Store) Head(ctx context.Context) (log.Head, error) {
	var h log.Head
	var key, root, nonce []byte
	err := s.read.QueryRow(ctx, `
		SELECT origin, tree_id, key_id, size, root, time, nonce, checkpoint FROM head WHERE id = 1`).
		Scan(&h.Identity.Origin, &h.Identity.TreeID, &key, &h.Tree.Size, &root, &h.Time, &nonce, &h.Checkpoint)
	if errors.Is(err, pgx.ErrNoRows) {
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
	level, idx := make([]int16, len(tiles)), make([]int64, len(tiles))
	for i, t := range tiles {
		if t.Width < 1 || t.Width > merkle.TileWidth || t.Level < 0 || t.Level > 63 {
			return nil, fmt.Errorf("read tile %v: %w", t, log.ErrNotFound)
		}
		level[i], idx[i] = int16(t.Level), t.Index
	}
	rows, err := s.read.Query(ctx, `
		SELECT a.n, t.data
		FROM unnest($1::smallint[], $2::bigint[]) WITH ORDINALITY a(level, idx, n)
		JOIN tile t ON t.level = a.level AND t.idx = a.idx`, level, idx)
	if err != nil {
		return nil, fmt.Errorf("read tiles: %w", err)
	}
	found := make([][]byte, len(tiles))
	var n int64
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&n, &data}, func() error {
		t := tiles[n-1]
		if len(data) != merkle.TileWidth*merkle.HashSize {
			return fmt.Errorf("tile %v has %d bytes", t, len(data))
		}
		found[n-1] = data[:t.Width*merkle.HashSize]
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read tiles: %w", err)
	}
	for i, data := range found {
		if data == nil {
			return nil, fmt.Errorf("read tile %v: %w", tiles[i], log.ErrNotFound)
		}
	}
	return found, nil
}

// SegmentsAt implements log.Reader.
func (s *Store) SegmentsAt(ctx context.Context, indexes []int64) ([]log.Segment, error) {
	var rows pgx.Rows
	var err error
	if len(indexes) == 1 {
		rows, err = s.read.Query(ctx, `
			SELECT start, count, nonce, data FROM segment
			WHERE start <= $1 ORDER BY start DESC LIMIT 1`, indexes[0])
	} else {
		rows, err = s.read.Query(ctx, `
			SELECT at.start, at.count, at.nonce, at.data
			FROM unnest($1::bigint[]) want(idx), LATERAL (
				SELECT start, count, nonce, data FROM segment
				WHERE start <= want.idx ORDER BY start DESC LIMIT 1
			) at`, indexes)
	}
	if err != nil {
		return nil, fmt.Errorf("read segments: %w", err)
	}
	segments, err := collectSegments(rows)
	if err != nil {
		return nil, err
	}
	// Several indexes may be in one segment.
	slices.SortFunc(segments, func(a, b log.Segment) int { return cmp.Compare(a.Start, b.Start) })
	segments = slices.CompactFunc(segments, func(a, b log.Segment) bool { return a.Start == b.Start })
	for _, index := range indexes {
		if !slices.ContainsFunc(segments, func(s log.Segment) bool { return s.Holds(index) }) {
			return nil, fmt.Errorf("read segment of entry %d: %w", index, log.ErrNotFound)
		}
	}
	return segments, nil
}

// SegmentsFrom implements log.Reader.
func (s *Store) SegmentsFrom(ctx context.Context, start int64, limit int) ([]log.Segment, error) {
	rows, err := s.read.Query(ctx, `
		SELECT start, count, nonce, data FROM segment
		WHERE start >= (SELECT start FROM segment WHERE start <= $1 ORDER BY start DESC LIMIT 1)
		ORDER BY start LIMIT $2`, start, max(limit, 0))
	if err != nil {
		return nil, fmt.Errorf("read segments: %w", err)
	}
	segments, err := collectSegments(rows)
	if err != nil || !slices.ContainsFunc(segments, func(s log.Segment) bool { return s.Holds(start) }) {
		return nil, err
	}
	return segments, nil
}

func collectSegments(rows pgx.Rows) ([]log.Segment, error) {
	var segments []log.Segment
	var start int64
	var count int32
	var nonce, data []byte
	_, err := pgx.ForEachRow(rows, []any{&start, &count, &nonce, &data}, func() error {
		seg := log.Segment{Start: start, Count: int(count), Data: data}
		if copy(seg.Nonce[:], nonce) != len(seg.Nonce) {
			return fmt.Errorf("segment %d has a nonce of %d bytes", start, len(nonce))
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
	err := s.read.QueryRow(ctx, `SELECT data FROM attachment WHERE idx = $1`, index).Scan(&data)
	if errors.Is(err, pgx.ErrNoRows) {
		err = log.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read attachment of entry %d: %w", index, err)
	}
	return data, nil
}

// Published implements log.Reader.
func (s *Store) Published(ctx context.Context) (size int64, note []byte, err error) {
	err = s.read.QueryRow(ctx, `SELECT size, note FROM published WHERE id = 1`).Scan(&size, &note)
	if errors.Is(err, pgx.ErrNoRows) {
		err = log.ErrNotFound
	}
	if err != nil {
		return 0, nil, fmt.Errorf("read published checkpoint: %w", err)
	}
	return size, note, nil
}

// Absent implements log.Screener.
func (s *Store) Absent(keys []log.Key, size int64) []bool { return s.keys.Absent(keys, size) }

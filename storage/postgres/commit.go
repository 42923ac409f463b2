package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/storage/keyindex"
)

// SQLSTATE values. https://www.postgresql.org/docs/current/errcodes-appendix.html
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
)

// Create implements log.Store.
func (s *Store) Create(ctx context.Context, h log.Head) error {
	tag, err := s.write.Exec(ctx, `
		INSERT INTO head (id, origin, tree_id, key_id, size, root, time, nonce, checkpoint)
		VALUES (1, $1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT DO NOTHING`,
		h.Identity.Origin, h.Identity.TreeID, h.Identity.KeyID[:],
		h.Tree.Size, h.Tree.Root[:], h.Time, h.Nonce[:], h.Checkpoint)
	if err != nil {
		return fmt.Errorf("create log: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return log.ErrExists
	}
	return nil
}

// The statements of a commit. The first does nearly all of it: it locks the
// head row, so that commits of several servers queue there, and whoever comes
// second finds another size and root, moves nothing, and so adds nothing. To
// run one statement takes a good part of the time of a small commit, so the
// keys, the head and the segments share it, and what a batch seldom has comes
// behind it, if the head is of this batch's nonce.
const (
	moveHead = `
		WITH moved AS (
			UPDATE head SET size = $1, root = $2, time = $3, nonce = $4, checkpoint = $5
			WHERE id = 1 AND size = $6 AND root = $7
			RETURNING id
		), added AS (
			INSERT INTO segment (start, count, nonce, data)`
	oneSegment = `
			SELECT $9::bigint, $10::integer, $4, $11::bytea FROM moved`
	segments = `
			SELECT s.start, s.count, $4, s.data
			FROM moved, unnest($9::bigint[], $10::integer[], $11::bytea[]) s(start, count, data)`
	addKeys = `
		)
		INSERT INTO key_tail (start, past, data)
		SELECT $6, $1, $8::bytea FROM moved`
	ifMoved  = ` WHERE EXISTS (SELECT FROM head WHERE id = 1 AND nonce = $1)`
	addTiles = `
		INSERT INTO tile (level, idx, data)
		SELECT * FROM unnest($2::smallint[], $3::bigint[], $4::bytea[])` + ifMoved
	addAttachments = `
		INSERT INTO attachment (idx, data)
		SELECT * FROM unnest($2::bigint[], $3::bytea[])` + ifMoved
)

// Commit implements log.Store, in one round trip: the statements travel
// together and are one transaction, which ends where the pipeline does.
func (s *Store) Commit(ctx context.Context, b *log.Batch) error {
	if err := s.keys.Ready(); err != nil {
		return fmt.Errorf("commit batch at %d: %w", b.Old.Tree.Size, err)
	}
	conn, err := s.write.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("commit batch at %d: %w: %w", b.Old.Tree.Size, log.ErrNotReady, err)
	}
	// Once sent, a commit is not cancelled: while it waits for a standby, a
	// cancel would make it visible without the standby having it. The end of
	// ctx only ends our waiting; the batch may still come then.
	done := make(chan error, 1)
	go func() {
		err := s.commit(context.WithoutCancel(ctx), conn, b)
		conn.Release() // first, so that the next commit finds it, with its prepared statements
		done <- err
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil && err != log.ErrConflict {
		return fmt.Errorf("commit batch at %d: %w", b.Old.Tree.Size, err)
	}
	return err
}

// commit sends a batch and returns ErrConflict if nothing of it was written.
func (s *Store) commit(ctx context.Context, conn *pgxpool.Conn, b *log.Batch) error {
	moved, err := send(ctx, conn, b)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && (pg.Code == serializationFailure || pg.Code == deadlockDetected):
		// The server rolled the transaction back, and says so.
		return log.ErrConflict
	case err != nil:
		return err
	case !moved:
		return log.ErrConflict
	}
	s.keys.Added(b.Old.Tree.Size, b.New.Tree.Size, b.Keys)
	return nil
}

// send returns whether the batch moved the head.
func send(ctx context.Context, conn *pgxpool.Conn, b *log.Batch) (moved bool, err error) {
	nonce := b.New.Nonce[:]
	args := append(make([]any, 0, 11), b.New.Tree.Size, b.New.Tree.Root[:], b.New.Time, nonce, b.New.Checkpoint,
		b.Old.Tree.Size, b.Old.Tree.Root[:], keyindex.EncodeAppend(b.Old.Tree.Size, b.Keys))
	move := moveHead + segments + addKeys
	if n := len(b.Segments); n == 1 {
		seg := b.Segments[0]
		move = moveHead + oneSegment + addKeys
		args = append(args, seg.Start, int32(seg.Count), seg.Data)
	} else {
		start, count, data := make([]int64, n), make([]int32, n), make([][]byte, n)
		for i, seg := range b.Segments {
			start[i], count[i], data[i] = seg.Start, int32(seg.Count), seg.Data
		}
		args = append(args, start, count, data)
	}
	if len(b.Tiles) == 0 && len(b.Attachments) == 0 {
		tag, err := conn.Exec(ctx, move, args...)
		return tag.RowsAffected() == 1, err
	}
	q := new(pgx.Batch)
	q.Queue(move, args...)
	if n := len(b.Tiles); n > 0 {
		level, idx, data := make([]int16, n), make([]int64, n), make([][]byte, n)
		for i, t := range b.Tiles {
			level[i], idx[i], data[i] = int16(t.Tile.Level), t.Tile.Index, t.Data
		}
		q.Queue(addTiles, nonce, level, idx, data)
	}
	if n := len(b.Attachments); n > 0 {
		idx, data := make([]int64, n), make([][]byte, n)
		for i, a := range b.Attachments {
			idx[i], data[i] = a.Index, a.Data
		}
		q.Queue(addAttachments, nonce, idx, data)
	}
	results := conn.SendBatch(ctx, q)
	tag, err := results.Exec()
	// Close reads to the end of the transaction: before that nothing is sure.
	return tag.RowsAffected() == 1, errors.Join(err, results.Close())
}

// Publish implements log.Store. It takes no lock on the head row, so commits
// do not wait for it.
func (s *Store) Publish(ctx context.Context, size int64, note []byte) error {
	tag, err := s.write.Exec(ctx, `
		INSERT INTO published (id, size, note)
		SELECT 1, $1::bigint, $2::bytea FROM head WHERE size >= $1
		ON CONFLICT (id) DO UPDATE SET size = excluded.size, note = excluded.note
		WHERE excluded.size >= published.size`,
		size, note)
	if err != nil {
		return fmt.Errorf("publish checkpoint of %d: %w", size, err)
	}
	if tag.RowsAffected() == 0 {
		return log.ErrConflict
	}
	return nil
}

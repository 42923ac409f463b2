package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/storage/keyindex"
)

// writes are the statements of the writing connection.
type writes struct {
	create, head, segment, tile, keys, attachment, publish *sql.Stmt
}

func (w *writes) prepare(ctx context.Context, db *sql.DB) (err error) {
	for _, p := range []struct {
		stmt **sql.Stmt
		sql  string
	}{
		{&w.create, `
			INSERT INTO head (id, origin, tree_id, key_id, size, root, time, nonce, checkpoint)
			VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT DO NOTHING`},
		{&w.head, `
			UPDATE head SET size = ?, root = ?, time = ?, nonce = ?, checkpoint = ?
			WHERE id = 1 AND size = ? AND root = ?`},
		{&w.segment, `INSERT INTO segment (start, count, nonce, data) VALUES (?, ?, ?, ?)`},
		{&w.tile, `INSERT INTO tile (level, idx, data) VALUES (?, ?, ?)`},
		{&w.keys, `INSERT INTO key_tail (start, past, data) VALUES (?, ?, ?)`},
		{&w.attachment, `INSERT INTO attachment (idx, data) VALUES (?, ?)`},
		{&w.publish, `
			INSERT INTO published (id, size, note)
			SELECT 1, ?1, ?2 FROM head WHERE size >= ?1
			ON CONFLICT (id) DO UPDATE SET size = excluded.size, note = excluded.note 
			WHERE excluded.size >= published.size`},
	} {
		if *p.stmt, err = db.PrepareContext(ctx, p.sql); err != nil {
			return err
		}
	}
	return nil
}

// Create implements log.Store.
func (s *Store) Create(ctx context.Context, h log.Head) error {
	r, err := s.in.create.ExecContext(ctx, h.Identity.Origin, h.Identity.TreeID, h.Identity.KeyID[:],
		h.Tree.Size, h.Tree.Root[:], h.Time, h.Nonce[:], blob(h.Checkpoint))
	if err != nil {
		return fmt.Errorf("create log: %w", err)
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return errors.Join(log.ErrExists, err)
	}
	return nil
}

// Commit implements log.Store.
func (s *Store) Commit(ctx context.Context, b *log.Batch) error {
	err := s.keys.Ready()
	if err == nil {
		err = s.commit(ctx, b)
	}
	switch err {
	case nil:
		s.keys.Added(b.Old.Tree.Size, b.New.Tree.Size, b.Keys)
		return nil
	case log.ErrConflict:
		return err
	}
	return fmt.Errorf("commit batch at %d: %w", b.Old.Tree.Size, err)
}

func (s *Store) commit(ctx context.Context, b *log.Batch) error {
	tx, err := s.write.BeginTx(ctx, nil) // takes the file's write lock, see _txlock
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit

	r, err := tx.StmtContext(ctx, s.in.head).ExecContext(ctx,
		b.New.Tree.Size, b.New.Tree.Root[:], b.New.Time, b.New.Nonce[:], blob(b.New.Checkpoint),
		b.Old.Tree.Size, b.Old.Tree.Root[:])
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil {
		return err
	} else if n == 0 {
		return log.ErrConflict
	}
	for _, seg := range b.Segments {
		if _, err := tx.StmtContext(ctx, s.in.segment).ExecContext(ctx, seg.Start, seg.Count, seg.Nonce[:], blob(seg.Data)); err != nil {
			return err
		}
	}
	for _, t := range b.Tiles {
		if _, err := tx.StmtContext(ctx, s.in.tile).ExecContext(ctx, t.Tile.Level, t.Tile.Index, blob(t.Data)); err != nil {
			return err
		}
	}
	if old, size := b.Old.Tree.Size, b.New.Tree.Size; size > old {
		if _, err := tx.StmtContext(ctx, s.in.keys).ExecContext(ctx, old, size, keyindex.EncodeAppend(old, b.Keys)); err != nil {
			return err
		}
	}
	for _, a := range b.Attachments {
		if _, err := tx.StmtContext(ctx, s.in.attachment).ExecContext(ctx, a.Index, blob(a.Data)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Publish implements log.Store.
func (s *Store) Publish(ctx context.Context, size int64, note []byte) error {
	r, err := s.in.publish.ExecContext(ctx, size, blob(note))
	if err != nil {
		return fmt.Errorf("publish checkpoint of %d: %w", size, err)
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return errors.Join(log.ErrConflict, err)
	}
	return nil
}

// blob keeps an empty value from becoming NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

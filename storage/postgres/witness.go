package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Witnessed returns what Witness kept last for a log, or nil.
func (s *Store) Witnessed(ctx context.Context, origin string) ([]byte, error) {
	var note []byte
	err := s.read.QueryRow(ctx, `SELECT note FROM witnessed WHERE origin = $1`, origin).Scan(&note)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what was witnessed: %w", err)
	}
	return note, nil
}

// Witness keeps a note for a log in place of old, nil for none. It returns
// false, and wrote nothing, if another one is kept.
func (s *Store) Witness(ctx context.Context, origin string, old, note []byte) (bool, error) {
	statement, args := `UPDATE witnessed SET note = $1 WHERE origin = $2 AND note = $3`, []any{note, origin, old}
	if old == nil {
		statement, args = `INSERT INTO witnessed (origin, note) VALUES ($2, $1) ON CONFLICT DO NOTHING`, args[:2]
	}
	conn, err := s.write.Acquire(ctx)
	if err != nil {
		return false, fmt.Errorf("keep what is witnessed: %w", err)
	}
	// Like a commit it is not cancelled once it is sent: others would see a
	// signature that a standby does not have.
	type outcome struct {
		tag pgconn.CommandTag
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		defer conn.Release()
		tag, err := conn.Exec(context.WithoutCancel(ctx), statement, args...)
		done <- outcome{tag, err}
	}()
	var o outcome
	select {
	case o = <-done:
	case <-ctx.Done():
		o.err = ctx.Err()
	}
	if o.err != nil {
		return false, fmt.Errorf("keep what is witnessed: %w", o.err)
	}
	return o.tag.RowsAffected() == 1, nil
}

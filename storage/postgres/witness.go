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
	var tag pgconn.CommandTag
	var err error
	if old == nil {
		tag, err = s.write.Exec(ctx, `INSERT INTO witnessed (origin, note) VALUES ($1, $2) ON CONFLICT DO NOTHING`, origin, note)
	} else {
		tag, err = s.write.Exec(ctx, `UPDATE witnessed SET note = $1 WHERE origin = $2 AND note = $3`, note, origin, old)
	}
	if err != nil {
		return false, fmt.Errorf("keep what is witnessed: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

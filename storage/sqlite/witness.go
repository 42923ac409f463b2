package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Witnessed returns what Witness kept last for a log, or nil.
func (s *Store) Witnessed(ctx context.Context, origin string) ([]byte, error) {
	var note []byte
	err := s.read.QueryRowContext(ctx, `SELECT note FROM witnessed WHERE origin = ?`, origin).Scan(&note)
	if errors.Is(err, sql.ErrNoRows) {
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
	var r sql.Result
	var err error
	if old == nil {
		r, err = s.write.ExecContext(ctx, `INSERT INTO witnessed (origin, note) VALUES (?, ?) ON CONFLICT DO NOTHING`, origin, note)
	} else {
		r, err = s.write.ExecContext(ctx, `UPDATE witnessed SET note = ? WHERE origin = ? AND note = ?`, note, origin, old)
	}
	if err != nil {
		return false, fmt.Errorf("keep what is witnessed: %w", err)
	}
	n, err := r.RowsAffected()
	return n == 1, err
}

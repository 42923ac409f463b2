package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cairnlog/cairn/storage/storagetest"
)

// TestWitnessIsNotCancelled ends the caller's wait while the server is at it.
// What was sent is written all the same: with a standby, a cancelled write
// would be there for readers before the standby had it.
func TestWitnessIsNotCancelled(t *testing.T) {
	t.Parallel()
	url := storagetest.Postgres(t)
	s := open(t, url)
	if _, err := s.Witness(t.Context(), "log.example", nil, []byte("first")); err != nil {
		t.Fatal(err)
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	delete(config.ConnConfig.RuntimeParams, "accept_data_loss")
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background()) //nolint:errcheck // it has been, if all went well
	if _, err := tx.Exec(t.Context(), `SELECT FROM witnessed WHERE origin = 'log.example' FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if ok, err := s.Witness(ctx, "log.example", []byte("first"), []byte("second")); ok || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%t, %v", ok, err)
	}
	time.Sleep(50 * time.Millisecond) // a cancel would arrive
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		note, err := s.Witnessed(t.Context(), "log.example")
		if err != nil {
			t.Fatal(err)
		}
		if string(note) == "second" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q is kept", note)
		}
	}
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/cairnlog/cairn/migrations"
)

// migrate makes the schema and brings its tables up to date. Servers that
// start at the same time take turns.
func migrate(ctx context.Context, conn *pgx.Conn) error {
	// 1. The schema that tables will be made in. current_schemas leaves out
	// those that do not exist, so it is read from the setting.
	var schema string
	err := conn.QueryRow(ctx, `
		SELECT coalesce((parse_ident(split_part(current_setting('search_path'), ',', 1), false))[1], '')
		WHERE split_part(current_setting('search_path'), ',', 1) NOT LIKE '%$%'`).Scan(&schema)
	if errors.Is(err, pgx.ErrNoRows) {
		// "$user", public: the default, where Postgres chooses.
		err = conn.QueryRow(ctx, `SELECT coalesce(current_schema(), '')`).Scan(&schema)
	}
	if err != nil {
		return fmt.Errorf("read search_path: %w", err)
	}
	if schema == "" {
		return errors.New("the search_path names no schema")
	}

	// 2. A lock of this schema, held by the connection and gone with it.
	h := fnv.New64a()
	h.Write([]byte("cairn migrate " + schema))
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(h.Sum64())); err != nil {
		return fmt.Errorf("wait for the lock: %w", err)
	}
	defer conn.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, int64(h.Sum64()))
	// IF NOT EXISTS asks for the right to create even if there is nothing to do.
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT to_regnamespace(quote_ident($1)) IS NOT NULL`, schema).Scan(&exists); err != nil {
		return fmt.Errorf("look for schema %s: %w", schema, err)
	}
	if !exists {
		if _, err := conn.Exec(ctx, `CREATE SCHEMA `+pgx.Identifier{schema}.Sanitize()); err != nil {
			return fmt.Errorf("create schema %s: %w", schema, err)
		}
	}

	// 3. The tables.
	files, err := fs.Sub(migrations.Postgres, "postgres")
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*conn.Config().Copy())
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return err
	}
	return nil
}

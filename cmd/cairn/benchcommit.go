package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// This file asks databases what only they know, in their own words: how long
// their simplest durable commit takes, and how much disk a log has. It is the
// measure that the stores are held against, so it does not go through them.

// commitCount is how many commits are measured.
const commitCount = 300

// measureCommits adds to h how long the database at a storage URL takes to
// commit one small row durably, one after the other.
func measureCommits(ctx context.Context, storage string, h *histogram) error {
	scheme, rest, _ := strings.Cut(storage, ":")
	var err error
	switch scheme {
	case "sqlite":
		err = sqliteCommits(ctx, rest, h)
	case "postgres", "postgresql":
		err = postgresCommits(ctx, storage, h)
	default:
		err = errors.New("only sqlite and postgres commit to disk")
	}
	if err != nil {
		return fmt.Errorf("measure commits: %w", err)
	}
	return nil
}

// sqliteCommits writes to a new file beside the one at path, on the same disk.
func sqliteCommits(ctx context.Context, path string, h *histogram) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".bench-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	query := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)"}}
	file := url.URL{Path: filepath.Join(dir, "commit.db")}
	db, err := sql.Open("sqlite", "file:"+file.EscapedPath()+"?"+query.Encode())
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, "CREATE TABLE one (id INTEGER PRIMARY KEY, data BLOB)"); err != nil {
		return err
	}
	insert, err := db.PrepareContext(ctx, "INSERT INTO one (data) VALUES (?)")
	if err != nil {
		return err
	}
	defer insert.Close()
	return timed(h, func() error {
		_, err := insert.ExecContext(ctx, randomBytes(16))
		return err
	})
}

func postgresCommits(ctx context.Context, storage string, h *histogram) (err error) {
	conn, err := connectPostgres(ctx, storage)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "SET synchronous_commit = on"); err != nil {
		return err
	}
	// Not a temporary table: those are not logged.
	if _, err := conn.Exec(ctx, "CREATE TABLE bench_one (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, data bytea)"); err != nil {
		return err
	}
	defer func() {
		_, e := conn.Exec(context.WithoutCancel(ctx), "DROP TABLE bench_one")
		err = errors.Join(err, e)
	}()
	return timed(h, func() error {
		_, err := conn.Exec(ctx, "INSERT INTO bench_one (data) VALUES ($1)", randomBytes(16))
		return err
	})
}

func timed(h *histogram, commit func() error) error {
	for i := range commitCount + 20 {
		start := time.Now()
		if err := commit(); err != nil {
			return err
		}
		if i >= 20 { // the first ones are not like the rest
			h.add(time.Since(start))
		}
	}
	return nil
}

// connectPostgres connects to a database by a storage URL, which may have
// parameters that are none of Postgres's own.
func connectPostgres(ctx context.Context, url string) (*pgx.Conn, error) {
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err // pgx leaves the password out
	}
	delete(c.ConnConfig.RuntimeParams, "accept_data_loss")
	return pgx.ConnectConfig(ctx, c.ConnConfig)
}

// diskBytes returns how much disk the log at a storage URL has, without the
// write-ahead log, which is a constant.
func diskBytes(ctx context.Context, storage string) (int64, error) {
	scheme, rest, _ := strings.Cut(storage, ":")
	switch scheme {
	case "sqlite":
		i, err := os.Stat(rest)
		if err != nil {
			return 0, err
		}
		return i.Size(), nil
	case "postgres", "postgresql":
		conn, err := connectPostgres(ctx, storage)
		if err != nil {
			return 0, err
		}
		defer conn.Close(ctx)
		var n int64
		err = conn.QueryRow(ctx, `
			SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
			WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'`).Scan(&n)
		return n, err
	}
	return 0, fmt.Errorf("%s: is not on a disk", scheme)
}

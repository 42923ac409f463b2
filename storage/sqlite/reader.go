package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"sync"
)

// readers are connections for the reads that a busy log does most. They use
// the driver without database/sql, whose pool, conversions and second copy
// of each blob cost as much as finding an entry does.
type readers struct {
	db   *sql.DB
	free chan struct{} // a token for each of maxReaders that may read

	mu   sync.Mutex
	idle []*reader // the last one used is last, and has the most in its cache
}

// A reader is one connection with the statements that it has prepared. It
// connects when it is first used.
type reader struct {
	conn  *sql.Conn
	stmts map[string]driver.StmtQueryContext
}

func newReaders(db *sql.DB) *readers {
	r := &readers{db: db, free: make(chan struct{}, maxReaders)}
	for range maxReaders {
		r.free <- struct{}{}
	}
	return r
}

// each calls visit for each row that query returns. Arguments are int64 or
// string. The row, but not the blobs in it, is only valid during the call.
func (r *readers) each(ctx context.Context, query string, args []driver.Value, visit func(row []driver.Value) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-r.free:
		defer func() { r.free <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	one := r.take()
	if err := one.each(ctx, r.db, query, args, visit); err != nil {
		one.close() // it may be the connection that is wrong
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.idle = append(r.idle, one)
	return nil
}

func (r *readers) take() *reader {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.idle)
	if n == 0 {
		return new(reader)
	}
	one := r.idle[n-1]
	r.idle = r.idle[:n-1]
	return one
}

func (r *reader) each(ctx context.Context, db *sql.DB, query string, args []driver.Value, visit func(row []driver.Value) error) error {
	if r.conn == nil {
		conn, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		r.conn, r.stmts = conn, make(map[string]driver.StmtQueryContext)
	}
	return r.conn.Raw(func(c any) error {
		// The driver starts a goroutine for each context that can end. A
		// read takes microseconds, or it waits for the disk.
		ctx := context.WithoutCancel(ctx)
		stmt := r.stmts[query]
		if stmt == nil {
			s, err := c.(driver.ConnPrepareContext).PrepareContext(ctx, query)
			if err != nil {
				return err
			}
			stmt = s.(driver.StmtQueryContext)
			r.stmts[query] = stmt
		}
		named := make([]driver.NamedValue, len(args))
		for i, a := range args {
			named[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
		}
		rows, err := stmt.QueryContext(ctx, named)
		if err != nil {
			return err
		}
		defer rows.Close()
		row := make([]driver.Value, len(rows.Columns()))
		for {
			if err := rows.Next(row); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			if err := visit(row); err != nil {
				return err
			}
		}
	})
}

func (r *reader) close() error {
	if r.conn == nil {
		return nil
	}
	var errs []error
	errs = append(errs, r.conn.Raw(func(any) error {
		for _, s := range r.stmts {
			errs = append(errs, s.(driver.Stmt).Close())
		}
		return nil
	}))
	return errors.Join(append(errs, r.conn.Close())...)
}

// close waits for the reads that are under way. Those that follow fail when
// the database is closed.
func (r *readers) close() error {
	for range maxReaders {
		<-r.free
		defer func() { r.free <- struct{}{} }()
	}
	var errs []error
	for _, one := range r.idle {
		errs = append(errs, one.close())
	}
	r.idle = nil
	return errors.Join(errs...)
}

// integer and blobOf take a value out of a row.
func integer(v driver.Value) (int64, error) {
	n, ok := v.(int64)
	if !ok {
		return 0, fmt.Errorf("a column has a %T, not an integer", v)
	}
	return n, nil
}

func blobOf(v driver.Value) ([]byte, error) {
	switch b := v.(type) {
	case []byte:
		return blob(b), nil
	default:
		return nil, fmt.Errorf("a column has a %T, not a blob", v)
	}
}

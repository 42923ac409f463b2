// Package sqlite keeps a log in one SQLite file. Several processes may use
// the file at once; each commit is a compare-and-swap on the head.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/migrations"
	"github.com/cairnlog/cairn/storage/keyindex"
)

const (
	// maxReaders is how many of the usual reads run at once, and otherReaders
	// how many others do. Each has a connection with its own page cache.
	maxReaders   = 6
	otherReaders = 2
)

const (
	// pageSize is that of a new file in bytes. A segment, unless it is one
	// large entry, has room in such a page: to read one is to read a page.
	pageSize = 8192
	// walBytes is how much log is written before it is copied into the file.
	walBytes = 16 << 20
)

// A Store is a log.Store in one file.
type Store struct {
	write *sql.DB // one connection
	read  *sql.DB
	fast  *readers // of read
	in    writes
	out   reads
	keys  *keyindex.Index
}

var _ log.Store = (*Store)(nil)

// Open opens the file at path, makes it if there is none, and makes or
// updates its tables.
func Open(ctx context.Context, path string) (*Store, error) {
	return openSizes(ctx, path, keyindex.Default)
}

func openSizes(ctx context.Context, path string, sizes keyindex.Sizes) (*Store, error) {
	if path == "" || path == ":memory:" {
		return nil, fmt.Errorf("open sqlite: %q is not the path of a file (a log in memory has the URL memory:)", path)
	}
	if err := create(path); err != nil {
		return nil, fmt.Errorf("open sqlite: %w", err)
	}
	s := new(Store)
	var err error
	if s.write, err = open(path,
		fmt.Sprintf("page_size(%d)", pageSize), // of a new file
		"synchronous(FULL)",                    // a commit is on the disk when it returns
		"cache_size(-16384)",
		fmt.Sprintf("wal_autocheckpoint(%d)", walBytes/pageSize),
	); err != nil {
		return nil, fmt.Errorf("open sqlite: %w", err)
	}
	s.write.SetMaxOpenConns(1)
	if s.read, err = open(path, "query_only(1)", "cache_size(-6144)"); err != nil {
		s.write.Close()
		return nil, fmt.Errorf("open sqlite: %w", err)
	}
	s.read.SetMaxOpenConns(maxReaders + otherReaders)
	s.read.SetMaxIdleConns(maxReaders + otherReaders)
	s.fast = newReaders(s.read)
	if err := s.start(ctx, sizes); err != nil {
		s.Close()
		return nil, fmt.Errorf("open sqlite %s: %w", path, err)
	}
	return s, nil
}

func (s *Store) start(ctx context.Context, sizes keyindex.Sizes) error {
	if err := migrate(ctx, s.write); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if err := writable(ctx, s.write); err != nil {
		return fmt.Errorf("it cannot be written: %w", err)
	}
	if err := s.in.prepare(ctx, s.write); err != nil {
		return err
	}
	if err := s.out.prepare(ctx, s.read); err != nil {
		return err
	}
	d, err := newDisk(ctx, s.write, s.read, s.fast)
	if err != nil {
		return err
	}
	s.keys, err = keyindex.Open(ctx, d, sizes)
	return err
}

// Close implements log.Store. It waits for calls that are under way.
func (s *Store) Close() error {
	if s.keys != nil {
		s.keys.Close()
	}
	return errors.Join(s.fast.close(), s.read.Close(), s.write.Close())
}

// create makes an empty file that only its owner may read, if there is none.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	// The file's name must be as durable as what will be in it.
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// open opens a pool of connections that all have the pragmas.
func open(path string, pragmas ...string) (*sql.DB, error) {
	query := url.Values{
		"_busy_timeout": {"10000"}, // ms: another process commits
		"_txlock":       {"immediate"},
		"_pragma":       pragmas,
		"_journal_mode": {"WAL"}, // which the driver sets after the pragmas
	}
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + query.Encode()
	return sql.Open("sqlite", dsn)
}

// writable finds out before the first upload whether the file can be written:
// one that cannot is opened for reading alone, without a word, and even a
// transaction can be begun. Nothing is left of what it writes.
func writable(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "CREATE TABLE writable (x)")
	return errors.Join(err, tx.Rollback())
}

// migrate brings the tables up to date. If two processes start at the same
// time one of them fails and finds the work done when it looks again.
func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations.SQLite, "sqlite")
	if err != nil {
		return err
	}
	for attempt := 0; ; attempt++ {
		provider, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
		if err != nil {
			return err
		}
		_, err = provider.Up(ctx)
		if err == nil || attempt == 20 {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Package storage opens a log's store by its URL. It is the one place that
// knows all back ends.
package storage

import (
	"context"
	"fmt"
	"strings"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/storage/memory"
	"github.com/cairnlog/cairn/storage/postgres"
	"github.com/cairnlog/cairn/storage/sqlite"
)

// Open opens the store at url, and makes or updates its tables first.
//
//	memory:                    a new one, gone with the process
//	sqlite:path                a file, made if there is none
//	postgres://user@host/db    a database; ?search_path=name chooses a schema, made if there is none
//
// A Postgres server that may lose what it acknowledged (fsync off, say) is
// refused, unless the URL has accept_data_loss=yes: for tests.
// An open store may still hold no log: see log.ErrNoLog.
func Open(ctx context.Context, url string) (log.Store, error) {
	scheme, rest, _ := strings.Cut(url, ":")
	switch scheme {
	case "memory":
		return memory.New(), nil
	case "sqlite":
		return sqlite.Open(ctx, rest)
	case "postgres", "postgresql":
		return postgres.Open(ctx, url)
	}
	// The URL is not in the error: it may hold a password.
	return nil, fmt.Errorf("open storage: unknown scheme %q: want memory:, sqlite:path or postgres://…", scheme)
}

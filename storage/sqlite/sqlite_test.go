package sqlite_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/storage/keyindex"
	"github.com/cairnlog/cairn/storage/sqlite"
	"github.com/cairnlog/cairn/storage/storagetest"
)

// medium returns a way to open one file, in a directory of its own.
func medium(t testing.TB) storagetest.Medium {
	path := filepath.Join(t.TempDir(), "log.db")
	return func(t testing.TB) log.Store { return open(t, path) }
}

func open(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStore(t *testing.T) {
	storagetest.Run(t, medium)
}

// TestStoreSmallRuns is the same with an index that is at work all the time:
// a few keys make a run, and a few runs are merged.
func TestStoreSmallRuns(t *testing.T) {
	storagetest.Run(t, func(t testing.TB) storagetest.Medium {
		path := filepath.Join(t.TempDir(), "log.db")
		return func(t testing.TB) log.Store {
			s, err := sqlite.OpenSizes(t.Context(), path, keyindex.Sizes{Flush: 7, Fanout: 2, Levels: 5, PageRows: 3, Chunk: 4})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s
		}
	})
}

func TestFileIsPrivate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log.db")
	open(t, path)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o, want 600", info.Name(), mode)
		}
	}
}

func TestOddPaths(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a b", "50%", "what?", "#1", "a&b=c", "ünïcode", "file:x"} {
		path := filepath.Join(t.TempDir(), name)
		open(t, path)
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"empty":             "",
		"memory":            ":memory:",
		"missing directory": filepath.Join(dir, "none", "log.db"),
		"directory":         dir,
		"not a database":    text,
	} {
		if s, err := sqlite.Open(t.Context(), path); err == nil {
			t.Errorf("%s: opened", name)
			s.Close()
		}
	}
}

// TestOpenRace opens a new file many times at once: all see the same tables.
func TestOpenRace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log.db")
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			s, err := sqlite.Open(t.Context(), path)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if _, err := s.Find(t.Context(), []log.Key{{}}, -1, 1); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

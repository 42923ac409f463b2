package sqlite_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
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

// TestReadOnly: SQLite opens a file that it cannot write without a word. No
// permissions keep root from a file, so the address says it.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log.db")
	open(t, path)
	for mode, want := range map[string]bool{"ro": false, "rw": true} {
		db, err := sql.Open("sqlite", "file:"+path+"?mode="+mode)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for range 2 {
			if err := sqlite.Writable(t.Context(), db); (err == nil) != want {
				t.Errorf("mode %s: %v", mode, err)
			}
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

// childEnv names the file to which this program, started again by
// TestTwoProcesses, commits.
const childEnv = "CAIRN_TEST_COMMIT_TO"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		if err := commitAlone(path, 100); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Set("rapid.checks", "30") // instead of 100, unless asked: each makes a file
	m.Run()
}

// commitAlone commits n entries, one at a time, to a log that others commit to too.
func commitAlone(path string, n int) error {
	ctx := context.Background()
	s, err := sqlite.OpenSizes(ctx, path, keyindex.Sizes{Flush: 7, Fanout: 2, Levels: 5, PageRows: 3, Chunk: 4})
	if err != nil {
		return err
	}
	defer s.Close()
	for n > 0 {
		old, err := s.Head(ctx)
		if err != nil {
			return err
		}
		b := &log.Batch{Old: old, New: old}
		b.New.Tree.Size++
		rand.Read(b.New.Tree.Root[:])
		rand.Read(b.New.Nonce[:])
		at := old.Tree.Size
		b.Segments = []log.Segment{{Start: at, Count: 1, Nonce: b.New.Nonce, Data: []byte{1}}}
		b.Keys = []log.KeyAt{{Key: log.Key{1}, Index: at}, {Key: log.Key{2, byte(at), byte(at >> 8)}, Index: at}}
		switch err := s.Commit(ctx, b); {
		case err == nil:
			n--
		case !errors.Is(err, log.ErrConflict):
			return err
		}
		if _, err := s.Find(ctx, []log.Key{{1}}, -1, 1); err != nil {
			return err
		}
	}
	return nil
}

// TestTwoProcesses has processes commit to one file at the same time.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log.db")
	s := open(t, path)
	if err := s.Create(t.Context(), log.Head{Checkpoint: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			child := exec.CommandContext(t.Context(), os.Args[0])
			child.Env = append(os.Environ(), childEnv+"="+path)
			if out, err := child.CombinedOutput(); err != nil {
				t.Errorf("child: %v: %s", err, out)
			}
		})
	}
	wg.Wait()
	h, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if h.Tree.Size != 300 {
		t.Errorf("size is %d, want 300", h.Tree.Size)
	}
	segments, err := s.SegmentsFrom(t.Context(), 0, 1000)
	if err != nil || len(segments) != 300 {
		t.Errorf("%d segments, %v, want 300", len(segments), err)
	}
	keys := []log.Key{{1}}
	for at := range 300 {
		keys = append(keys, log.Key{2, byte(at), byte(at >> 8)})
	}
	found, err := s.Find(t.Context(), keys, -1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if len(found[0]) != 300 {
		t.Errorf("the key of all leads to %d entries, want 300", len(found[0]))
	}
	for at := range int64(300) {
		if f := found[at+1]; len(f) != 1 || f[0] != at {
			t.Errorf("the key of entry %d leads to %v", at, f)
		}
	}
}

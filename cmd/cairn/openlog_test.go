package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/sign"
	"github.com/cairnlog/cairn/storage"
	"github.com/cairnlog/cairn/storage/storagetest"
)

// flagsIn returns the flags of a log with all defaults but the directory.
func flagsIn(dir string) logFlags { return logFlags{Data: dir, Origin: "localhost"} }

func mustOpen(t *testing.T, f logFlags, how opening) *home {
	t.Helper()
	h, err := f.open(t.Context(), how)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.store.Close() })
	return h
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Mode().Perm()
}

func TestFirstOpenAndNext(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "data")
	first := mustOpen(t, flagsIn(dir), openOrCreate)
	if !first.created || first.identity.TreeID <= 0 || first.identity.Origin != "localhost" {
		t.Errorf("made %+v, created: %t", first.identity, first.created)
	}
	if got := mode(t, dir); got != 0o700 {
		t.Errorf("directory has mode %v", got)
	}
	key := read(t, filepath.Join(dir, "key.pem"))
	if got := mode(t, filepath.Join(dir, "key.pem")); got != 0o600 {
		t.Errorf("key has mode %v", got)
	}
	if block, _ := pem.Decode(key); block == nil || block.Type != "PRIVATE KEY" {
		t.Errorf("key is not PKCS #8 PEM: %q", key)
	}
	var out bytes.Buffer
	if err := first.describe(&out, [2]string{"URL", "http://x"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		dir, filepath.Join(dir, "key.pem"), "sqlite:" + filepath.Join(dir, "cairn.db"), "http://x", "-----BEGIN PUBLIC KEY-----",
		fmt.Sprintf("localhost - %d\n", first.identity.TreeID), hex.EncodeToString(first.identity.KeyID[:]),
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("description has no %q:\n%s", want, out.String())
		}
	}
	first.store.Close()

	next := mustOpen(t, flagsIn(dir), openOrCreate)
	if next.created || next.identity != first.identity {
		t.Errorf("opened %+v, created: %t; want %+v", next.identity, next.created, first.identity)
	}
	if !bytes.Equal(key, read(t, filepath.Join(dir, "key.pem"))) {
		t.Error("the second start changed the key")
	}
}

// TestInterruptedCreation cuts the creation of a log off after each step.
func TestInterruptedCreation(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	steps := []struct {
		name string
		do   func(t *testing.T, dir string)
	}{
		{"directory", func(t *testing.T, dir string) {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{"database", func(t *testing.T, dir string) {
			s, err := storage.Open(ctx, "sqlite:"+filepath.Join(dir, "cairn.db"))
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
		}},
		{"key", func(t *testing.T, dir string) {
			if _, err := sign.CreateKey(filepath.Join(dir, "key.pem")); err != nil {
				t.Fatal(err)
			}
		}},
		{"log", func(t *testing.T, dir string) {
			mustOpen(t, flagsIn(dir), openOrCreate).store.Close()
			if err := os.Remove(filepath.Join(dir, "log.json")); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for n := range steps {
		t.Run("after "+steps[n].name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			for _, s := range steps[:n+1] {
				s.do(t, dir)
			}
			before, _ := os.ReadFile(filepath.Join(dir, "key.pem")) // none after the first steps
			a := mustOpen(t, flagsIn(dir), openOrCreate)
			a.store.Close()
			if key := read(t, a.keyPath); before != nil && !bytes.Equal(before, key) {
				t.Error("a second key was made")
			}
			b := mustOpen(t, flagsIn(dir), openOrCreate)
			if a.identity != b.identity {
				t.Errorf("two starts opened %+v and %+v", a.identity, b.identity)
			}
		})
	}
}

// TestOpenRefuses has one case for each way in which the log that is there is
// not the one that was meant. Nothing may change.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	otherKey := filepath.Join(t.TempDir(), "other.pem")
	if _, err := sign.CreateKey(otherKey); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		how    opening
		change func(t *testing.T, f *logFlags, h *home)
		want   []string // parts of the sentence
	}{
		{"other origin", openOrCreate, func(t *testing.T, f *logFlags, h *home) { f.Origin = "log.example" },
			[]string{"data directory", `"localhost"`, `"log.example"`}},
		{"other origin, nothing remembered", openOrCreate, func(t *testing.T, f *logFlags, h *home) {
			f.Origin = "log.example"
			os.Remove(h.memoPath())
		}, []string{"cairn.db", `"localhost"`, `"log.example"`}},
		{"other tree id", openOrCreate, func(t *testing.T, f *logFlags, h *home) { f.TreeID = 7 },
			[]string{"tree id", "not 7"}},
		{"other tree id, nothing remembered", openOrCreate, func(t *testing.T, f *logFlags, h *home) {
			f.TreeID = 7
			os.Remove(h.memoPath())
		}, []string{"cairn.db", "tree id", "not 7"}},
		{"other key", openOrCreate, func(t *testing.T, f *logFlags, h *home) { f.Key = otherKey },
			[]string{"data directory", "its key is"}},
		{"other key, nothing remembered", openOrCreate, func(t *testing.T, f *logFlags, h *home) {
			f.Key = otherKey
			os.Remove(h.memoPath())
		}, []string{"cairn.db", "its key is"}},
		{"another log's database", openOrCreate, func(t *testing.T, f *logFlags, h *home) {
			other := flagsIn(t.TempDir())
			other.Key = h.keyPath // even with the same key
			mustOpen(t, other, openOrCreate).store.Close()
			f.Storage = "sqlite:" + filepath.Join(other.Data, "cairn.db")
		}, []string{"another log", "tree id"}},
		{"key gone", openOrCreate, func(t *testing.T, f *logFlags, h *home) { os.Remove(h.keyPath) },
			[]string{"no key at", "copy its private key"}},
		{"key and memory gone", openOrCreate, func(t *testing.T, f *logFlags, h *home) {
			os.Remove(h.keyPath)
			os.Remove(h.memoPath())
		}, []string{"no key at", "copy its private key"}},
		{"key damaged", openOrCreate, func(t *testing.T, f *logFlags, h *home) { os.WriteFile(h.keyPath, nil, 0o600) },
			[]string{"no PRIVATE KEY"}},
		{"named key missing", openOrCreate, func(t *testing.T, f *logFlags, h *home) { f.Key = filepath.Join(f.Data, "none.pem") },
			[]string{"none.pem"}},
		{"database gone", openOrCreate, func(t *testing.T, f *logFlags, h *home) {
			for _, p := range []string{"cairn.db", "cairn.db-wal", "cairn.db-shm"} {
				os.Remove(filepath.Join(f.Data, p))
			}
		}, []string{"holds no log", "bring its database back"}},
		{"memory damaged", openOrCreate, func(t *testing.T, f *logFlags, h *home) { os.WriteFile(h.memoPath(), []byte("{"), 0o600) },
			[]string{"log.json"}},
		{"no log to open", openOnly, func(t *testing.T, f *logFlags, h *home) { *f = flagsIn(t.TempDir()) },
			[]string{"holds no log", "cairn init", "--create"}},
		{"log to create is there", createOnly, func(t *testing.T, f *logFlags, h *home) {},
			[]string{"already holds a log"}},
		{"origin with a space", openOrCreate, func(t *testing.T, f *logFlags, h *home) { f.Origin = "a b" },
			[]string{"--origin"}},
		{"negative tree id", openOrCreate, func(t *testing.T, f *logFlags, h *home) { f.TreeID = -1 },
			[]string{"--tree-id"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := flagsIn(t.TempDir())
			h := mustOpen(t, f, openOrCreate)
			h.store.Close()
			keyBefore := read(t, h.keyPath)
			c.change(t, &f, h)
			got, err := f.open(t.Context(), c.how)
			if err == nil {
				got.store.Close()
				t.Fatalf("opened %+v", got.identity)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if b, err := os.ReadFile(h.keyPath); err == nil && len(b) > 0 && !bytes.Equal(b, keyBefore) {
				t.Error("the key was changed")
			}
			if c.name == "key gone" || c.name == "key and memory gone" {
				if _, err := os.Stat(h.keyPath); err == nil {
					t.Error("a second key was made for a log that is there")
				}
			}
		})
	}
}

func TestOpenWithChosenTreeID(t *testing.T) {
	t.Parallel()
	f := flagsIn(t.TempDir())
	f.TreeID = 1001
	if h := mustOpen(t, f, createOnly); h.identity.TreeID != 1001 {
		t.Errorf("made tree %d, want 1001", h.identity.TreeID)
	}
}

func TestOpenMemory(t *testing.T) {
	t.Parallel()
	f := flagsIn(t.TempDir())
	f.Storage = "memory:"
	a, b := mustOpen(t, f, openOrCreate), mustOpen(t, f, openOrCreate)
	if a.identity.KeyID != b.identity.KeyID || a.identity.TreeID == b.identity.TreeID {
		t.Errorf("opened %+v and %+v, want the same key and other trees", a.identity, b.identity)
	}
	if _, err := os.Stat(a.memoPath()); err == nil {
		t.Error("a log in memory is remembered")
	}
}

func TestOpenAtOnce(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"sqlite": "", "postgres": storagetest.Postgres(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := flagsIn(t.TempDir())
			f.Storage = url
			var wg sync.WaitGroup
			ids, errs := make([]log.Identity, 6), make([]error, 6)
			for i := range ids {
				wg.Go(func() {
					h, err := f.open(t.Context(), openOrCreate)
					if err != nil {
						errs[i] = err
						return
					}
					ids[i] = h.identity
					h.store.Close()
				})
			}
			wg.Wait()
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
			for _, id := range ids {
				if diff := cmp.Diff(ids[0], id); diff != "" {
					t.Errorf("two starts opened two logs:\n%s", diff)
				}
			}
		})
	}
}

// TestReplicas is two servers on one Postgres database, with a directory each.
func TestReplicas(t *testing.T) {
	t.Parallel()
	one := flagsIn(t.TempDir())
	one.Storage = storagetest.Postgres(t)
	if _, err := one.open(t.Context(), openOnly); err == nil || !strings.Contains(err.Error(), "cairn init") {
		t.Fatalf("open without a log: %v", err)
	}
	if _, err := os.Stat(filepath.Join(one.Data, "key.pem")); err == nil {
		t.Error("a refused start made a key")
	}
	a := mustOpen(t, one, createOnly)

	two := flagsIn(t.TempDir())
	two.Storage = one.Storage
	if _, err := two.open(t.Context(), openOrCreate); err == nil || !strings.Contains(err.Error(), "copy its private key") {
		t.Errorf("open without the key: %v", err)
	}
	if _, err := sign.CreateKey(filepath.Join(two.Data, "key.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := two.open(t.Context(), openOrCreate); err == nil || !strings.Contains(err.Error(), "its key is") {
		t.Errorf("open with another key: %v", err)
	}
	if err := os.WriteFile(filepath.Join(two.Data, "key.pem"), read(t, a.keyPath), 0o600); err != nil {
		t.Fatal(err)
	}
	b := mustOpen(t, two, openOnly)
	if b.identity != a.identity || !b.key.(*ecdsa.PrivateKey).Equal(a.key) {
		t.Errorf("the second replica opened %+v, want %+v", b.identity, a.identity)
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"postgres://u:secret@h/db?sslmode=require": "postgres://u:xxxxx@h/db?sslmode=require",
		"postgres://h/db?password=secret&user=u":   "postgres://h/db?password=xxxxx&user=u",
		"postgres://u:sec%ret@h/db":                "postgres:…",
		"sqlite:/var/lib/cairn/cairn.db":           "sqlite:/var/lib/cairn/cairn.db",
		"memory:":                                  "memory:",
	} {
		if got := redact(in); got != want {
			t.Errorf("redact(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestSetBack starts on a database that was set back to before the newest
// checkpoint: a server must not sign a second history.
func TestSetBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := mustOpen(t, flagsIn(dir), openOrCreate)
	open := func() (*log.Log, error) {
		seen, err := h.seen()
		if err != nil {
			return nil, err
		}
		return log.Open(withoutCancel(t), h.store, log.Options{Identity: h.identity, Signer: h.signer, Seen: seen})
	}
	l, err := open()
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"one", "two"} {
		if _, err := l.Add(withoutCancel(t), log.Leaf{Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	ended, end := context.WithCancel(withoutCancel(t))
	end()
	h.remember(ended, l, zap.NewNop())
	l.Close()
	if l, err = open(); err != nil {
		t.Fatalf("the same database: %v", err)
	}
	l.Close()
	h.store.Close()

	// The database is lost, and an empty one of the same log stands in for it.
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(dir, "cairn.db"+suffix)); err != nil && suffix == "" {
			t.Fatal(err)
		}
	}
	if h.store, err = storage.Open(withoutCancel(t), h.storage); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.store.Close() })
	if err := log.Create(withoutCancel(t), h.store, h.identity, h.signer, time.Now()); err != nil {
		t.Fatal(err)
	}
	var back *log.RollbackError
	if _, err := open(); !errors.As(err, &back) || back.Seen.Size != 2 {
		t.Fatalf("a database that was set back: %v", err)
	}
	if text := h.rolledBack(back).Error(); !strings.Contains(text, "2 entries") || !strings.Contains(text, "newest.checkpoint") {
		t.Errorf("the refusal is %q", text)
	}

	if err := os.WriteFile(h.newestPath(), []byte("not a checkpoint"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(); err == nil {
		t.Error("a damaged checkpoint: no error")
	}
}

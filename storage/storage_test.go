package storage_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
	"github.com/cairnlog/cairn/storage"
	"github.com/cairnlog/cairn/storage/storagetest"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{
		"memory":   "memory:",
		"sqlite":   "sqlite:" + filepath.Join(t.TempDir(), "log.db"),
		"postgres": storagetest.Postgres(t),
	} {
		s, err := storage.Open(t.Context(), url)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := s.Create(t.Context(), log.Head{Tree: merkle.Tree{Root: merkle.EmptyRoot}, Checkpoint: []byte("x")}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{
		"nothing":             "",
		"unknown scheme":      "mysql://cairn:hunter2@localhost/cairn",
		"path without scheme": "/var/lib/cairn.db",
		"sqlite without path": "sqlite:",
		"nobody listens":      "postgres://cairn:hunter2@127.0.0.1:1/cairn",
		"broken URL":          "postgres://cairn:hunter2@127.0.0.1:port/cairn",
	} {
		s, err := storage.Open(t.Context(), url)
		if err == nil {
			t.Errorf("%s: opened", name)
			s.Close()
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows the password: %v", name, err)
		}
	}
}

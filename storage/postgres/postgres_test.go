package postgres_test

import (
	"flag"
	"sync"
	"testing"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/storage/keyindex"
	"github.com/cairnlog/cairn/storage/postgres"
	"github.com/cairnlog/cairn/storage/storagetest"
)

// TestMain makes rapid's 100 rounds 20, unless asked: each takes a schema.
func TestMain(m *testing.M) {
	flag.Set("rapid.checks", "20")
	m.Run()
}

// medium returns a way to open one schema.
func medium(t testing.TB) storagetest.Medium {
	url := storagetest.Postgres(t)
	return func(t testing.TB) log.Store { return open(t, url) }
}

func open(t testing.TB, url string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), url)
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
		url := storagetest.Postgres(t)
		return func(t testing.TB) log.Store {
			s, err := postgres.OpenSizes(t.Context(), url, keyindex.Sizes{Flush: 7, Fanout: 2, Levels: 5, PageRows: 3, Chunk: 4})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s
		}
	})
}

// TestOpenRace starts several servers at once on a schema that is not there yet.
func TestOpenRace(t *testing.T) {
	t.Parallel()
	url := storagetest.Postgres(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			s, err := postgres.Open(t.Context(), url)
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

package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/cairnlog/cairn/storage/storagetest"
)

func BenchmarkStore(b *testing.B) { storagetest.Bench(b, medium) }

// BenchmarkDurableRow is the yardstick: what the database itself takes to
// commit one row durably.
func BenchmarkDurableRow(b *testing.B) {
	db, err := sql.Open("sqlite", filepath.Join(b.TempDir(), "row.db")+"?_journal_mode=WAL&_synchronous=FULL")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)`); err != nil {
		b.Fatal(err)
	}
	insert, err := db.Prepare(`INSERT INTO t (data) VALUES (?)`)
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := insert.Exec(data); err != nil {
			b.Fatal(err)
		}
	}
}

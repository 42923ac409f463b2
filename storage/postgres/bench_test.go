package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cairnlog/cairn/storage/storagetest"
)

func BenchmarkStore(b *testing.B) { storagetest.Bench(b, medium) }

// BenchmarkDurableRow is the yardstick: what the database itself takes to
// commit one row durably.
func BenchmarkDurableRow(b *testing.B) {
	url := storagetest.Postgres(b)
	open(b, url) // makes the schema, and refuses a server that is not durable
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		b.Fatal(err)
	}
	delete(config.ConnConfig.RuntimeParams, "accept_data_loss")
	db, err := pgxpool.NewWithConfig(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(b.Context(), `CREATE TABLE t (id bigserial PRIMARY KEY, data bytea)`); err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := db.Exec(b.Context(), `INSERT INTO t (data) VALUES ($1)`, data); err != nil {
			b.Fatal(err)
		}
	}
}

package storagetest

import (
	"context"
	"crypto/rand"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// howToGet is what a test says that needs Postgres and finds none.
const howToGet = "run the tests with `make test`, or `pg_virtualenv go test ./...` (Debian and Ubuntu: postgresql-common), or set DATABASE_URL to a database in which schemas may be created"

// Postgres returns the URL of a schema in the Postgres database that
// DATABASE_URL or the PG* variables name. The schema is dropped when the test
// ends. Without a database the test fails and says how to get one.
func Postgres(t testing.TB) string {
	t.Helper()
	dsn := os.Getenv("DATABASE_URL")
	if dsn == "" && os.Getenv("PGHOST") == "" && os.Getenv("PGPORT") == "" {
		t.Fatalf("no Postgres named in the environment: %s", howToGet)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatalf("no Postgres: %v: %s", err, howToGet)
	}
	defer conn.Close(ctx)
	var fsync string
	if err := conn.QueryRow(ctx, `SHOW fsync`).Scan(&fsync); err != nil {
		t.Fatalf("read settings of Postgres: %v", err)
	}
	// Everything is in the URL, so that a process with another environment can use it.
	c := conn.Config()
	schema := "test_" + strings.ToLower(rand.Text())
	query := url.Values{"search_path": {schema}, "pool_max_conns": {"4"}}
	if fsync == "off" {
		query.Set("accept_data_loss", "yes")
	}
	if v := os.Getenv("PGSSLMODE"); v != "" {
		query.Set("sslmode", v)
	} else if dsn == "" {
		query.Set("sslmode", "allow") // none where it is not asked for
	}
	u := &url.URL{Scheme: "postgres", User: url.UserPassword(c.User, c.Password), Path: "/" + c.Database}
	if strings.HasPrefix(c.Host, "/") { // a socket
		query.Set("host", c.Host)
		query.Set("port", strconv.Itoa(int(c.Port)))
	} else {
		u.Host = net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
	}
	u.RawQuery = query.Encode()

	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		conn, err := pgx.ConnectConfig(ctx, c)
		if err != nil {
			t.Errorf("drop schema: %v", err)
			return
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, `DROP SCHEMA IF EXISTS `+schema+` CASCADE`); err != nil {
			t.Errorf("drop schema: %v", err)
		}
	})
	return u.String()
}

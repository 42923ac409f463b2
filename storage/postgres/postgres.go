// Package postgres keeps a log in a PostgreSQL database, shared by any number
// of servers. The commit's compare-and-swap on the head row is all that
// orders them.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/storage/keyindex"
)

const (
	// maxReaders is how many reads run at once where the URL has no
	// pool_max_conns. More than a database has cores only queue there.
	maxReaders = 16
	// maxWriters is three: one commit runs at a time, beside it the key index
	// is kept, and one takes over while a broken one is found out.
	maxWriters = 3
	// connectTimeout ends an attempt to connect where the URL has no connect_timeout.
	connectTimeout = 10 * time.Second
)

// acceptLoss is the parameter of the URL with which somebody says that this
// database may lose what was committed. Tests do.
const acceptLoss = "accept_data_loss"

// A Store is a log.Store in one schema of a Postgres database.
type Store struct {
	write *pgxpool.Pool // for commits and the key index, so that reads do not starve them
	read  *pgxpool.Pool
	keys  *keyindex.Index
}

var _ log.Store = (*Store)(nil)

// Open connects to the database at url, makes or updates the tables, and
// refuses a database that may lose what it acknowledged. The schema is the
// first of the URL's search_path; it is made if there is none.
func Open(ctx context.Context, url string) (*Store, error) {
	return openSizes(ctx, url, keyindex.Default)
}

func openSizes(ctx context.Context, url string, sizes keyindex.Sizes) (*Store, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("open postgres: %w", err) // pgx leaves the password out
	}
	params := config.ConnConfig.RuntimeParams
	lossy := params[acceptLoss] == "yes"
	delete(params, acceptLoss)
	if params["application_name"] == "" {
		params["application_name"] = "cairn"
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	config.ConnConfig.DialFunc = dial
	if config.ConnConfig.ValidateConnect == nil {
		// Of several hosts only the primary will do: a standby shows an old
		// log, which looks like one that was set back.
		config.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	commitLevel, err := prepare(ctx, config.ConnConfig, lossy)
	if err != nil {
		return nil, fmt.Errorf("open postgres: %w", err)
	}

	write := config.Copy()
	write.MinConns, write.MaxConns = 1, maxWriters
	write.AfterConnect = settings(
		// Said again, so that a change to the server's settings does not
		// change what a running log promises.
		"synchronous_commit", commitLevel,
		// A server that was cut off in the middle of a commit must not hold
		// the lock on the head row for the two hours that TCP would take.
		"tcp_keepalives_idle", "10",
		"tcp_keepalives_interval", "5",
		"tcp_keepalives_count", "3",
		// Nor one that is there and does nothing.
		"idle_in_transaction_session_timeout", "10s",
	)
	read := config.Copy()
	if !strings.Contains(url, "pool_max_conns") {
		read.MaxConns = maxReaders
	}
	read.AfterConnect = settings(
		// Every read goes by an index. The planner would at times choose a
		// scan while a table is new, and keep to it as the table grows.
		"enable_seqscan", "off",
		"enable_bitmapscan", "off",
		"enable_hashjoin", "off",
		"enable_mergejoin", "off",
		"plan_cache_mode", "force_generic_plan",
		"jit", "off",
	)
	s := new(Store)
	if s.write, err = pgxpool.NewWithConfig(ctx, write); err != nil {
		return nil, fmt.Errorf("open postgres: %w", err)
	}
	if s.read, err = pgxpool.NewWithConfig(ctx, read); err != nil {
		s.write.Close()
		return nil, fmt.Errorf("open postgres: %w", err)
	}
	if s.keys, err = keyindex.Open(ctx, &disk{s.write, s.read}, sizes); err != nil {
		s.write.Close()
		s.read.Close()
		return nil, fmt.Errorf("open postgres: %w", err)
	}
	return s, nil
}

// Close implements log.Store. It waits for calls that are under way.
func (s *Store) Close() error {
	s.keys.Close()
	s.write.Close()
	s.read.Close()
	return nil
}

// settings returns a function that sets session parameters, name after value,
// on a new connection.
func settings(pairs ...string) func(context.Context, *pgx.Conn) error {
	var sql strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&sql, "SET %s = '%s';", pairs[i], pairs[i+1])
	}
	return func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.PgConn().Exec(ctx, sql.String()).ReadAll()
		return err
	}
}

// prepare checks that the server keeps what it acknowledges, unless lossy is
// accepted, and brings the tables up to date. It returns the level of
// synchronous_commit to commit with.
func prepare(ctx context.Context, config *pgx.ConnConfig, lossy bool) (commitLevel string, err error) {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx))

	rows, err := conn.Query(ctx, `
		SELECT name, setting FROM pg_settings
		WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'transaction_read_only')`)
	if err != nil {
		return "", fmt.Errorf("read settings: %w", err)
	}
	server := make(map[string]string)
	var name, value string
	if _, err := pgx.ForEachRow(rows, []any{&name, &value}, func() error { server[name] = value; return nil }); err != nil {
		return "", fmt.Errorf("read settings: %w", err)
	}
	if err := check(server); err != nil && !lossy {
		return "", err
	}
	if server["transaction_read_only"] == "on" {
		return "", errors.New("the server takes no writes: it is a standby or set to read only. Name the primary, or several hosts and target_session_attrs=read-write")
	}
	if err := migrate(ctx, conn); err != nil {
		return "", fmt.Errorf("migrate: %w", err)
	}
	if server["synchronous_commit"] == "remote_apply" {
		return "remote_apply", nil
	}
	return "on", nil
}

// check refuses settings with which an acknowledged commit can be lost: the
// log would be rolled back, and its next checkpoint would be a fork.
func check(server map[string]string) error {
	for _, name := range []string{"fsync", "full_page_writes"} {
		if v := server[name]; v != "on" && v != "" { // not every server that speaks the protocol has it
			return fmt.Errorf("the server runs with %s = %s and may lose committed entries in a crash. Set it to on, or accept it for a test with the URL parameter %s=yes", name, v, acceptLoss)
		}
	}
	switch v := server["synchronous_commit"]; v {
	case "on", "remote_apply", "":
		return nil
	default:
		return fmt.Errorf("synchronous_commit is %s for this user and database, so committed entries may be lost in a crash. Set it to on or remote_apply", v)
	}
}

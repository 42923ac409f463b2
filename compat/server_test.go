package compat

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// origin is what the logs of these tests call themselves.
const origin = "rekor.test"

// A backend is a database for a log. Each call of storage gives the URL of an
// empty one; "" is Cairn's default, a SQLite file in the data directory.
type backend struct {
	name    string
	storage func(testing.TB) string
}

// backends returns the databases that can be tested here: always SQLite, and
// Postgres if the environment names one.
func backends() []backend {
	b := []backend{{"sqlite", func(testing.TB) string { return "" }}}
	if os.Getenv("PGHOST") != "" || os.Getenv("PGPORT") != "" {
		b = append(b, backend{"postgres", postgresSchema})
	}
	return b
}

// onEach runs f as a subtest for each backend, on a server with an empty log.
func onEach(t *testing.T, f func(*testing.T, *server)) {
	t.Parallel()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t.TempDir(), b.storage(t))
			run(t, s)
			f(t, s)
		})
	}
}

// A server is a Cairn that can be started and stopped. It keeps its address,
// so that what remembers the URL finds it again.
type server struct {
	data    string // directory
	storage string // URL, or "" for the default
	key     string // file, or "" for the default
	flags   []string
	url     string // after the first start

	process *exec.Cmd
	log     *strings.Builder // what it wrote to stderr
}

func newServer(data, storage string) *server { return &server{data: data, storage: storage} }

// run starts a server for a test.
func run(t *testing.T, s *server) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
}

// start returns when the server answers.
func (s *server) start() error {
	if s.process != nil {
		return errors.New("the server runs already")
	}
	listen := "127.0.0.1:0"
	if s.url != "" {
		listen = strings.TrimPrefix(s.url, "http://")
	}
	cmd := exec.Command("cairn", "serve", "--listen", listen, "--metrics-listen", "none",
		"--data", s.data, "--origin", origin)
	if s.storage != "" {
		cmd.Args = append(cmd.Args, "--storage", s.storage, "--create")
	}
	if s.key != "" {
		cmd.Args = append(cmd.Args, "--key", s.key)
	}
	cmd.Args = append(cmd.Args, s.flags...)
	cmd.Env = plainEnvironment()
	log := new(strings.Builder)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) == 2 && f[0] == "URL" {
			s.url, s.process, s.log = f[1], cmd, log
			go io.Copy(io.Discard, out) //nolint:errcheck // ends with the process
			return nil
		}
	}
	err = cmd.Wait()
	return fmt.Errorf("cairn serve ended at once (%v):\n%s", err, log)
}

// stop ends the server as an operator would, and fails if it did not end well.
func (s *server) stop() error {
	if s.process == nil {
		return nil
	}
	cmd := s.process
	s.process = nil
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	kill := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() }) //nolint:errcheck // it is gone then
	defer kill.Stop()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("cairn serve: %w\n%s", err, s.log)
	}
	return nil
}

// publicKey returns the log's key in PEM.
func (s *server) publicKey() ([]byte, error) {
	resp, err := http.Get(s.url + "/api/v1/log/publicKey")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("public key: %s", resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// plainEnvironment is the environment without what configures Cairn.
func plainEnvironment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CAIRN_") && !strings.HasPrefix(v, "REKOR_") {
			env = append(env, v)
		}
	}
	return env
}

// postgresSchema returns the URL of an empty schema in the database that the
// PG* variables name. It is dropped when the test ends.
func postgresSchema(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, "")
	if err != nil {
		t.Fatalf("connect to the Postgres that the environment names: %v", err)
	}
	defer conn.Close(ctx)
	var fsync string
	if err := conn.QueryRow(ctx, `SHOW fsync`).Scan(&fsync); err != nil {
		t.Fatal(err)
	}
	schema := "compat_" + strings.ToLower(rand.Text())
	c := conn.Config()
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

	query := url.Values{"search_path": {schema}, "pool_max_conns": {"4"}, "sslmode": {"allow"}}
	if mode := os.Getenv("PGSSLMODE"); mode != "" {
		query.Set("sslmode", mode)
	}
	if fsync == "off" {
		query.Set("accept_data_loss", "yes")
	}
	u := &url.URL{Scheme: "postgres", User: url.UserPassword(c.User, c.Password), Path: "/" + c.Database}
	port := strconv.Itoa(int(c.Port))
	if filepath.IsAbs(c.Host) { // a socket
		query.Set("host", c.Host)
		query.Set("port", port)
	} else {
		u.Host = net.JoinHostPort(c.Host, port)
	}
	u.RawQuery = query.Encode()
	return u.String()
}

package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cairnlog/cairn/sign"
)

const (
	// kills is how often a crash test kills something.
	kills = 24
	// crashWorkers upload at the same time, so that a kill meets requests in
	// every state.
	crashWorkers = 12
	// patience is how long a process may take to come up.
	patience = 60 * time.Second
)

// TestCrashSQLite kills the server again and again while it takes uploads, and
// then verifies the whole log and every answer that was received.
func TestCrashSQLite(t *testing.T) {
	t.Parallel()
	s := newProcess(t, program(t), t.TempDir())
	crash(t, s, []func(){s.kill})
}

// TestCrashPostgres kills the server, the database, or both.
func TestCrashPostgres(t *testing.T) {
	t.Parallel()
	db := newCluster(t)
	db.start(t)
	s := newProcess(t, program(t), t.TempDir(), "--create", "--storage", db.url())
	crash(t, s, []func(){
		s.kill,
		func() { db.kill(t); db.start(t) },
		func() { db.kill(t); s.kill(); db.start(t) },
		func() { s.kill(); db.kill(t); db.start(t) },
	})
}

// crash puts load on a server, disturbs it at random moments, and verifies.
func crash(t *testing.T, s *process, disturb []func()) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	s.start(t)
	key := s.publicKey(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l := newLoad(t, s.url, key)
	var wg sync.WaitGroup
	for range crashWorkers {
		wg.Go(func() { l.upload(ctx, t) })
	}
	wg.Go(func() { l.watch(ctx, t) })
	for n := range kills {
		// Wait until uploads succeed again, so that each kill hits a log under
		// load and each recovery has been to good use.
		l.waitForProgress(t)
		time.Sleep(time.Duration(random.Int64N(int64(200 * time.Millisecond))))
		disturb[n%len(disturb)]()
		if !s.alive() {
			s.start(t)
		}
	}
	l.waitForProgress(t)
	cancel()
	wg.Wait()
	if t.Failed() {
		return
	}

	// Once more, so that what is verified comes from the disk.
	s.kill()
	s.start(t)
	l.verify(t)
}

// program returns the path of cairn: a copy of this test's, which TestMain
// has made main behind the name.
func program(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("cairn")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A process is a server that can be killed and started again at the same address.
type process struct {
	binary, data, url string
	args              []string
	cmd               *exec.Cmd
	exited            chan struct{}
	output            *buffer
}

func newProcess(t *testing.T, binary, data string, args ...string) *process {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	s := &process{binary: binary, data: data, url: "http://" + address, output: new(buffer)}
	s.args = append([]string{"serve", "--data", data, "--listen", address, "--metrics-listen", "none", "--log-level", "warn"}, args...)
	t.Cleanup(func() {
		if s.cmd != nil && s.alive() {
			s.kill()
		}
		if t.Failed() {
			t.Logf("output of the server:\n%s", tail(s.output.String()))
		}
	})
	return s
}

// start starts the server and waits until it is ready.
func (s *process) start(t *testing.T) {
	t.Helper()
	s.cmd = exec.Command(s.binary, s.args...)
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited, cmd := make(chan struct{}), s.cmd
	s.exited = exited
	go func() { cmd.Wait(); close(exited) }() //nolint:errcheck // it is killed
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if resp, err := http.Get(s.url + "/healthz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if !s.alive() || time.Now().After(deadline) {
			t.Fatalf("the server did not come up again:\n%s", tail(s.output.String()))
		}
	}
}

func (s *process) alive() bool {
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

func (s *process) kill() {
	s.cmd.Process.Kill() //nolint:errcheck // it may have ended
	<-s.exited
}

// publicKey reads the key from the data directory, not from the server.
func (s *process) publicKey(t *testing.T) crypto.PublicKey {
	t.Helper()
	key, err := sign.LoadKey(filepath.Join(s.data, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return key.Public()
}

// A cluster is a Postgres server of the test's own.
type cluster struct {
	bin, dir string
	port     int
	owner    *syscall.SysProcAttr // Postgres does not run as root
	cmd      *exec.Cmd
	output   *buffer
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{bin: postgresBin(t), port: freePort(t), output: new(buffer)}
	// Not t.TempDir: its parent can be entered by root alone.
	var err error
	if c.dir, err = os.MkdirTemp("", "cairn-crash-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(c.dir) })
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Fatalf("as root, Postgres needs a user of its own: %v", err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		c.owner = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		if err := os.Chown(c.dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	initdb := c.command("initdb", "-D", c.dir+"/data", "-U", "postgres", "--auth=trust", "--no-sync", "--no-locale", "-E", "UTF8")
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if c.cmd != nil {
			c.kill(t)
		}
		if t.Failed() {
			t.Logf("output of Postgres:\n%s", tail(c.output.String()))
		}
	})
	return c
}

// postgresBin finds the directory of the server's programs, which Debian keeps
// out of the PATH.
func postgresBin(t *testing.T) string {
	t.Helper()
	if p, err := exec.LookPath("postgres"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil {
			return filepath.Dir(p)
		}
	}
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(dirs) == 0 {
		t.Fatal("no Postgres server to kill: install the package postgresql, or put postgres and initdb into the PATH")
	}
	return filepath.Dir(slices.Max(dirs))
}

func (c *cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir, cmd.SysProcAttr = c.dir, c.owner
	return cmd
}

func (c *cluster) url() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres", c.port)
}

// start starts the server and waits until it takes connections.
func (c *cluster) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		c.cmd = c.command("postgres", "-D", c.dir+"/data", "-p", strconv.Itoa(c.port), "-h", "127.0.0.1", "-k", c.dir)
		c.cmd.Stdout, c.cmd.Stderr = c.output, c.output
		if err := c.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		exited, cmd := make(chan struct{}), c.cmd
		go func() { cmd.Wait(); close(exited) }() //nolint:errcheck // it is killed
		for running := true; running; {
			conn, err := pgx.Connect(ctx, c.url())
			if err == nil {
				conn.Close(ctx)
				return
			}
			select {
			case <-exited: // a process of the killed server still held its shared memory
				running = false
			case <-ctx.Done():
				t.Fatalf("Postgres did not come up: %v\n%s", err, tail(c.output.String()))
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

// kill kills the postmaster and every process that it started.
func (c *cluster) kill(t *testing.T) {
	t.Helper()
	postmaster := c.cmd.Process.Pid
	children := childrenOf(postmaster)
	for _, pid := range append([]int{postmaster}, children...) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Errorf("kill %d: %v", pid, err)
		}
	}
	for deadline := time.Now().Add(patience); syscall.Kill(postmaster, 0) == nil && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

// childrenOf reads /proc; where there is none the children end by themselves
// when they miss their parent.
func childrenOf(pid int) []int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	var pids []int
	for _, f := range strings.Fields(string(b)) {
		if n, err := strconv.Atoi(f); err == nil {
			pids = append(pids, n)
		}
	}
	return pids
}

// freePort returns a port that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func tail(s string) string {
	const most = 3000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

// connections is how many a load keeps open.
const connections = crashWorkers + 4

func newHTTPClient() *http.Client {
	return &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: connections * runtime.NumCPU()},
	}
}

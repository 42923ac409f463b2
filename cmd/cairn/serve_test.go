package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// withoutCancel is the context of what a test does after its end.
func withoutCancel(t testing.TB) context.Context { return context.WithoutCancel(t.Context()) }

// A buffer may be written and read at once.
type buffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// A running server is in this process.
type running struct {
	url, metrics string
	out          string // all that it printed on its start
	log          *buffer
	stop         func() int // ends it and returns its exit code
}

// start runs cairn serve with these flags on ports of its own.
func start(t *testing.T, flags ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(withoutCancel(t))
	r, w := io.Pipe()
	s := &running{log: new(buffer)}
	code := make(chan int, 1)
	args := append([]string{"cairn", "serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"}, flags...)
	go func() {
		code <- run(ctx, args, strings.NewReader(""), w, s.log)
		w.Close()
	}()
	s.stop = sync.OnceValue(func() int { cancel(); return <-code })
	t.Cleanup(func() { s.stop() })
	for lines := bufio.NewScanner(r); lines.Scan(); {
		line := lines.Text()
		s.out += line + "\n"
		if u, ok := strings.CutPrefix(line, "URL "); ok {
			s.url = strings.TrimSpace(u)
		}
		if u, ok := strings.CutPrefix(line, "metrics "); ok {
			s.metrics = strings.TrimSpace(u)
		}
		if line == "-----END PUBLIC KEY-----" {
			go io.Copy(io.Discard, r)
			return s
		}
	}
	t.Fatalf("cairn serve ended with exit code %d:\n%s%s", s.stop(), s.out, s.log)
	return nil
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s: %s", url, resp.Status, b)
	}
	return string(b)
}

func TestServe(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := start(t, "--data", dir)
	key := fetch(t, s.url+"/api/v1/log/publicKey")
	if !strings.Contains(s.out, key) {
		t.Errorf("printed\n%s\nwithout the key\n%s", s.out, key)
	}
	if got := fetch(t, s.url+"/healthz"); !strings.Contains(got, "ok") {
		t.Errorf("healthz: %s", got)
	}
	if got := fetch(t, s.url+"/openapi.yaml"); !strings.Contains(got, "openapi: 3") {
		t.Errorf("openapi.yaml: %.100s", got)
	}
	if got := fetch(t, s.metrics); !strings.Contains(got, "cairn_tree_size 0\n") {
		t.Errorf("metrics have no tree size:\n%s", got)
	}
	var out, errOut buffer
	if code := run(t.Context(), []string{"cairn", "health", "--server", s.url}, nil, &out, &errOut); code != 0 {
		t.Errorf("health: exit code %d: %s", code, &errOut)
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d: %s", code, s.log)
	}
	if code := run(t.Context(), []string{"cairn", "health", "--server", s.url}, nil, &out, &errOut); code != exitTrouble {
		t.Errorf("health of a stopped server: exit code %d, want %d", code, exitTrouble)
	}

	again := start(t, "--data", dir, "--metrics-listen", "none")
	if got := fetch(t, again.url+"/api/v1/log/publicKey"); got != key {
		t.Errorf("second start has key %s, want %s", got, key)
	}
	if again.metrics != "" {
		t.Errorf("metrics at %s, want none", again.metrics)
	}
}

func TestServeRefuses(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() }) // after the parallel cases
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"port taken", []string{"--listen", taken.Addr().String()}, exitTrouble, "taken by another program; choose another with --listen"},
		{"metrics port taken", []string{"--metrics-listen", taken.Addr().String()}, exitTrouble, "choose another with --metrics-listen"},
		{"no address", []string{"--listen", "nonsense"}, exitRefused, "--listen"},
		{"no body", []string{"--max-body", "0"}, exitRefused, "--max-body 0 is not from 1 to"},
		{"body beyond all memory", []string{"--max-body", "9223372036854775807"}, exitRefused, "is not from 1 to"},
		{"unknown database", []string{"--storage", "mongodb://u:secret@h"}, exitTrouble, "unknown scheme"},
		{"database away", []string{"--storage", "postgres://u:secret@127.0.0.1:1/db"}, exitTrouble, "127.0.0.1"},
		{"bad origin", []string{"--origin", "a b"}, exitRefused, "--origin"},
		{"unknown flag", []string{"--orgin", "a"}, exitUsage, "cairn serve --help"},
		{"bad level", []string{"--log-level", "loud"}, exitUsage, "log-level"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			args := append([]string{"cairn", "serve", "--data", dir, "--listen", "127.0.0.1:0", "--metrics-listen", "none"}, c.args...)
			var out, errOut buffer
			code := run(t.Context(), args, strings.NewReader(""), &out, &errOut)
			if code != c.code || !strings.Contains(errOut.String(), c.want) {
				t.Errorf("exit code %d, want %d; message %q, want %q in it", code, c.code, &errOut, c.want)
			}
			if strings.Contains(errOut.String(), "secret") {
				t.Errorf("the message tells the password: %s", &errOut)
			}
			if _, err := os.Stat(filepath.Join(dir, "key.pem")); err == nil {
				t.Error("a start that was refused made a key")
			}
		})
	}
}

// TestServeDrains stops a server in the middle of a request: that one gets its
// answer, another none.
func TestServeDrains(t *testing.T) {
	t.Parallel()
	s := start(t, "--data", t.TempDir())
	address := strings.TrimPrefix(s.url, "http://")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /api/v1/log/entries/retrieve HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("the server answers %q, %v", line, err)
	}
	fmt.Fprint(conn, "{")
	code := make(chan int, 1)
	go func() { code <- s.stop() }()
	for {
		c, err := net.Dial("tcp", address)
		if err != nil {
			break // it no longer listens
		}
		c.Close()
		time.Sleep(time.Millisecond)
	}
	fmt.Fprint(conn, "}")
	if _, err := r.ReadString('\n'); err != nil { // the empty line after 100 Continue
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %s", resp.Status)
	}
	resp.Body.Close()
	if got := <-code; got != 0 {
		t.Errorf("exit code %d: %s", got, s.log)
	}
}

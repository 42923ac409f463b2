package compat

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// nginxConf is as little as makes nginx start. How it is to cache a log the
// README says.
const nginxConf = `
daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr warn;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	scgi_temp_path %[1]s/scgi;
	uwsgi_temp_path %[1]s/uwsgi;
	%[2]s
	server {
		listen %[3]s;
		add_header X-Cache $upstream_cache_status;
		%[4]s
	}
}
`

// nginxAdvice returns what the README has operators write into http and into
// server, for a log at an address and a cache in a directory.
func nginxAdvice(t *testing.T, log, cache string) (http, server string) {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(readme)) {
		line = strings.NewReplacer("http://127.0.0.1:3000", log, "/var/cache/nginx/log", cache).Replace(line)
		switch {
		case strings.HasPrefix(line, "    proxy_cache_path "):
			http += line
		case strings.HasPrefix(line, "    location "):
			server += line
		}
	}
	if !strings.Contains(http, cache) || !strings.Contains(server, log) {
		t.Fatalf("the README does not say how to cache a log:\n%s%s", http, server)
	}
	return http, server
}

// A meter passes requests on to a log and counts them by path.
type meter struct {
	http.Handler
	mu    sync.Mutex
	count map[string]int
}

func (m *meter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	m.count[r.URL.Path]++
	m.mu.Unlock()
	m.Handler.ServeHTTP(w, r)
}

// reset returns how often a path was asked for since the last reset, and "" for all.
func (m *meter) reset(path string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.count[path]
	if path == "" {
		for _, c := range m.count {
			n += c
		}
	}
	clear(m.count)
	return n
}

// proxied starts nginx before a server, with a meter in between.
func proxied(t *testing.T, s *server) (string, *meter) {
	t.Helper()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Fatal("no nginx on PATH: run the tests with make compat, or in .ci/with-nginx")
	}
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	m := &meter{Handler: httputil.NewSingleHostReverseProxy(u), count: make(map[string]int)}
	between := httptest.NewServer(m)
	t.Cleanup(between.Close)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close() // nginx takes it
	dir := t.TempDir()
	conf := filepath.Join(dir, "nginx.conf")
	inHTTP, inServer := nginxAdvice(t, between.URL, filepath.Join(dir, "cache"))
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, inHTTP, addr, inServer), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(nginx, "-p", dir, "-c", conf)
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return "http://" + addr, m
		}
		if time.Now().After(deadline) {
			t.Fatal("nginx does not answer")
		}
	}
}

// through reads a path; headers are given as name and value in turn.
func through(t *testing.T, base, path string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, b
}

// TestNginx puts a caching proxy in front of a log: the second reader of a
// tile does not reach the log, and no reader gets an old checkpoint.
func TestNginx(t *testing.T) {
	t.Parallel()
	s := newServer(t.TempDir(), "")
	run(t, s)
	if err := grow(s.url, 300); err != nil {
		t.Fatal(err)
	}
	base, m := proxied(t, s)

	// 1. Tiles and bundles are read once, in each form.
	for _, path := range []string{"/tile/0/000", "/api/v2/tile/0/000", "/tile/0/001.p/44", "/tile/1/000.p/1", "/tile/entries/000", "/api/v2/tile/entries/001.p/44"} {
		_, want := through(t, s.url, path)
		for _, encoding := range []string{"identity", "gzip"} {
			m.reset("")
			first, b := through(t, base, path, "Accept-Encoding", encoding)
			if first.StatusCode != http.StatusOK || m.reset(path) > 1 {
				t.Fatalf("%s: %s", path, first.Status)
			}
			for range 3 {
				next, again := through(t, base, path, "Accept-Encoding", encoding)
				if next.StatusCode != http.StatusOK || !bytes.Equal(b, again) || next.Header.Get("X-Cache") != "HIT" ||
					next.Header.Get("Etag") != first.Header.Get("Etag") || next.Header.Get("Content-Encoding") != first.Header.Get("Content-Encoding") {
					t.Errorf("%s, %s: the second reader gets %s %v", path, encoding, next.Status, next.Header)
				}
			}
			known, none := through(t, base, path, "Accept-Encoding", encoding, "If-None-Match", first.Header.Get("Etag"))
			if known.StatusCode != http.StatusNotModified || len(none) > 0 {
				t.Errorf("%s, %s: who has it gets %s", path, encoding, known.Status)
			}
			if n := m.reset(""); n != 0 {
				t.Errorf("%s, %s: %d requests of the later readers reached the log", path, encoding, n)
			}
			if first.Header.Get("Content-Encoding") == "gzip" {
				r, err := gzip.NewReader(bytes.NewReader(b))
				if err != nil {
					t.Fatal(err)
				}
				if b, err = io.ReadAll(r); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(b, want) {
				t.Errorf("%s, %s: another content than without the proxy", path, encoding)
			}
		}
	}

	// 2. Many ask at once for what nobody has asked for yet.
	m.reset("")
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			if res, _ := through(t, base, "/tile/entries/000.p/200"); res.StatusCode != http.StatusOK {
				t.Errorf("%s", res.Status)
			}
		})
	}
	wg.Wait()
	if n := m.reset("/tile/entries/000.p/200"); n != 1 {
		t.Errorf("a herd reached the log %d times", n)
	}

	// 3. What is not there yet is not kept from who asks when it is, nor is
	// the checkpoint that tells of it.
	if res, _ := through(t, base, "/tile/0/001"); res.StatusCode != http.StatusNotFound {
		t.Errorf("a tile that is not full: %s", res.Status)
	}
	_, before := through(t, base, "/checkpoint")
	if err := grow(s.url, 212); err != nil {
		t.Fatal(err)
	}
	res, after := through(t, base, "/checkpoint")
	if bytes.Equal(before, after) {
		t.Error("an old checkpoint")
	}
	if res, _ := through(t, base, "/checkpoint", "If-None-Match", res.Header.Get("Etag")); res.StatusCode != http.StatusNotModified {
		t.Errorf("the same checkpoint: %s", res.Status)
	}
	if res, b := through(t, base, "/tile/0/001"); res.StatusCode != http.StatusOK || len(b) != 8192 {
		t.Errorf("the tile when it is full: %s", res.Status)
	}

	// 4. The whole log, twice: the second time only the checkpoint is read.
	rebuild(t, fetcher(t, base+"/"), verifiers(t, s)[0])
	m.reset("")
	if size, _ := rebuild(t, fetcher(t, base+"/"), verifiers(t, s)[0]); size != 512 {
		t.Errorf("%d entries", size)
	}
	if m.mu.Lock(); m.count["/checkpoint"] != 1 || len(m.count) != 1 {
		t.Errorf("to read the log again took %v", m.count)
	}
	m.mu.Unlock()
}

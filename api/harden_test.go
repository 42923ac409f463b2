package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/api/apitest"
	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/witness"
)

// A troubledLog is a log some of whose methods go wrong.
type troubledLog struct {
	*log.Log
	add   func(ctx context.Context) error
	read  func() error
	ready error
	full  bool
}

func (l *troubledLog) Busy() bool { return l.full }

func (l *troubledLog) Add(ctx context.Context, leaf log.Leaf) (*log.ProvenEntry, error) {
	if l.add != nil {
		return nil, l.add(ctx)
	}
	return l.Log.Add(ctx, leaf)
}

func (l *troubledLog) Entry(ctx context.Context, index int64) (*log.ProvenEntry, error) {
	if l.read != nil {
		return nil, l.read()
	}
	return l.Log.Entry(ctx, index)
}

func (l *troubledLog) Search(ctx context.Context, q log.Query) ([]log.Hit, error) {
	if l.read != nil {
		return nil, l.read()
	}
	return l.Log.Search(ctx, q)
}

func (l *troubledLog) Head(ctx context.Context) (log.Head, error) {
	if l.read != nil {
		return log.Head{}, l.read()
	}
	return l.Log.Head(ctx)
}

func (l *troubledLog) Ready(ctx context.Context) error {
	if l.ready != nil {
		return l.ready
	}
	return l.Log.Ready(ctx)
}

// troubled starts a server over a troubledLog.
func troubled(t *testing.T, o api.Options) (*apitest.Server, *troubledLog) {
	t.Helper()
	key := apitest.NewKey(t)
	l := &troubledLog{Log: apitest.NewLog(t, key, nil)}
	o.Log = l
	return apitest.ServeKey(t, key, o), l
}

// ask sends one request and returns the answer with its error body.
func ask(t *testing.T, s *apitest.Server, method, path, body string) (*http.Response, v1.Error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var e v1.Error
	if b, _ := io.ReadAll(res.Body); len(b) > 0 && res.StatusCode >= 400 {
		if err := json.Unmarshal(b, &e); err != nil {
			t.Errorf("%s: %v", b, err)
		}
	}
	return res, e
}

// proposal returns an entry that the log accepts.
func proposal(t testing.TB) string {
	t.Helper()
	var exchanges []recorded
	load(t, "http-unsharded.json", &exchanges)
	for _, x := range exchanges {
		if x.Name == "create-hashedrekord" {
			return x.Request.Body
		}
	}
	t.Fatal("there is no create-hashedrekord in the recording")
	return ""
}

func TestTrouble(t *testing.T) {
	t.Parallel()
	const secret = "dial tcp 10.0.0.7:5432: password=hunter2"
	for _, tt := range []struct {
		name    string
		method  string
		path    string
		body    string
		trouble func(*troubledLog)
		status  int
		text    string
		retry   bool
	}{
		{
			name: "store fails in a read", method: "GET", path: v1.PathEntries + "?logIndex=0",
			trouble: func(l *troubledLog) { l.read = func() error { return errors.New(secret) } },
			status:  500, text: "unexpected error communicating with transparency log",
		},
		{
			name: "store fails in a search", method: "POST", path: v1.PathIndex, body: `{"subject":"x"}`,
			trouble: func(l *troubledLog) { l.read = func() error { return errors.New(secret) } },
			status:  500, text: "unexpected result from searching index",
		},
		{
			name: "store fails in a retrieve", method: "POST", path: v1.PathRetrieve, body: `{"logIndexes":[0]}`,
			trouble: func(l *troubledLog) { l.read = func() error { return errors.New(secret) } },
			status:  500, text: "unexpected error communicating with transparency log",
		},
		{
			name: "store is slow", method: "GET", path: v1.PathLog,
			trouble: func(l *troubledLog) {
				l.read = func() error { return fmt.Errorf("%s: %w", secret, context.DeadlineExceeded) }
			},
			status: 504, text: "unexpected error communicating with transparency log",
		},
		{
			name: "log is closed", method: "GET", path: v1.PathLog,
			trouble: func(l *troubledLog) { l.read = func() error { return fmt.Errorf("%s: %w", secret, log.ErrClosed) } },
			status:  503, text: "takes no requests now", retry: true,
		},
		{
			name: "panic in a read", method: "GET", path: v1.PathEntries + "?logIndex=0",
			trouble: func(l *troubledLog) { l.read = func() error { panic(secret) } },
			status:  500, text: "Internal Server Error",
		},
		{
			name: "not ready", method: "GET", path: "/healthz",
			trouble: func(l *troubledLog) { l.ready = errors.New(secret) },
			status:  503, text: "cannot be read or written", retry: true,
		},
		{
			name: "stopped by a witness", method: "GET", path: "/healthz",
			trouble: func(l *troubledLog) {
				l.ready = fmt.Errorf("%w: %w", log.ErrClosed, &witness.ContradictionError{Witness: "anna", URL: secret, Why: secret})
			},
			status: 503, text: "the log is stopped: witness", retry: true,
		},
		{
			name: "store fails in an upload", method: "POST", path: v1.PathEntries, body: "good",
			trouble: func(l *troubledLog) { l.add = func(context.Context) error { return errors.New(secret) } },
			status:  500, text: "unexpected result from transparency log",
		},
		{
			name: "pool is full", method: "POST", path: v1.PathEntries, body: "good",
			trouble: func(l *troubledLog) { l.add = func(context.Context) error { return log.ErrBusy } },
			status:  503, text: "pending", retry: true,
		},
		{
			name: "pool is full before the verification", method: "POST", path: v1.PathEntries, body: "bad signature",
			trouble: func(l *troubledLog) { l.full = true },
			status:  503, text: "pending", retry: true,
		},
		{
			name: "bad signature", method: "POST", path: v1.PathEntries, body: "bad signature",
			status: 400, text: "error processing entry: verifying signature",
		},
		{
			name: "outcome not known", method: "POST", path: v1.PathEntries, body: "good",
			trouble: func(l *troubledLog) {
				l.add = func(context.Context) error { return fmt.Errorf("%s: %w", secret, log.ErrUnknown) }
			},
			status: 503, text: "may have been added", retry: true,
		},
		{
			name: "no answer in time", method: "POST", path: v1.PathEntries, body: "good",
			trouble: func(l *troubledLog) {
				l.add = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
			},
			status: 503, text: "may have been added", retry: true,
		},
		{
			name: "leaf too large", method: "POST", path: v1.PathEntries, body: "good",
			trouble: func(l *troubledLog) { l.add = func(context.Context) error { return log.ErrTooLarge } },
			status:  413, text: "65535 bytes",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			core, lines := observer.New(zapcore.InfoLevel)
			s, l := troubled(t, api.Options{Logger: zap.New(core), Timeout: 200 * time.Millisecond})
			if tt.trouble != nil {
				tt.trouble(l)
			}
			good := proposal(t)
			body := tt.body
			switch body {
			case "good":
				body = good
			case "bad signature":
				body = strings.Replace(good, `"value":"f3`, `"value":"f4`, 1)
			}
			res, e := ask(t, s, tt.method, tt.path, body)
			if res.StatusCode != tt.status || e.Code != tt.status || !strings.Contains(e.Message, tt.text) {
				t.Errorf("answer %d %+v, want %d with %q", res.StatusCode, e, tt.status, tt.text)
			}
			if strings.Contains(e.Message, "hunter2") {
				t.Errorf("the answer tells the secret: %s", e.Message)
			}
			if retry := res.Header.Get("Retry-After"); (retry != "") != tt.retry {
				t.Errorf("Retry-After %q", retry)
			}
			if said := lines.FilterMessage("request").Len(); (tt.status >= 500) != (said == 1) {
				t.Errorf("%d lines at info or above for a %d", said, tt.status)
			}
			for _, line := range lines.All() {
				for k, v := range line.ContextMap() {
					if strings.Contains(fmt.Sprint(v), "hashedrekord") {
						t.Errorf("line %q tells the body in %s", line.Message, k)
					}
				}
			}
		})
	}
}

// A panic after the status was sent must cut the connection: half an answer
// must not look whole.
func TestPanicMidway(t *testing.T) {
	t.Parallel()
	key := apitest.NewKey(t)
	l := &troubledLog{Log: apitest.NewLog(t, key, nil)}
	grow(t, l.Log, 700)
	s := apitest.ServeKey(t, key, api.Options{Log: &secondSearchFails{troubledLog: l}})
	res, err := s.Client().Do(mustPost(t, s.URL+v1.PathIndex, `{"email":"user@example.com"}`))
	if err == nil {
		res.Body.Close()
		t.Fatal("an answer that was cut short looks whole")
	}
}

type secondSearchFails struct {
	*troubledLog
	searches int
}

func (l *secondSearchFails) Search(ctx context.Context, q log.Query) ([]log.Hit, error) {
	if l.searches++; l.searches > 1 {
		return nil, errors.New("the store is gone")
	}
	return l.troubledLog.Search(ctx, q)
}

func mustPost(t *testing.T, url, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	return r
}

func TestSearchPages(t *testing.T) {
	t.Parallel()
	key := apitest.NewKey(t)
	l := apitest.NewLog(t, key, nil)
	const n = 1300
	want := make(map[string]bool)
	for _, h := range grow(t, l, n) {
		want[v1.EntryID{TreeID: apitest.TreeID, Hash: h}.String()] = true
	}
	s := apitest.ServeKey(t, key, api.Options{Log: l})
	res, err := s.Client().Do(mustPost(t, s.URL+v1.PathIndex, `{"email":"USER@example.com"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var ids []string
	if err := json.NewDecoder(res.Body).Decode(&ids); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if !want[id] {
			t.Fatalf("%s is there twice or should not be", id)
		}
		delete(want, id)
	}
	if len(want) > 0 {
		t.Errorf("%d of %d entries are missing", len(want), n)
	}
}

func TestClientGone(t *testing.T) {
	t.Parallel()
	metrics := api.NewMetrics(api.Build{Version: "1", Revision: "2", Date: "3"})
	core, lines := observer.New(zapcore.InfoLevel)
	s, l := troubled(t, api.Options{Logger: zap.New(core), Metrics: metrics})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	l.add = func(ctx context.Context) error {
		defer close(done)
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}
	if res, err := s.Client().Do(mustPost(t, s.URL+v1.PathEntries, proposal(t)).WithContext(ctx)); err == nil {
		res.Body.Close()
		t.Fatal("an answer to a request that was given up")
	}
	<-done
	s.Close() // waits for the handler
	if n := lines.FilterMessage("request").Len(); n != 0 {
		t.Errorf("%d lines at info or above, but the server is not to blame", n)
	}
	if text := scrape(t, metrics); !strings.Contains(text, `rekor_qps_by_api{code="499",method="POST",path="/api/v1/log/entries"} 1`) {
		t.Errorf("no 499 in the metrics:\n%s", text)
	}
}

func scrape(t *testing.T, m *api.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("metrics: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	metrics := api.NewMetrics(api.Build{Version: "1", Revision: "2", Date: "3"})
	s, l := troubled(t, api.Options{Metrics: metrics})
	if err := metrics.Watch(l.Log); err != nil {
		t.Fatal(err)
	}
	metrics.Commit(log.Commit{Entries: 3, Duration: time.Millisecond})
	metrics.Commit(log.Commit{Conflict: true})
	for _, path := range []string{v1.PathLog, v1.PathEntries + "?logIndex=0", v1.PathEntries + "/abc", "/ping"} {
		ask(t, s, http.MethodGet, path, "")
	}
	ask(t, s, http.MethodPost, v1.PathEntries, proposal(t))
	s.Close()
	text := scrape(t, metrics)
	for _, want := range []string{
		`rekor_qps_by_api{code="200",method="GET",path="/api/v1/log"} 1`,
		`rekor_qps_by_api{code="404",method="GET",path="/api/v1/log/entries"} 1`,
		`rekor_qps_by_api{code="422",method="GET",path="/api/v1/log/entries/{entryUUID}"} 1`,
		`rekor_qps_by_api{code="201",method="POST",path="/api/v1/log/entries"} 1`,
		`rekor_latency_by_api_count{method="GET",path="/api/v1/log"} 1`,
		`cairn_request_seconds_count{operation="getLogInfo"} 1`,
		`rekor_new_entries 1`,
		`rekor_build_info{build_date="3",goversion="go`,
		`cairn_batch_entries_sum 3`,
		`cairn_commit_seconds_count 1`,
		`cairn_commit_conflicts 1`,
		`cairn_tree_size 1`,
		`cairn_pending_entries 0`,
		`go_goroutines`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(text, "/ping") {
		t.Error("/ping is counted")
	}
}

// What a client sends must not break out of its field in the log.
func TestLogLine(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig()), zapcore.AddSync(&buf), zapcore.DebugLevel)
	s := apitest.Serve(t, api.Options{Logger: zap.New(core)})
	req, err := http.NewRequest(http.MethodGet, s.URL+"/a%0aforged%1b[31m?apiKey=secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Request-Id", "id-1")
	req.Header.Set("User-Agent", "agent")
	res, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	s.Close()
	text := buf.String()
	if strings.Count(text, "\n") != 1 || strings.Contains(text, "\x1b") || strings.Contains(text, "secret") {
		t.Errorf("the log has %q", text)
	}
	if !strings.Contains(text, `"id": "id-1"`) || !strings.Contains(text, `"status": 404`) {
		t.Errorf("the log lacks the request id or status: %q", text)
	}
}

func TestBodyLimit(t *testing.T) {
	t.Parallel()
	const limit = 1000
	s := apitest.Serve(t, api.Options{MaxBody: limit})
	for _, path := range []string{v1.PathEntries, v1.PathRetrieve, v1.PathIndex} {
		for _, tt := range []struct {
			name   string
			body   io.Reader
			status int
		}{
			{"length over the limit", strings.NewReader(`{"x":"` + strings.Repeat("a", limit) + `"}`), 413},
			{"chunked over the limit", onlyReader{strings.NewReader(`{"x":"` + strings.Repeat("a", limit) + `"}`)}, 413},
			{"endless", onlyReader{endless{}}, 413},
			{"at the limit", strings.NewReader(strings.Repeat(" ", limit)), 422},
			{"chunked at the limit", onlyReader{strings.NewReader(strings.Repeat(" ", limit))}, 422},
		} {
			t.Run(path+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, tt.body)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", "application/json")
				transport := http.DefaultTransport.(*http.Transport).Clone()
				t.Cleanup(transport.CloseIdleConnections)
				res, err := transport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				b, _ := io.ReadAll(res.Body)
				if res.StatusCode != tt.status {
					t.Fatalf("%d %s, want %d", res.StatusCode, b, tt.status)
				}
				if want := `{"code":413,"message":"Request Entity Too Large. Limit set to 1000"}`; tt.status == 413 && string(b) != want {
					t.Errorf("body %s, want %s", b, want)
				}
			})
		}
	}
}

type onlyReader struct{ io.Reader }

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

// A body that is announced as too large is refused before any of it is read.
func TestBodyLimitUnread(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t, api.Options{MaxBody: 1000})
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4000000000\r\n\r\n", v1.PathEntries)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 413 || !res.Close {
		t.Errorf("status %d, close %v", res.StatusCode, res.Close)
	}
}

// pipeListener hands out in-memory connections, whose deadlines run on the
// clock of a synctest bubble.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { close(l.done); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func TestSlowClients(t *testing.T) {
	t.Parallel()
	post := "POST " + v1.PathRetrieve + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
	for _, tt := range []struct {
		name   string
		sent   string
		status int // 0: the connection is closed without an answer
		within time.Duration
	}{
		{"nothing", "", 0, 2 * time.Minute},
		{"half a header", "GET /api/v1/log HTTP/1.1\r\nHost:", 0, 11 * time.Second},
		{"header without body", post, 408, 61 * time.Second},
		{"half a large body", strings.Replace(post, "1000", "1000000", 1) + strings.Repeat(" ", 200_000), 408, 8 * time.Second},
		{"half a body", post + `{"logIndexes":[0`, 408, 61 * time.Second},
		{"idle after a request", "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n", 200, 3 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				key := apitest.NewKey(t)
				l := apitest.NewLog(t, key, nil)
				h, err := api.New(api.Options{Log: l, PublicKey: key.Public()})
				if err != nil {
					t.Fatal(err)
				}
				srv := api.NewServer(h, zap.NewNop())
				ln := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
				go srv.Serve(ln)
				defer srv.Close()
				client, server := net.Pipe()
				ln.conns <- server
				start := time.Now()
				go io.WriteString(client, tt.sent)
				answer, err := io.ReadAll(client)
				if err != nil {
					t.Errorf("read: %v", err)
				}
				if took := time.Since(start); took > tt.within {
					t.Errorf("the connection was kept for %v", took)
				}
				if tt.status == 0 && len(answer) > 0 && !strings.HasPrefix(string(answer), "HTTP/1.1 408") {
					t.Errorf("answer %q", answer)
				}
				if want := fmt.Sprintf("HTTP/1.1 %d ", tt.status); tt.status != 0 && !strings.HasPrefix(string(answer), want) {
					t.Errorf("answer %q, want %s", answer, want)
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

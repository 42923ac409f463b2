package client_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/api/apitest"
	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/client"
	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/sign"
	"github.com/cairnlog/cairn/storage/memory"
)

const (
	testTree   = 1001
	testOrigin = "log.test"
)

// A testLog is a real log in memory, served over HTTP.
type testLog struct {
	log     *log.Log
	handler http.Handler
}

// body returns the leaf that the logs of the tests have at an index. Logs of
// another branch have others.
func body(branch string, i int) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"branch":%q,"n":%d}}`, branch, i)
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := sign.CreateKey(filepath.Join(t.TempDir(), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newLog returns a log that has the first entries of a branch.
func newLog(t *testing.T, key crypto.Signer, treeID int64, branch string, size int) *testLog {
	t.Helper()
	ctx := t.Context()
	signer, err := v1.NewSigner(key, testOrigin, treeID)
	if err != nil {
		t.Fatal(err)
	}
	keyID, err := checkpoint.KeyID(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	id := log.Identity{Origin: testOrigin, TreeID: treeID, KeyID: keyID}
	store := memory.New()
	if err := log.Create(ctx, store, id, signer, time.Now()); err != nil {
		t.Fatal(err)
	}
	l, err := log.Open(ctx, store, log.Options{Identity: id, Signer: signer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	h, err := api.New(api.Options{Log: l, PublicKey: key.Public()})
	if err != nil {
		t.Fatal(err)
	}
	s := &testLog{l, h}
	s.grow(t, branch, 0, size)
	return s
}

// grow adds the entries from one index up to another.
func (l *testLog) grow(t *testing.T, branch string, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if _, err := l.log.Add(context.Background(), log.Leaf{Body: body(branch, i), Terms: []string{"sha256:" + strings.Repeat("a", 64)}}); err != nil {
			t.Fatal(err)
		}
	}
}

// A stage is an address at which now this and now that log answers.
type stage struct {
	*httptest.Server
	mu   sync.Mutex
	show http.Handler
	hits map[string]int
}

func newStage(t *testing.T, show http.Handler) *stage {
	t.Helper()
	s := &stage{show: show, hits: map[string]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		show := s.show
		s.hits[r.Method+" "+r.URL.Path]++
		s.mu.Unlock()
		show.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *stage) set(show http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.show = show
}

func (s *stage) count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hits[what]
}

// lying returns a handler that passes what h answers with status 200 to a
// path that begins so through a lie.
func lying(h http.Handler, prefix string, lie func(answer map[string]any)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, prefix) {
			h.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		for k, v := range rec.Header() {
			if k != "Content-Length" {
				w.Header()[k] = v
			}
		}
		out := rec.Body.Bytes()
		if rec.Code == http.StatusOK {
			var v map[string]any
			d := json.NewDecoder(bytes.NewReader(out))
			d.UseNumber()
			if err := d.Decode(&v); err != nil {
				panic(err)
			}
			lie(v)
			out, _ = json.Marshal(v)
		}
		w.WriteHeader(rec.Code)
		w.Write(out)
	})
}

// member digs in a decoded answer.
func member(v any, path ...string) any {
	for _, p := range path {
		v = v.(map[string]any)[p]
	}
	return v
}

// only returns the one entry of an answer and its id.
func only(answer map[string]any) (string, map[string]any) {
	for id, e := range answer {
		return id, e.(map[string]any)
	}
	panic("no entry")
}

func newClient(t *testing.T, s *stage, o client.Options) *client.Client {
	t.Helper()
	o.URL = s.URL
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// checked returns what makes requests and holds each exchange against openapi.yaml.
func checked(t *testing.T) *http.Client {
	t.Helper()
	c, err := apitest.NewChecker()
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: c.Transport(t, http.DefaultTransport, true)}
}

func TestEntry(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	l := newLog(t, key, testTree, "main", 5)
	s := newStage(t, l.handler)
	c := newClient(t, s, client.Options{Key: key.Public(), HTTP: checked(t)})
	for i := range 5 {
		e, err := c.ByIndex(t.Context(), int64(i))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(e.Body, body("main", i)) || e.Index != int64(i) || e.Kind != "hashedrekord" || e.APIVersion != "0.0.1" || e.ID.TreeID != testTree || e.Older {
			t.Errorf("entry %d: %+v", i, e)
		}
		again, err := c.ByID(t.Context(), e.ID)
		if err != nil || again.Index != e.Index {
			t.Errorf("by id: %v, %v", again, err)
		}
		plain, err := c.ByID(t.Context(), v1.EntryID{Hash: e.ID.Hash})
		if err != nil || plain.ID != e.ID {
			t.Errorf("by uuid: %v, %v", plain, err)
		}
	}
	if n := s.count("GET /api/v1/log/publicKey"); n != 0 {
		t.Errorf("asked %d times for a key that was given", n)
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	s := newStage(t, newLog(t, key, testTree, "main", 3).handler)
	c := newClient(t, s, client.Options{Key: key.Public(), HTTP: checked(t)})
	ids, err := c.Search(t.Context(), client.Query{Hash: strings.Repeat("A", 64)})
	if err != nil {
		t.Fatal(err)
	}
	if len(ids) != 3 {
		t.Fatalf("found %v", ids)
	}
	for i, id := range ids {
		if e, err := c.ByID(t.Context(), id); err != nil || e.Index != int64(i) {
			t.Errorf("hit %d is %v, %v", i, e, err)
		}
	}
	none, err := c.Search(t.Context(), client.Query{Email: "nobody@example.com"})
	if err != nil || len(none) != 0 {
		t.Errorf("found %v, %v", none, err)
	}
}

// TestTreeAt compares every old root that follows from a proof with the one
// that the log had signed at that time.
func TestTreeAt(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	l := newLog(t, key, testTree, "main", 0)
	c := newClient(t, newStage(t, l.handler), client.Options{Key: key.Public(), HTTP: checked(t)})
	const size = 20
	var want []string
	for i := range size {
		info, err := c.LogInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, info.Tree.Root.String())
		l.grow(t, "main", i, i+1)
	}
	for n, root := range want {
		tree, err := c.TreeAt(t.Context(), int64(n))
		if err != nil {
			t.Fatal(err)
		}
		if tree.Size != int64(n) || tree.Root.String() != root {
			t.Errorf("size %d: root %s, the log signed %s", n, tree.Root, root)
		}
	}
	for first := int64(1); first <= size; first++ {
		for last := first; last <= size; last++ {
			older, newer, _, err := c.Consistency(t.Context(), testTree, first, last)
			if err != nil || older.Size != first || newer.Size != last {
				t.Fatalf("consistency %d %d: %v", first, last, err)
			}
		}
	}
	if _, err := c.TreeAt(t.Context(), -1); err == nil {
		t.Error("negative size: no error")
	}
}

func TestNewRefusesURL(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"", "nope", "ftp://x", "http://", "http://h/?q=1", "http://h/#f", "://", "http://a b"} {
		t.Run(strconv.Quote(u), func(t *testing.T) {
			t.Parallel()
			if _, err := client.New(client.Options{URL: u}); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestPlainURL(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"HTTP://Log.Test/":         "http://log.test",
		"https://u:pw@h:8/log//":   "https://h:8/log",
		"http://127.0.0.1:3000":    "http://127.0.0.1:3000",
		"http://h/with%20space/a/": "http://h/with%20space/a",
	} {
		c, err := client.New(client.Options{URL: in})
		if err != nil {
			t.Fatal(err)
		}
		if c.URL() != want {
			t.Errorf("%s: %s, want %s", in, c.URL(), want)
		}
	}
}

func newRecorder(h http.Handler, path string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
	return rec
}

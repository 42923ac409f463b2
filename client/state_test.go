package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cairnlog/cairn/client"
)

func TestFirstUse(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	s := newStage(t, newLog(t, key, testTree, "main", 3).handler)
	state := new(client.Memory)

	if _, err := newClient(t, s, client.Options{State: state}).ByIndex(t.Context(), 0); !errors.Is(err, client.ErrNoKey) {
		t.Fatalf("without a key: %v", err)
	}
	no := errors.New("no")
	if _, err := newClient(t, s, client.Options{State: state, Trust: func(client.Offer) error { return no }}).ByIndex(t.Context(), 0); !errors.Is(err, no) {
		t.Fatalf("refused key: %v", err)
	}
	if k, _ := state.Load(t.Context()); k.Key != nil {
		t.Fatal("a key that was refused is remembered")
	}
	var offers []client.Offer
	trust := func(o client.Offer) error { offers = append(offers, o); return nil }
	for range 2 {
		if _, err := newClient(t, s, client.Options{State: state, Trust: trust}).ByIndex(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	if len(offers) != 1 || offers[0].URL != s.URL {
		t.Errorf("asked %d times: %v", len(offers), offers)
	}
	if n := s.count("GET /api/v1/log/publicKey"); n != 2 { // once refused
		t.Errorf("fetched the key %d times", n)
	}
	if k, _ := state.Load(t.Context()); k.Key == nil || k.Pinned || k.Checkpoint == nil {
		t.Errorf("remembered %+v", k)
	}
}

func TestPinnedKey(t *testing.T) {
	t.Parallel()
	key, other := newKey(t), newKey(t)
	s := newStage(t, newLog(t, key, testTree, "main", 3).handler)
	state := new(client.Memory)
	if _, err := newClient(t, s, client.Options{State: state, Trust: func(client.Offer) error { return nil }}).ByIndex(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := newClient(t, s, client.Options{State: state, Key: key.Public()}).ByIndex(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	// A key that the user has wrong is a failed verification, not a fork.
	if _, err := newClient(t, s, client.Options{State: state, Key: other.Public()}).ByIndex(t.Context(), 0); verdict(err) != "verify" {
		t.Errorf("wrong pinned key: %v", err)
	}
	// Another log under the pinned key, where this one was seen before.
	s.set(newLog(t, other, testTree, "main", 3).handler)
	if _, err := newClient(t, s, client.Options{State: state, Key: other.Public()}).ByIndex(t.Context(), 0); verdict(err) != "alarm: "+string(client.OtherKey) {
		t.Errorf("pinned key of another log: %v", err)
	}
}

func TestBadOffers(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty":       "",
		"no PEM":      "hello",
		"certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"bad DER":     "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, answer(200, "application/x-pem-file", text))
			_, err := newClient(t, s, client.Options{Trust: func(client.Offer) error { return nil }}).LogInfo(t.Context())
			if err == nil {
				t.Error("accepted")
			}
			_, err = newClient(t, s, client.Options{Trust: func(client.Offer) error { return nil }}).Offer(t.Context())
			if verdict(err) != "verify" {
				t.Errorf("%v", err)
			}
		})
	}
}

func known(n int) client.Known {
	return client.Known{Key: []byte{1, 2, 3}, Checkpoint: fmt.Appendf(nil, "o - 1\n%d\nroot\n\n— o sig\n", n)}
}

func TestStateFile(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir := filepath.Join(t.TempDir(), "deep", "er")
	path := filepath.Join(dir, "state.json")
	a, b := client.NewStateFile(path).Log("http://a"), client.NewStateFile(path).Log("http://b")
	if k, err := a.Load(ctx); err != nil || k.Key != nil {
		t.Fatalf("fresh: %+v, %v", k, err)
	}
	store := func(s client.State, old, new client.Known, want bool) {
		t.Helper()
		if ok, err := s.Store(ctx, old, new); err != nil || ok != want {
			t.Fatalf("store: %v, %v, want %v", ok, err, want)
		}
	}
	store(a, client.Known{}, known(1), true)
	store(a, client.Known{}, known(2), false)
	store(b, client.Known{}, known(9), true)
	pinned := known(2)
	pinned.Pinned = true
	store(a, known(1), pinned, true)
	store(a, known(2), known(3), false)
	for s, want := range map[client.State]client.Known{a: pinned, b: known(9)} {
		k, err := s.Load(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, k); d != "" {
			t.Error(d)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if m := info.Mode().Perm(); m != 0o600 {
		t.Errorf("mode %v", m)
	}
	if l, _ := filepath.Glob(path + ".*"); len(l) != 1 { // the lock
		t.Errorf("left behind %v", l)
	}
	if ok, err := client.ReadOnly(a).Store(ctx, pinned, known(7)); !ok || err != nil {
		t.Error(ok, err)
	}
	if k, _ := a.Load(ctx); string(k.Checkpoint) != string(pinned.Checkpoint) {
		t.Error("read-only state was written")
	}
}

// TestStateFileShared has many writers; each change is seen by the others.
func TestStateFileShared(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.json")
	const writers, each = 8, 10
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			s := client.NewStateFile(path).Log("http://a")
			mine := client.NewStateFile(path).Log(fmt.Sprintf("http://%d", w))
			for done := 0; done < each; {
				k, err := s.Load(context.Background())
				if err != nil {
					t.Error(err)
					return
				}
				n := 0
				fmt.Sscanf(string(k.Checkpoint), "o - 1\n%d", &n)
				ok, err := s.Store(context.Background(), k, known(n+1))
				if err != nil {
					t.Error(err)
					return
				}
				if ok {
					done++
				}
			}
			if _, err := mine.Store(context.Background(), client.Known{}, known(w)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	k, err := client.NewStateFile(path).Log("http://a").Load(t.Context())
	if err != nil || string(k.Checkpoint) != string(known(writers*each).Checkpoint) {
		t.Errorf("%s, %v", k.Checkpoint, err)
	}
	for w := range writers {
		k, err := client.NewStateFile(path).Log(fmt.Sprintf("http://%d", w)).Load(t.Context())
		if err != nil || k.Key == nil {
			t.Errorf("writer %d was lost: %v", w, err)
		}
	}
}

func TestDamagedState(t *testing.T) {
	t.Parallel()
	s := newStage(t, newLog(t, newKey(t), testTree, "main", 1).handler)
	for name, text := range map[string]string{
		"empty":            "",
		"cut off":          `{"version":1,"logs":{"`,
		"another version":  `{"version":2}`,
		"key is no PEM":    `{"version":1,"logs":{"URL":{"key":"x"}}}`,
		"key is no key":    `{"version":1,"logs":{"URL":{"key":"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"}}}`,
		"note by nobody":   `{"version":1,"logs":{"URL":{"key":"KEY","checkpoint":"o - 1\n1\nAAAA\n\n— o AAAAAAA=\n"}}}`,
		"larger than sane": strings.Repeat(" ", 17<<20),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const pem = `-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEENQPgylOd5otu3QUHWU65s+NBgMe\nV5MSM6xMcImtTuMwn1HgSP1udb9MUvuhoNgOHYMbEhoy5xywoilNDeyMKQ==\n-----END PUBLIC KEY-----\n`
			path := filepath.Join(t.TempDir(), "state.json")
			text := strings.NewReplacer("URL", s.URL, "KEY", pem).Replace(text)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			c := newClient(t, s, client.Options{State: client.NewStateFile(path).Log(s.URL), Trust: func(client.Offer) error { return nil }})
			_, err := c.ByIndex(t.Context(), 0)
			if !errors.As(err, new(*client.StateError)) {
				t.Errorf("%v, want a StateError", err)
			}
			if b, _ := os.ReadFile(path); string(b) != text {
				t.Error("the file was overwritten")
			}
		})
	}
}

// TestParallelRuns has two processes with one state file, which see the log at
// different sizes; the larger is remembered, and a fork between them is found.
func TestParallelRuns(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	small, large := newLog(t, key, testTree, "main", 3), newLog(t, key, testTree, "main", 6)
	fork := newLog(t, key, testTree, "fork", 6)
	for _, c := range []struct {
		name   string
		first  *testLog // what the first to finish saw
		second *testLog
		want   string
	}{
		{"smaller last", large, small, "ok"},
		{"larger last", small, large, "ok"},
		{"the same", large, large, "ok"},
		{"fork of the same size", large, fork, "alarm: " + string(client.OtherRoot)},
		{"fork of another size", small, fork, "alarm: " + string(client.Inconsistent)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			path := filepath.Join(t.TempDir(), "state.json")
			one, two := newStage(t, c.first.handler), newStage(t, c.second.handler)
			open := func(s *stage) *client.Client {
				return newClient(t, s, client.Options{State: client.NewStateFile(path).Log("http://shared"), Key: key.Public()})
			}
			a, b := open(one), open(two)
			// Both load before either stores.
			for _, l := range []*client.Client{a, b} {
				if _, err := l.Key(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := a.LogInfo(ctx); err != nil {
				t.Fatal(err)
			}
			if c.second == small { // proofs up to the larger come from a replica that has it
				two.set(replica(small.handler, large.handler))
			}
			_, err := b.LogInfo(ctx)
			if verdict(err) != c.want {
				t.Fatalf("%v, want %s", err, c.want)
			}
			if c.want != "ok" {
				return
			}
			k, err := client.NewStateFile(path).Log("http://shared").Load(ctx)
			want := "\n6\n"
			if err != nil || !strings.Contains(string(k.Checkpoint), want) {
				t.Errorf("remembered %s, %v", k.Checkpoint, err)
			}
		})
	}
}

func TestKeepEvidence(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	s := newStage(t, newLog(t, key, testTree, "main", 5).handler)
	dir := t.TempDir()
	f := client.NewStateFile(filepath.Join(dir, "sub", "state.json"))
	run := func() error {
		_, err := newClient(t, s, client.Options{State: f.Log(s.URL), Key: key.Public()}).LogInfo(t.Context())
		return err
	}
	if err := run(); err != nil {
		t.Fatal(err)
	}
	s.set(newLog(t, key, testTree, "fork", 5).handler)
	var paths []string
	for range 2 {
		var a *client.AlarmError
		if err := run(); !errors.As(err, &a) {
			t.Fatal(err)
		}
		path, err := f.Keep(a)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"two histories", "BEGIN PUBLIC KEY", strings.ReplaceAll(string(a.Now), "\n", `\n`)} {
			if path == paths[0] && len(paths) == 1 && !strings.Contains(string(b), want) {
				t.Errorf("evidence lacks %q:\n%s", want, b)
			}
		}
	}
	if paths[0] != paths[1] {
		t.Errorf("the same case was kept twice: %v", paths)
	}
}

// A failing State does not lose what it was told silently.
type failing struct{ load, store error }

func (f failing) Load(context.Context) (client.Known, error) { return client.Known{}, f.load }
func (f failing) Store(context.Context, client.Known, client.Known) (bool, error) {
	return false, f.store
}

func TestFailingState(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	s := newStage(t, newLog(t, key, testTree, "main", 5).handler)
	broken := errors.New("broken")
	for name, state := range map[string]client.State{"load": failing{load: broken}, "store": failing{store: broken}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newClient(t, s, client.Options{State: state, Key: key.Public()}).ByIndex(t.Context(), 0)
			if !errors.Is(err, broken) || !errors.As(err, new(*client.StateError)) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestSendsNothingWithoutKey(t *testing.T) {
	t.Parallel()
	s := newStage(t, http.NotFoundHandler())
	_, err := newClient(t, s, client.Options{}).Upload(t.Context(), proposal(t, "a"))
	if !errors.Is(err, client.ErrNoKey) {
		t.Errorf("%v", err)
	}
	if n := s.count("POST /api/v1/log/entries"); n != 0 {
		t.Errorf("sent %d uploads whose answer could not be verified", n)
	}
}

package client_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"pgregory.net/rapid"

	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/client"
)

// pipe is a http.RoundTripper into a handler.
type pipe struct{ h http.Handler }

func (p pipe) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	p.h.ServeHTTP(rec, r)
	return rec.Result(), nil
}

// TestDamage changes some bytes of an answer: what then verifies is still what
// the log said.
func TestDamage(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	honest := newLog(t, key, testTree, "main", 7)
	text := newRecorder(honest.handler, "/api/v1/log/entries?logIndex=3").Body.Bytes()
	read := func(tb rapid.TB, text []byte) (*client.Entry, error) {
		c, err := client.New(client.Options{URL: "http://log.test", Key: key.Public(), HTTP: &http.Client{Transport: pipe{answer(200, "application/json", string(text))}}})
		if err != nil {
			tb.Fatal(err)
		}
		return c.ByIndex(t.Context(), 3)
	}
	whole, err := read(t, text)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		bad := bytes.Clone(text)
		for range rapid.IntRange(1, 3).Draw(rt, "changes") {
			bad[rapid.IntRange(0, len(bad)-1).Draw(rt, "at")] = rapid.Byte().Draw(rt, "byte")
		}
		e, err := read(rt, bad)
		if err != nil {
			return
		}
		if e.ID != whole.ID || !bytes.Equal(e.Body, whole.Body) || e.Index != whole.Index || !e.Time.Equal(whole.Time) || e.Proof.Tree != whole.Proof.Tree || e.Attestation != nil {
			rt.Errorf("verified %+v", e)
		}
	})
}

// TestAnyOrder reads a growing log through replicas that are behind by any
// amount: nothing is an alarm, and the largest tree is remembered. Then a fork
// answers: an alarm if both trees have more than what is shared, none if the
// one seen has not. Between, its proofs do not hold, but it need not be asked.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	const size, split = 12, 5
	var states, forks []*testLog
	for n := range size + 1 {
		states = append(states, newLog(t, key, testTree, "main", n))
		f := newLog(t, key, testTree, "main", min(n, split))
		f.grow(t, "fork", split, n)
		forks = append(forks, f)
	}
	rapid.Check(t, func(rt *rapid.T) {
		show := states[size].handler
		state := new(client.Memory)
		open := func() *client.Client {
			c, err := client.New(client.Options{URL: "http://log.test", Key: key.Public(), State: state, HTTP: &http.Client{
				Transport: pipe{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { show.ServeHTTP(w, r) })},
			}})
			if err != nil {
				rt.Fatal(err)
			}
			return c
		}
		c := open()
		largest := int64(0)
		for range rapid.IntRange(1, 8).Draw(rt, "reads") {
			n := rapid.Int64Range(1, size).Draw(rt, "size")
			show = replica(states[n].handler, states[size].handler)
			if rapid.Bool().Draw(rt, "new run") {
				if err := c.Close(t.Context()); err != nil {
					rt.Fatal(err)
				}
				c = open()
			}
			if _, err := c.LogInfo(t.Context()); err != nil {
				rt.Fatal(err)
			}
			largest = max(largest, n)
			if cp, ok, err := c.Remembered(t.Context()); err != nil || !ok || cp.Tree.Size != largest {
				rt.Fatalf("remembered %v, %v, %v, want size %d", cp, ok, err, largest)
			}
		}
		n := rapid.Int64Range(1, size).Draw(rt, "size of the fork")
		show = replica(forks[n].handler, forks[size].handler)
		_, err := c.LogInfo(t.Context())
		alarm := errors.As(err, new(*client.AlarmError))
		if must, may := largest > split && n > split, largest > split; alarm != must && alarm != may {
			rt.Fatalf("fork of size %d after a tree of %d: %v", n, largest, err)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{}`), 200)
	f.Add([]byte(`{"":{"verification":{"inclusionProof":{}}}}`), 200)
	f.Add([]byte(`{"treeSize":1,"signedTreeHead":"a - 1\n1\n\n\n"}`), 200)
	f.Add([]byte(`{"code":400,"message":"\u001b"}`), 400)
	var key [32]byte
	f.Fuzz(func(t *testing.T, text []byte, status int) {
		if status < 200 || status > 599 {
			return
		}
		l, err := client.New(client.Options{
			URL: "http://log.test", Key: ed25519.PublicKey(key[:]),
			HTTP: &http.Client{Transport: pipe{answer(status, "application/json", string(text))}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if e, err := l.ByIndex(t.Context(), 0); err == nil {
			t.Errorf("verified %+v", e)
		}
		if i, err := l.LogInfo(t.Context()); err == nil {
			t.Errorf("verified %+v", i)
		}
		if _, err := l.Offer(t.Context()); err == nil {
			t.Error("a key in JSON")
		}
		ids, err := l.Search(t.Context(), client.Query{Email: "a@b.test"})
		var names []string
		if err == nil && json.Unmarshal(text, &names) == nil && len(ids) != len(names) {
			t.Errorf("%d ids of %d", len(ids), len(names))
		}
		for _, id := range ids {
			if again, err := v1.ParseEntryID(id.String()); err == nil && again != id {
				t.Errorf("%v is not %v", again, id)
			}
		}
	})
}

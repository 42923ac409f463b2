package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/api/apitest"
	"github.com/cairnlog/cairn/bundle"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/client"
	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

// A replaced handler answers some paths with texts of its own.
type replaced struct {
	http.Handler
	paths map[string]string // by the end of the path
}

func (h replaced) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for end, text := range h.paths {
		if !strings.HasSuffix(r.URL.Path, end) {
			continue
		}
		if text == "" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if strings.HasPrefix(text, "{") {
			w.Header().Set("Content-Type", "application/json")
		}
		fmt.Fprint(w, text)
		return
	}
	h.Handler.ServeHTTP(w, r)
}

// note returns a checkpoint by the key that signs those of these logs.
func note(t *testing.T, tree merkle.Tree) string {
	t.Helper()
	n, err := apitest.NewAuthor(t).Checkpoint(tree)
	if err != nil {
		t.Fatal(err)
	}
	return string(n)
}

// TestBundleLies has a log give proofs that do not hold against what it has
// signed with the key that is known.
func TestBundleLies(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	l := apitest.NewLog(t, key, nil)
	h, err := api.New(api.Options{Log: l, PublicKey: key.Public(), Author: apitest.NewAuthor(t), URL: "https://" + apitest.Origin})
	if err != nil {
		t.Fatal(err)
	}
	var entries []*log.ProvenEntry
	for i := range 3 {
		e, err := l.Add(t.Context(), log.Leaf{Body: fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"rekord","spec":{"number":%d}}`, i)})
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	proof := func(e *log.ProvenEntry, change func(*bundle.Entry)) string {
		b := &bundle.Entry{Kind: "rekord", Version: "0.0.1", Body: e.Body, Index: e.Index, LogID: make([]byte, 32)}
		p := e.Proof
		b.Proof = &bundle.Proof{Index: p.Index, Tree: p.Tree, Hashes: p.Hashes, Checkpoint: []byte(note(t, p.Tree))}
		change(b)
		text, err := b.TLogProof()
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	last := entries[2]
	fork := merkle.Tree{Size: 1, Root: last.Hash}
	for name, c := range map[string]struct {
		answer string
		want   string // in the error
	}{
		"honest":       {proof(last, func(*bundle.Entry) {}), ""},
		"other entry":  {proof(entries[1], func(*bundle.Entry) {}), "another entry"},
		"other index":  {proof(last, func(e *bundle.Entry) { e.Proof.Index = 1 }), "another entry"},
		"other hashes": {proof(last, func(e *bundle.Entry) { e.Proof.Hashes = nil }), "does not lead"},
		"fork": {proof(last, func(e *bundle.Entry) {
			// A tree that has the entry at its place, and others before it.
			other := merkle.HashLeaf([]byte("other"))
			e.Proof.Hashes = []merkle.Hash{other}
			e.Proof.Tree = merkle.Tree{Size: 3, Root: merkle.HashChildren(other, last.Hash)}
			e.Proof.Checkpoint = []byte(note(t, e.Proof.Tree))
		}), "another root"},
		"another server": {"", ""},
		"nonsense":       {"hello", "neither"},
		"truncated":      {proof(last, func(*bundle.Entry) {})[:200], "parse"},
		"escapes":        {"c2sp.org/tlog-proof@v1\n\x1b[31m", "parse"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, replaced{h, map[string]string{"/bundle": c.answer}})
			cl := newClient(t, s, client.Options{Key: key.Public()})
			e, err := cl.ByIndex(t.Context(), 2)
			if err != nil {
				t.Fatal(err)
			}
			_, err = cl.Bundle(t.Context(), e, client.BundleOptions{Format: bundle.TLogProof})
			if c.answer == "" {
				if !errors.As(err, new(*bundle.ContentError)) {
					t.Errorf("%v", err)
				}
				return
			}
			if c.want == "" && err != nil || c.want != "" && (!errors.As(err, new(*client.VerifyError)) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v; want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "\x1b") {
				t.Errorf("%q would be acted on by a terminal", err)
			}
		})
	}

	// An entry that names its log says which line is meant.
	t.Run("other log id", func(t *testing.T) {
		t.Parallel()
		p := last.Proof
		b := &bundle.Entry{Kind: "rekord", Version: "0.0.1", Body: last.Body, Index: last.Index, LogID: make([]byte, 32)}
		b.Proof = &bundle.Proof{Index: p.Index, Tree: p.Tree, Hashes: p.Hashes, Checkpoint: []byte(note(t, p.Tree))}
		text, err := b.TLE()
		if err != nil {
			t.Fatal(err)
		}
		s := newStage(t, replaced{h, map[string]string{"/bundle": string(text)}})
		cl := newClient(t, s, client.Options{Key: key.Public()})
		e, err := cl.ByIndex(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		_, err = cl.Bundle(t.Context(), e, client.BundleOptions{Format: bundle.TLE, Cosigned: true})
		if !errors.As(err, new(*client.VerifyError)) || !strings.Contains(err.Error(), "not by the log of the id") {
			t.Errorf("%v", err)
		}
	})

	// Whom to trust for checkpoints.
	vkey, err := checkpoint.VKey(apitest.Origin, apitest.CheckpointKey().Public())
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := checkpoint.VKey(apitest.Origin, newKey(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		paths map[string]string
		want  string
	}{
		"honest":               {nil, ""},
		"no vkey":              {map[string]string{"/log.vkey": ""}, ""},
		"key of somebody else": {map[string]string{"/log.vkey": stranger + "\n"}, "no signature is by a known key"},
		"not a vkey":           {map[string]string{"/log.vkey": "hello\n"}, "vkey"},
		"endless vkeys":        {map[string]string{"/log.vkey": strings.Repeat(vkey+"\n", 17)}, "there are 17"},
		"fork":                 {map[string]string{"/checkpoint": note(t, fork)}, "another root"},
		"older tree":           {map[string]string{"/checkpoint": note(t, merkle.Tree{Size: 1, Root: entries[0].Hash})}, ""},
	} {
		t.Run("vkeys: "+name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, replaced{h, c.paths})
			vkeys, err := newClient(t, s, client.Options{Key: key.Public()}).CheckpointKeys(t.Context())
			switch {
			case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v; want %q", err, c.want)
			case err == nil && name != "no vkey" && (len(vkeys) != 1 || vkeys[0] != vkey):
				t.Errorf("vkeys %q", vkeys)
			}
		})
	}
	for name, c := range map[string]struct{ policy, want string }{
		"none":           {"", ""},
		"no witness":     {"log " + vkey + "\nquorum none\n", ""},
		"of another log": {"log " + stranger + "\nquorum none\n", "does not name a key of the log"},
		"malformed":      {"hello\n", "policy"},
	} {
		t.Run("policy: "+name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, replaced{h, map[string]string{"/tlog-policy": c.policy}})
			text, err := newClient(t, s, client.Options{Key: key.Public()}).WitnessPolicy(t.Context(), []string{vkey})
			if text != nil || c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%q, %v; want %q", text, err, c.want)
			}
		})
	}
}

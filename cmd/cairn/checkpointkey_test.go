package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/merkle"
	"github.com/cairnlog/cairn/sign"
)

// newCheckpointKey writes a key into a new directory.
func newCheckpointKey(t *testing.T, typ sign.Type) string {
	t.Helper()
	key, err := sign.NewKey(typ)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), string(typ)+".pem")
	if err := sign.WriteKey(path, key); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCheckpointKeyOfItsOwn is a log without --checkpoint-key: each data
// directory with the log's key has the same key for checkpoints.
func TestCheckpointKeyOfItsOwn(t *testing.T) {
	t.Parallel()
	f := flagsIn(t.TempDir())
	first := mustOpen(t, f, openOrCreate)
	path := filepath.Join(f.Data, "checkpoint-key.pem")
	made := read(t, path)
	if got := mode(t, path); got != 0o600 {
		t.Errorf("the key has mode %v", got)
	}
	vkeys := first.author.VKeys()
	if got := string(read(t, first.vkeysPath())); len(vkeys) != 1 || got != vkeys[0]+"\n" {
		t.Errorf("remembered %q for %q", got, vkeys)
	}
	var out bytes.Buffer
	if err := first.describe(&out); err != nil || !strings.Contains(out.String(), "vkey     "+vkeys[0]+"\n") {
		t.Errorf("described as\n%s%v", out.String(), err)
	}
	first.store.Close()

	// As a log that an earlier version made, and as another replica.
	for _, name := range []string{path, first.vkeysPath()} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	second := mustOpen(t, f, openOnly)
	if diff := cmp.Diff(vkeys, second.author.VKeys()); diff != "" || !bytes.Equal(made, read(t, path)) {
		t.Errorf("another key was made: %s", diff)
	}
}

// TestRotation changes the checkpoint key of a log in two steps. What it
// signs on the way can be verified by who knows the old key, then by who
// knows either, then by who knows the new one.
func TestRotation(t *testing.T) {
	t.Parallel()
	f := flagsIn(t.TempDir())
	h := mustOpen(t, f, openOrCreate)
	identity, old := h.identity, h.checkpointPaths[0]
	h.store.Close()
	new := newCheckpointKey(t, sign.Ed25519)
	pq := newCheckpointKey(t, sign.MLDSA44)

	tree := merkle.Tree{Size: 7, Root: merkle.HashLeaf([]byte("root"))}
	notes := make(map[string][]byte)
	vkeys := make(map[string]string)
	for _, step := range []struct {
		name  string
		keys  []string
		names []string
	}{
		{"before", nil, []string{"old"}},
		{"both", []string{old, new}, []string{"old", "new"}},
		{"new first, and another type", []string{new, old, pq}, []string{"new", "old", "pq"}},
		{"new", []string{new}, []string{"new"}},
		{"with the log's own", []string{new, h.keyPath}, []string{"new", "v1"}},
	} {
		f.CheckpointKey = step.keys
		h := mustOpen(t, f, openOnly)
		if h.identity != identity {
			t.Fatalf("%s: the log is %+v, it was %+v", step.name, h.identity, identity)
		}
		note, err := h.author.Checkpoint(tree)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		notes[step.name] = note
		var lines []string
		_, sigs, err := checkpoint.Parse(note)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		for i, v := range h.author.VKeys() {
			vkeys[step.names[i]] = v
			lines = append(lines, sigs[i].Name)
		}
		if len(sigs) != len(step.names) || lines[0] != "localhost" {
			t.Errorf("%s: lines %q", step.name, lines)
		}
		h.store.Close()
	}
	for step, who := range map[string]string{
		"before":                      "old",
		"both":                        "old new",
		"new first, and another type": "old new pq",
		"new":                         "new",
		"with the log's own":          "new v1",
	} {
		for name, vkey := range vkeys {
			v, err := checkpoint.ParseVKey(vkey)
			if err != nil {
				t.Fatal(err)
			}
			c, _, err := checkpoint.OpenNote(notes[step], "localhost", v)
			if known := strings.Contains(who, name); known != (err == nil) {
				t.Errorf("%s: a client that knows %s: %v", step, name, err)
			} else if known && c.Tree != tree {
				t.Errorf("%s: tree %v", step, c.Tree)
			}
		}
	}
}

func TestCheckpointKeysRefused(t *testing.T) {
	t.Parallel()
	f := flagsIn(t.TempDir())
	h := mustOpen(t, f, openOrCreate)
	h.store.Close()
	own := h.checkpointPaths[0]
	remembered := read(t, h.vkeysPath())
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaPath := filepath.Join(t.TempDir(), "rsa.pem")
	if err := sign.WriteKey(rsaPath, key); err != nil {
		t.Fatal(err)
	}
	public := filepath.Join(t.TempDir(), "public.pem")
	text, err := sign.PublicPEM(h.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(public, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		keys []string
		want string
	}{
		"none at the path":   {[]string{own, filepath.Join(f.Data, "none.pem")}, "there is no key at"},
		"a public key":       {[]string{own, public}, "no PRIVATE KEY"},
		"an RSA key":         {[]string{own, rsaPath}, "RSA keys cannot sign"},
		"a key twice":        {[]string{own, own}, "two keys with hash"},
		"none that was used": {[]string{newCheckpointKey(t, sign.Ed25519)}, "clients know the checkpoints of this log by the keys in"},
	} {
		f.CheckpointKey = c.keys
		_, err := f.open(t.Context(), openOnly)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if code := exitCode(startError(err)); code != exitRefused {
			t.Errorf("%s: exit code %d", name, code)
		}
		if !bytes.Equal(remembered, read(t, h.vkeysPath())) {
			t.Errorf("%s: a refused start changed what is remembered", name)
		}
	}

	// The operator wants it so.
	f.CheckpointKey, f.NewCheckpointKeys = []string{newCheckpointKey(t, sign.ECDSA)}, true
	mustOpen(t, f, openOnly).store.Close()
	f.NewCheckpointKeys = false
	mustOpen(t, f, openOnly).store.Close()

	long := flagsIn(t.TempDir())
	long.Origin = strings.Repeat("o", 300)
	long.CheckpointKey = []string{newCheckpointKey(t, sign.MLDSA44)}
	if _, err := long.open(t.Context(), openOrCreate); err == nil || !strings.Contains(err.Error(), "at most 255 bytes") {
		t.Errorf("a long name: %v", err)
	}
	if _, err := os.Stat(filepath.Join(long.Data, "cairn.db")); err == nil {
		t.Error("a refused start made a log")
	}
}

// TestOtherKeysOnAReplica is a server with another checkpoint key than the one
// that signed what witnesses have cosigned.
func TestOtherKeysOnAReplica(t *testing.T) {
	t.Parallel()
	one := flagsIn(t.TempDir())
	a := mustOpen(t, one, openOrCreate)
	note, err := a.author.Checkpoint(merkle.Tree{Root: merkle.EmptyRoot})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.store.Publish(t.Context(), 0, note); err != nil {
		t.Fatal(err)
	}
	a.store.Close()

	two := flagsIn(t.TempDir())
	two.Storage, two.Key = a.storage, a.keyPath
	mustOpen(t, two, openOnly).store.Close() // derives the same key

	three := flagsIn(t.TempDir())
	three.Storage, three.Key, three.CheckpointKey = a.storage, a.keyPath, []string{newCheckpointKey(t, sign.Ed25519)}
	if _, err := three.open(t.Context(), openOnly); err == nil || !strings.Contains(err.Error(), "the one published in sqlite:") {
		t.Errorf("a replica with another key: %v", err)
	}
	three.CheckpointKey = append(three.CheckpointKey, a.checkpointPaths...)
	mustOpen(t, three, openOnly).store.Close()
	three.CheckpointKey, three.NewCheckpointKeys = []string{newCheckpointKey(t, sign.Ed25519)}, true
	mustOpen(t, three, openOnly)
}

// TestServedCheckpoint reads the checkpoint of a started server, and verifies
// it by the vkey in its data directory.
func TestServedCheckpoint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, "--data", dir, "--origin", "log.example", "--checkpoint-key", newCheckpointKey(t, sign.MLDSA44), "--checkpoint-key", newCheckpointKey(t, sign.Ed25519))
	res, err := http.Get(s.url + "/api/v2/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	note, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	vkeys := strings.Fields(string(read(t, filepath.Join(dir, "checkpoint.vkeys"))))
	if len(vkeys) != 2 {
		t.Errorf("vkeys %q", vkeys)
	}
	for _, vkey := range vkeys {
		v, err := checkpoint.ParseVKey(vkey)
		if err != nil {
			t.Fatal(err)
		}
		c, _, err := checkpoint.OpenNote(note, "log.example", v)
		if err != nil || c.Tree.Root != merkle.EmptyRoot {
			t.Errorf("%+v, %v", c, err)
		}
	}
}

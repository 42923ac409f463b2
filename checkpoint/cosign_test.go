package checkpoint_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/merkle"
)

// signature returns the last signature line of a note.
func signature(t testing.TB, msg []byte) note.Signature {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(string(msg), "\n"), "\n")
	f := strings.Fields(lines[len(lines)-1])
	if len(f) != 3 {
		t.Fatalf("signature line %q", lines[len(lines)-1])
	}
	b, err := base64.StdEncoding.DecodeString(f[2])
	if err != nil {
		t.Fatal(err)
	}
	return note.Signature{Name: f[1], Hash: binary.BigEndian.Uint32(b), Base64: f[2]}
}

// retimed returns a note whose last line is said to be made a second later.
func retimed(t testing.TB, msg []byte, _ *checkpoint.Cosigner) []byte {
	t.Helper()
	s := signature(t, msg)
	b, err := base64.StdEncoding.DecodeString(s.Base64)
	if err != nil {
		t.Fatal(err)
	}
	b[11]++
	return []byte(strings.Replace(string(msg), s.Base64, base64.StdEncoding.EncodeToString(b), 1))
}

func TestCosign(t *testing.T) {
	t.Parallel()
	w := newCosigner(t, "witness.example/w1")
	c := checkpoint.Checkpoint{Origin: "log.example", Tree: merkle.Tree{Size: 3, Root: merkle.HashLeaf([]byte("x"))}, Extra: []string{"more"}}
	msg := signNote(t, c, w)
	v, err := checkpoint.ParseVKey(w.VKey())
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(msg, note.VerifierList(v))
	if err != nil {
		t.Fatal(err)
	}
	if n.Text != c.Text() {
		t.Errorf("text %q", n.Text)
	}
	if at, err := checkpoint.CosignatureTime(n.Sigs[0]); err != nil || at != 1700000000 {
		t.Errorf("time %d, %v", at, err)
	}
	if w.Name() != v.Name() || w.KeyHash() != v.KeyHash() || w.Verifier().KeyHash() != v.KeyHash() {
		t.Errorf("key %s+%08x, verifier of the vkey %s+%08x", w.Name(), w.KeyHash(), v.Name(), v.KeyHash())
	}
	if _, err := note.Open(retimed(t, msg, w), note.VerifierList(v)); err == nil {
		t.Error("a cosignature with another time verifies")
	}
	sig, err := base64.StdEncoding.DecodeString(n.Sigs[0].Base64)
	if err != nil {
		t.Fatal(err)
	}
	text := []byte(c.Text())
	for name, change := range map[string]func() (text, sig []byte){
		"other text":      func() ([]byte, []byte) { return append(text[:len(text):len(text)], "x\n"...), sig[4:] },
		"no checkpoint":   func() ([]byte, []byte) { return []byte("hello\n"), sig[4:] },
		"too short":       func() ([]byte, []byte) { return text, sig[4 : len(sig)-1] },
		"too long":        func() ([]byte, []byte) { return text, append(sig[4:len(sig):len(sig)], 0) },
		"empty":           func() ([]byte, []byte) { return text, nil },
		"time only":       func() ([]byte, []byte) { return text, sig[4:12] },
		"a plain Ed25519": func() ([]byte, []byte) { return text, sig[12:] },
	} {
		if text, sig := change(); v.Verify(text, sig) {
			t.Errorf("%s: verifies", name)
		}
	}
	if !v.Verify(text, sig[4:]) {
		t.Error("does not verify")
	}
}

// TestCosignatureVector is the signed message written out by hand.
func TestCosignatureVector(t *testing.T) {
	t.Parallel()
	seed, err := hex.DecodeString("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	if err != nil {
		t.Fatal(err)
	}
	key := ed25519.NewKeyFromSeed(seed)
	w, err := checkpoint.NewCosigner("w", key, func() time.Time { return time.Unix(1679315147, 5) })
	if err != nil {
		t.Fatal(err)
	}
	text := "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
	sig, err := w.Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if at := binary.BigEndian.Uint64(sig); at != 1679315147 {
		t.Errorf("time %d", at)
	}
	if !ed25519.Verify(key.Public().(ed25519.PublicKey), []byte("cosignature/v1\ntime 1679315147\n"+text), sig[8:]) {
		t.Error("does not verify as the specification has it")
	}
}

func TestNewCosignerRefuses(t *testing.T) {
	t.Parallel()
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.NewCosigner("w", e, nil); err == nil {
		t.Error("ECDSA key taken")
	}
	for _, name := range []string{"", "a b", "a+b", "a\x00"} {
		if _, err := checkpoint.NewCosigner(name, newKey(t), nil); err == nil {
			t.Errorf("name %q taken", name)
		}
	}
	w := newCosigner(t, "w")
	for name, text := range map[string]string{"no checkpoint": "hello\n", "empty": ""} {
		if _, err := w.Sign([]byte(text)); err == nil {
			t.Errorf("%s: cosigned", name)
		}
	}
	early, err := checkpoint.NewCosigner("w", newKey(t), func() time.Time { return time.Unix(-1, 0) })
	if err != nil {
		t.Fatal(err)
	}
	c := checkpoint.Checkpoint{Origin: "log.example", Tree: merkle.Tree{Root: merkle.EmptyRoot}}
	if _, err := early.Sign([]byte(c.Text())); err == nil {
		t.Error("cosigned before 1970")
	}
}

// FuzzCosignature looks for panics, and for a second signature that verifies.
func FuzzCosignature(f *testing.F) {
	w := newCosigner(f, "w")
	v := w.Verifier()
	text := []byte(checkpoint.Checkpoint{Origin: "log.example", Tree: merkle.Tree{Root: merkle.EmptyRoot}}.Text())
	good, err := w.Sign(text)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text, good)
	f.Add(text, good[8:])
	f.Add([]byte("x\n"), good)
	f.Fuzz(func(t *testing.T, msg, sig []byte) {
		if v.Verify(msg, sig) && (string(msg) != string(text) || string(sig) != string(good)) {
			t.Error("a forgery")
		}
		checkpoint.CosignatureTime(note.Signature{Base64: base64.StdEncoding.EncodeToString(sig)}) //nolint:errcheck // looks for panics
	})
}

package checkpoint_test

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"filippo.io/mldsa"
	"golang.org/x/mod/sumdb/note"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/merkle"
)

// A foreignNote is one that another implementation signed.
type foreignNote struct{ Name, VKey, Note string }

func foreign(t testing.TB) []foreignNote {
	t.Helper()
	b, err := os.ReadFile("testdata/notes.json")
	if err != nil {
		t.Fatal(err)
	}
	var notes []foreignNote
	if err := json.Unmarshal(b, &notes); err != nil || len(notes) == 0 {
		t.Fatal(len(notes), err)
	}
	return notes
}

// noteKeys returns a key of each type that signs notes.
func noteKeys(t testing.TB) map[string]crypto.Signer {
	t.Helper()
	ks := keys(t)
	delete(ks, "RSA")
	k, err := mldsa.GenerateKey(mldsa.MLDSA44())
	if err != nil {
		t.Fatal(err)
	}
	ks["ML-DSA-44"] = k
	return ks
}

func TestForeignNotes(t *testing.T) {
	t.Parallel()
	for _, f := range foreign(t) {
		v, err := checkpoint.ParseVKey(f.VKey)
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		c, n, err := checkpoint.OpenNote([]byte(f.Note), "log.example", v)
		if err != nil || len(n.Sigs) != 1 || c.Tree.Size != 123 {
			t.Errorf("%s: %+v, %v", f.Name, c, err)
		}
	}
}

// sample is what the tests sign.
var sample = checkpoint.Checkpoint{Origin: "log.example", Tree: merkle.Tree{Size: 7, Root: merkle.HashLeaf([]byte("root"))}}

// TestNotes has every type of key sign, and the verifier of its vkey open.
func TestNotes(t *testing.T) {
	t.Parallel()
	for kind, key := range noteKeys(t) {
		s, err := checkpoint.NewNoteSigner("log.example", key)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		msg, err := checkpoint.SignNote(sample, s)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		vkey, err := checkpoint.VKey("log.example", key.Public())
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		v, err := checkpoint.ParseVKey(vkey)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		c, n, err := checkpoint.OpenNote(msg, "log.example", v)
		if err != nil || c.Tree != sample.Tree || n.Sigs[0].Name != "log.example" {
			t.Errorf("%s: %+v, %v", kind, c, err)
		}
		if kind == "Ed25519" {
			reference, err := note.NewVerifier(vkey)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := note.Open(msg, note.VerifierList(reference)); err != nil {
				t.Errorf("by x/mod: %v", err)
			}
		}

		// Not by another name, nor for another text, nor damaged.
		for name, wrong := range map[string][]byte{
			"size":   []byte(strings.Replace(string(msg), "\n7\n", "\n8\n", 1)),
			"origin": []byte(strings.Replace(string(msg), "log.example\n", "log.example2\n", 1)),
			"line":   []byte(strings.Replace(string(msg), "=\n\n", "=\nmore\n\n", 1)),
			"cut":    cutSignature(t, msg, 1),
			"bit":    flipBit(t, msg),
		} {
			if _, _, err := checkpoint.OpenNote(wrong, "", v); !errors.Is(err, checkpoint.ErrSignature) {
				t.Errorf("%s: %s: %v", kind, name, err)
			}
		}
		other, err := checkpoint.VKey("other.example", key.Public())
		if err != nil {
			t.Fatal(err)
		}
		v, err = checkpoint.ParseVKey(other)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := checkpoint.OpenNote(msg, "", v); !errors.Is(err, checkpoint.ErrUnverified) {
			t.Errorf("%s: another name: %v", kind, err)
		}
	}
}

// lastLine returns the signature of the last line, and the note up to it.
func lastLine(t testing.TB, msg []byte) (before string, sig []byte) {
	t.Helper()
	i := strings.LastIndexByte(string(msg[:len(msg)-1]), ' ') + 1
	sig, err := base64.StdEncoding.DecodeString(string(msg[i : len(msg)-1]))
	if err != nil {
		t.Fatal(err)
	}
	return string(msg[:i]), sig
}

func cutSignature(t testing.TB, msg []byte, n int) []byte {
	before, sig := lastLine(t, msg)
	return []byte(before + base64.StdEncoding.EncodeToString(sig[:len(sig)-n]) + "\n")
}

func flipBit(t testing.TB, msg []byte) []byte {
	before, sig := lastLine(t, msg)
	sig[len(sig)-1] ^= 1
	return []byte(before + base64.StdEncoding.EncodeToString(sig) + "\n")
}

// TestNotesOfSeveral has lines of many keys, of which a client knows some.
func TestNotesOfSeveral(t *testing.T) {
	t.Parallel()
	var signers []note.Signer
	var known []note.Verifier
	for _, key := range noteKeys(t) {
		s, err := checkpoint.NewNoteSigner("log.example", key)
		if err != nil {
			t.Fatal(err)
		}
		a, err := checkpoint.NewAuthor("log.example", key)
		if err != nil {
			t.Fatal(err)
		}
		signers, known = append(signers, s), append(known, a.Verifiers()...)
	}
	msg, err := checkpoint.SignNote(sample, signers...)
	if err != nil {
		t.Fatal(err)
	}
	_, sigs, err := checkpoint.Parse(msg)
	if err != nil || len(sigs) != len(signers) {
		t.Fatal(len(sigs), err)
	}
	for i, v := range known {
		if _, n, err := checkpoint.OpenNote(msg, "log.example", v); err != nil || len(n.Sigs) != 1 || len(n.UnverifiedSigs) != len(signers)-1 {
			t.Errorf("only key %d is known: %v", i, err)
		}
	}
	if _, n, err := checkpoint.OpenNote(msg, "log.example", known...); err != nil || len(n.Sigs) != len(signers) {
		t.Errorf("all are known: %v", err)
	}
	// A wrong line of a known key outweighs right ones of others.
	if _, _, err := checkpoint.OpenNote(flipBit(t, msg), "", known...); !errors.Is(err, checkpoint.ErrSignature) {
		t.Errorf("one line is wrong: %v", err)
	}
	if _, _, err := checkpoint.OpenNote(flipBit(t, msg), "", known[:len(known)-1]...); err != nil {
		t.Errorf("the wrong line is of an unknown key: %v", err)
	}
	if _, _, err := checkpoint.OpenNote(msg, ""); !errors.Is(err, checkpoint.ErrUnverified) {
		t.Errorf("none is known: %v", err)
	}
	if _, _, err := checkpoint.OpenNote(msg, "other.example", known...); err == nil {
		t.Error("another origin")
	}
	if _, _, err := checkpoint.OpenNote(slices.Concat(msg, make([]byte, 2<<20)), "", known...); err == nil {
		t.Error("a note of two megabytes")
	}
	if _, _, err := checkpoint.OpenNote(msg, "", known[0], known[0]); err == nil {
		t.Error("a key that is known twice")
	}
}

func TestSignNoteRefuses(t *testing.T) {
	t.Parallel()
	ks := noteKeys(t)
	ed, err := checkpoint.NewNoteSigner("log.example", ks["Ed25519"])
	if err != nil {
		t.Fatal(err)
	}
	pq, err := checkpoint.NewNoteSigner("log.example", ks["ML-DSA-44"])
	if err != nil {
		t.Fatal(err)
	}
	extra := sample
	extra.Extra = []string{"more"}
	long := sample
	long.Origin = strings.Repeat("o", 256)
	for name, f := range map[string]func() ([]byte, error){
		"nobody":    func() ([]byte, error) { return checkpoint.SignNote(sample) },
		"no origin": func() ([]byte, error) { return checkpoint.SignNote(checkpoint.Checkpoint{Tree: sample.Tree}, ed) },
		"control character": func() ([]byte, error) {
			return checkpoint.SignNote(checkpoint.Checkpoint{Origin: "a\x01", Tree: sample.Tree}, ed)
		},
		"line break in the origin": func() ([]byte, error) {
			return checkpoint.SignNote(checkpoint.Checkpoint{Origin: "a\nb", Tree: sample.Tree}, ed)
		},
		"ML-DSA-44 over further lines": func() ([]byte, error) { return checkpoint.SignNote(extra, ed, pq) },
		"ML-DSA-44 over a long origin": func() ([]byte, error) { return checkpoint.SignNote(long, pq) },
	} {
		if msg, err := f(); err == nil {
			t.Errorf("%s: signed %q", name, msg)
		}
	}
	if _, err := checkpoint.SignNote(extra, ed); err != nil {
		t.Errorf("Ed25519 over further lines: %v", err)
	}
	for name, key := range map[string]crypto.Signer{"log.example": keys(t)["RSA"], "with space": ks["P-256"], "with+plus": ks["Ed25519"], "": ks["Ed25519"], strings.Repeat("n", 256): ks["ML-DSA-44"]} {
		if _, err := checkpoint.NewNoteSigner(name, key); err == nil {
			t.Errorf("%T signs as %.20q", key, name)
		}
	}
	big, err := mldsa.GenerateKey(mldsa.MLDSA65())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.NewNoteSigner("log.example", big); err == nil {
		t.Error("ML-DSA-65 signs")
	}
	if _, err := checkpoint.NewAuthor("log.example"); err == nil {
		t.Error("an author without a key")
	}
	if _, err := checkpoint.NewAuthor("log.example", ks["P-256"], ks["Ed25519"], ks["P-256"]); err == nil {
		t.Error("an author with a key twice")
	}
}

func TestParseVKeyRefuses(t *testing.T) {
	t.Parallel()
	vkeys := make(map[string]string)
	for kind, key := range noteKeys(t) {
		vkey, err := checkpoint.VKey("log.example", key.Public())
		if err != nil {
			t.Fatal(err)
		}
		vkeys[kind] = vkey
	}
	ed := vkeys["Ed25519"]
	parts := strings.SplitN(ed, "+", 3)
	// with returns a vkey whose hash is right for other bytes of a key.
	with := func(b ...byte) string {
		v, err := checkpoint.ParseVKey(fmt.Sprintf("log.example+00000000+%s", base64.StdEncoding.EncodeToString(b)))
		if err == nil {
			t.Errorf("a hash of zeros is right for %x: %v", b, v)
			return ""
		}
		_, hash, _ := strings.Cut(err.Error(), "key is ")
		return fmt.Sprintf("log.example+%s+%s", hash, base64.StdEncoding.EncodeToString(b))
	}
	raw, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	for name, vkey := range map[string]string{
		"empty":                   "",
		"name only":               "log.example",
		"no key":                  "log.example+" + parts[1],
		"empty key":               "log.example+" + parts[1] + "+",
		"empty name":              ed[len("log.example"):],
		"space in the name":       "log example" + ed[len("log.example"):],
		"another name":            "log.exampla" + ed[len("log.example"):],
		"another hash":            "log.example+00000000+" + parts[2],
		"seven digits":            "log.example+" + parts[1][:7] + "+" + parts[2],
		"sign in the hash":        "log.example++" + parts[1][:7] + "+" + parts[2],
		"not base64":              "log.example+" + parts[1] + "+%",
		"base64 without padding":  strings.TrimRight(vkeys["P-256"], "="),
		"line break":              ed[:30] + "\n" + ed[30:],
		"line break at the end":   ed + "\n",
		"unknown type":            with(append([]byte{0x07}, raw[1:]...)...),
		"static-ct type":          with(append([]byte{0x05}, raw[1:]...)...),
		"Ed25519 of 31 bytes":     with(raw[:32]...),
		"Ed25519 of 33 bytes":     with(append(slices.Clone(raw), 1)...),
		"cosigner of 31 bytes":    with(append([]byte{0x04}, raw[1:32]...)...),
		"ECDSA that is none":      with(append([]byte{0x02}, raw[1:]...)...),
		"ML-DSA-44 that is short": with(append([]byte{0x06}, raw[1:]...)...),
		"too long":                strings.Repeat("n", 5000) + ed,
		"type only":               with(1),
	} {
		if v, err := checkpoint.ParseVKey(vkey); err == nil {
			t.Errorf("%s: %q is read as %v", name, vkey, v)
		}
	}
	if _, err := checkpoint.ParseVKey("log.example+" + strings.ToUpper(parts[1]) + "+" + parts[2]); err != nil {
		t.Errorf("upper-case hash: %v", err)
	}
}

func FuzzParseVKey(f *testing.F) {
	for _, n := range foreign(f) {
		f.Add(n.VKey)
	}
	f.Fuzz(func(t *testing.T, vkey string) {
		v, err := checkpoint.ParseVKey(vkey)
		if err != nil {
			return
		}
		if !checkpoint.ValidName(v.Name()) || !strings.HasPrefix(vkey, fmt.Sprintf("%s+", v.Name())) {
			t.Errorf("%q has the name %q", vkey, v.Name())
		}
		v.Verify([]byte("text\n1\n"), []byte(vkey))
	})
}

func FuzzOpenNote(f *testing.F) {
	var known []note.Verifier
	for _, n := range foreign(f) {
		v, err := checkpoint.ParseVKey(n.VKey)
		if err != nil {
			f.Fatal(err)
		}
		known = append(known, v)
		f.Add([]byte(n.Note))
	}
	signed := make(map[string]bool)
	for _, n := range foreign(f) {
		text, _, _ := strings.Cut(n.Note, "\n\n")
		signed[text+"\n"] = true
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		c, _, err := checkpoint.OpenNote(msg, "", known...)
		if err == nil && !signed[c.Text()] {
			t.Errorf("%q opens, but nobody signed it", msg)
		}
	})
}

func BenchmarkSignNote(b *testing.B) {
	for kind, key := range noteKeys(b) {
		s, err := checkpoint.NewNoteSigner("log.example", key)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := checkpoint.SignNote(sample, s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package entry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
)

func FuzzHelmV001(f *testing.F) { fuzzKind(f, "helm", "0.0.1") }

// FuzzReadProvenance reads any list of files.
func FuzzReadProvenance(f *testing.F) {
	s := newPGPSigner(f)
	for _, files := range []string{"files:\n  a: sha256:ab\n", "files: {a: 1, b: null}\n", "a: &a [b]\nfiles: {<<: *a}", "files:\n- a", "? [a]\n: b\n"} {
		f.Add(s.provenance(f, files))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := readProvenance(text)
		if err != nil {
			return
		}
		if h, err := chartHash(p.files); err == nil && (string(h.algorithm) != "sha256" || strings.Contains(string(h.value), ":")) {
			t.Fatalf("%q: %s", p.files, h.term())
		}
	})
}

// provenance makes a provenance file.
func (s pgpSigner) provenance(t testing.TB, files string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, s.PrivateKey, nil)
	if err == nil {
		_, err = fmt.Fprintf(w, "apiVersion: v2\nname: test\n\n...\n%s", files)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// fromLogHelm returns v with what Rekor could say of the entry: the hash of the
// chart is in the leaf, but it looks for it in the provenance file, which is not,
// and so has no artifact and finds no term.
func fromLogHelm(t *testing.T, v vector) vector {
	t.Helper()
	var body struct {
		Spec struct {
			Chart struct {
				Hash struct{ Algorithm, Value string }
			}
		}
	}
	if err := json.Unmarshal(v.Canonical, &body); err != nil {
		t.Fatal(err)
	}
	v.Artifact = body.Spec.Chart.Hash.Algorithm + ":" + body.Spec.Chart.Hash.Value
	v.FromLog.Terms = v.Terms
	return v
}

func TestHelm(t *testing.T) {
	t.Parallel()
	s := newPGPSigner(t)
	for _, tt := range []struct{ name, files, artifact string }{
		{"one file", "files:\n  a.tgz: sha256:AB\n", "sha256:ab"},
		{"several, the smallest name counts", "files: {b: 'sha256:b', a: 'sha256:a', c: none}", "sha256:a"},
		{"images beside", "files: {a: 'sha256:a'}\nimages: {x: y}\nother: [1]", "sha256:a"},
		{"a third part", "files: {a: 'sha256:a'}\n...\n\tno YAML", "sha256:a"},
		{"an ampersand", "files: {'a&b': 'sha256:a'}", "sha256:a"},
		{"no digest", "files: {a: 'sha256:'}", "sha256:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := Check(NewHelm(s.provenance(t, tt.files), s.public), Options{})
			if err != nil {
				t.Fatal(err)
			}
			checkSound(t, c)
			if c.Artifact != tt.artifact {
				t.Errorf("artifact %q, want %q", c.Artifact, tt.artifact)
			}
		})
	}
}

// TestHelmReadsOtherAlgorithms reads a leaf as Rekor writes it where the signer
// named another algorithm.
func TestHelmReadsOtherAlgorithms(t *testing.T) {
	t.Parallel()
	s := newPGPSigner(t)
	c, err := Check(NewHelm(s.provenance(t, "files: {a: 'sha256:ab'}"), s.public), Options{})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := Read(bytes.Replace(c.Body, []byte(`"sha256"`), []byte(`"sha512"`), 1))
	if err != nil || leaf.Artifact != "sha512:ab" {
		t.Errorf("Read: %+v, %v", leaf, err)
	}
}

func hostileProvenances(t testing.TB, s pgpSigner) []hostilePackage {
	files := func(text string) []byte { return s.provenance(t, text) }
	const room = maxProvenanceFiles - 100
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%[1]c [%s*%c]\n", c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 9), c-1)
	}
	deep := strings.Repeat("files: {a: ", 4000)
	return []hostilePackage{
		{"anchors", files("files: {}\n" + bomb), "has an anchor"},
		{"merge", files("a: &a {x: y}\nfiles:\n  <<: *a\n"), "has an anchor"},
		{"deep flow", files(strings.Repeat("[", room)), "error converting YAML"},
		{"deep maps", files(deep), "error converting YAML"},
		{"deep blocks", files(strings.Repeat("- ", room/2)), "error"},
		{"many indents", files(func() string {
			var b strings.Builder
			for i := 0; b.Len() < room-1000; i++ {
				fmt.Fprintf(&b, "%s%d:\n", strings.Repeat(" ", i), i)
			}
			return b.String()
		}()), "unable to locate chart hash"},
		{"many files", files("files:\n" + func() string {
			var b strings.Builder
			for i := 0; b.Len() < room-20; i++ {
				fmt.Fprintf(&b, " %x: a\n", i)
			}
			return b.String()
		}()), "invalid hash found"},
		{"many question marks", files(strings.Repeat("? ", room/2)), "error"},
		{"many quotes", files("files: {a: \"" + strings.Repeat(`\U0001f600`, room/11) + "\"}"), "invalid hash found"},
		{"long list", files("x: y\n" + strings.Repeat("#\n", maxProvenanceFiles/2)), "the limit is 131072"},
		{"large file", append(files("files: {}"), make([]byte, maxProvenance)...), "the limit is 1048576"},
		{"10 MiB", bytes.Repeat([]byte("\n-----BEGIN PGP SIGNED MESSAGE-----"), 200_000), "the limit is 1048576"},
		{"many beginnings", bytes.Repeat([]byte("\n-----BEGIN PGP SIGNED MESSAGE-----\n\n"), 25_000), "unable to decode provenance file"},
		{"message without a line", []byte("-----BEGIN PGP SIGNED MESSAGE-----\n\n-----BEGIN PGP SIGNATURE-----"), "malformed PGP data"},
		{"one part", bytes.Replace(files("files: {}"), []byte("..."), []byte(".."), 1), "at least two parts"},
		{"files is a list", files("files: [a]"), "error unmarshaling JSON"},
		{"no files", files("x: y"), "unable to locate chart hash"},
		{"empty files", files("files: {}"), "no checksums found"},
		{"two colons", files("files: {a: 'sha256:a:b'}"), "invalid hash found in Provenance file"},
		{"other algorithm", files("files: {a: 'sha512:ab'}"), "should be one of [sha256]"},
		{"upper-case algorithm", files("files: {a: 'SHA256:ab'}"), "should be one of [sha256]"},
		{"changed", bytes.Replace(files("files: {a: 'sha256:ab'}"), []byte("sha256:ab"), []byte("sha256:ba"), 1), "RSA verification failure"},
		{"signed by another", newPGPSigner(t).provenance(t, "files: {a: 'sha256:ab'}"), "unknown entity"},
	}
}

func TestHelmRefuses(t *testing.T) {
	t.Parallel()
	s := newPGPSigner(t)
	for _, h := range hostileProvenances(t, s) {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			refused(t, NewHelm(h.pkg, s.public), Options{}, Invalid, h.text)
		})
	}
}

func BenchmarkHelm(b *testing.B) {
	s := newPGPSigner(b)
	for _, h := range append(hostileProvenances(b, s), hostilePackage{name: "sane", pkg: s.provenance(b, "files: {a: 'sha256:ab'}")}) {
		b.Run(h.name, func(b *testing.B) {
			p := NewHelm(h.pkg, s.public)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = Check(p, Options{}) // most are refused
			}
		})
	}
}

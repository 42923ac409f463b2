package entry

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/sassoftware/relic/v8/lib/signjar"
)

// jarFileVector returns the archive of an accepted vector.
func jarFileVector(t testing.TB, name string) []byte {
	t.Helper()
	for _, v := range vectors(t, Type{Kind: "jar", Version: "0.0.1"}) {
		if v.Name == name {
			var p struct {
				Spec struct{ Archive struct{ Content []byte } }
			}
			if err := json.Unmarshal(v.Proposed, &p); err != nil {
				t.Fatal(err)
			}
			return p.Spec.Archive.Content
		}
	}
	t.Fatalf("no vector %s", name)
	return nil
}

type zipMember struct {
	name string
	size int // of zeros, if there is no text
	text string
}

func zipOf(t testing.TB, members ...zipMember) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	w.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate}
		if m.text != "" {
			h.Method = zip.Store
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		text := []byte(m.text)
		if m.text == "" {
			text = make([]byte, m.size)
		}
		if _, err := f.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// rezip returns a JAR with members before those it has, and others changed.
func rezip(t testing.TB, jar []byte, before []zipMember, change map[string]string) []byte {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(jar), int64(len(jar)))
	if err != nil {
		t.Fatal(err)
	}
	members := before
	for _, f := range r.File {
		c, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		m := zipMember{name: f.Name, text: string(text)}
		if s, ok := change[f.Name]; ok {
			m.text = s
		}
		members = append(members, m)
	}
	return zipOf(t, members...)
}

func proposeJAR(archive []byte) []byte {
	return []byte(`{"apiVersion":"0.0.1","kind":"jar","spec":{"archive":{"content":"` + base64.StdEncoding.EncodeToString(archive) + `"}}}`)
}

// hostileJARs are archives of at most 7.5 MB, 10 MB in base64, that are made
// to cost, with what is said of them.
func hostileJARs(t testing.TB) map[string]struct {
	archive []byte
	want    string
} {
	good := jarFileVector(t, "valid-jarsigner-rsa")
	var many []zipMember
	for i := range 32 {
		many = append(many, zipMember{name: fmt.Sprintf("META-INF/%d.txt", i), size: maxJARMetadata})
	}
	var tiny []zipMember
	for i := range 70000 {
		tiny = append(tiny, zipMember{name: fmt.Sprint(i), text: "x"})
	}
	directory := bytes.Repeat([]byte("PK\x01\x02"+strings.Repeat("\x00", 42)), 7500000/46)
	bomb := zipOf(t, zipMember{name: "META-INF/MANIFEST.MF", text: "Manifest-Version: 1.0\r\n\r\n"}, zipMember{name: "bomb", size: 64 << 20})
	sections := "A: b\n\n" + strings.Repeat("Name:a\n\n", (maxJARMetadata-8)/8)
	return map[string]struct {
		archive []byte
		want    string
	}{
		"files without end":     {append(directory, good...), "files, the limit for its length"},
		"much metadata":         {zipOf(t, many...), "too much content"},
		"tiny files":            {zipOf(t, tiny...), "no META-INF/MANIFEST.MF"},
		"bomb beside":           {bomb, "contains no signatures"},
		"manifest of line ends": {rezip(t, good, nil, map[string]string{"META-INF/MANIFEST.MF": strings.Repeat("\n", maxJARMetadata)}), "mismatch"},
		"manifest of sections":  {rezip(t, good, nil, map[string]string{"META-INF/MANIFEST.MF": sections}), "mismatch"},
		"manifest too large":    {rezip(t, good, nil, map[string]string{"META-INF/MANIFEST.MF": sections + "more and more"}), "exceeds max allowed size"},
	}
}

func TestJARHostile(t *testing.T) {
	t.Parallel()
	for name, h := range hostileJARs(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := create(proposeJAR(h.archive), Options{})
			if err == nil || !strings.Contains(err.Error(), h.want) {
				t.Errorf("error %v, want %q", err, h.want)
			}
		})
	}
}

func BenchmarkJARHostile(b *testing.B) {
	for name, h := range hostileJARs(b) {
		body := proposeJAR(h.archive)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, err := create(body, Options{}); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}

// TestJARBudget checks what a signer can make the manifest cost, as the
// benchmark does for the most that there is.
func TestJARBudget(t *testing.T) {
	t.Parallel()
	for digests, want := range map[string]string{
		"SHA-256-Digest: x\n":                    "Sha-256-Digest mismatch",
		"SHA-256-Digest: x\nSHA-512-Digest: y\n": "too much content",
	} {
		if err := verifyBomb(t, nil, 10<<20, digests)(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", digests, err, want)
		}
	}
}

// verifyBomb returns the check of a manifest over a file of zeros.
func verifyBomb(t testing.TB, pad []byte, size int, digests string) func() error {
	text := zipOf(t, zipMember{name: "bomb", size: size})
	z, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	return func() error {
		a := &jarArchive{zip: z, budget: jarRatio*int64(len(pad)+len(text)) + jarAllowance}
		return a.verifyFiles([]byte("A: b\n\nName: bomb\n" + digests + "\n"))
	}
}

func BenchmarkJARBudget(b *testing.B) {
	check := verifyBomb(b, make([]byte, 7_500_000), jarAllowance+jarRatio*7_500_000, "SHA-256-Digest: x\n")
	b.ReportAllocs()
	for b.Loop() {
		if err := check(); err == nil || !strings.Contains(err.Error(), "mismatch") {
			b.Fatal(err)
		}
	}
}

// A block that belongs to no .SF file would be stored in place of the one that
// was verified, if it comes first.
func TestJARForeignBlock(t *testing.T) {
	t.Parallel()
	good := jarFileVector(t, "valid-jarsigner-rsa")
	z, err := zip.NewReader(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	jar := rezip(t, good, []zipMember{{name: "META-INF/OTHER.RSA", text: "x"}}, nil)
	if _, err := verifyJAR(jar); err == nil || !strings.Contains(err.Error(), "belongs to no sigfile") {
		t.Errorf("%d files, error %v", len(z.File), err)
	}
}

// TestJARManifests compares what is read of manifests with the library that
// Rekor uses.
func TestJARManifests(t *testing.T) {
	t.Parallel()
	for _, s := range manifestSeeds {
		sameManifest(t, []byte(s))
	}
}

var manifestSeeds = []string{
	"", "\n", "A: b\n\n", "A: b\r\n\r\n", "A: b\r\n\r\nName: c\r\nSHA-256-Digest: d\r\n\r\n",
	"A: b\n\nName: c\n\nName: d\r\n\r\n", "A: b\n\nName: c\n", "A: b\n\n\n\n", "A b\n\n", "A: b\n\nB: c\n\n",
	"A: b\n\nName: very\n long\nsha1-digest: x\n\nName: verylong\nMagic: y\n\n", "A: b\n\nName: \n\n", "A: b\r\n \r\n\r\n",
	": x\n\n", "A:b:c\n\n", "a b: c\n\nName: \xff\n\n", "A: b\n\r\n", "A: b\r\n\n", "A: b\n\nName: c\n\n \n\n",
}

func sameManifest(t *testing.T, text []byte) {
	t.Helper()
	want, wantErr := signjar.ParseManifest(text)
	got, err := parseManifest(text)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%q: error %v, want %v", text, err, wantErr)
	}
	if err != nil {
		return
	}
	names := 0
	for i, s := range got {
		attributes, err := s.attributes()
		if err != nil {
			t.Fatal(err)
		}
		header := want.Main
		if i > 0 {
			if s.replaced {
				continue
			}
			names++
			header = want.Files[s.name]
		}
		if fmt.Sprint(map[string][]string(attributes)) != fmt.Sprint(map[string][]string(header)) {
			t.Fatalf("%q: section %d is %v, want %v", text, i, attributes, header)
		}
	}
	if names != len(want.Files) {
		t.Fatalf("%q: %d names, want %d", text, names, len(want.Files))
	}
}

func FuzzJARManifest(f *testing.F) {
	for _, s := range manifestSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(sameManifest)
}

// FuzzJARArchive compares verdicts with the library that Rekor uses, on
// archives too small for any limit.
func FuzzJARArchive(f *testing.F) {
	f.Add(jarFileVector(f, "valid-jarsigner-rsa"))
	f.Add(jarFileVector(f, "metainf-lowercase"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		_, err := verifyJAR(archive)
		z, zipErr := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
		if zipErr != nil {
			if err == nil {
				t.Fatal("accepted what is no zip file")
			}
			return
		}
		for _, f := range z.File {
			if f.UncompressedSize64 > maxJARMetadata {
				return
			}
		}
		if err != nil && (strings.Contains(err.Error(), "belongs to no sigfile") || strings.Contains(err.Error(), "limit")) {
			return
		}
		sigs, wantErr := signjar.Verify(z, false)
		if err == nil && (wantErr != nil || len(sigs) != 1) {
			t.Fatalf("accepted, the library says %v of %d signatures", wantErr, len(sigs))
		}
	})
}

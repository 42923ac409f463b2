package entry

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func FuzzAlpineV001(f *testing.F) { fuzzKind(f, "alpine", "0.0.1") }

func FuzzReadAPK(f *testing.F) {
	s := newECDSA(f)
	f.Add(newAPK("pkgname = a\n").build(f, s))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, pkg []byte) {
		if p, err := readAPK(pkg); (p == nil) == (err == nil) {
			t.Fatalf("readAPK: %v, %v", p, err)
		}
	})
}

func FuzzPkginfo(f *testing.F) {
	for _, s := range []string{
		"a = b\n", "a = \"b\"\n", "a = b ; c # d\n", "a:b = c\n", "a = b\\\nc\n", "[s]\na = b\n", "a\n", "- = 1\n- = 2\n",
		"\"a=\" = b\n", "a = `b\nc`\n", "a = \"\"\"b\nc\"\"\"\n", "\xef\xbb\xbfa = b\n", "\xff\xfea = b\n", "a = %(b)s\n", "\"\"\"\"\"\" = x",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var p pkginfoParser
		pairs, err := p.parse(text)
		if err != nil {
			return
		}
		for name := range pairs {
			if name == "" {
				t.Fatalf("%q: a name is empty", text)
			}
		}
		if lines := bytes.Count(text, []byte("\n")) + 1; len(pairs) > lines {
			t.Fatalf("%q: %d pairs of %d lines", text, len(pairs), lines)
		}
	})
}

// An apkFile makes a package for Alpine Linux. The members are tars, not
// packed yet.
type apkFile struct {
	pkginfos            []string // datahash is added to each
	sign                string   // name of the signature's file
	padSign, padControl int      // bytes of another file
	data                []byte
}

func newAPK(pkginfos ...string) *apkFile {
	return &apkFile{pkginfos: pkginfos, sign: ".SIGN.RSA.test.rsa.pub", data: []byte("data")}
}

func (a *apkFile) build(t testing.TB, s signer) []byte {
	t.Helper()
	data := pack(t, a.data)
	var files []tarFile
	if a.padControl > 0 {
		files = append(files, tarFile{"pad", make([]byte, a.padControl)})
	}
	for _, text := range a.pkginfos {
		files = append(files, tarFile{".PKGINFO", fmt.Appendf(nil, "datahash = %x\n%s", sha256.Sum256(data), text)})
	}
	control := pack(t, tarOf(t, files...))
	sum := sha1.Sum(control)
	sig, err := s.Sign(rand.Reader, sum[:], crypto.SHA1)
	if err != nil {
		t.Fatal(err)
	}
	files = []tarFile{{a.sign, sig}}
	if a.padSign > 0 {
		files = append(files, tarFile{"pad", make([]byte, a.padSign)})
	}
	return bytes.Join([][]byte{pack(t, tarOf(t, files...)), control, data}, nil)
}

type tarFile struct {
	name string
	body []byte
}

// tarOf returns a tar without the blocks that end one.
func tarOf(t testing.TB, files ...tarFile) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.body))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pack(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAlpine(t *testing.T) {
	t.Parallel()
	s := newECDSA(t)
	var provides strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&provides, "provides = cmd:tool-%d=1.%d\n", i, i)
	}
	for _, tt := range []struct {
		name string
		apk  *apkFile
		want map[string]string
	}{
		{"several PKGINFO", newAPK("a = 1\nb = 1\n", "a = 2\n"), map[string]string{"a": "2"}},
		{"no UTF-8", newAPK("a = \xff\n\xffb = 1\n"), map[string]string{"a": "\ufffd", "\ufffdb": "1"}},
		{"many lines", newAPK(provides.String()), map[string]string{"provides": "cmd:tool-4999=1.4999"}},
		{"joined lines", newAPK("a = b \\\n c\\\nd\n"), map[string]string{"a": "b cd"}},
		{"large script", func() *apkFile { a := newAPK("a = 1\n"); a.padControl = 15 << 20; return a }(), map[string]string{"a": "1"}},
		{"large signatures", func() *apkFile { a := newAPK("a = 1\n"); a.padSign = 1<<20 - 2048; return a }(), map[string]string{"a": "1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := Check(NewAlpine(tt.apk.build(t, s), s.pem), Options{})
			if err != nil {
				t.Fatal(err)
			}
			checkSound(t, c)
			var body struct {
				Spec struct {
					Package struct {
						Pkginfo map[string]string `json:"pkginfo"`
					} `json:"package"`
				} `json:"spec"`
			}
			if err := json.Unmarshal(c.Body, &body); err != nil || !utf8.Valid(c.Body) {
				t.Fatalf("body %q: %v", c.Body, err)
			}
			got := body.Spec.Package.Pkginfo
			delete(got, "datahash")
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("pkginfo (-want +got):\n%s", d)
			}
		})
	}
}

// hostileAPKs are packages that are made to cost, with what is said of them.
func hostileAPKs(t testing.TB, s signer) map[string]struct {
	pkg  []byte
	text string
} {
	const tooMuch = "too many different keys or joined lines"
	lines := func(n int, line func(i int) string) *apkFile {
		var b strings.Builder
		for i := range n {
			b.WriteString(line(i))
		}
		return newAPK(b.String()[:min(b.Len(), 1<<20-100)])
	}
	out := map[string]struct {
		pkg  []byte
		text string
	}{}
	for _, tt := range []struct {
		name string
		apk  *apkFile
		text string
	}{
		{"bomb of signatures", func() *apkFile { a := newAPK(); a.padSign = 64 << 20; return a }(),
			"decompressed size (1048577) for signature.tar.gz exceeds max allowed size 1048576"},
		{"bomb of control", func() *apkFile { a := newAPK("a = 1\n"); a.padControl = 64 << 20; return a }(),
			"decompressed size for control.tar.gz exceeds max allowed size 16777216"},
		{"PKGINFO too large", newAPK("a = " + strings.Repeat("x", 1<<20)), "exceeds max allowed size 1048576"},
		{"many keys", lines(200_000, func(i int) string { return fmt.Sprintf("%x=\n", i) }), tooMuch},
		{"many sections", lines(200_000, func(i int) string { return fmt.Sprintf("[%x]\n", i) }), tooMuch},
		{"many counted keys", lines(200_000, func(i int) string { return "-=\n" }), tooMuch},
		{"many quoted keys", lines(200_000, func(i int) string { return fmt.Sprintf("`=%x`=\n", i) }), tooMuch},
		{"joined lines", lines(400_000, func(i int) string {
			if i == 0 {
				return "a = \\\n"
			}
			return "x\\\n"
		}), tooMuch},
		{"quoted lines", lines(400_000, func(i int) string {
			if i == 0 {
				return "a = `\n"
			}
			return "x\n"
		}), tooMuch},
		{"many PKGINFO", func() *apkFile {
			a := lines(900, func(i int) string { return fmt.Sprintf("k%x=\n", i) })
			for range 5 {
				a.pkginfos = append(a.pkginfos, a.pkginfos...)
			}
			return a
		}(), tooMuch},
		{"names alike without UTF-8", newAPK("\xff = 1\n\xfe = 1\n"), "pkginfo of the package"},
		{"body too large", lines(1000, func(i int) string { return fmt.Sprintf("k%d=%s\n", i, strings.Repeat("x", 100)) }), "the limit is 65535"},
	} {
		out[tt.name] = struct {
			pkg  []byte
			text string
		}{tt.apk.build(t, s), tt.text}
	}
	return out
}

func TestAlpineRefuses(t *testing.T) {
	t.Parallel()
	s := newECDSA(t)
	for name, h := range hostileAPKs(t, s) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reason := Invalid
			if name == "body too large" {
				reason = TooLarge
			}
			refused(t, NewAlpine(h.pkg, s.pem), Options{}, reason, h.text)
		})
	}
	pkg := newAPK("a = 1\n").build(t, s)
	refused(t, NewAlpine(pkg[:len(pkg)-1], s.pem), Options{}, Invalid, "does not match value from .PKGINFO")
	refused(t, NewAlpine(pkg, newECDSA(t).pem), Options{}, Invalid, "invalid signature")
	refused(t, NewAlpine(pkg, newEd25519(t).pem), Options{}, Invalid, "message cannot be nil")
	refused(t, NewAlpine(nil, s.pem), Options{}, Invalid, "'content' must be specified for package")
	refused(t, NewAlpine(pack(t, tarOf(t, tarFile{".SIGN.x", []byte("x")})), s.pem), Options{}, Invalid, ".PKGINFO file was not located")
}

func BenchmarkAlpine(b *testing.B) {
	s := newECDSA(b)
	bench := func(name string, pkg []byte) {
		b.Run(name, func(b *testing.B) {
			p := NewAlpine(pkg, s.pem)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = Check(p, Options{}) // most are refused
			}
		})
	}
	bench("sane", newAPK("pkgname = a\npkgver = 1\n").build(b, s))
	bench("10 MiB", func() []byte {
		a := newAPK("a = 1\n")
		a.data = make([]byte, 7<<20)
		_, _ = rand.Read(a.data)
		return a.build(b, s)
	}())
	for name, h := range hostileAPKs(b, s) {
		bench(name, h.pkg)
	}
}

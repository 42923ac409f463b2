package differential

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cairnlog/cairn/entry"
)

func FuzzAlpineV001(f *testing.F)       { fuzz(f, "alpine", "0.0.1") }
func FuzzCoseV001(f *testing.F)         { fuzz(f, "cose", "0.0.1") }
func FuzzDsseV001(f *testing.F)         { fuzz(f, "dsse", "0.0.1") }
func FuzzHashedRekordV001(f *testing.F) { fuzz(f, "hashedrekord", "0.0.1") }
func FuzzHelmV001(f *testing.F)         { fuzz(f, "helm", "0.0.1") }
func FuzzIntotoV001(f *testing.F)       { fuzz(f, "intoto", "0.0.1") }
func FuzzIntotoV002(f *testing.F)       { fuzz(f, "intoto", "0.0.2") }
func FuzzJarV001(f *testing.F)          { fuzz(f, "jar", "0.0.1") }
func FuzzRekordV001(f *testing.F)       { fuzz(f, "rekord", "0.0.1") }
func FuzzRfc3161V001(f *testing.F)      { fuzz(f, "rfc3161", "0.0.1") }
func FuzzRpmV001(f *testing.F)          { fuzz(f, "rpm", "0.0.1") }
func FuzzTufV001(f *testing.F)          { fuzz(f, "tuf", "0.0.1") }

// fuzz compares what becomes of a spec: as it is, or changed by choices if
// there are some. Without a spec, one is made and signed by those choices.
func fuzz(f *testing.F, kind, version string) {
	k, ok := entry.Lookup(kind, version)
	if !ok {
		f.Fatalf("no %s %s", kind, version)
	}
	r, err := newReference()
	if err != nil {
		f.Fatal(err)
	}
	keys, err := newKeys()
	if err != nil {
		f.Fatal(err)
	}
	base := newMutator(f, k, nil, keys)
	for _, s := range base.seeds {
		f.Add(encode(s["spec"]), []byte{}, false)
	}
	f.Add([]byte{}, []byte{1, 2, 3}, false)
	f.Add([]byte{}, bytes.Repeat([]byte{7, 200, 90}, 10), true)
	f.Fuzz(func(t *testing.T, spec, choices []byte, stored bool) {
		m := *base
		m.Rand = rand.New(&source{choices: choices, rest: rand.NewPCG(uint64(len(choices)), 0)})
		var body []byte
		if v, ok := decode(spec); len(spec) == 0 {
			body, stored = m.next(k)
		} else {
			text := spec
			if ok && len(choices) > 0 {
				var b bytes.Buffer
				m.write(&b, m.change(v, pick(&m, m.seeds)["spec"]))
				text = b.Bytes()
			}
			body = []byte(`{"apiVersion":"` + version + `","kind":"` + kind + `","spec":` + string(text) + `}`)
		}
		_, found := r.compare(body, stored)
		for _, d := range found {
			if explain(kind, d) == "" {
				t.Errorf("%s (query: %t): ours is %q, Rekor's %q\nfor %q", d.field, stored, d.ours, d.rekor, body)
			}
		}
	})
}

// A source is of randomness that a fuzzer can steer, while it lasts.
type source struct {
	choices []byte
	rest    rand.Source
}

func (s *source) Uint64() uint64 {
	if len(s.choices) == 0 {
		return s.rest.Uint64()
	}
	c := s.choices[0]
	s.choices = s.choices[1:]
	return uint64(c) * 0x0101010101010101
}

// TestFuzzTargets wants one for each kind.
func TestFuzzTargets(t *testing.T) {
	t.Parallel()
	source := mustRead(t, "fuzz_test.go")
	for _, k := range rekorKinds() {
		if !strings.Contains(source, "func Fuzz"+k.Schema+"(") {
			t.Errorf("%s %s has no fuzz target", k.Kind, k.Version)
		}
	}
}

package jcs

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"pgregory.net/rapid"
)

type vector struct {
	Input  string `json:"input"`
	Output string `json:"output"`
	Error  string `json:"error"`
}

func vectors(t testing.TB) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/jcs.json")
	if err != nil {
		t.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(text, &vs); err != nil {
		t.Fatal(err)
	}
	return vs
}

func TestVectors(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t) {
		out, err := Transform([]byte(v.Input))
		if (err != nil) != (v.Error != "") || string(out) != v.Output {
			t.Errorf("Transform(%s) = %s, %v, want %s, %s", v.Input, out, err, v.Output, v.Error)
		}
	}
}

func TestTransformRefuses(t *testing.T) {
	t.Parallel()
	for name, input := range map[string]string{
		"empty":                  "",
		"cut off":                `{"a":1`,
		"trailing comma":         `{"a":1,}`,
		"lone high surrogate":    `["\ud800"]`,
		"lone low surrogate":     `["\udc00"]`,
		"swapped surrogates":     `["\udc00\ud800"]`,
		"surrogate in a name":    `{"\ud800":1}`,
		"bytes that are no text": "[\"\xff\"]",
		"duplicate after escape": `{"a":1,"\u0061":2}`,
		"number beyond a double": `[1e999]`,
		"error in a later value": `{"a":[1],"b":[1e999]}`,
		"error deep inside":      `{"a":"x","b":{"c":{"d":1,"d":1}}}`,
		"too deep":               strings.Repeat("[", 1001) + strings.Repeat("]", 1001),
	} {
		if out, err := Transform([]byte(input)); err == nil {
			t.Errorf("%s: %q gives %s", name, input, out)
		}
	}
}

// same compares Transform with the library that Rekor uses, which takes more:
// it does not insist on JSON's grammar of numbers, on Unicode, or on a limit.
func same(t interface{ Fatalf(string, ...any) }, input []byte) {
	got, err := Transform(input)
	want, wantErr := jsoncanonicalizer.Transform(input)
	if err == nil {
		if wantErr != nil || !bytes.Equal(got, want) {
			t.Fatalf("Transform(%q) = %q, the library says %q, %v", input, got, want, wantErr)
		}
		if again, err := Transform(got); err != nil || !bytes.Equal(again, got) {
			t.Fatalf("Transform(%q) = %q, %v, not itself", got, again, err)
		}
		return
	}
	if wantErr == nil && json.Valid(input) && utf8.Valid(input) && !bytes.ContainsRune(want, utf8.RuneError) &&
		!strings.Contains(err.Error(), "too deep") {
		t.Fatalf("Transform(%q): %v, the library says %q", input, err, want)
	}
}

func TestTransformLikeLibrary(t *testing.T) {
	t.Parallel()
	// Letters from all places where UTF-8, UTF-16 and JSON differ.
	text := rapid.StringOfN(rapid.RuneFrom([]rune("ab\"\\/\b\f\n\r\t\x00\x1f\x7f<>&é\u2028\ud7ff\ue000\ufb33\uffff\U00010000\U0010ffff")), 0, 4, -1)
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		leaf := []*rapid.Generator[any]{
			rapid.Map(text, func(s string) any { return s }),
			rapid.Map(rapid.Float64(), func(f float64) any { return f }),
			rapid.Map(rapid.Int64(), func(i int64) any { return i }),
			rapid.SampledFrom([]any{nil, true, false}),
		}
		if depth > 0 {
			next := rapid.Deferred(func() *rapid.Generator[any] { return value(depth - 1) })
			leaf = append(leaf,
				rapid.Map(rapid.SliceOfN(next, 0, 4), func(a []any) any { return a }),
				rapid.Map(rapid.MapOfN(text, next, 0, 6), func(m map[string]any) any { return m }))
		}
		return rapid.OneOf(leaf...)
	}
	rapid.Check(t, func(t *rapid.T) {
		doc, err := json.Marshal(map[string]any{"v": value(3).Draw(t, "value")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Transform(doc); err != nil {
			t.Fatalf("Transform(%s): %v", doc, err)
		}
		same(t, doc)
	})
}

func TestAppendNumberLikeLibrary(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := math.Float64frombits(rapid.Uint64().Draw(t, "bits"))
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return
		}
		want, err := jsoncanonicalizer.NumberToJSON(f)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(AppendNumber([]byte("e0"), f)[2:]); got != want {
			t.Fatalf("%x is %s, want %s", f, got, want)
		}
	})
}

func FuzzTransform(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add([]byte(v.Input))
	}
	f.Fuzz(func(t *testing.T, input []byte) { same(t, input) })
}

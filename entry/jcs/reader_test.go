package jcs

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// walk reads the next value with the methods that look inside.
func walk(r *Reader) error {
	switch r.Kind() {
	case Object:
		return r.Object(func([]byte) error { return walk(r) })
	case Array:
		return r.Array(func() error { return walk(r) })
	case String:
		_, err := r.String()
		return err
	}
	return r.Skip()
}

// read runs f over all of text.
func read(text string, f func(*Reader) error) error {
	r := NewReader([]byte(text))
	if err := f(r); err != nil {
		return err
	}
	return r.End()
}

func nested(depth int) string {
	return strings.Repeat("[", depth) + strings.Repeat("]", depth)
}

var texts = []string{
	``, ` `, `{`, `}`, `[`, `]`, `"`, `nul`, `null`, `true`, `false`, `truex`, `tru`, `0`, `-`, `-0`, `01`, `1.`, `.1`, `1.5`, `1e`, `1e+`, `1E-2`,
	`{}`, `[]`, ` { } `, `{"a"}`, `{"a":}`, `{"a":1}`, `{"a":1,}`, `{,}`, `{"a":1 "b":2}`, `{"a":1,"b":[2,{"c":"d"}]}`, `{1:2}`, `{"a" : 1}`,
	`[1,]`, `[,1]`, `[1 2]`, `[1,2]`, `[[]]`, `[{}]`, `[{"a":[]}]`, `[}`, `{]`, `[1}`, `{"a":1]`, `1 1`, `{}{}`,
	`"abc"`, `"a\"b"`, `"\u00e9"`, `"\u00g9"`, `"\u12"`, `"\x"`, `"\`, "\"\x1f\"", "\"\x7f\"", "\"\xff\"", "\"\xe9\"", `"é"`, `"\ud800"`, `"\ud83d\ude00"`,
	`"\ud83d\ud83d\ude00"`, `"\ud83dx"`, `"\ude00"`, `"12345678901234567"`, `"1234567\n"`, `"12345678\""`, "\"12345678\t\"", "\ufeff{}", "\x00", "\v1",
	nested(MaxDepth), nested(MaxDepth + 1), nested(MaxDepth + 1)[1:],
}

func TestReaderAgreesOnValidity(t *testing.T) {
	t.Parallel()
	for _, text := range texts {
		agree(t, text)
	}
}

func agree(t *testing.T, text string) {
	t.Helper()
	want := json.Valid([]byte(text))
	for name, f := range map[string]func(*Reader) error{
		"skip":   (*Reader).Skip,
		"walk":   walk,
		"member": func(r *Reader) error { _, err := r.Raw(); return err },
	} {
		err := read(text, f)
		var se *SyntaxError
		if (err == nil) != want || err != nil && (!errors.As(err, &se) || se.Offset > len(text)) {
			t.Errorf("%s of %.40q: %v, valid is %v", name, text, err, want)
		}
	}
	// Leaving values unread is the same as reading them.
	r := NewReader([]byte(text))
	var err error
	switch r.Kind() {
	case Object:
		err = r.Object(func([]byte) error { return nil })
	case Array:
		err = r.Array(func() error { return nil })
	default:
		err = r.Skip()
	}
	if err == nil {
		err = r.End()
	}
	if (err == nil) != want {
		t.Errorf("unread members of %.40q: %v, valid is %v", text, err, want)
	}
	// Strings have the same content.
	var s string
	if r := NewReader([]byte(text)); r.Kind() == String && json.Unmarshal([]byte(text), &s) == nil {
		if got, err := r.String(); err != nil || string(got) != s {
			t.Errorf("string %q is %q, %v, want %q", text, got, err, s)
		}
	}
	// Kind is the kind of what is there.
	var v any
	if json.Unmarshal([]byte(text), &v) == nil {
		want := Null
		switch v.(type) {
		case map[string]any:
			want = Object
		case []any:
			want = Array
		case string:
			want = String
		case float64:
			want = Number
		case bool:
			want = Bool
		}
		if got := NewReader([]byte(text)).Kind(); got != want {
			t.Errorf("kind of %.40q is %v, want %v", text, got, want)
		}
	}
}

func TestReaderMembers(t *testing.T) {
	t.Parallel()
	r := NewReader([]byte(` {"a\u0062":"x", "n":[1,"y",null], "skip":{"deep":[{}]}, "last":1} 2`))
	var names []string
	var elements int
	err := r.Object(func(name []byte) error {
		names = append(names, string(name))
		switch string(name) {
		case "ab":
			s, err := r.String()
			if string(s) != "x" {
				t.Errorf("string is %q", s)
			}
			return err
		case "n":
			return r.Array(func() error { elements++; return nil })
		case "last":
			raw, err := r.Raw()
			if string(raw) != "1" {
				t.Errorf("raw is %q", raw)
			}
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(names, " "); got != "ab n skip last" || elements != 3 {
		t.Errorf("names %q, %d elements", got, elements)
	}
	if r.End() == nil {
		t.Error("End did not see the second value")
	}
}

func TestReaderAllocatesNothing(t *testing.T) {
	text := []byte(`{"a":{"b":"` + strings.Repeat("x", 1000) + `"},"c":[1,2,{"d":true}]}`)
	var s []byte
	n := testing.AllocsPerRun(100, func() {
		r := Reader{data: text}
		_ = r.Object(func(name []byte) error {
			if string(name) != "a" {
				return nil
			}
			return r.Object(func([]byte) (err error) {
				s, err = r.String()
				return err
			})
		})
	})
	if n > 0 || len(s) != 1000 {
		t.Errorf("%v allocations, string of %d", n, len(s))
	}
}

func FuzzReader(f *testing.F) {
	for _, text := range texts {
		if len(text) < 1000 {
			f.Add([]byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) { agree(t, string(text)) })
}

func BenchmarkSkip(b *testing.B) {
	text := []byte(`{"data":{"hash":{"algorithm":"sha256","value":"` + strings.Repeat("a", 64) +
		`"}},"signature":{"content":"` + strings.Repeat("b", 96) + `","publicKey":{"content":"` + strings.Repeat("c", 1400) + `"}}}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		r := Reader{data: text}
		if err := r.Skip(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAppendString(t *testing.T) {
	t.Parallel()
	for c := range rune(0x100) {
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		if err := e.Encode("a" + string(c) + "b"); err != nil {
			t.Fatal(err)
		}
		if got := string(AppendString(nil, "a"+string(c)+"b")) + "\n"; got != want.String() {
			t.Errorf("%U is %q, want %q", c, got, want.String())
		}
	}
}

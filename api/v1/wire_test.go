package v1

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestEntryID(t *testing.T) {
	t.Parallel()
	uuid := strings.Repeat("ab", 32)
	for _, tt := range []struct {
		name, in string
		tree     int64
		treeErr  bool
		err      bool
	}{
		{name: "uuid", in: uuid},
		{name: "upper case", in: strings.ToUpper(uuid)},
		{name: "entry id", in: "000000000000000a" + uuid, tree: 10},
		{name: "largest tree", in: "7fffffffffffffff" + uuid, tree: 1<<63 - 1},
		{name: "tree 0", in: "0000000000000000" + uuid, treeErr: true, err: true},
		{name: "top bit", in: "F000000000000000" + uuid, treeErr: true, err: true},
		{name: "63 digits", in: uuid[1:], err: true},
		{name: "65 digits", in: uuid + "a", err: true},
		{name: "no hex", in: strings.Repeat("z", 64), err: true},
		{name: "no hex in the tree", in: "zz" + uuid + "00000000000000", err: true},
		{name: "empty", in: "", err: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			id, err := ParseEntryID(tt.in)
			if (err != nil) != tt.err {
				t.Fatalf("err = %v", err)
			}
			var te *TreeIDError
			if errors.As(err, &te) != tt.treeErr {
				t.Errorf("err = %v, want a TreeIDError: %v", err, tt.treeErr)
			}
			if err != nil {
				return
			}
			if id.TreeID != tt.tree || id.Hash.String() != uuid {
				t.Errorf("id = %v", id)
			}
			if s := id.String(); len(s) != 80 || s[16:] != uuid {
				t.Errorf("String = %q", s)
			}
		})
	}
}

func TestEntryIDRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var id EntryID
		id.TreeID = rapid.Int64Range(1, 1<<63-1).Draw(t, "tree")
		copy(id.Hash[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash"))
		back, err := ParseEntryID(id.String())
		if err != nil || back != id {
			t.Fatalf("%v became %v, %v", id, back, err)
		}
	})
}

// checkString insists that AppendString writes JSON that encoding/json reads
// back as s.
func checkString(t interface{ Fatalf(string, ...any) }, s string) {
	b := AppendString(nil, s)
	if c := AppendString(nil, []byte(s)); string(c) != string(b) {
		t.Fatalf("string and bytes differ: %q, %q", b, c)
	}
	var back string
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	if want := strings.ToValidUTF8(s, "\uFFFD"); utf8.ValidString(s) && back != want {
		t.Fatalf("%q became %q", s, back)
	}
	var std strings.Builder
	enc := json.NewEncoder(&std)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		t.Fatalf("encode: %v", err)
	}
	var want string
	if err := json.Unmarshal([]byte(std.String()), &want); err != nil || want != back {
		t.Fatalf("%q reads as %q, encoding/json has %q", b, back, want)
	}
}

func TestAppendString(t *testing.T) {
	t.Parallel()
	if got, want := string(AppendString(nil, "a<b>&\"\\\n\r\t\x01\x7f — \u2028")), `"a<b>&\"\\\n\r\t\u0001`+"\x7f — \u2028\""; got != want {
		t.Errorf("have %s, want %s", got, want)
	}
	rapid.Check(t, func(t *rapid.T) {
		checkString(t, rapid.String().Draw(t, "s"))
		checkString(t, string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")))
	})
}

func FuzzAppendString(f *testing.F) {
	f.Add("— rekor.test\n")
	f.Add("\xff\xc3\"")
	f.Fuzz(func(t *testing.T, s string) { checkString(t, s) })
}

func FuzzParseEntryID(f *testing.F) {
	f.Add(strings.Repeat("ab", 32))
	f.Add(strings.Repeat("0a", 40))
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseEntryID(s)
		if err != nil {
			return
		}
		if back := id.String(); !strings.EqualFold(back[80-len(s):], s) {
			t.Fatalf("%q became %q", s, back)
		}
	})
}

func BenchmarkAppendString(b *testing.B) {
	s := []byte("rekor.test - 3904496407287907110\n6\nzhCAttbBBHkDxqtc8+/bQn5yH1EeR+qWRX0KWLMgsOA=\n\n— rekor.test Q7jvLzBEAiAwBEj0zhBDHtP6eeB3NrFQNADBdh0hPLgeZ3zypHVS9gIgB8BHFUMSQb8XhUGgZlI4XTeuQmdik563aAB62ZYuJTc=\n")
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendString(buf[:0], s)
	}
}

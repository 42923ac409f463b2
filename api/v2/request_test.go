package v2

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cairnlog/cairn/entry"
)

// recorded returns the requests of entry/testdata by name.
func recorded(t testing.TB) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	for _, kind := range []string{"hashedrekord", "dsse"} {
		text, err := os.ReadFile("../../entry/testdata/" + kind + "-0.0.2.json")
		if err != nil {
			t.Fatal(err)
		}
		var rs []struct {
			Name     string
			Proposed json.RawMessage
			Request  []byte `json:"request_b64"`
		}
		if err := json.Unmarshal(text, &rs); err != nil {
			t.Fatal(err)
		}
		for _, r := range rs {
			if r.Request == nil {
				r.Request = r.Proposed
			}
			all[kind+" "+r.Name] = r.Request
		}
	}
	return all
}

func newParser(t testing.TB) *Parser {
	t.Helper()
	p, err := NewParser()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// same compares requests; a member of no bytes may be nil or empty, but for
// those that say which of two is there.
func same(a, b *Request) string {
	presence := func(r *Request) (there []bool) {
		add := func(v *entry.Verifier) {
			there = append(there, v.PublicKey != nil, v.Certificate != nil)
		}
		if r.HashedRekord != nil && r.HashedRekord.Signature != nil && r.HashedRekord.Signature.Verifier != nil {
			add(r.HashedRekord.Signature.Verifier)
		}
		if r.DSSE != nil {
			for i := range r.DSSE.Verifiers {
				add(&r.DSSE.Verifiers[i])
			}
		}
		return there
	}
	return cmp.Diff(a, b, cmpopts.EquateEmpty()) + cmp.Diff(presence(a), presence(b))
}

// FuzzParse checks that the short way reads what the library reads, and that
// what was read can be written and read again.
func FuzzParse(f *testing.F) {
	for _, r := range recorded(f) {
		f.Add(r)
	}
	p := newParser(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := p.parse(body)
		if short, ok := parsePlain(body); ok {
			if err != nil {
				t.Fatalf("%q: read, but the library says %v", body, err)
			}
			if d := same(r, short); d != "" {
				t.Fatalf("%q (-library +here):\n%s", body, d)
			}
		}
		if err != nil {
			if err.Error() == "" {
				t.Fatalf("%q: an error without words", body)
			}
			return
		}
		if r.HashedRekord != nil && r.DSSE != nil {
			t.Fatalf("%q has two types", body)
		}
		text := r.Append(nil)
		again, err := p.Parse(text)
		if err != nil {
			if strings.Contains(string(text), `"keyDetails":"`) && strings.Contains(err.Error(), "keyDetails") {
				return // a number that has no name
			}
			t.Fatalf("%q written as %q: %v", body, text, err)
		}
		if d := same(r, again); d != "" {
			t.Fatalf("%q written as %q (-before +after):\n%s", body, text, d)
		}
	})
}

// TestPlain checks that requests as clients send them take the short way.
func TestPlain(t *testing.T) {
	t.Parallel()
	all := recorded(t)
	for _, name := range []string{
		"valid key PKIX_ECDSA_P256_SHA_256", "valid certificate PKIX_ECDSA_P256_SHA_256", "valid certificate PKIX_ED25519_PH",
		"valid key PKIX_RSA_PKCS1V15_4096_SHA256", "valid white space", "valid escapes",
	} {
		if _, ok := parsePlain(all["hashedrekord "+name]); !ok {
			t.Errorf("%s: left to the library", name)
		}
	}
}

// TestParseOwn overwrites a request after it was read.
func TestParseOwn(t *testing.T) {
	t.Parallel()
	p := newParser(t)
	for name, body := range recorded(t) {
		r, err := p.Parse(body)
		if err != nil {
			continue
		}
		before := string(r.Append(nil))
		for i := range body {
			body[i] = 'x'
		}
		if after := string(r.Append(nil)); before != after {
			t.Errorf("%s: the result changes with the request", name)
		}
	}
}

func TestParseNothing(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", " \n", "{}", `{"hashedRekordRequestV002":null}`} {
		r, err := newParser(t).Parse([]byte(body))
		if err != nil || r.HashedRekord != nil || r.DSSE != nil {
			t.Errorf("%q: %+v, %v", body, r, err)
		}
		if string(r.Append(nil)) != "{}" {
			t.Errorf("written as %s", r.Append(nil))
		}
	}
}

func BenchmarkParse(b *testing.B) {
	encode := base64.StdEncoding.EncodeToString
	body := fmt.Appendf(nil, `{"hashedRekordRequestV002":{"digest":%q,"signature":{"content":%q,"verifier":{"x509Certificate":{"rawBytes":%q},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}}}}`,
		encode(make([]byte, 32)), encode(make([]byte, 71)), encode(make([]byte, 2101)))
	p := newParser(b)
	for name, parse := range map[string]func([]byte) (*Request, error){"short": p.Parse, "library": p.parse} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parse(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

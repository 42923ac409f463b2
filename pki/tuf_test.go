package pki

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/secure-systems-lab/go-securesystemslib/cjson"
)

func tufVectors(t testing.TB) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/tuf.json")
	if err != nil {
		t.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(text, &vs); err != nil {
		t.Fatal(err)
	}
	return vs
}

func TestTUFVectors(t *testing.T) {
	t.Parallel()
	for _, v := range tufVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			var canonical []byte
			var err error
			if v.Object == "signature" {
				var m *TUFMetadata
				if m, err = ParseTUFMetadata(v.Input); err == nil {
					canonical = m.Canonical
				}
			} else {
				var k Key
				if k, err = Parse("tuf", v.Input); err == nil {
					canonical = k.Canonical()
					var want []Identity
					for _, id := range v.Identities {
						want = append(want, Identity{Type: id.Type, Raw: id.Raw, Fingerprint: id.Fingerprint})
					}
					got := k.Identities()
					for _, ids := range [][]Identity{want, got} { // Rekor has them in random order
						slices.SortFunc(ids, func(a, b Identity) int { return cmp.Compare(a.Fingerprint, b.Fingerprint) })
					}
					if d := gocmp.Diff(want, got); d != "" {
						t.Errorf("identities (-want +got):\n%s", d)
					}
				}
			}
			if v.OK != (err == nil) || err != nil && !strings.Contains(err.Error(), v.Error) {
				t.Fatalf("error %v, want %q", err, v.Error)
			}
			if d := gocmp.Diff(string(v.Canonical), string(canonical)); d != "" {
				t.Errorf("canonical form (-want +got):\n%s", d)
			}
		})
	}
}

// A tufSigner makes documents for tests.
type tufSigner struct {
	key ed25519.PrivateKey
	id  string
}

func newTUFSigner(seed byte) tufSigner {
	return tufSigner{ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune(seed)), 32))), fmt.Sprintf("id%d", seed)}
}

func (s tufSigner) public() map[string]any {
	return map[string]any{
		"keytype": "ed25519", "scheme": "ed25519",
		"keyval": map[string]any{"public": hex.EncodeToString(s.key.Public().(ed25519.PublicKey))},
	}
}

// sign signs a document n times.
func (s tufSigner) sign(t testing.TB, signed map[string]any, n int) []byte {
	t.Helper()
	text, err := json.Marshal(signed)
	if err != nil {
		t.Fatal(err)
	}
	var plain map[string]any
	if err := json.Unmarshal(text, &plain); err != nil {
		t.Fatal(err)
	}
	message, err := cjson.EncodeCanonical(plain)
	if err != nil {
		message = text // such a document has no signature
	}
	sig := map[string]any{"keyid": s.id, "sig": hex.EncodeToString(ed25519.Sign(s.key, message))}
	doc, err := json.Marshal(map[string]any{"signed": signed, "signatures": slices.Repeat([]any{sig}, n)})
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// root returns the signed part of a root with one key for all roles.
func (s tufSigner) root(threshold int, more map[string]any) map[string]any {
	role := map[string]any{"keyids": []string{s.id}, "threshold": threshold}
	keys := map[string]any{s.id: s.public()}
	for id, k := range more {
		keys[id] = k
	}
	return map[string]any{
		"_type": "root", "spec_version": "1.0", "version": 3, "expires": "2030-01-01T00:00:00Z",
		"keys": keys, "roles": map[string]any{"root": role, "timestamp": role},
	}
}

func TestTUFClock(t *testing.T) {
	t.Parallel()
	s := newTUFSigner(1)
	expires := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	root := s.sign(t, s.root(1, nil), 1)
	early := s.sign(t, map[string]any{"_type": "timestamp", "version": 7, "expires": "2029-01-01T00:00:00Z"}, 1)
	for name, tt := range map[string]struct {
		now            time.Time
		root, metadata bool
	}{
		"before":             {expires.AddDate(-2, 0, 0), true, true},
		"metadata expired":   {expires.AddDate(-1, 0, 0), true, false},
		"last moment":        {expires.Add(-1), true, false},
		"at expiry":          {expires, false, false},
		"no time":            {time.Time{}, true, true},
		"expired long since": {expires.AddDate(9, 0, 0), false, false},
	} {
		k, err := ParseTUF(root, tt.now)
		if tt.root != (err == nil) || err != nil && !strings.Contains(err.Error(), "expired at 2030-01-01") {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		if k.SpecVersion() != "1.0" || k.Subjects() != nil {
			t.Errorf("%s: version %q, subjects %q", name, k.SpecVersion(), k.Subjects())
		}
		stored, err := k.VerifyDetached(nil, early)
		if tt.metadata != (err == nil) || err != nil && !strings.Contains(err.Error(), "expired at 2029-01-01") {
			t.Errorf("%s: metadata: %v", name, err)
		}
		if err == nil && !strings.HasPrefix(string(stored), `{"signatures":[{"keyid":"id1"`) {
			t.Errorf("%s: stored is %s", name, stored)
		}
	}
}

func TestTUFRefuses(t *testing.T) {
	t.Parallel()
	s := newTUFSigner(1)
	root := func(more map[string]any) []byte { return s.sign(t, s.root(1, more), 1) }
	many := map[string]any{}
	for i := range maxTUFKeys {
		many[fmt.Sprint(i)] = newTUFSigner(byte(i + 2)).public()
	}
	n, _ := new(big.Int).SetString("1"+strings.Repeat("0", maxRSABits)+"1", 2)
	huge := string(mustPEM(t, &rsa.PublicKey{N: n, E: 65537}))
	for name, tt := range map[string]struct {
		text []byte
		want string
	}{
		"empty":                 {nil, "unexpected end of JSON input"},
		"null":                  {[]byte("null"), "unexpected end of JSON input"},
		"no signature":          {s.sign(t, s.root(1, nil), 0), "no signatures"},
		"threshold":             {s.sign(t, s.root(2, nil), 2), "did not meet threshold"},
		"threshold zero":        {s.sign(t, s.root(0, nil), 1), "invalid role threshold"},
		"threshold negative":    {s.sign(t, s.root(-1, nil), 1), "invalid role threshold"},
		"key null":              {root(map[string]any{"x": nil}), "nil key"},
		"key without type":      {root(map[string]any{"x": map[string]any{}}), "invalid key"},
		"RSA without value":     {root(map[string]any{"x": map[string]any{"keytype": "rsa", "keyval": map[string]any{}}}), "invalid key in tuf root"},
		"ECDSA without value":   {root(map[string]any{"x": map[string]any{"keytype": "ecdsa", "keyval": map[string]any{}}}), "invalid key in tuf root"},
		"key not a number":      {root(map[string]any{s.id: map[string]any{"keytype": "ed25519", "keyval": map[string]any{"public": s.public()["keyval"].(map[string]any)["public"], "x": 1.5}}}), "tuf"},
		"RSA key too large":     {root(map[string]any{"x": map[string]any{"keytype": "rsa", "keyval": map[string]any{"public": huge}}}), "limit is 8192"},
		"too many keys":         {root(many), "contains 65 keys, the limit is 64"},
		"too many signatures":   {s.sign(t, s.root(1, nil), maxTUFSignatures+1), "33 signatures, the limit is 32"},
		"too large":             {root(map[string]any{"x": map[string]any{"keytype": strings.Repeat("x", maxTUF)}}), "in canonical form, the limit is 65536"},
		"too much white space":  {append(root(nil), strings.Repeat(" ", maxTUFText)...), "the limit is 524288"},
		"too deep":              {[]byte(`{"signatures":[],"signed":{"a":` + strings.Repeat("[", 20000)), "exceeded max depth"},
		"two members of a name": {[]byte(`{"signatures":[{"keyid":"a","sig":""}],"signed":{"_type":"root","_type":"root"}}`), "duplicate"},
	} {
		_, err := ParseTUF(tt.text, time.Time{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	k, err := ParseTUF(root(nil), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for name, signed := range map[string]map[string]any{
		"unknown role": {"_type": "mirror", "version": 1},
		"no role":      {"version": 1},
		"no number":    {"_type": "timestamp", "version": "1"},
	} {
		if _, err := k.VerifyDetached(nil, s.sign(t, signed, 1)); err == nil {
			t.Errorf("metadata with %s was accepted", name)
		}
	}
	if _, err := k.VerifyDetached(nil, newTUFSigner(2).sign(t, map[string]any{"_type": "timestamp"}, 1)); err == nil {
		t.Error("metadata by another key was accepted")
	}
}

func FuzzParseTUF(f *testing.F) {
	for _, v := range tufVectors(f) {
		f.Add(v.Input)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if m, err := ParseTUFMetadata(text); err == nil {
			again, err := ParseTUFMetadata(m.Canonical)
			if err != nil || string(again.Canonical) != string(m.Canonical) {
				t.Fatalf("%q read back: %v", m.Canonical, err)
			}
		}
		k, err := ParseTUF(text, time.Time{})
		if err != nil {
			return
		}
		_, _ = k.VerifyDetached(nil, text)
		again, err := ParseTUF(k.Canonical(), time.Time{})
		if err != nil || string(again.Canonical()) != string(k.Canonical()) || len(again.Identities()) != len(k.Identities()) {
			t.Fatalf("root %q read back: %v", k.Canonical(), err)
		}
	})
}

// BenchmarkParseTUFHostile is the slowest root there is: each signature makes
// the library read all of it again.
func BenchmarkParseTUFHostile(b *testing.B) {
	s := newTUFSigner(1)
	root := s.root(1, nil)
	root["custom"] = strings.Split(strings.Repeat("x", 14000), "")
	doc := s.sign(b, root, maxTUFSignatures)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseTUF(doc, time.Time{}); err != nil {
			b.Fatal(err)
		}
	}
}

package entry

import (
	"crypto"
	"crypto/rand"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHashTerm(t *testing.T) {
	t.Parallel()
	var vs []struct{ Input, Prefixed string }
	readJSON(t, "hash_prefixing.json", &vs)
	for _, v := range vs {
		got, err := HashTerm(v.Input)
		if !strings.Contains(v.Prefixed, ":") || strings.Count(v.Input, ":") > 0 && len(v.Input) < 40 {
			if err == nil { // no digest, whatever its prefix
				t.Errorf("HashTerm(%q) = %q", v.Input, got)
			}
			continue
		}
		if want := strings.ToLower(v.Prefixed); got != want || err != nil {
			t.Errorf("HashTerm(%q) = %q, %v, want %q", v.Input, got, err, want)
		}
	}
	for name, s := range map[string]string{
		"wrong algorithm":  "sha1:" + strings.Repeat("a", 64),
		"upper-case name":  "SHA256:" + strings.Repeat("a", 64),
		"no digits":        "sha256:" + strings.Repeat("g", 64),
		"two prefixes":     "sha256:sha256:" + strings.Repeat("a", 64),
		"prefix of 64":     strings.Repeat("a", 63) + ":",
		"other digits":     strings.Repeat("a", 63) + "é",
		"wrong length":     strings.Repeat("a", 66),
		"empty with colon": ":" + strings.Repeat("a", 64),
	} {
		if got, err := HashTerm(s); err == nil {
			t.Errorf("%s: HashTerm(%q) = %q", name, s, got)
		}
	}
}

func TestKeyTerms(t *testing.T) {
	t.Parallel()
	s := newECDSA(t)
	want := []string{digest(s.pem), "sha256:" + digest(s.pem)}
	for name, pem := range map[string]string{"canonical": string(s.pem), "with space": "\n " + string(s.pem) + "\n"} {
		got, err := KeyTerms("x509", []byte(pem))
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%s: %v, terms (-want +got):\n%s", name, err, d)
		}
	}
	for format, text := range map[string]string{"x509": "reading the public key", "pgp": "reading the public key", "foo": "unknown"} {
		if _, err := KeyTerms(format, []byte("x")); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("format %s: %v", format, err)
		}
	}
	// The terms find what the kinds index.
	e := seal(t, "text/plain", []byte("x"), s)
	c, err := Check(NewDSSE(e.json(t), [][]byte{s.pem}), Options{})
	if err != nil || !slices.Contains(c.Terms, want[1]) {
		t.Errorf("dsse: terms %q, %v", c.Terms, err)
	}
}

// TestPropose checks that what the constructors make is accepted, after a way
// over the wire.
func TestPropose(t *testing.T) {
	t.Parallel()
	k := newKeyless(t)
	ec, ed := newECDSA(t), newEd25519(t)
	artifact := []byte("artifact <&>")
	env := seal(t, inTotoType, []byte(`{"subject":[{"digest":{"SHA256":"AB"}}]}`), ec, ed)
	env.Signatures[0].KeyID = "key <1>"
	keys := [][]byte{ed.pem, ec.pem} // in another order than the signatures
	one := seal(t, "text/plain", []byte("x"), ed)

	intoto := func(version string, e *envelope, keys ...[]byte) Proposal {
		t.Helper()
		p, err := NewIntoto(version, e.json(t), keys)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for name, p := range map[string]Proposal{
		"hashedrekord 0.0.1": NewHashedRekord("sha256", hex.EncodeToString(k.digest[:]), k.sig, k.pem()),
		"rekord 0.0.1":       NewRekord(artifact, ec.signature(t, artifact), ec.pem, "x509"),
		"dsse 0.0.1":         NewDSSE(env.json(t), keys),
		"intoto 0.0.1":       intoto("0.0.1", one, ed.pem),
		"intoto 0.0.2":       intoto("0.0.2", env, keys...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(text), `{"apiVersion":"`+p.APIVersion+`","spec":{`) || !strings.HasSuffix(string(text), `},"kind":"`+p.Kind+`"}`) {
				t.Errorf("members are not in the order of rekor-cli: %s", text)
			}
			sent, err := ParseProposal(text)
			if err != nil {
				t.Fatal(err)
			}
			here, err := Check(p, Options{})
			if err != nil {
				t.Fatal(err)
			}
			there, err := Check(sent, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(here, there); d != "" {
				t.Errorf("before and after the wire:\n%s", d)
			}
			if here.Kind+" "+here.APIVersion != name {
				t.Errorf("type is %s %s", here.Kind, here.APIVersion)
			}
			checkSound(t, here)
		})
	}

	for name, err := range map[string]error{
		"version":        second(NewIntoto("0.0.3", nil, nil)),
		"two keys":       second(NewIntoto("0.0.1", one.json(t), keys)),
		"no JSON":        second(NewIntoto("0.0.2", []byte("x"), keys)),
		"no signatures":  second(NewIntoto("0.0.2", []byte("{}"), keys)),
		"useless key":    second(NewIntoto("0.0.2", one.json(t), keys)),
		"missing key":    second(NewIntoto("0.0.2", env.json(t), keys[:1])),
		"no keys at all": second(NewIntoto("0.0.2", env.json(t), nil)),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	k := newKeyless(t)
	ec, ed := newECDSA(t), newEd25519(t)
	sum := sha512.Sum512([]byte("artifact"))
	hexSum := hex.EncodeToString(sum[:])
	pure := ed.signature(t, []byte("artifact"))
	big := strings.Repeat("x", maxBody)

	for _, tt := range []struct {
		name   string
		p      Proposal
		reason Reason
		text   string
	}{
		{"unknown kind", Proposal{"foo", "0.0.1", nil}, UnknownKind, `invalid kind value: "foo"`},
		{"unknown version", Proposal{"dsse", "9.9.9", nil}, UnknownVersion, "dsse implementation for version '9.9.9' not found: unable to locate entry for version 9.9.9"},
		{"no spec", Proposal{"dsse", "0.0.1", nil}, Invalid, "must be an object"},
		{"spec is cut off", Proposal{"dsse", "0.0.1", []byte(`{"a":`)}, Invalid, "reading the spec: invalid JSON at byte 5"},
		{"two specs", Proposal{"dsse", "0.0.1", []byte(`{}{}`)}, Invalid, "reading the spec: invalid JSON at byte 2"},
		{"plain ed25519", NewHashedRekord("sha512", hexSum, pure, ed.pem), Invalid, "Ed25519ph"},
		{"plain ed25519 with sha256", NewHashedRekord("sha256", hex.EncodeToString(k.digest[:]), pure, ed.pem), Invalid,
			"a plain Ed25519 signature cannot be checked without the artifact"},
		{"unknown format", NewRekord([]byte("x"), []byte("x"), []byte("x"), "pkcs7"), Invalid, "signature.signature.format in body should be one of [pgp minisign x509 ssh]"},
		{"pgp", NewRekord([]byte("x"), []byte("x"), []byte("x"), "pgp"), Invalid, "unable to read PGP public key: EOF"},
		{"body too large", func() Proposal {
			p, err := NewIntoto("0.0.2", seal(t, big, []byte("x"), ec).json(t), [][]byte{ec.pem})
			if err != nil {
				t.Fatal(err)
			}
			return p
		}(), TooLarge, "the limit is 65535"},
		{"envelope is an array", NewDSSE([]byte(`[]`), [][]byte{ec.pem}), Invalid, "DSSE envelope cannot be a JSON array"},
		{"payload is a number", NewDSSE([]byte(`{"payload":1}`), [][]byte{ec.pem}), Invalid, "DSSE envelope: member payload cannot be a JSON number"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			refused(t, tt.p, Options{}, tt.reason, tt.text)
		})
	}
}

// TestPolicy checks that the policy on algorithms is for new entries only.
func TestPolicy(t *testing.T) {
	t.Parallel()
	k := newKeyless(t) // P-256
	sum := sha512.Sum512([]byte("artifact"))
	ec := signer{k.key, k.pem()}
	sig, err := ec.Sign(rand.Reader, sum[:], crypto.SHA512)
	if err != nil {
		t.Fatal(err)
	}
	p := NewHashedRekord("sha512", hex.EncodeToString(sum[:]), sig, k.pem())
	refused(t, p, Options{}, NotAllowed, "entry algorithms are not allowed")
	if _, err := Check(p, Options{Stored: true}); err != nil {
		t.Errorf("query: %v", err)
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	k := newKeyless(t)
	c, err := Check(NewHashedRekord("sha256", hex.EncodeToString(k.digest[:]), k.sig, k.pem()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := Read(c.Body)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c, leaf); d != "" {
		t.Errorf("leaf (-written +read):\n%s", d)
	}
	want := []string{"alice@example.com", "https://github.com/owner/repo/.github/workflows/build.yml@refs/heads/main"}
	if d := cmp.Diff(want, leaf.Identities[0].Subjects); d != "" {
		t.Errorf("subjects (-want +got):\n%s", d)
	}
	// A leaf that was written in another way is the same leaf.
	other := []byte(" " + string(c.Body))
	if leaf, err = Read(other); err != nil || string(leaf.Body) != string(other) {
		t.Errorf("Read: %v, %v", leaf, err)
	}
	var e *Error
	if _, err := Read([]byte("x")); !errors.As(err, &e) || e.Reason != Malformed {
		t.Errorf("Read of garbage: %v", err)
	}
}

// TestReadOldIntoto reads a leaf from before there was a payload hash.
func TestReadOldIntoto(t *testing.T) {
	t.Parallel()
	s := newECDSA(t)
	body := fmt.Sprintf(`{"apiVersion":"0.0.1","kind":"intoto","spec":{"content":{"hash":{"algorithm":"sha256","value":"%s"}},"publicKey":"%s"}}`,
		strings.Repeat("ab", 32), encode(s.pem).text)
	leaf, err := Read([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"sha256:" + strings.Repeat("ab", 32), "sha256:" + digest(s.pem)}, leaf.Terms, cmp.Transformer("set", set)); d != "" {
		t.Errorf("terms (-want +got):\n%s", d)
	}
	if string(leaf.Body) != body || leaf.Artifact != "" {
		t.Errorf("body %s, artifact %q", leaf.Body, leaf.Artifact)
	}
}

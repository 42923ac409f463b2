package entry

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/cairnlog/cairn/entry/jcs"
)

func FuzzCoseV001(f *testing.F)         { fuzzKind(f, "cose", "0.0.1") }
func FuzzHashedRekordV001(f *testing.F) { fuzzKind(f, "hashedrekord", "0.0.1") }
func FuzzDsseV001(f *testing.F)         { fuzzKind(f, "dsse", "0.0.1") }
func FuzzHashedRekordV002(f *testing.F) { fuzzLeaf(f, "hashedrekord", "0.0.2") }
func FuzzDsseV002(f *testing.F)         { fuzzLeaf(f, "dsse", "0.0.2") }
func FuzzIntotoV001(f *testing.F)       { fuzzKind(f, "intoto", "0.0.1") }
func FuzzIntotoV002(f *testing.F)       { fuzzKind(f, "intoto", "0.0.2") }
func FuzzRekordV001(f *testing.F)       { fuzzKind(f, "rekord", "0.0.1") }
func FuzzJarV001(f *testing.F)          { fuzzKind(f, "jar", "0.0.1") }
func FuzzRfc3161V001(f *testing.F)      { fuzzKind(f, "rfc3161", "0.0.1") }
func FuzzTufV001(f *testing.F)          { fuzzKind(f, "tuf", "0.0.1") }

// ever is before anything can have expired.
var ever = time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)

// fuzzKind checks any spec of a kind: a refusal is an *Error, and what is
// accepted has a canonical body that can be read back and found again.
func fuzzKind(f *testing.F, kind, version string) {
	k, ok := Lookup(kind, version)
	if !ok {
		f.Fatalf("no %s %s", kind, version)
	}
	for _, v := range vectors(f, k) {
		if p, err := ParseProposal(v.body()); err == nil && p.Kind == kind {
			f.Add([]byte(p.Spec))
		}
		if v.Accept && len(v.Canonical) > 0 {
			if p, err := ParseProposal(v.Canonical); err == nil {
				f.Add([]byte(p.Spec))
			}
		}
	}
	f.Fuzz(func(t *testing.T, spec []byte) {
		p := Proposal{Kind: kind, APIVersion: version, Spec: spec}
		for _, o := range []Options{{}, {Now: ever}, {Now: ever, Stored: true}, {Stored: true, read: true}} {
			c, err := Check(p, o)
			if err != nil {
				if e := (*Error)(nil); !errors.As(err, &e) || e.Text == "" {
					t.Fatalf("error %#v", err)
				}
				continue
			}
			checkSound(t, c)
		}
	})
}

// fuzzLeaf checks any spec of a kind of the v2 API, which has its spec only in
// the log: it is never a proposal, and what can be read is what it makes.
func fuzzLeaf(f *testing.F, kind, version string) {
	for _, v := range vectors(f, Type{Kind: kind, Version: version}) {
		if v.Accept {
			p, err := ParseProposal(v.Canonical)
			if err != nil {
				f.Fatal(err)
			}
			f.Add([]byte(p.Spec))
		}
	}
	f.Add([]byte(`{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"AA=="},"signature":{"verifier":{"publicKey":{}}}}}`))
	f.Add([]byte(`{"dsseV002":{"payloadHash":{},"signatures":[{},null]}}`))
	f.Fuzz(func(t *testing.T, spec []byte) {
		p := Proposal{Kind: kind, APIVersion: version, Spec: spec}
		for _, o := range []Options{{}, {Stored: true}} {
			if c, err := Check(p, o); err == nil {
				t.Fatalf("%q is a proposal: %+v", spec, c)
			}
		}
		c, err := Check(p, Options{Stored: true, read: true})
		if err != nil {
			if e := (*Error)(nil); !errors.As(err, &e) || e.Text == "" {
				t.Fatalf("error %#v", err)
			}
			return
		}
		checkSound(t, c)
	})
}

// checkSound checks what must hold for everything that Check accepts.
func checkSound(t *testing.T, c *Checked) {
	t.Helper()
	if canonical, err := jcs.Transform(c.Body); err != nil || !bytes.Equal(canonical, c.Body) {
		t.Fatalf("body %q is not canonical: %v", c.Body, err)
	}
	leaf, err := Read(c.Body)
	if err != nil {
		t.Fatalf("read body %q: %v", c.Body, err)
	}
	if !bytes.Equal(leaf.Body, c.Body) {
		t.Fatalf("body %q read back is %q", c.Body, leaf.Body)
	}
	for _, term := range leaf.Terms {
		if !slices.Contains(c.Terms, term) {
			t.Fatalf("body %q has term %q only when read back", c.Body, term)
		}
	}
	if c.Artifact != leaf.Artifact || len(c.Identities) != len(leaf.Identities) {
		t.Fatalf("body %q is by %v of %s, read back by %v of %s", c.Body, c.Identities, c.Artifact, leaf.Identities, leaf.Artifact)
	}
	if slices.Contains(needContent, c.Kind) {
		return
	}
	if k, _ := Lookup(c.Kind, c.APIVersion); k.API != 1 {
		return
	}
	p, err := ParseProposal(c.Body)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Check(p, Options{Stored: true, Now: ever})
	if err != nil {
		t.Fatalf("body %q asked for: %v", c.Body, err)
	}
	if !bytes.Equal(again.Body, c.Body) {
		t.Fatalf("body %q asked for is %q", c.Body, again.Body)
	}
}

// FuzzParseProposal compares the envelope with what encoding/json reads.
func FuzzParseProposal(f *testing.F) {
	for _, k := range proposable() {
		for _, v := range vectors(f, k)[:20] {
			f.Add(v.body())
		}
	}
	for _, s := range []string{
		``, " \n", `null`, `nullx`, `{}`, `[]`, `"x"`, `1`, `{"kind":null}`, `{"kind":1}`, `{"kind":"rpm","kind":null,"apiVersion":"0.0.1","spec":1}`,
		`{"kind":"rpm","apiVersion":"0.0.1","apiVersion":null,"spec":1}`, `{"kind":"rpm","apiVersion":"0.0.1","spec":1,"spec":null}`,
		`{"KIND":"rpm","APIversion":"0.0.1","ſpec":{}}`, `{"kind":"ProposedEntry"}`, `{"kind":"rpm","apiVersion":"","spec":{}}x`,
		`{"kind":5,"spec":{}} x`, `{"kind":5,"spec":{]`, `{"kind":"rpm","apiVersion":"1.0.0-a.b+c","spec":1e999}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var want struct {
			Kind       string  `json:"kind"`
			APIVersion *string `json:"apiVersion"`
			Spec       any     `json:"spec"`
		}
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		decodeErr := d.Decode(&want)

		p, err := ParseProposal(body)
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("error %#v", err)
		}
		reason := func(r Reason, field string) {
			t.Helper()
			if e == nil || e.Reason != r || e.Field != field {
				t.Fatalf("%q: error %#v, want reason %d for %q", body, e, r, field)
			}
		}
		switch {
		case decodeErr == io.EOF:
			reason(Required, "proposedEntry")
		case decodeErr != nil:
			reason(Malformed, "")
		case want.Kind == "":
			reason(Required, "kind")
		case want.Kind == "ProposedEntry":
			reason(Invalid, "")
		case !slices.Contains(protocolKinds, want.Kind):
			reason(UnknownKind, "kind")
		case want.APIVersion == nil:
			reason(Required, "apiVersion")
		case !semver.MatchString(*want.APIVersion):
			reason(Pattern, "apiVersion")
		case want.Spec == nil:
			reason(Required, "spec")
		default:
			if err != nil {
				t.Fatalf("%q: %v", body, err)
			}
			if p.Kind != want.Kind || p.APIVersion != *want.APIVersion {
				t.Fatalf("%q: %+v, want %+v", body, p, want)
			}
			a, err := json.Marshal(json.RawMessage(p.Spec))
			if err != nil {
				t.Fatal(err)
			}
			var spec any
			d := json.NewDecoder(bytes.NewReader(a))
			d.UseNumber()
			if err := d.Decode(&spec); err != nil {
				t.Fatal(err)
			}
			a, _ = json.Marshal(spec)
			b, _ := json.Marshal(want.Spec)
			if !bytes.Equal(a, b) {
				t.Fatalf("%q: spec %s, want %s", body, a, b)
			}
		}
	})
}

// FuzzTerms checks that search terms never panic and have a prefix.
func FuzzTerms(f *testing.F) {
	f.Add("x509", []byte("-----BEGIN PUBLIC KEY-----"))
	f.Add("sha256:ab", []byte("ab"))
	f.Fuzz(func(t *testing.T, s string, b []byte) {
		if term, err := HashTerm(s); err == nil && len(term) < 40 {
			t.Fatalf("HashTerm(%q) = %q", s, term)
		}
		if terms, err := KeyTerms(s, b); err == nil && len(terms) != 2 {
			t.Fatalf("KeyTerms(%q, %q) = %q", s, b, terms)
		}
	})
}

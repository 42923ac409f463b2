package entry_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/transparency-dev/merkle/rfc6962"

	v2 "github.com/cairnlog/cairn/api/v2"
	"github.com/cairnlog/cairn/entry"
)

// A request2 is what Rekor v2 makes of a request.
type request2 struct {
	Name      string
	Proposed  json.RawMessage
	Request   []byte `json:"request_b64"`
	Accept    bool
	Stage     string `json:"reject_stage"`
	Canonical []byte `json:"canonical_b64"`
	LeafHash  string `json:"leaf_hash_hex"`
}

func requests2(t testing.TB, kind string) []request2 {
	t.Helper()
	text, err := os.ReadFile("testdata/" + kind + "-0.0.2.json")
	if err != nil {
		t.Fatal(err)
	}
	var rs []request2
	if err := json.Unmarshal(text, &rs); err != nil {
		t.Fatal(err)
	}
	for i := range rs {
		if rs[i].Request == nil {
			rs[i].Request = rs[i].Proposed
		}
	}
	return rs
}

// check parses and checks a request, and says where it was refused.
func check(t testing.TB, request []byte) (c *entry.Checked, stage string, err error) {
	t.Helper()
	p, err := v2.NewParser()
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Parse(request)
	switch {
	case err != nil:
		return nil, "parse", err
	case r.HashedRekord != nil:
		c, err = r.HashedRekord.Check()
		stage = "hashedrekord"
	case r.DSSE != nil:
		c, err = r.DSSE.Check()
		stage = "dsse"
	default:
		return nil, "type", errors.New("no type")
	}
	if e := (*entry.Error)(nil); err != nil && (!errors.As(err, &e) || e.Text == "" || c != nil) {
		t.Fatalf("error %#v, and %v", err, c)
	}
	return c, stage, err
}

// TestRekor2 compares bodies, leaf hashes and verdicts with those of Rekor v2.
func TestRekor2(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"hashedrekord", "dsse"} {
		for _, v := range requests2(t, kind) {
			t.Run(kind+" "+v.Name, func(t *testing.T) {
				t.Parallel()
				c, stage, err := check(t, v.Request)
				if v.Accept != (err == nil) {
					t.Fatalf("accepted: %t, error: %v", v.Accept, err)
				}
				if err != nil {
					if stage != v.Stage {
						t.Errorf("refused at stage %q, by Rekor at %q: %v", stage, v.Stage, err)
					}
					return
				}
				if d := cmp.Diff(string(v.Canonical), string(c.Body)); d != "" {
					t.Errorf("body (-want +got):\n%s", d)
				}
				if h := hex.EncodeToString(rfc6962.DefaultHasher.HashLeaf(c.Body)); h != v.LeafHash {
					t.Errorf("leaf hash %s, want %s", h, v.LeafHash)
				}
				compareLeaf(t, c, v.Request)
			})
		}
	}
}

// compareLeaf reads the leaf of c back, and asks what of it is found by.
func compareLeaf(t *testing.T, c *entry.Checked, request []byte) {
	t.Helper()
	leaf, err := entry.Read(c.Body)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	if leaf.Kind != c.Kind || leaf.APIVersion != "0.0.2" || leaf.Artifact != c.Artifact || !bytes.Equal(leaf.Body, c.Body) {
		t.Errorf("read back: %+v, want %+v", leaf, c)
	}
	if d := cmp.Diff(c.Identities, leaf.Identities); d != "" {
		t.Errorf("identities (-written +read):\n%s", d)
	}
	for _, term := range leaf.Terms {
		if !slices.Contains(c.Terms, term) {
			t.Errorf("term %q is there only when read back", term)
		}
	}
	for _, id := range c.Identities {
		// The v1 API looks for keys by what their PEM says.
		block := &pem.Block{Type: "PUBLIC KEY", Bytes: id.Raw}
		if id.Type == "*x509.Certificate" {
			block.Type = "CERTIFICATE"
			cert, err := x509.ParseCertificate(id.Raw)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range cert.EmailAddresses {
				if !slices.Contains(c.Terms, name) {
					t.Errorf("not found by %s: %q", name, c.Terms)
				}
			}
			for _, u := range cert.URIs {
				if !slices.Contains(c.Terms, u.String()) {
					t.Errorf("not found by %s: %q", u, c.Terms)
				}
			}
		}
		terms, err := entry.KeyTerms("x509", pem.EncodeToMemory(block))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(terms, func(s string) bool { return slices.Contains(c.Terms, s) }) {
			t.Errorf("not found by its key %q: %q", terms, c.Terms)
		}
		if sum := sha256.Sum256(id.Raw); id.Fingerprint != hex.EncodeToString(sum[:]) {
			t.Errorf("fingerprint %s of %x", id.Fingerprint, id.Raw)
		}
	}
	if _, err := entry.HashTerm(c.Artifact); err != nil || !slices.Contains(c.Terms, c.Artifact) {
		t.Errorf("artifact %q, %v, is not among %q", c.Artifact, err, c.Terms)
	}
	// Nothing of the result is part of the request.
	body, terms := bytes.Clone(c.Body), slices.Clone(c.Terms)
	for i := range request {
		request[i] = 'x'
	}
	if !bytes.Equal(body, c.Body) || !slices.Equal(terms, c.Terms) {
		t.Error("the result changes with the request")
	}
}

// TestRekor2Statement checks that a statement is found by its subjects.
func TestRekor2Statement(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte("artifact"))
	for _, v := range requests2(t, "dsse") {
		c, _, err := check(t, v.Request)
		if err != nil {
			continue
		}
		if plain := strings.Contains(v.Name, "plain") || strings.Contains(v.Name, "payload") || strings.Contains(v.Name, "ten "); plain == slices.Contains(c.Terms, "sha256:"+hex.EncodeToString(sum[:])) {
			t.Errorf("%s: terms %q", v.Name, c.Terms)
		}
	}
}

// TestProposalRekor2 makes requests of the v2 API from hashedrekords of v1.
func TestProposalRekor2(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/hashedrekord-0.0.1.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name     string
		Proposed json.RawMessage
		Accept   bool
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	made := 0
	for _, v := range vectors {
		p, err := entry.ParseProposal(v.Proposed)
		if err != nil {
			continue
		}
		r, ok := p.Rekor2()
		if !ok {
			continue
		}
		c, err := r.Check()
		if (err == nil) != v.Accept {
			t.Errorf("%s: accepted by v1: %t, by v2: %v", v.Name, v.Accept, err)
		}
		if err != nil || !v.Accept {
			continue
		}
		made++
		before, err := entry.Check(p, entry.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if c.Artifact != strings.ToLower(before.Artifact) || c.Identities[0].Fingerprint != before.Identities[0].Fingerprint {
			t.Errorf("%s: %+v, by v1 %+v", v.Name, c, before)
		}
	}
	if made < 10 {
		t.Errorf("made %d", made)
	}
	if _, ok := (entry.Proposal{Kind: "dsse", APIVersion: "0.0.1", Spec: []byte("{}")}).Rekor2(); ok {
		t.Error("a dsse is a hashedrekord")
	}
}

// TestRekor2IsNoProposal checks that the v1 API knows nothing of these types.
func TestRekor2IsNoProposal(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"hashedrekord", "dsse"} {
		p, err := entry.ParseProposal(requests2(t, kind)[0].Canonical)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []entry.Options{{}, {Stored: true}} {
			want := kind + " implementation for version '0.0.2' not found: unable to locate entry for version 0.0.2"
			if _, err := entry.Check(p, o); err == nil || err.Error() != want {
				t.Errorf("%s: %v, want %s", kind, err, want)
			}
		}
	}
}

// TestRekor2Limits checks bounds that no record touches.
func TestRekor2Limits(t *testing.T) {
	t.Parallel()
	var r entry.HashedRekord002
	for _, v := range requests2(t, "hashedrekord") {
		if v.Name == "valid certificate PKIX_ECDSA_P256_SHA_256" {
			p, err := v2.NewParser()
			if err != nil {
				t.Fatal(err)
			}
			req, err := p.Parse(v.Request)
			if err != nil {
				t.Fatal(err)
			}
			r = *req.HashedRekord
		}
	}
	if _, err := r.Check(); err != nil {
		t.Fatal(err)
	}
	both := *r.Signature.Verifier
	both.PublicKey = []byte{1}
	r.Signature = &entry.Signature{Content: r.Signature.Content, Verifier: &both}
	if _, err := r.Check(); err == nil || !strings.Contains(err.Error(), "both") {
		t.Errorf("key and certificate: %v", err)
	}
}

// TestReadRekor2Refuses checks leaves that nobody has written.
func TestReadRekor2Refuses(t *testing.T) {
	t.Parallel()
	leaf := func(kind string) string { return string(requests2(t, kind)[0].Canonical) }
	hr, dsse := leaf("hashedrekord"), leaf("dsse")
	for _, tt := range []struct{ name, body, old, new, text string }{
		{"other version's spec", hr, "hashedRekordV002", "data", "not that of a hashedrekord"},
		{"no algorithm", hr, `"algorithm":"SHA2_256",`, ``, "not that of a hashedrekord"},
		{"unknown algorithm", hr, `SHA2_256`, `SHA3_256`, "not that of a hashedrekord"},
		{"another algorithm", hr, `SHA2_256`, `SHA2_512`, "another algorithm"},
		{"digest is no base64", hr, `"digest":"`, `"digest":"?`, "base64"},
		{"another digest", hr, `"digest":"`, `"digest":"AAAA`, "digest has"},
		{"unknown key details", hr, `PKIX_ECDSA_P256_SHA_256`, `PKIX_FOO`, "not an algorithm"},
		{"no verifier", hr, `"verifier":`, `"x":`, "verifier is missing"},
		{"other version's dsse", dsse, "dsseV002", "envelopeHash", "not that of a dsse"},
		{"short digest", dsse, `"digest":"`, `"digest":"AAAA","x":"`, "not that of a dsse"},
		{"no signatures", dsse, `"signatures":`, `"x":`, "not that of a dsse"},
		{"signatures are an object", dsse, `"signatures":[`, `"x":[`, "not that of a dsse"},
		{"no content", dsse, `"content":`, `"x":`, "not complete"},
		{"no key", dsse, `"publicKey":`, `"x":`, "neither"},
		{"key is garbage", dsse, `"rawBytes":"`, `"rawBytes":"AAAA","x":"`, "parse public key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body := strings.Replace(tt.body, tt.old, tt.new, 1)
			if body == tt.body {
				t.Fatal("nothing was replaced")
			}
			if c, err := entry.Read([]byte(body)); err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%+v, %v, want %q", c, err, tt.text)
			}
		})
	}
}

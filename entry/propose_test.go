package entry

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
)

// A sample is an artifact out of a vector, and what was signed it with.
type sample struct {
	kind, vector string
	artifact     []byte
	proposal     Proposal
	body         []byte
}

// spec reads the spec of a vector's proposal into v.
func (v vector) spec(t testing.TB, spec any) {
	t.Helper()
	p, err := ParseProposal(v.body())
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(p.Spec, spec); err != nil {
		t.Fatal(err)
	}
}

func find(t testing.TB, kind, version, name string) vector {
	t.Helper()
	k, ok := Lookup(kind, version)
	if !ok {
		t.Fatalf("there is no kind %s %s", kind, version)
	}
	vs := vectors(t, k)
	i := slices.IndexFunc(vs, func(v vector) bool { return v.Name == name })
	if i < 0 {
		t.Fatalf("%s has no vector %s", kind, name)
	}
	return vs[i]
}

// samples takes artifacts out of vectors and proposes them anew.
func samples(t testing.TB) []sample {
	t.Helper()
	type blob struct {
		Content []byte `json:"content"`
	}
	var all []sample
	add := func(kind, name string, artifact []byte, p Proposal) {
		t.Helper()
		all = append(all, sample{kind, name, artifact, p, find(t, kind, "0.0.1", name).Canonical})
	}
	pkg := func(kind, name string, propose func(pkg, key []byte) Proposal) {
		t.Helper()
		var s struct{ Package, PublicKey blob }
		find(t, kind, "0.0.1", name).spec(t, &s)
		add(kind, name, s.Package.Content, propose(s.Package.Content, s.PublicKey.Content))
	}
	pkg("alpine", "valid-checkout-test-apk", NewAlpine)
	pkg("alpine", "valid-ecdsa-sha1", NewAlpine)
	pkg("rpm", "valid-checkout-test-rpm", NewRPM)
	pkg("rpm", "valid-generated-epoch", NewRPM)
	pkg("rpm", "valid-keyring-two-keys", NewRPM)
	for _, name := range []string{"valid-checkout-with-aad", "valid-es256", "ps256-rsa2048", "cert-leaf"} {
		var s struct {
			Message, PublicKey []byte
			Data               struct{ AAD []byte }
		}
		find(t, "cose", "0.0.1", name).spec(t, &s)
		add("cose", name, s.Message, NewCOSE(s.Message, s.PublicKey, s.Data.AAD))
	}
	for _, name := range []string{"valid-checkout-prov", "valid-leading-text", "crlf"} {
		var s struct {
			Chart     struct{ Provenance blob }
			PublicKey blob
		}
		find(t, "helm", "0.0.1", name).spec(t, &s)
		add("helm", name, s.Chart.Provenance.Content, NewHelm(s.Chart.Provenance.Content, s.PublicKey.Content))
	}
	for _, name := range []string{"valid-checkout-test-jar", "valid-jarsigner-rsa", "metainf-lowercase"} {
		var s struct{ Archive blob }
		find(t, "jar", "0.0.1", name).spec(t, &s)
		add("jar", name, s.Archive.Content, NewJAR(s.Archive.Content))
	}
	for _, name := range []string{"valid-checkout-tsr", "trailing-bytes"} {
		var s struct{ TSR blob }
		find(t, "rfc3161", "0.0.1", name).spec(t, &s)
		add("rfc3161", name, s.TSR.Content, NewRFC3161(s.TSR.Content))
	}
	for _, name := range []string{"valid-generated", "valid-root-as-metadata"} {
		var s struct {
			Metadata, Root struct{ Content json.RawMessage }
		}
		find(t, "tuf", "0.0.1", name).spec(t, &s)
		add("tuf", name, s.Metadata.Content, NewTUF(s.Metadata.Content, s.Root.Content))
	}
	for _, name := range []string{
		"valid-x509-p256", "x509-ed25519-pure", "x509-cert-chain3", "valid-checkout-test-file-pgp", "pgp-valid_binary_public-hello_world.txt.sig",
		"pgp-v6-key", "minisign-full-key", "minisign-key-only", "ssh-checkout-rsa", "ssh-ed25519-sha512",
	} {
		var s struct {
			Data      blob
			Signature struct {
				Content   []byte
				Format    string
				PublicKey blob
			}
		}
		find(t, "rekord", "0.0.1", name).spec(t, &s)
		add("rekord", name, s.Data.Content, NewRekord(s.Data.Content, s.Signature.Content, s.Signature.PublicKey.Content, s.Signature.Format))
	}
	return all
}

// TestProposeSamples makes proposals of artifacts, which after a way over the
// wire must come to the body that Rekor has for them.
func TestProposeSamples(t *testing.T) {
	t.Parallel()
	for _, s := range samples(t) {
		t.Run(s.kind+"/"+s.vector, func(t *testing.T) {
			t.Parallel()
			text, err := s.proposal.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			sent, err := ParseProposal(text)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Check(sent, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(c.Body, s.body) {
				t.Errorf("body\n%s\nwant\n%s", c.Body, s.body)
			}
			want := s.kind
			if s.kind == "rekord" {
				want = "" // the signature is another file
			} else if !Signed(s.artifact[:min(len(s.artifact), GuessHead)]) {
				t.Error("its head does not look as if it was signed")
			}
			if got := Guess(s.artifact); got != want {
				t.Errorf("guessed %q, want %q", got, want)
			}
			if term := ArtifactTerm(s.artifact); !slices.Contains(c.Terms, term) {
				t.Errorf("it is not found by %s but by %q", term, c.Terms)
			}
		})
	}
}

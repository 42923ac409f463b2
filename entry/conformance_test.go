package entry_test

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/cairnlog/cairn/entry"
)

// TestConformanceBundles makes the entries of real bundles again from what was
// signed: the bodies are those that Rekor v2 logged, and their hashes lead to
// the roots that it signed. Where the bundles are from says package bundle.
func TestConformanceBundles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../bundle/testdata/conformance/rekor2-*.json")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d bundles, %v", len(files), err)
	}
	const artifact = "a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf"
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var b protobundle.Bundle
			if err := protojson.Unmarshal(text, &b); err != nil {
				t.Fatal(err)
			}
			verifier := entry.Verifier{Certificate: b.VerificationMaterial.GetCertificate().GetRawBytes(), KeyDetails: "PKIX_ECDSA_P256_SHA_256"}
			var c *entry.Checked
			if m := b.GetMessageSignature(); m != nil {
				p := entry.HashedRekord002{Digest: m.MessageDigest.Digest, Signature: &entry.Signature{Content: m.Signature, Verifier: &verifier}}
				c, err = p.Check()
			} else {
				e := b.GetDsseEnvelope()
				p := entry.DSSE002{Envelope: &entry.Envelope002{PayloadType: e.PayloadType, Payload: e.Payload}, Verifiers: []entry.Verifier{verifier}}
				for _, s := range e.Signatures {
					p.Envelope.Signatures = append(p.Envelope.Signatures, s.Sig)
				}
				c, err = p.Check()
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(c.Terms, "sha256:"+artifact) {
				t.Errorf("not found by the artifact: %q", c.Terms)
			}
			for _, logged := range b.VerificationMaterial.TlogEntries {
				if d := cmp.Diff(string(logged.CanonicalizedBody), string(c.Body)); d != "" {
					t.Errorf("body (-logged +made):\n%s", d)
				}
				p := logged.InclusionProof
				leaf := rfc6962.DefaultHasher.HashLeaf(c.Body)
				if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(p.LogIndex), uint64(p.TreeSize), leaf, p.Hashes, p.RootHash); err != nil {
					t.Errorf("leaf hash %s: %v", hex.EncodeToString(leaf), err)
				}
				read, err := entry.Read(logged.CanonicalizedBody)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(c.Identities, read.Identities); d != "" || read.Artifact != c.Artifact || len(read.Identities[0].Subjects) != 1 {
					t.Errorf("read from the log: %+v\n%s", read, d)
				}
			}
		})
	}
}

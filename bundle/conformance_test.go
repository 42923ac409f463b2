package bundle_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairnlog/cairn/bundle"
	"github.com/cairnlog/cairn/trust"
)

// The bundles in testdata/conformance, and what signed them, are those of
// https://github.com/sigstore/sigstore-conformance in test/assets/bundle-verify;
// the trusted root is that of Sigstore's staging instance. The name says the
// verdict.
var (
	conformanceArtifact = bundle.Digests{"sha256": "a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf"}
	conformanceIdentity = bundle.Identity{
		Name:   "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main",
		Issuer: "https://token.actions.githubusercontent.com",
	}
)

func staging(t testing.TB) *bundle.Trust {
	t.Helper()
	root, err := trust.ParseRoot(read(t, "testdata/conformance/trusted_root.json"))
	if err != nil {
		t.Fatal(err)
	}
	return &bundle.Trust{Root: *root}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestConformance(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/conformance/rekor2-*.json")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d bundles, %v", len(files), err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := bundle.Parse(read(t, path))
			if err != nil {
				t.Fatal(err)
			}
			r, err := b.Verify(staging(t), bundle.Policy{Artifact: conformanceArtifact, Identity: &conformanceIdentity})
			for _, f := range r.Findings {
				t.Logf("%v %s", f.Verified, f.What)
			}
			if fails := strings.HasSuffix(name, "_fail"); fails != (err != nil) {
				t.Errorf("verify: %v", err)
			}
		})
	}
}

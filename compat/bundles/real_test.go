package bundles

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairnlog/cairn/bundle"
	"github.com/cairnlog/cairn/trust"
)

// TestRealBundles verifies bundles that sigstore-go has for its own tests: by
// the public Rekor v1 with an in-toto entry, and by a certificate for a name of
// Fulcio's own sort.
func TestRealBundles(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/sigstore/sigstore-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(strings.TrimSpace(string(out)), "pkg", "testing", "data")
	for _, c := range []struct {
		file, root string
		identity   bundle.Identity
		want       string // in the error
	}{
		{"sigstore.js@2.0.0-provenance", "public-good", bundle.Identity{
			Name:   "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main",
			Issuer: "https://token.actions.githubusercontent.com",
		}, ""},
		{"othername", "scaffolding", bundle.Identity{Name: "foo!oidc.local", Issuer: "http://oidc.local:8080"}, ""},
		{"othername", "scaffolding", bundle.Identity{Name: "bar!oidc.local", Issuer: "http://oidc.local:8080"}, "certificate is for"},
		{"othername", "public-good", bundle.Identity{}, "not trusted"},
		{"dsse", "public-good", bundle.Identity{}, "a promise alone"},
		{"dsse-2sigs", "public-good", bundle.Identity{}, "2 signatures"},
		{"public-key-validity", "public-key-validity", bundle.Identity{}, "none of a log"},
	} {
		text, err := os.ReadFile(filepath.Join(data, "trusted-roots", c.root+".json"))
		if err != nil {
			t.Fatal(err)
		}
		root, err := trust.ParseRoot(text)
		if err != nil {
			t.Fatal(err)
		}
		if text, err = os.ReadFile(filepath.Join(data, "bundles", c.file+".sigstore.json")); err != nil {
			t.Fatal(err)
		}
		b, err := bundle.Parse(text)
		if err == nil {
			_, err = b.Verify(&bundle.Trust{Root: *root}, bundle.Policy{Identity: &c.identity})
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s by %s: %v; want %q", c.file, c.root, err, c.want)
		}
	}
}

package compat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// installJS puts sigstore-js, as js/package-lock.json has it, beside bundle.mjs
// into a new directory.
func installJS(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("js")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	return dir
}

// TestSigstoreJS makes bundles with sigstore-js and verifies them with it,
// through both APIs of one log. Over an attestation sigstore-js sends v2 what
// Rekor v2 takes no more, a dsse 0.0.2.
func TestSigstoreJS(t *testing.T) {
	dir := installJS(t)
	onEach(t, func(t *testing.T, s *server) {
		authority, err := newSigner("p256")
		if err != nil {
			t.Fatal(err)
		}
		if err := authority.certifyCA(); err != nil {
			t.Fatal(err)
		}
		signer, err := newSigner("p256")
		if err != nil {
			t.Fatal(err)
		}
		const identity = "builder@example.com"
		if err := signer.certify(authority, identity); err != nil {
			t.Fatal(err)
		}
		stamps := newTSA(t)
		trusted := trustedRoot(t, s, authority, stamps)
		document, err := trusted.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		key, err := signer.privatePEM()
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := signer.verifierPEM(1)
		if err != nil {
			t.Fatal(err)
		}
		for _, version := range []int{1, 2} {
			blob := fmt.Appendf(nil, "blob v%d", version)
			for name, job := range map[string]struct {
				Data []byte `json:"data"`
				Type string `json:"type,omitempty"`
			}{
				"blob":        {Data: blob},
				"attestation": {Data: statement(blob), Type: inToto},
			} {
				t.Run(fmt.Sprintf("%s-v%d", name, version), func(t *testing.T) {
					in, err := json.Marshal(map[string]any{
						"rekor": s.url, "version": version, "tsa": stamps.URL,
						"data": job.Data, "type": job.Type, "identity": identity,
						"key": string(key), "certificate": string(certificate), "trustedRoot": json.RawMessage(document),
					})
					if err != nil {
						t.Fatal(err)
					}
					cmd := exec.CommandContext(t.Context(), "node", "bundle.mjs")
					cmd.Dir = dir
					cmd.Stdin = bytes.NewReader(in)
					var messages bytes.Buffer
					cmd.Stderr = &messages
					out, err := cmd.Output()
					if err != nil {
						t.Fatalf("node bundle.mjs: %v\n%s", err, &messages)
					}
					if version == 2 && job.Type != "" {
						return // sigstore-go reads no dsse 0.0.2
					}
					verifyJS(t, out, trusted, blob, identity)
				})
			}
		}
	})
}

// verifyJS has sigstore-go verify a bundle that sigstore-js made.
func verifyJS(t *testing.T, text []byte, trusted root.TrustedMaterial, blob []byte, identity string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bundle.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.LoadJSONFromPath(path)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	id, err := verify.NewShortCertificateIdentity("", ".*", identity, "")
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.NewVerifier(trusted, verify.WithTransparencyLog(1), verify.WithSignedTimestamps(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(b, verify.NewPolicy(verify.WithArtifact(bytes.NewReader(blob)), verify.WithCertificateIdentity(id))); err != nil {
		t.Errorf("sigstore-go: %v\n%s", err, text)
	}
}

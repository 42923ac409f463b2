package compat

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"google.golang.org/protobuf/encoding/protojson"
)

// TestOfflineBundles signs with sigstore-go by both APIs, with the trusted root
// that cairn trust writes. What sigstore-go makes, cairn verify --offline takes,
// and what cairn bundle makes of the entry, sigstore-go takes.
func TestOfflineBundles(t *testing.T) {
	onEach(t, func(t *testing.T, s *server) {
		dir := t.TempDir()
		authority, stamps := newAuthority(t), newTSA(t)
		files := map[string][]byte{
			"ca.pem":  must(authority.verifierPEM(1))(t),
			"tsa.pem": append(must(stamps.signer.verifierPEM(1))(t), must(stamps.authority.verifierPEM(1))(t)...),
			"log.pub": must(s.publicKey())(t),
		}
		for name, text := range files {
			writeFile(t, filepath.Join(dir, name), text)
		}
		cairn(t, dir, "trust", "--server", s.url, "--log-key", "log.pub", "--dir", "trust", "--fulcio-root", "ca.pem", "--tsa", "tsa.pem")
		trusted, err := root.NewTrustedRootFromPath(filepath.Join(dir, "trust", "trusted_root.json"))
		if err != nil {
			t.Fatal(err)
		}

		for version := uint32(1); version <= 2; version++ {
			for _, certified := range []bool{false, true} {
				for _, kind := range []string{"blob", "attestation"} {
					name := fmt.Sprintf("v%d-%s-certified=%v", version, kind, certified)
					t.Run(name, func(t *testing.T) {
						c := offlineCase{dir: dir, name: name, version: version, certified: certified, server: s, trusted: trusted}
						c.blob = []byte(name)
						c.content = &sign.PlainData{Data: c.blob}
						if kind == "attestation" {
							c.content = &sign.DSSEData{Data: statement(c.blob), PayloadType: inToto}
						}
						c.run(t, authority, stamps.URL)
					})
				}
			}
		}
	})
}

// An offlineCase is one signature.
type offlineCase struct {
	dir, name string
	version   uint32
	certified bool
	server    *server
	trusted   *root.TrustedRoot
	content   sign.Content
	blob      []byte
}

func (c *offlineCase) run(t *testing.T, authority *signer, stamps string) {
	signer := must(newSigner("p256"))(t)
	if err := signer.certify(authority, "builder@example.com"); err != nil {
		t.Fatal(err)
	}
	writeFile(t, c.path("txt"), c.blob)
	writeFile(t, c.path("pub"), must(signer.publicPEM())(t))

	// 1. sigstore-go signs, and verifies what it has.
	o := sign.BundleOptions{
		Context:          t.Context(),
		TransparencyLogs: []sign.Transparency{sign.NewRekor(&sign.RekorOptions{BaseURL: c.server.url, Version: c.version})},
		TimestampAuthorities: []*sign.TimestampAuthority{
			sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: stamps}),
		},
	}
	if c.certified {
		o.CertificateProvider = issued{signer}
	}
	made, err := sign.Bundle(c.content, keypair{signer}, o)
	if err != nil {
		t.Fatal(err)
	}
	text := must(protojson.Marshal(made))(t)
	writeFile(t, c.path("json"), text)
	if err := c.verify(t, signer, text); err != nil {
		t.Fatalf("sigstore-go does not take its own: %v", err)
	}

	// 2. Cairn verifies it and asks nobody, and nothing else instead of it.
	args := []string{"verify", "--offline", "--trusted-root", "trust/trusted_root.json", "--bundle", c.name + ".json"}
	identity := []string{"-k", c.name + ".pub"}
	if c.certified {
		identity = []string{"--certificate-identity", "builder@example.com"}
	}
	out := cairn(t, c.dir, append(append(args, identity...), c.name+".txt")...)
	if c.version == 2 && c.certified && !strings.Contains(out, "a timestamp authority has seen") {
		t.Errorf("the timestamp was not verified:\n%s", out)
	}
	stranger := []string{"-k", "log.pub"}
	if c.certified {
		stranger = []string{"--certificate-identity", "eve@example.com"}
	}
	if out, err := tryCairn(c.dir, append(append(args, stranger...), c.name+".txt")...); err == nil {
		t.Errorf("somebody else's signature was taken:\n%s", out)
	}
	if out, err := tryCairn(c.dir, append(append(args, identity...), "trust/trusted_root.json")...); err == nil {
		t.Errorf("another artifact was taken:\n%s", out)
	}

	// 3. What Cairn makes of the entry sigstore-go takes, where the entry itself
	// says when: that of v2 with a certificate does not.
	args = []string{"bundle", "--server", c.server.url, "--log-key", "log.pub", fmt.Sprint(made.VerificationMaterial.TlogEntries[0].LogIndex)}
	if e := made.GetDsseEnvelope(); e != nil {
		writeFile(t, c.path("dsse"), must(protojson.Marshal(e))(t))
		args = append(args, "--envelope", c.name+".dsse")
	}
	text = []byte(cairn(t, c.dir, args...))
	if err := c.verify(t, signer, text); (err != nil) != (c.version == 2 && c.certified) {
		t.Errorf("sigstore-go on the bundle by cairn: %v\n%s", err, text)
	}

	// 4. And cosign, by the same trusted root.
	if _, isBlob := c.content.(*sign.PlainData); !isBlob || c.version == 2 && c.certified {
		return
	}
	writeFile(t, c.path("cairn.json"), text)
	args = []string{"verify-blob", "--trusted-root", "trust/trusted_root.json", "--bundle", c.name + ".cairn.json"}
	identity = []string{"--key", c.name + ".pub"}
	if c.certified { // not by Fulcio: there is no CT log, and nobody who identified the signer
		identity = []string{"--certificate-identity", "builder@example.com", "--certificate-oidc-issuer-regexp", ".*", "--insecure-ignore-sct"}
	}
	cmd := exec.Command("cosign", append(append(args, identity...), c.name+".txt")...)
	cmd.Dir, cmd.Env = c.dir, append(plainEnvironment(), "HOME="+c.dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("cosign on the bundle by cairn: %v\n%s", err, out)
	}
}

func (c *offlineCase) path(ending string) string {
	return filepath.Join(c.dir, c.name+"."+ending)
}

// verify verifies a bundle with sigstore-go.
func (c *offlineCase) verify(t *testing.T, signer *signer, text []byte) error {
	b := &bundle.Bundle{Bundle: new(protobundle.Bundle)}
	if err := b.UnmarshalJSON(text); err != nil {
		return err
	}
	material := root.TrustedMaterialCollection{c.trusted}
	options := []verify.VerifierOption{verify.WithTransparencyLog(1)}
	policy := verify.WithKey()
	if c.certified {
		options = append(options, verify.WithObserverTimestamps(1))
		id, err := verify.NewShortCertificateIdentity("", ".*", "builder@example.com", "")
		if err != nil {
			return err
		}
		policy = verify.WithCertificateIdentity(id)
	} else {
		options = append(options, verify.WithNoObserverTimestamps())
		material = append(material, bareKey(t, signer))
	}
	v, err := verify.NewVerifier(material, options...)
	if err != nil {
		return err
	}
	_, err = v.Verify(b, verify.NewPolicy(verify.WithArtifact(bytes.NewReader(c.blob)), policy))
	return err
}

func newAuthority(t *testing.T) *signer {
	t.Helper()
	ca := must(newSigner("p256"))(t)
	if err := ca.certifyCA(); err != nil {
		t.Fatal(err)
	}
	return ca
}

// must returns a function that ends the test if err is not nil.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// cairn runs the program and returns what it prints.
func cairn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := tryCairn(dir, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tryCairn(dir string, args ...string) (string, error) {
	cmd := exec.Command("cairn", args...)
	cmd.Dir = dir
	cmd.Env = append(plainEnvironment(), "HOME="+dir, "XDG_CONFIG_HOME="+dir)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("cairn %s: %w\n%s%s", strings.Join(args, " "), err, out, errOut.Bytes())
	}
	return string(out), nil
}

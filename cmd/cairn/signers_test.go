package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cairnlog/cairn/client"
)

// recorded returns an entry as a log has it, with the body of a vector.
func recorded(t *testing.T, kind, version, name string) *client.Entry {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "entry", "testdata", kind+"-"+version+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name        string
		Body        []byte `json:"canonical_b64"`
		Attestation []byte `json:"attestation_b64"`
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		if v.Name == name {
			return &client.Entry{Kind: kind, APIVersion: version, Body: v.Body, Attestation: v.Attestation}
		}
	}
	t.Fatalf("%s has no vector %s", kind, name)
	return nil
}

// TestDescription is what people read of each kind.
func TestDescription(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"alpine 0.0.1 valid-checkout-test-apk": `alpine 0.0.1
package: apache2-ctl
version: 2.4.43-r0
architecture: x86_64
file: sha256:a8ccb330c68d349b76378fad43cb6a1f6433b3418a7577fb02d9577ac0c49047
signed with key 4e0c26751a474db486b0a8f37e37ff02e12465e8cea8ef08614ac173cb870f28`,
		"rpm 0.0.1 valid-checkout-test-rpm": `rpm 0.0.1
package: test-package
version: 1.0-1
architecture: noarch
file: sha256:f5214798b9d78fac428fad6d70cffce0eee6512c27a9faee9112a68e9b5519c6
signed with one of
  key e483a3b010f05ca003d849686b5c00fd2745ac5c of rpm-test@rekor.dev
  key 65470bc099998a56b6037519401870431531a269 of rpm-test@rekor.dev`,
		"jar 0.0.1 valid-jarsigner-rsa": `jar 0.0.1
file: sha256:083f6a9bff991f0b8d755dffbdffa7e47a96dd4c08a4219ea6dbaa0f7bac0605
signed with a certificate for san@example.com
  valid 2026-11-22T20:16:02Z to 2046-01-21T20:16:02Z, issued by CN=one,`,
		"helm 0.0.1 valid-checkout-prov": `helm 0.0.1
chart: sha256:6dec7ea21e655d5796c1e214cfb75b73428b2abfa2e66c8f7bc64ff4a7b3b29f
signed with one of
  key 8d68fd63f52dcf7eaa72565bc3c828afb6681c17 of not@real.com
  key db487c3701a6323b9f82cea146edec9576d374ca of not@real.com`,
		"rfc3161 0.0.1 valid-checkout-tsr": `rfc3161 0.0.1
time: 2021-05-27T18:00:54Z
artifact: sha256:1fbc02de3d979c27aff8fc39671d4e07541a475bb49312049a17e05aeed57021
authority: O=Rekor Test,POSTALCODE=94016,STREET=Golden Gate Bridge,L=San Francisco,ST=,C=US
authority's issuer: O=Root CA Test,POSTALCODE=94016,STREET=Golden Gate Bridge,L=San Francisco,ST=,C=US
policy: 1.2.3.4.1
serial number: 3e666226a7dd097f61a76385`,
		"tuf 0.0.1 valid-generated": `tuf 0.0.1
role: timestamp
version: 1
expires: 2090-01-01T00:00:00Z
root version: 1
root expires: 2090-01-01T00:00:00Z
specification: 1.0.31
signed with key `,
	} {
		f := strings.Fields(name)
		got := strings.Join(describe(recorded(t, f[0], f[1], f[2])).lines(), "\n")
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s:\n%s", name, cmp.Diff(want, got))
		}
	}
}

// TestDescriptionIsTame describes an entry that means a terminal ill.
func TestDescriptionIsTame(t *testing.T) {
	t.Parallel()
	e := &client.Entry{Kind: "rpm\x1b[2J", APIVersion: "0.0.1", Body: []byte(`{"apiVersion":"0.0.1","kind":"rpm","spec":{"package":{"headers":{"Name":"\u001b[31mred\nverified: all"}}}}`)}
	d := describe(e)
	want := []string{`rpm\u001b[2J 0.0.1`, `package: \u001b[31mred\u000averified: all`}
	if diff := cmp.Diff(want, d.lines()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if d.Signers == nil || slices.ContainsFunc(d.lines(), func(s string) bool { return strings.ContainsAny(s, "\x1b\n") }) {
		t.Errorf("%q", d)
	}
}

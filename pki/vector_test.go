package pki

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A vector is what Rekor makes of a key or signature.
type vector struct {
	Name       string   `json:"name"`
	Object     string   `json:"object"`
	Input      []byte   `json:"input_b64"`
	OK         bool     `json:"ok"`
	Error      string   `json:"error"`
	Canonical  []byte   `json:"canonical_b64"`
	Subjects   []string `json:"subjects"`
	Identities []struct {
		Type        string `json:"type"`
		Fingerprint string `json:"fingerprint"`
		Raw         []byte `json:"raw_b64"`
	} `json:"identities"`
}

func vectors(t testing.TB, format string) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/" + format + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(text, &vs); err != nil {
		t.Fatal(err)
	}
	return vs
}

// differences are the names of the vectors that are meant to differ. PGP
// signatures of version 3: Rekor took them until it changed its library.
var differences = []string{"pgp-real-v3-signature"}

func TestVectors(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"x509", "pgp", "minisign", "ssh", "pkcs7"} {
		for _, v := range vectors(t, format) {
			t.Run(v.Name+"/"+v.Object, func(t *testing.T) {
				t.Parallel()
				if v.Object == "signature" {
					testSignature(t, format, v)
				} else {
					testKey(t, format, v)
				}
			})
		}
	}
}

func testKey(t *testing.T, format string, v vector) {
	k, err := Parse(format, v.Input)
	if !v.OK {
		if err == nil {
			t.Fatalf("parsed, want error %q", v.Error)
		}
		if !strings.Contains(err.Error(), v.Error) {
			t.Errorf("error %q, want %q", err, v.Error)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(v.Canonical), string(k.Canonical())); d != "" {
		t.Errorf("canonical form (-want +got):\n%s", d)
	}
	// The vectors list subjects and identities sorted.
	got := slices.Sorted(slices.Values(k.Subjects()))
	if d := cmp.Diff(slices.Sorted(slices.Values(v.Subjects)), got); d != "" {
		t.Errorf("subjects (-want +got):\n%s", d)
	}
	var want []Identity
	for _, id := range v.Identities {
		want = append(want, Identity{Type: id.Type, Raw: id.Raw, Fingerprint: id.Fingerprint})
	}
	ids := k.Identities()
	slices.SortFunc(ids, func(a, b Identity) int { return strings.Compare(a.Fingerprint, b.Fingerprint) })
	if d := cmp.Diff(want, ids); d != "" {
		t.Errorf("identities (-want +got):\n%s", d)
	}
	if format == "pkcs7" {
		format = "x509" // what is stored of it is a certificate
	}
	again, err := Parse(format, k.Canonical())
	if err != nil {
		t.Fatalf("parse the canonical form: %v", err)
	}
	if !bytes.Equal(again.Canonical(), k.Canonical()) {
		t.Error("the canonical form has another canonical form")
	}
}

func testSignature(t *testing.T, format string, v vector) {
	got, err := canonicalSignature(format, v.Input)
	switch {
	case slices.Contains(differences, v.Name) && !v.OK:
		if err != nil {
			t.Errorf("difference listed, but there is none: %v", err)
		}
	case !v.OK && err == nil:
		t.Errorf("parsed, want error %q", v.Error)
	case !v.OK:
		if !strings.Contains(err.Error(), v.Error) {
			t.Errorf("error %q, want %q", err, v.Error)
		}
	case err != nil:
		t.Error(err)
	default:
		if d := cmp.Diff(string(v.Canonical), string(got)); d != "" {
			t.Errorf("canonical form (-want +got):\n%s", d)
		}
	}
}

// canonicalSignature returns the form of a signature that is stored.
func canonicalSignature(format string, signature []byte) ([]byte, error) {
	switch format {
	case "pgp":
		s, err := readPGPSignature(signature)
		if err != nil {
			return nil, err
		}
		return s.canonical()
	case "minisign":
		s, err := parseMinisig(signature)
		return canonicalMinisig(s), err
	case "ssh":
		s, err := parseSSHSignature(signature)
		if err != nil {
			return nil, err
		}
		return s.canonical(), nil
	case "pkcs7":
		m, err := parsePKCS7(signature)
		if err != nil {
			return nil, err
		}
		return detachedPKCS7(m)
	}
	return nil, &FormatError{Format: format}
}

func TestParseUnknownFormat(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"", "PGP", "gpg"} {
		k, err := Parse(format, nil)
		if fe := (*FormatError)(nil); !errors.As(err, &fe) || fe.Format != format || k != nil {
			t.Errorf("Parse(%q): %v, %v", format, k, err)
		}
	}
}

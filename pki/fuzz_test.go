package pki

import (
	"bytes"
	"testing"
)

// fuzzKey checks that a canonical form is its own, and that nothing panics.
func fuzzKey(f *testing.F, format string) {
	for _, v := range vectors(f, format) {
		f.Add(v.Input)
	}
	for _, h := range hostileKeys(f) {
		if h.format == format && len(h.text) < 2_000 {
			f.Add(h.text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := Parse(format, text)
		if err != nil {
			return
		}
		k.Subjects()
		k.Identities()
		_, _ = k.VerifyDetached([]byte("x"), text)
		again, err := Parse(format, k.Canonical())
		if err != nil {
			t.Fatalf("parse %q: %v", k.Canonical(), err)
		}
		if !bytes.Equal(again.Canonical(), k.Canonical()) {
			t.Fatalf("the canonical form %q has another canonical form %q", k.Canonical(), again.Canonical())
		}
	})
}

func FuzzParsePGP(f *testing.F)      { fuzzKey(f, "pgp") }
func FuzzParseMinisign(f *testing.F) { fuzzKey(f, "minisign") }
func FuzzParseSSH(f *testing.F)      { fuzzKey(f, "ssh") }

// FuzzParsePKCS7 reads keys and signatures: both are signed messages.
func FuzzParsePKCS7(f *testing.F) {
	for _, v := range vectors(f, "pkcs7") {
		f.Add(v.Input)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := ParsePKCS7(text)
		if err != nil {
			return
		}
		k.Subjects()
		k.Identities()
		if _, err := ParseX509(k.Canonical()); err != nil {
			t.Fatalf("parse %q: %v", k.Canonical(), err)
		}
		_, _ = k.VerifyDetached([]byte("x"), text)
		_, _ = k.VerifyDetached(nil, text)
	})
}

// FuzzSignature checks that the stored form of a signature is its own.
func FuzzSignature(f *testing.F) {
	formats := []string{"pgp", "minisign", "ssh", "pkcs7"}
	for i, format := range formats {
		for _, v := range vectors(f, format) {
			if v.Object == "signature" {
				f.Add(i, v.Input)
			}
		}
	}
	f.Fuzz(func(t *testing.T, i int, text []byte) {
		format := formats[uint(i)%uint(len(formats))]
		form, err := canonicalSignature(format, text)
		if err != nil {
			return
		}
		again, err := canonicalSignature(format, form)
		if err != nil {
			t.Fatalf("read %q: %v", form, err)
		}
		if !bytes.Equal(again, form) {
			t.Fatalf("the stored form %q has another stored form %q", form, again)
		}
	})
}

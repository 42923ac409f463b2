package pki

import (
	"errors"
	"testing"
)

// TestFormat guesses the format of every key that Rekor can read.
func TestFormat(t *testing.T) {
	t.Parallel()
	unclear := map[string]bool{
		"minisign-raw32": true, // 32 bytes without any form
	}
	for _, format := range []string{"x509", "pgp", "minisign", "ssh", "pkcs7", "tuf"} {
		for _, v := range vectors(t, format) {
			if v.Object == "signature" || !v.OK {
				continue
			}
			want := format
			if unclear[v.Name] {
				want = ""
			}
			if got := Format(v.Input); got != want {
				t.Errorf("%s: format %q, want %q", v.Name, got, want)
			}
		}
	}
	for name, key := range map[string]string{
		"nothing":        "",
		"space":          " \n",
		"text":           "hello",
		"private key":    "-----BEGIN PRIVATE KEY-----",
		"JSON":           `{"signed":1}`,
		"base64":         "aGVsbG8=",
		"other base64":   "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9w",
		"DER":            "\x30\x03\x02\x01\x00",
		"an OpenPGP tag": "\xcb",
	} {
		if got := Format([]byte(key)); got != "" {
			t.Errorf("%s: format %q", name, got)
		}
	}
}

func FuzzFormat(f *testing.F) {
	for _, format := range []string{"x509", "pgp", "minisign", "ssh", "pkcs7"} {
		for _, v := range vectors(f, format) {
			f.Add(v.Input)
		}
	}
	f.Fuzz(func(t *testing.T, key []byte) {
		format := Format(key)
		if format == "" {
			return
		}
		if _, err := Parse(format, key); errors.As(err, new(*FormatError)) {
			t.Error(err)
		}
	})
}

package log

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// keyless returns a body as hashedrekord has it, with a certificate of so many bytes.
func keyless(certificate int) []byte {
	der := make([]byte, certificate)
	rand.Read(der)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":"%x"}},"signature":{"content":"%s","publicKey":{"content":"%s"}}}}`,
		der[:32], base64.StdEncoding.EncodeToString(der[:71]), base64.StdEncoding.EncodeToString(text))
}

func unpacked(t interface{ Fatalf(string, ...any) }, text []byte) {
	packed := pack(text)
	got, err := unpack(nil, packed, len(text))
	if err != nil || !bytes.Equal(got, text) {
		t.Fatalf("%q became %q, %v", text, got, err)
	}
	if len(text) > 0 {
		if got, err := unpack(nil, packed, len(text)-1); err == nil {
			t.Fatalf("over the limit: %q", got)
		}
	}
}

func TestPack(t *testing.T) {
	t.Parallel()
	run := strings.Repeat("QUJD", 20)
	for name, text := range map[string]string{
		"empty":            "",
		"short":            "abc",
		"only base64":      run,
		"base64, then not": run + "!",
		"not, then base64": "!" + run,
		"odd length":       run + "Q",
		"padding":          run + "QQ==",
		"largest":          strings.Repeat("Q", MaxLeafSize),
		"largest, plain":   strings.Repeat("\x00", MaxLeafSize),
		"three layers":     base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte(run)))),
		"pem":              string(keyless(1768)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			unpacked(t, []byte(text))
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		var text []byte
		for range rapid.IntRange(0, 6).Draw(t, "pieces") {
			piece := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "piece")
			for range rapid.IntRange(0, 3).Draw(t, "layers") {
				piece = base64.StdEncoding.AppendEncode(nil, piece)
			}
			text = append(text, piece...)
		}
		unpacked(t, text)
	})
}

func TestPackSaves(t *testing.T) {
	t.Parallel()
	body := keyless(1768)
	packed := pack(body)
	t.Logf("%d bytes of %d", len(packed), len(body))
	if len(packed) > len(body)*65/100 {
		t.Errorf("a keyless body of %d bytes packs to %d", len(body), len(packed))
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(pack(keyless(100)))
	f.Add(pack([]byte("plain")))
	f.Fuzz(func(t *testing.T, packed []byte) {
		text, err := unpack(nil, packed, MaxLeafSize)
		if err == nil && len(text) > MaxLeafSize {
			t.Fatalf("%d bytes", len(text))
		}
	})
}

func BenchmarkPack(b *testing.B) {
	body := keyless(1768)
	packed := pack(body)
	b.Run("pack", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			pack(body)
		}
	})
	b.Run("unpack", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := unpack(make([]byte, 0, len(body)), packed, len(body)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

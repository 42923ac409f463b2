package pki

import (
	"bytes"
	"encoding/pem"
	"testing"
)

// TestAppendPEM compares blocks of many lengths with those of encoding/pem,
// and reads them back.
func TestAppendPEM(t *testing.T) {
	t.Parallel()
	for n := range 300 {
		der := bytes.Repeat([]byte{0xfb, byte(n)}, n)[:n]
		for _, blockType := range []string{pemKey, pemCert} {
			want := pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der})
			got := appendPEM([]byte("before"), der, blockType)
			if string(got) != "before"+string(want) {
				t.Fatalf("%d bytes: %q, want %q", n, got, want)
			}
			if again, ok := canonicalPEM(want, blockType); n > 0 && (!ok || !bytes.Equal(again, der)) {
				t.Fatalf("%d bytes read back: %x, %t", n, again, ok)
			}
		}
	}
}

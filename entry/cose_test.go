package entry

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// fromLogCOSE returns v with what Rekor could say of the entry. It knows the
// artifact only of an entry that was read back from the log, and then indexes
// the hash of nothing instead of the message's.
func fromLogCOSE(t *testing.T, v vector) vector {
	t.Helper()
	var body struct {
		Spec struct {
			Data struct{ PayloadHash, EnvelopeHash struct{ Value string } }
		}
	}
	if err := json.Unmarshal(v.Canonical, &body); err != nil {
		t.Fatal(err)
	}
	payload := "sha256:" + body.Spec.Data.PayloadHash.Value
	if v.Artifact == "" {
		v.Artifact = payload
	}
	v.FromLog.Terms = slices.DeleteFunc(slices.Clone(v.FromLog.Terms), func(s string) bool { return strings.HasPrefix(s, "sha256:") })
	v.FromLog.Terms = append(v.FromLog.Terms, payload, "sha256:"+body.Spec.Data.EnvelopeHash.Value)
	return v
}

// hostileSign1 returns messages that are made to cost, with what is said of
// them.
func hostileSign1() map[string]struct {
	message []byte
	want    string
} {
	// bytes returns the head of a byte string, or of what else major says.
	head := func(major byte, n int) []byte {
		return []byte{major<<5 | 26, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
	}
	const size = 7 << 20
	numbers := slices.Concat([]byte{0xa1, 0x18, 0x63}, head(4, 100_000), bytes.Repeat([]byte{0x01}, 100_000))
	tail := []byte{0x41, 0x78, 0x41, 0x78} // payload and signature
	return map[string]struct {
		message []byte
		want    string
	}{
		"long protected header":   {slices.Concat([]byte{0xd2, 0x84}, head(2, size), make([]byte, size), []byte{0xa0}, tail), "headers of the COSE message have"},
		"long unprotected header": {slices.Concat([]byte{0xd2, 0x84, 0x40, 0xa1, 0x01}, head(2, size), make([]byte, size), tail), "headers of the COSE message have"},
		"many numbers":            {slices.Concat([]byte{0xd2, 0x84, 0x40}, numbers, tail), "algorithm not found"},
		"deep":                    {slices.Concat([]byte{0xd2, 0x84, 0x40}, bytes.Repeat([]byte{0x81}, size), tail), "nested"},
		"long array":              {slices.Concat([]byte{0xd2, 0x84, 0x40}, head(4, size), make([]byte, size)), "array"},
		"long payload":            {slices.Concat([]byte{0xd2, 0x84, 0x43, 0xa1, 0x01, 0x26, 0xa0}, head(2, size), make([]byte, size), []byte{0x41, 0x78}), "verification error"},
		"cut off":                 {[]byte{0xd2}, "invalid COSE_Sign1_Tagged"},
		"without signature":       {[]byte{0xd2, 0x84, 0x40, 0xa0, 0x40, 0x40}, "empty signature"},
		"untagged array":          {[]byte{0x84, 0x40, 0xa0, 0x40, 0x41, 0x78}, "invalid COSE_Sign1_Tagged"},
		"null headers":            {[]byte{0xd2, 0x84, 0xf6, 0xf6, 0x40, 0x41, 0x78}, "cbor"},
	}
}

func proposeSign1(s signer, message []byte) []byte {
	return []byte(`{"apiVersion":"0.0.1","kind":"cose","spec":{"data":{},"message":"` + base64.StdEncoding.EncodeToString(message) +
		`","publicKey":"` + base64.StdEncoding.EncodeToString(s.pem) + `"}}`)
}

func TestCOSEHostile(t *testing.T) {
	t.Parallel()
	s := newECDSA(t)
	for name, h := range hostileSign1() {
		_, err := create(proposeSign1(s, h.message), Options{})
		if err == nil || !strings.Contains(err.Error(), h.want) {
			t.Errorf("%s: error %v, want %q", name, err, h.want)
		}
	}
}

func BenchmarkCOSEHostile(b *testing.B) {
	s := newECDSA(b)
	for name, h := range hostileSign1() {
		body := proposeSign1(s, h.message)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := create(body, Options{}); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}

package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func mustPEM(t testing.TB, pub any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der})
}

func TestVerify(t *testing.T) {
	t.Parallel()
	message := []byte("message")
	d256, d512 := sha256.Sum256(message), sha512.Sum512(message)

	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := ecdsa.SignASN1(rand.Reader, ec, d256[:])
	if err != nil {
		t.Fatal(err)
	}
	r, s, err := ecdsa.Sign(rand.Reader, ec, d256[:])
	if err != nil {
		t.Fatal(err)
	}
	p1363 := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)

	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	plain := ed25519.Sign(ed, message)
	ph, err := ed.Sign(nil, d512[:], crypto.SHA512)
	if err != nil {
		t.Fatal(err)
	}

	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1, err := rsa.SignPKCS1v15(nil, rs, crypto.SHA256, d256[:])
	if err != nil {
		t.Fatal(err)
	}
	pss, err := rsa.SignPSS(rand.Reader, rs, crypto.SHA256, d256[:], nil)
	if err != nil {
		t.Fatal(err)
	}

	const all = "" // no error
	tests := []struct {
		name             string
		key              any
		sig              []byte
		digest, detached string // errors that VerifyDigest and VerifyDetached give
	}{
		{"ecdsa der", ec.Public(), der, all, all},
		{"ecdsa p1363", ec.Public(), p1363, all, all},
		{"ecdsa der with trailing byte", ec.Public(), append(slices.Clone(der), 0), "ASN.1", "ASN.1"},
		{"ecdsa p1363 odd", ec.Public(), p1363[:63], "Invalid IEEE_P1363", "Invalid IEEE_P1363"},
		{"ecdsa p1363 too long", ec.Public(), make([]byte, 134), "Invalid IEEE_P1363", "Invalid IEEE_P1363"},
		{"ecdsa p1363 zero", ec.Public(), make([]byte, 64), "IEEE_P1363", "IEEE_P1363"},
		{"empty", ec.Public(), nil, "not been initialized", "not been initialized"},
		{"ed25519 plain", ed.Public(), plain, "must sign the SHA-512 digest with Ed25519ph", all},
		{"ed25519 ph", ed.Public(), ph, "must sign the SHA-512 digest with Ed25519ph", "failed to verify"},
		{"rsa pkcs1v15", rs.Public(), pkcs1, all, all},
		{"rsa pss", rs.Public(), pss, "verification error", "verification error"},
	}
	check := func(t *testing.T, what string, err error, want string) {
		t.Helper()
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", what, err, want)
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k, err := ParseX509(mustPEM(t, tt.key))
			if err != nil {
				t.Fatal(err)
			}
			check(t, "digest", k.VerifyDigest(crypto.SHA256, d256[:], tt.sig), tt.digest)
			stored, err := k.VerifyDetached(message, tt.sig)
			check(t, "detached", err, tt.detached)
			if err == nil && !bytes.Equal(stored, tt.sig) {
				t.Errorf("stored signature is %x, want %x", stored, tt.sig)
			}
		})
	}

	t.Run("ed25519 ph with sha512", func(t *testing.T) {
		t.Parallel()
		k, err := ParseX509(mustPEM(t, ed.Public()))
		if err != nil {
			t.Fatal(err)
		}
		check(t, "ph", k.VerifyDigest(crypto.SHA512, d512[:], ph), all)
		check(t, "plain", k.VerifyDigest(crypto.SHA512, d512[:], plain), "Ed25519ph")
	})
}

func TestRSATooLarge(t *testing.T) {
	t.Parallel()
	// No key that anybody can use: the size is what counts.
	n, _ := new(big.Int).SetString("1"+strings.Repeat("0", maxRSABits)+"1", 2)
	_, err := ParseX509(mustPEM(t, &rsa.PublicKey{N: n, E: 65537}))
	if err == nil || !strings.Contains(err.Error(), "limit is 8192") {
		t.Errorf("error %v, want the limit", err)
	}
}

// What is in certificates takes much memory, and more than a leaf holds is of
// no use.
func TestX509TooLarge(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	certificate := func(name int) []byte {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{strings.Repeat("x", name)}}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: pemCert, Bytes: der})
	}
	half, whole := certificate(30_000), certificate(maxDER)
	for name, tt := range map[string]struct {
		text   []byte
		refuse bool
	}{
		"half":             {half, false},
		"two halves":       {slices.Concat(half, half), false},
		"three halves":     {slices.Concat(half, half, half), true},
		"whole":            {whole, true},
		"whole with text":  {slices.Concat([]byte("text\n"), whole), true},
		"second is whole":  {slices.Concat(half, whole), true},
		"key":              {pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: make([]byte, maxDER+1)}), true},
		"much text before": {slices.Concat(bytes.Repeat([]byte("text\n"), maxDER), half), false},
	} {
		_, err := ParseX509(tt.text)
		if tt.refuse != (err != nil) || err != nil && !strings.Contains(err.Error(), "more than 65536 bytes of DER") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestCost(t *testing.T) {
	t.Parallel()
	text := func(pub any, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return mustPEM(t, pub)
	}
	curve := func(c elliptic.Curve) []byte {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		return text(&k.PublicKey, err)
	}
	n, _ := new(big.Int).SetString("1"+strings.Repeat("0", 2046)+"1", 2)
	last := 0
	for _, key := range [][]byte{curve(elliptic.P256()), text(&rsa.PublicKey{N: n, E: 65537}, nil), text(&rsa.PublicKey{N: n, E: 1<<31 - 1}, nil),
		curve(elliptic.P384()), curve(elliptic.P521())} {
		k, err := ParseX509(key)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.Cost(1 << 20); got <= last {
			t.Errorf("%T costs %d, the one before it %d", k.Public(), got, last)
		} else {
			last = got
		}
	}
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	k, err := ParseX509(text(pub, err))
	if err != nil {
		t.Fatal(err)
	}
	if k.Cost(0) > 200 || k.Cost(10<<20) < 10_000 {
		t.Errorf("Ed25519 costs %d for nothing and %d for 10 MiB", k.Cost(0), k.Cost(10<<20))
	}
}

// A bit string with unused bits parses as another key, shifted to the right;
// what is stored is that key, not the DER that came in.
func TestShiftedBitString(t *testing.T) {
	t.Parallel()
	key := make(ed25519.PublicKey, ed25519.PublicKeySize)
	key[0], key[31] = 0x80, 0x02
	block, _ := pem.Decode(mustPEM(t, key))
	block.Bytes[len(block.Bytes)-33] = 1 // one unused bit
	k, err := ParseX509(pem.EncodeToMemory(block))
	if err != nil {
		t.Fatal(err)
	}
	shifted := make(ed25519.PublicKey, ed25519.PublicKeySize)
	shifted[0], shifted[31] = 0x40, 0x01
	if d := cmp.Diff(string(mustPEM(t, shifted)), string(k.Canonical())); d != "" {
		t.Errorf("canonical form (-want +got):\n%s", d)
	}
}

// FuzzParseX509 checks that the short way and the long way agree, and that a
// canonical form is its own.
func FuzzParseX509(f *testing.F) {
	for _, v := range vectors(f, "x509") {
		f.Add(v.Input)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := ParseX509(text)
		slow, slowErr := ParseX509(append([]byte("\n"), text...)) // never canonical
		if (err == nil) != (slowErr == nil) {
			t.Fatalf("short way: %v, long way: %v", err, slowErr)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(k.Canonical(), slow.Canonical()) {
			t.Fatalf("short way: %q, long way: %q", k.Canonical(), slow.Canonical())
		}
		k.Subjects()
		k.Identities()
		_, _ = k.VerifyDetached(text, text)
		again, err := ParseX509(k.Canonical())
		if err != nil {
			t.Fatalf("parse %q: %v", k.Canonical(), err)
		}
		if !bytes.Equal(again.Canonical(), k.Canonical()) {
			t.Fatal("the canonical form has another canonical form")
		}
	})
}

package sign_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/mldsa"
	mldsax509 "filippo.io/mldsa/x509"

	"github.com/cairnlog/cairn/sign"
)

// TestCheckpointKeys writes a key of each type and reads it back.
func TestCheckpointKeys(t *testing.T) {
	t.Parallel()
	for _, typ := range []sign.Type{sign.Ed25519, sign.ECDSA, sign.MLDSA44} {
		key, err := sign.NewKey(typ)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "key.pem")
		if err := sign.WriteKey(path, key); err != nil {
			t.Fatal(err)
		}
		if err := sign.WriteKey(path, key); err == nil {
			t.Errorf("%s: written over another key", typ)
		}
		loaded, err := sign.LoadCheckpointKey(path)
		if err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		if !key.(interface{ Equal(crypto.PrivateKey) bool }).Equal(loaded) {
			t.Errorf("%s: read back as another key", typ)
		}
		if text, err := sign.PublicPEM(key.Public()); err != nil || !strings.HasPrefix(string(text), "-----BEGIN PUBLIC KEY-----\n") {
			t.Errorf("%s: public key %s: %v", typ, text, err)
		}
		_, err = sign.LoadKey(path)
		if isMLDSA := typ == sign.MLDSA44; isMLDSA != (err != nil) {
			t.Errorf("%s as the log's key: %v", typ, err)
		} else if isMLDSA && !strings.Contains(err.Error(), "--checkpoint-key") {
			t.Errorf("%s as the log's key: %v", typ, err)
		}
	}
	if _, err := sign.NewKey("rsa"); err == nil {
		t.Error("made a key of type rsa")
	}
}

func TestLoadCheckpointKeyRefuses(t *testing.T) {
	t.Parallel()
	large, err := mldsa.GenerateKey(mldsa.MLDSA87())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"RSA":         {pkcs8(t, must(rsa.GenerateKey(rand.Reader, 2048))), "RSA keys cannot sign"},
		"ECDSA P-224": {pkcs8(t, must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))), "too weak"},
		"ML-DSA-87":   {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(mldsax509.MarshalPKCS8PrivateKey(large))}), "only ML-DSA-44"},
		"public key":  {must(sign.PublicPEM(large.Public())), "no PRIVATE KEY"},
		"empty":       {nil, "no PRIVATE KEY"},
	} {
		path := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(path, c.file, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := sign.LoadCheckpointKey(path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestDerivedCheckpointKey holds what a key derives: another result would
// give every log another checkpoint key at its next start.
func TestDerivedCheckpointKey(t *testing.T) {
	t.Parallel()
	seed := make([]byte, ed25519.SeedSize)
	scalar := make([]byte, 32)
	for i := range scalar {
		scalar[i] = byte(i + 1)
	}
	p256, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	for name, c := range map[string]struct {
		key    crypto.Signer
		origin string
		want   string
	}{
		"ECDSA":               {p256, "log.example", "c1b8696f0fa2edd7b562d7e13bdd0fc38e5fd0dd53c93964d8b35014c8e6d985"},
		"ECDSA, another name": {p256, "other.example", "a6e16fed87df7616c1c5eb12b85e487bf06d6faed24d3a4e257e3bf01a42e15c"},
		"Ed25519":             {ed25519.NewKeyFromSeed(seed), "log.example", "cb7f37bf826a573f4b342678a8e99371a475ea6489e713431c952b78214977a4"},
	} {
		key, err := sign.CheckpointKey(c.key, c.origin)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(key.Public().(ed25519.PublicKey)); got != c.want {
			t.Errorf("%s: derives %s, want %s", name, got, c.want)
		}
	}
	one, two := must(sign.CheckpointKey(rsaKey, "log.example")), must(sign.CheckpointKey(rsaKey, "log.example"))
	if !one.Equal(two) {
		t.Error("RSA derives another key each time")
	}
	// As read from a file.
	again, err := x509.ParsePKCS8PrivateKey(must(x509.MarshalPKCS8PrivateKey(p256)))
	if err != nil {
		t.Fatal(err)
	}
	if k := must(sign.CheckpointKey(again.(crypto.Signer), "log.example")); !k.Equal(must(sign.CheckpointKey(p256, "log.example"))) {
		t.Error("a key read from a file derives another one")
	}
	if _, err := sign.CheckpointKey(hidden{p256}, "log.example"); err == nil {
		t.Error("a key that does not show its secret derives one")
	}
}

// A hidden key is in hardware.
type hidden struct{ crypto.Signer }

package sign_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cairnlog/cairn/sign"
)

func TestCreateAndLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "key.pem")
	made, err := sign.CreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if k, ok := made.(*ecdsa.PrivateKey); !ok || k.Curve != elliptic.P256() {
		t.Errorf("made a %T, want ECDSA on P-256", made)
	}
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", fi.Mode())
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(before, []byte("-----BEGIN PRIVATE KEY-----\n")) {
		t.Errorf("file starts %.30q, want PKCS #8 PEM", before)
	}
	loaded, err := sign.LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if !made.(*ecdsa.PrivateKey).Equal(loaded) {
		t.Error("loaded another key than was made")
	}
	if _, err := sign.CreateKey(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second CreateKey: %v, want ErrExist", err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("second CreateKey changed the file")
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != 1 {
		t.Errorf("directory holds %v, want the key only", names)
	}
}

func TestCreateKeyOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.pem")
	var wg sync.WaitGroup
	made := make([]crypto.Signer, 8)
	for i := range made {
		wg.Go(func() { made[i], _ = sign.CreateKey(path) })
	}
	wg.Wait()
	loaded, err := sign.LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, k := range made {
		if k != nil {
			n++
			if !k.(*ecdsa.PrivateKey).Equal(loaded) {
				t.Error("a key was made that is not the one in the file")
			}
		}
	}
	if n != 1 {
		t.Errorf("%d of 8 made a key, want 1", n)
	}
}

func TestCreateKeyWithoutDirectory(t *testing.T) {
	t.Parallel()
	if _, err := sign.CreateKey(filepath.Join(t.TempDir(), "no", "key.pem")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("CreateKey: %v, want ErrNotExist", err)
	}
}

func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestLoadKey(t *testing.T) {
	t.Parallel()
	p256 := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	sec1 := must(x509.MarshalECPrivateKey(p256))
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecBlock := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})
	params := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}})
	for _, c := range []struct {
		name string
		file []byte
		want string // part of the error, "" for none
	}{
		{"ECDSA P-256", pkcs8(t, p256), ""},
		{"ECDSA P-521", pkcs8(t, must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))), ""},
		{"RSA", pkcs8(t, must(rsa.GenerateKey(rand.Reader, 2048))), ""},
		{"Ed25519", pkcs8(t, ed), ""},
		{"SEC 1", ecBlock, ""},
		{"SEC 1 after its parameters", append(params, ecBlock...), ""},
		{"empty", nil, "no PRIVATE KEY"},
		{"not PEM", []byte("hello"), "no PRIVATE KEY"},
		{"public key", must(sign.PublicPEM(p256.Public())), "no PRIVATE KEY"},
		{"garbage in PEM", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), "asn1"},
		{"encrypted", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}), "encrypted"},
		{"encrypted SEC 1", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"DEK-Info": "AES-128-CBC,00"}, Bytes: []byte("x")}), "encrypted"},
		{"ECDSA P-224", pkcs8(t, must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))), "too weak"},
		{"ECDH", pkcs8(t, must(p256.ECDH())), ""}, // PKCS #8 does not tell it from ECDSA
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "key.pem")
			if err := os.WriteFile(path, c.file, 0o600); err != nil {
				t.Fatal(err)
			}
			key, err := sign.LoadKey(path)
			if c.want == "" {
				if err != nil || key == nil {
					t.Fatalf("LoadKey: %v, %v", key, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("LoadKey: %v, want an error with the path and %q", err, c.want)
			}
		})
	}
	if _, err := sign.LoadKey(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("LoadKey of nothing: %v, want ErrNotExist", err)
	}
}

func TestExposed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.pem")
	if sign.Exposed(path) {
		t.Error("a missing file is exposed")
	}
	if err := os.WriteFile(path, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if sign.Exposed(path) {
		t.Error("a file of mode 0640 is exposed")
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if !sign.Exposed(path) {
		t.Error("a file of mode 0644 is not exposed")
	}
}

func TestPublicPEM(t *testing.T) {
	t.Parallel()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	text, err := sign.PublicPEM(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(text, []byte("-----END PUBLIC KEY-----\n")) {
		t.Errorf("PEM %q", text)
	}
	block, _ := pem.Decode(text)
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil || !key.PublicKey.Equal(pub) {
		t.Errorf("read back %v, %v", pub, err)
	}
	if _, err := sign.PublicPEM("no key"); err == nil {
		t.Error("wrote a string as a key")
	}
}

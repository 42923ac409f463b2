// Package sign holds the log's own keys.
package sign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	stdx509 "crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"filippo.io/mldsa"
	"filippo.io/mldsa/x509"
)

// maxKeyFile bounds what LoadKey reads: a pipe or a disk by mistake.
const maxKeyFile = 64 << 10

// CreateKey makes an ECDSA P-256 key, the type that every Rekor v1 client can
// verify, and writes it to path as PKCS #8 PEM with mode 0600. It fails with
// fs.ErrExist if there is a file at path. The file appears at once with all
// its content, and is durable when CreateKey returns; a crash on the way
// leaves at most a file named .key-* beside it, which nothing uses.
func CreateKey(path string) (crypto.Signer, error) {
	key, err := NewKey(ECDSA)
	if err != nil {
		return nil, fmt.Errorf("create key: %w", err)
	}
	if err := WriteKey(path, key); err != nil {
		return nil, fmt.Errorf("create key: %w", err)
	}
	return key, nil
}

// WriteKey writes a key to path as CreateKey does.
func WriteKey(path string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("marshal key: %w", err)
	}
	return writeNew(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func writeNew(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	// Unlike a rename, a link fails if there is something at path.
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// LoadKey reads a private key in PEM: PKCS #8, or SEC 1 for ECDSA. It takes
// ECDSA on the NIST curves from P-256, RSA from 2,048 bits, and Ed25519.
func LoadKey(path string) (crypto.Signer, error) { return load(path, usable) }

func load(path string, usable func(key any) (crypto.Signer, error)) (crypto.Signer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("load key: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, fmt.Errorf("load key: %w", err)
	}
	key, err := parseKey(data, usable)
	if err != nil {
		return nil, fmt.Errorf("load key %s: %w", path, err)
	}
	return key, nil
}

func parseKey(data []byte, usable func(key any) (crypto.Signer, error)) (crypto.Signer, error) {
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			return nil, errors.New("no PRIVATE KEY or EC PRIVATE KEY in PEM")
		}
		switch block.Type {
		case "PRIVATE KEY":
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, err
			}
			return usable(key)
		case "EC PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, errors.New("the key is encrypted; write it without a passphrase")
			}
			key, err := stdx509.ParseECPrivateKey(block.Bytes)
			if err != nil {
				return nil, err
			}
			return usable(key)
		case "ENCRYPTED PRIVATE KEY":
			return nil, errors.New("the key is encrypted; write it without a passphrase")
		}
		// Others may stand in front, such as openssl's EC PARAMETERS.
	}
}

func usable(key any) (crypto.Signer, error) {
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		if k.Curve == elliptic.P224() {
			return nil, errors.New("an ECDSA key on P-224 is too weak for a log")
		}
		return k, nil
	case *rsa.PrivateKey:
		if k.N.BitLen() < 2048 {
			return nil, fmt.Errorf("an RSA key of %d bits is too weak for a log", k.N.BitLen())
		}
		return k, nil
	case ed25519.PrivateKey:
		return k, nil
	case *mldsa.PrivateKey:
		return nil, errors.New("no client of Rekor v1 can verify ML-DSA; name such a key with --checkpoint-key")
	}
	return nil, fmt.Errorf("keys of type %T cannot sign for a log", key)
}

// Exposed says whether the file at path can be read by every user of the
// machine. Where modes mean nothing it says false.
func Exposed(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().Perm()&0o004 != 0 && os.PathSeparator == '/'
}

// PublicPEM returns a public key as PKIX PEM, with a newline at the end.
func PublicPEM(pub crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("marshal public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

package sign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"

	"filippo.io/mldsa"
)

// A Type is a kind of key that NewKey makes.
type Type string

const (
	ECDSA   Type = "ecdsa" // on P-256
	Ed25519 Type = "ed25519"
	MLDSA44 Type = "ml-dsa-44"
)

// NewKey makes a key at random.
func NewKey(t Type) (crypto.Signer, error) {
	switch t {
	case ECDSA:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case MLDSA44:
		return mldsa.GenerateKey(mldsa.MLDSA44())
	}
	return nil, fmt.Errorf("there are no keys of type %q", t)
}

// checkpointDomain keeps what CheckpointKey derives apart from whatever else
// may once be derived from the same key.
const checkpointDomain = "cairn checkpoint key\n"

// CheckpointKey returns the Ed25519 key by which a log of that origin signs
// its C2SP checkpoints unless its operator names others. It is derived from
// the log's key: all servers that have that one have this one, and none can
// make another by mistake.
func CheckpointKey(key crypto.Signer, origin string) (ed25519.PrivateKey, error) {
	var secret []byte
	var err error
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		secret, err = k.Bytes()
	case *rsa.PrivateKey:
		secret = k.D.FillBytes(make([]byte, k.Size()))
	case ed25519.PrivateKey:
		secret = k.Seed()
	default:
		err = fmt.Errorf("keys of type %T do not show their secret", key)
	}
	if err != nil {
		return nil, fmt.Errorf("derive checkpoint key: %w", err)
	}
	seed, err := hkdf.Key(sha256.New, secret, nil, checkpointDomain+origin, ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("derive checkpoint key: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// LoadCheckpointKey reads a private key that can sign C2SP checkpoints, in the
// forms of LoadKey: Ed25519, ECDSA on the NIST curves from P-256, ML-DSA-44.
func LoadCheckpointKey(path string) (crypto.Signer, error) {
	return load(path, func(key any) (crypto.Signer, error) {
		switch k := key.(type) {
		case *mldsa.PrivateKey:
			if p := k.PublicKey().Parameters(); p != mldsa.MLDSA44() {
				return nil, fmt.Errorf("of ML-DSA keys only ML-DSA-44 can sign checkpoints, not %v", p)
			}
			return k, nil
		case *rsa.PrivateKey:
			return nil, errors.New("RSA keys cannot sign C2SP checkpoints; use Ed25519, ECDSA or ML-DSA-44")
		}
		return usable(key)
	})
}

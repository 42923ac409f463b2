package pki

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/theupdateframework/go-tuf/data"
	"github.com/theupdateframework/go-tuf/verify"
)

// tufIdentities returns the keys, by their ids. The db has verified their form.
func tufIdentities(db *verify.DB, keys map[string]*data.PublicKey) ([]Identity, error) {
	ids := make([]Identity, 0, len(keys))
	for _, id := range slices.Sorted(maps.Keys(keys)) {
		v, err := db.GetVerifier(id)
		if err != nil {
			return nil, err
		}
		pub, err := tufKey(keys[id].Type, v.Public())
		if err != nil {
			return nil, fmt.Errorf("key %s of the tuf root: %w", id, err)
		}
		if err := checkSize(pub); err != nil {
			return nil, fmt.Errorf("key %s of the tuf root: %w", id, err)
		}
		der, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			return nil, fmt.Errorf("key %s of the tuf root: %w", id, err)
		}
		sum := sha256.Sum256(der)
		ids = append(ids, Identity{Type: typeName(pub), Raw: der, Fingerprint: hex.EncodeToString(sum[:])})
	}
	return ids, nil
}

// tufKey reads what the library gives as the public part of a key: Ed25519 as
// it is, others in PKIX form, ECDSA keys that came as hex in hex.
func tufKey(t data.KeyType, public string) (any, error) {
	if t == data.KeyTypeEd25519 {
		return ed25519.PublicKey(public), nil
	}
	if point, err := hex.DecodeString(public); err == nil {
		return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	}
	return x509.ParsePKIXPublicKey([]byte(public))
}

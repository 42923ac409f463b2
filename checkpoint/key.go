package checkpoint

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
)

// ErrSignature means that a signature does not verify.
var ErrSignature = errors.New("does not verify")

// KeyID returns the SHA-256 of a public key's PKIX DER. Rekor v1 calls it log id.
func KeyID(pub crypto.PublicKey) ([32]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return [32]byte{}, fmt.Errorf("marshal public key: %w", err)
	}
	return sha256.Sum256(der), nil
}

// SignMessage signs the way Rekor v1 signs all it says: ECDSA as ASN.1 DER
// and RSA as PKCS #1 v1.5, both over SHA-256 whatever the size of the key;
// Ed25519 over the message itself. An ECDSA key in memory signs by RFC 6979,
// the same message the same way: it costs less, and no weak source of
// randomness can give the key away.
func SignMessage(key crypto.Signer, message []byte) ([]byte, error) {
	switch pub := key.Public().(type) {
	case *ecdsa.PublicKey, *rsa.PublicKey:
		digest := sha256.Sum256(message)
		if key, ok := key.(*ecdsa.PrivateKey); ok {
			return key.Sign(nil, digest[:], crypto.SHA256)
		}
		return key.Sign(rand.Reader, digest[:], crypto.SHA256)
	case ed25519.PublicKey:
		return key.Sign(rand.Reader, message, crypto.Hash(0))
	default:
		return nil, fmt.Errorf("keys of type %T cannot sign for a log", pub)
	}
}

// VerifyMessage returns nil if sig is what SignMessage makes with the key that
// belongs to pub. A wrong signature is ErrSignature.
func VerifyMessage(pub crypto.PublicKey, message, sig []byte) error {
	ok := false
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(message)
		ok = ecdsa.VerifyASN1(pub, digest[:], sig)
	case *rsa.PublicKey:
		digest := sha256.Sum256(message)
		ok = rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest[:], sig) == nil
	case ed25519.PublicKey:
		ok = len(pub) == ed25519.PublicKeySize && ed25519.Verify(pub, message, sig)
	default:
		return fmt.Errorf("keys of type %T cannot sign for a log", pub)
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"math/bits"
)

// maxP1363 is the size of a P-521 signature in the form r‖s.
const maxP1363 = 132

var (
	errNoSignature = errors.New("X509 signature has not been initialized")
	errKeyType     = errors.New("unsupported public key type")
)

// VerifyDigest checks a signature over a digest: ECDSA, RSA PKCS #1 v1.5, or
// Ed25519ph, which needs SHA-512. A chain must lead from its first to its last
// certificate.
func (k *X509) VerifyDigest(h crypto.Hash, digest, signature []byte) error {
	if len(signature) == 0 {
		return errNoSignature
	}
	if err := k.verifyChain(); err != nil {
		return err
	}
	key, ok := k.key.(ed25519.PublicKey)
	if !ok {
		return k.verify(h, digest, signature)
	}
	if h != crypto.SHA512 {
		return fmt.Errorf("unsupported hash algorithm: %q not in [SHA-512]: an Ed25519 key must sign "+
			"the SHA-512 digest with Ed25519ph; a plain Ed25519 signature cannot be checked without the artifact", h)
	}
	if err := ed25519.VerifyWithOptions(key, digest, signature, &ed25519.Options{Hash: crypto.SHA512}); err != nil {
		return fmt.Errorf("failed to verify signature: %w (Ed25519 keys must sign with Ed25519ph here)", err)
	}
	return nil
}

// VerifyDetached checks a signature over the SHA-256 of message, or plain
// Ed25519 over message. A chain must lead from its first to its last
// certificate. The stored form of the signature is the signature as given.
func (k *X509) VerifyDetached(message, signature []byte) ([]byte, error) {
	if len(signature) == 0 {
		return nil, errNoSignature
	}
	if err := k.verifyChain(); err != nil {
		return nil, err
	}
	return signature, k.VerifyMessage(message, sha256.Sum256(message), signature)
}

// VerifyMessage checks a signature over message, of which digest is the
// SHA-256. The key of the first certificate is used, the chain is not checked.
func (k *X509) VerifyMessage(message []byte, digest [sha256.Size]byte, signature []byte) error {
	key, ok := k.key.(ed25519.PublicKey)
	if !ok {
		return k.verify(crypto.SHA256, digest[:], signature)
	}
	if !ed25519.Verify(key, message, signature) {
		return errors.New("failed to verify signature")
	}
	return nil
}

// Cost returns about how many microseconds VerifyMessage takes for a message of
// so many bytes, as measured on a slow machine. Ed25519 hashes the message each
// time.
func (k *X509) Cost(message int) int {
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		n1024 := (key.N.BitLen() + 1023) / 1024
		return 30 + n1024*n1024*(bits.Len(uint(key.E))+bits.OnesCount(uint(key.E)))*3/4
	case ed25519.PublicKey:
		return 60 + message/600
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P224():
			return 200
		case elliptic.P256():
			return 80
		case elliptic.P384():
			return 800
		}
		return 2500
	}
	return 0
}

// CanVerify reports whether signatures by this type of key can be verified.
func (k *X509) CanVerify() error {
	switch k.key.(type) {
	case *ecdsa.PublicKey, *rsa.PublicKey, ed25519.PublicKey:
		return nil
	}
	return errKeyType
}

// verify checks a signature by a key that signs digests.
func (k *X509) verify(h crypto.Hash, digest, signature []byte) error {
	switch key := k.key.(type) {
	case *ecdsa.PublicKey:
		return verifyECDSA(key, digest, signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, h, digest, signature)
	}
	return errKeyType
}

// verifyECDSA takes a signature in DER, and what is no DER as r‖s of equal
// length (IEEE P1363).
func verifyECDSA(key *ecdsa.PublicKey, digest, signature []byte) error {
	if ecdsa.VerifyASN1(key, digest, signature) {
		return nil
	}
	var der struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(signature, &der); err == nil {
		return errors.New("invalid signature when validating ASN.1 encoded signature")
	}
	n := len(signature)
	if n == 0 || n > maxP1363 || n%2 != 0 {
		return errors.New("ecdsa: Invalid IEEE_P1363 encoded bytes")
	}
	r := new(big.Int).SetBytes(signature[:n/2])
	s := new(big.Int).SetBytes(signature[n/2:])
	if !ecdsa.Verify(key, digest, r, s) {
		return errors.New("invalid signature when validating IEEE_P1363 encoded signature")
	}
	return nil
}

// verifyChain checks that every certificate was signed by the next: with the
// last one as root, at the time the first one starts, for any use.
func (k *X509) verifyChain() error {
	if len(k.certs) < 2 {
		return nil
	}
	last := len(k.certs) - 1
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(k.certs[last])
	for _, c := range k.certs[1:last] {
		between.AddCert(c)
	}
	_, err := k.certs[0].Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: between,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		CurrentTime:   k.certs[0].NotBefore,
	})
	return err
}

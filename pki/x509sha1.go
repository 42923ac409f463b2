package pki

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha1"
	"errors"
)

// VerifySHA1 checks a signature over a SHA-1 digest, as packages of Alpine
// Linux have it: RSA PKCS #1 v1.5 or ECDSA. The key of the first certificate
// is used, the chain is not checked.
func (k *X509) VerifySHA1(digest [sha1.Size]byte, signature []byte) error {
	if _, ok := k.key.(ed25519.PublicKey); ok {
		return errors.New("message cannot be nil: an Ed25519 key does not sign digests")
	}
	return k.verify(crypto.SHA1, digest[:], signature)
}

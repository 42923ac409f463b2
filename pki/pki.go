// Package pki reads the keys and certificates that signers use, and verifies
// their signatures.
//
// Every format has one canonical form of a key: it is what a log stores, and
// its SHA-256 is what a key is found by.
package pki

import (
	"fmt"
	"time"
)

// A Key is what others check a signer's signatures with: a public key or a
// certificate chain, in one of the formats.
type Key interface {
	// Canonical returns the stored form of the key. Callers do not change it.
	Canonical() []byte
	// Subjects returns the names that the key speaks for, in the order of the
	// key, letter case kept.
	Subjects() []string
	// Identities returns the keys and certificates behind the key.
	Identities() []Identity
	// VerifyDetached checks a detached signature over message and returns the
	// form of the signature that is stored. It does not keep its arguments,
	// but may return signature itself.
	VerifyDetached(message, signature []byte) (canonical []byte, err error)
}

// An Identity is one public key or certificate of a Key.
type Identity struct {
	Type        string // Go type, such as "*ecdsa.PublicKey" or "*x509.Certificate"
	Raw         []byte // PKIX DER of the key, or DER of the certificate
	Fingerprint string // as the format writes it
}

// A FormatError is a name that no key format has.
type FormatError struct {
	Format string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("key format %q is unknown", e.Format)
}

// Parse reads a key in the named format. It returns a *FormatError for a
// format that there is not.
func Parse(format string, content []byte) (Key, error) {
	switch format {
	case "x509":
		return key(ParseX509(content))
	case "pgp":
		return key(ParsePGP(content))
	case "minisign":
		return key(ParseMinisign(content))
	case "ssh":
		return key(ParseSSH(content))
	case "pkcs7":
		return key(ParsePKCS7(content))
	case "tuf":
		return key(ParseTUF(content, time.Now()))
	}
	return nil, &FormatError{Format: format}
}

// key keeps a nil pointer from becoming a Key that is not nil.
func key[K Key](k K, err error) (Key, error) {
	if err != nil {
		return nil, err
	}
	return k, nil
}

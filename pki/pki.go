// Package pki reads the keys and certificates that signers use, and verifies
// their signatures.
//
// Every format has one canonical form of a key: it is what a log stores, and
// its SHA-256 is what a key is found by.
package pki

import "fmt"

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

// A FormatError is a key format that cannot be read.
type FormatError struct {
	Format string
	Known  bool // the format has a name in the protocol, but no reader here yet
}

func (e *FormatError) Error() string {
	if e.Known {
		return fmt.Sprintf("key format %q is not supported yet", e.Format)
	}
	return fmt.Sprintf("key format %q is unknown", e.Format)
}

// Parse reads a key in the named format. It returns a *FormatError for a
// format that cannot be read.
func Parse(format string, content []byte) (Key, error) {
	switch format {
	case "x509":
		k, err := ParseX509(content)
		if err != nil {
			return nil, err // not a typed nil
		}
		return k, nil
	case "pgp":
		k, err := ParsePGP(content)
		if err != nil {
			return nil, err
		}
		return k, nil
	case "minisign", "ssh", "tuf":
		return nil, &FormatError{Format: format, Known: true}
	}
	return nil, &FormatError{Format: format}
}

package pki

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
)

const (
	// maxChain is the most certificates a chain may have.
	maxChain = 10
	// maxDER is the most that a key or all certificates of a chain may have in
	// DER. No leaf holds more than 36 KiB of it, and what is in a certificate
	// takes up to fifty times as much memory.
	maxDER = 64 << 10
	// maxRSABits bounds the time that one RSA verification takes.
	maxRSABits = 8192
)

// An X509 is a public key, a certificate, or a certificate chain, in PEM.
//
// Validity dates, trust and key usage are never looked at: a log keeps
// evidence, whoever reads it judges.
type X509 struct {
	key       any                 // as crypto/x509 gives it
	der       []byte              // PKIX form of a bare key
	certs     []*x509.Certificate // leaf first; none for a bare key
	canonical []byte
}

// ParseX509 reads one PEM block of type PUBLIC KEY or CERTIFICATE, or a chain
// of up to ten certificates. White space around, text before the first block,
// PEM headers and any line length are tolerated; anything after a single
// block that is not a certificate is an error.
func ParseX509(text []byte) (*X509, error) {
	if der, ok := canonicalPEM(text, pemCert); ok {
		c, err := parseCertificate(der)
		if err != nil {
			return nil, err
		}
		return &X509{key: c.PublicKey, certs: []*x509.Certificate{c}, canonical: text}, nil
	}
	if der, ok := canonicalPEM(text, pemKey); ok {
		return parseBareKey(der, text)
	}
	text = bytes.TrimSpace(text)
	block, rest := pem.Decode(text)
	switch {
	case block == nil:
		return nil, errors.New("invalid public key: failure decoding PEM")
	case len(rest) > 0:
		return parseChain(text)
	case block.Type == pemCert:
		return parseChain(text)
	case block.Type != pemKey:
		return nil, fmt.Errorf("invalid public key: cannot handle type %v", block.Type)
	}
	return parseBareKey(block.Bytes, nil)
}

// ParseX509Key reads a public key in PKIX form, DER.
func ParseX509Key(der []byte) (*X509, error) { return parseBareKey(der, nil) }

// ParseX509Certificate reads one certificate in DER, of which the result is a part.
func ParseX509Certificate(der []byte) (*X509, error) {
	c, err := parseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &X509{key: c.PublicKey, certs: []*x509.Certificate{c}, canonical: appendPEM(nil, der, pemCert)}, nil
}

// parseBareKey reads a key in PKIX form. text is the canonical PEM of der, nil
// if there is none yet.
func parseBareKey(der, text []byte) (*X509, error) {
	if err := checkDER(len(der)); err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	if err := checkSize(key); err != nil {
		return nil, err
	}
	// der can be another encoding of the key: a bit string may be shifted.
	again, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("invalid public key: %w", err)
	}
	if text == nil || !bytes.Equal(der, again) {
		text = appendPEM(nil, again, pemKey)
	}
	return &X509{key: key, der: again, canonical: text}, nil
}

func parseChain(text []byte) (*X509, error) {
	k := &X509{canonical: make([]byte, 0, min(len(text)+1, 2*maxDER))}
	total := 0
	for len(text) > 0 {
		if len(k.certs) == maxChain {
			return nil, errors.New("too many certificates specified in PEM block")
		}
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, errors.New("error during PEM decoding")
		}
		total += len(block.Bytes)
		if err := checkDER(total); err != nil {
			return nil, err
		}
		// The type is not looked at: whatever the block calls itself, the
		// canonical form says CERTIFICATE.
		c, err := parseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		k.certs = append(k.certs, c)
		k.canonical = appendPEM(k.canonical, c.Raw, pemCert)
		text = rest
	}
	k.key = k.certs[0].PublicKey
	return k, nil
}

func parseCertificate(der []byte) (*x509.Certificate, error) {
	if err := checkDER(len(der)); err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return c, checkSize(c.PublicKey)
}

func checkDER(n int) error {
	if n > maxDER {
		return fmt.Errorf("invalid public key: more than %d bytes of DER", maxDER)
	}
	return nil
}

func checkSize(key any) error {
	if k, ok := key.(*rsa.PublicKey); ok && k.N.BitLen() > maxRSABits {
		return fmt.Errorf("RSA key has %d bits, the limit is %d", k.N.BitLen(), maxRSABits)
	}
	return nil
}

// Public returns the key, or the key of the first certificate.
func (k *X509) Public() any { return k.key }

// Canonical returns the key or the chain in PEM, with a final newline.
func (k *X509) Canonical() []byte { return k.canonical }

// Identities returns the key or the first certificate.
func (k *X509) Identities() []Identity {
	id := Identity{Raw: k.der}
	if len(k.certs) > 0 {
		id.Type, id.Raw = "*x509.Certificate", k.certs[0].Raw
	} else {
		id.Type = typeName(k.key)
	}
	sum := sha256.Sum256(id.Raw)
	id.Fingerprint = hex.EncodeToString(sum[:])
	return []Identity{id}
}

func typeName(key any) string {
	switch key.(type) {
	case *ecdsa.PublicKey:
		return "*ecdsa.PublicKey"
	case *rsa.PublicKey:
		return "*rsa.PublicKey"
	case ed25519.PublicKey:
		return "ed25519.PublicKey"
	case *ecdh.PublicKey:
		return "*ecdh.PublicKey"
	}
	return fmt.Sprintf("%T", key)
}

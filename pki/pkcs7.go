package pki

import (
	"bytes"
	"crypto/dsa" //lint:ignore SA1019 old keys are verified, none is made
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/sassoftware/relic/v8/lib/pkcs7"
)

const (
	pemPKCS7 = "PKCS7"

	// maxPKCS7 is the most bytes of a bundle, with what it signs or without.
	maxPKCS7 = 1 << 20
	// maxDSABits and maxSigners bound the time that a verification takes.
	maxDSABits = 4096
	maxSigners = 32
)

var emailAddress = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}

// A PKCS7 is the first certificate in a signed message, RFC 2315.
type PKCS7 struct {
	cert *x509.Certificate
	key  []byte // PKIX form of its key
}

// ParsePKCS7 reads a signed message of 1 MiB at most, in PEM or DER.
func ParsePKCS7(text []byte) (*PKCS7, error) {
	m, err := parsePKCS7(text)
	if err != nil {
		return nil, err
	}
	certs, err := m.Content.Certificates.Parse()
	if err != nil {
		return nil, err
	}
	if len(certs) == 0 {
		return nil, errors.New("unable to extract public key from certificate inside PKCS7 bundle")
	}
	key, err := x509.MarshalPKIXPublicKey(certs[0].PublicKey)
	if err != nil {
		return nil, err
	}
	return &PKCS7{certs[0], key}, nil
}

func parsePKCS7(text []byte) (*pkcs7.ContentInfoSignedData, error) {
	if len(text) > maxPKCS7 {
		return nil, fmt.Errorf("PKCS7 message has %d bytes, the limit is %d", len(text), maxPKCS7)
	}
	if block, _ := pem.Decode(text); block != nil {
		if block.Type != pemPKCS7 {
			return nil, fmt.Errorf("unknown PEM block type %s found during PKCS7 parsing", block.Type)
		}
		text = block.Bytes
	}
	return pkcs7.Unmarshal(text)
}

// Canonical returns the certificate in PEM.
func (k *PKCS7) Canonical() []byte { return appendPEM(nil, k.cert.Raw, pemCert) }

// Subjects returns the e-mail addresses of the certificate's subject, in lower
// case, and its alternative names.
func (k *PKCS7) Subjects() []string {
	var names []string
	for _, n := range k.cert.Subject.Names {
		if s, ok := n.Value.(string); ok && n.Type.Equal(emailAddress) {
			names = append(names, strings.ToLower(s))
		}
	}
	return append(names, (&X509{certs: []*x509.Certificate{k.cert}}).Subjects()...)
}

// Identities returns the certificate and its key.
func (k *PKCS7) Identities() []Identity {
	cert, key := sha256.Sum256(k.cert.Raw), sha256.Sum256(k.key)
	return []Identity{
		{Type: "*x509.Certificate", Raw: k.cert.Raw, Fingerprint: hex.EncodeToString(cert[:])},
		{Type: typeName(k.cert.PublicKey), Raw: k.key, Fingerprint: hex.EncodeToString(key[:])},
	}
}

// VerifyDetached checks a signed message over message: of each signer, by the
// certificates in it, of which k must be the first. What is stored is the
// signed message without what it signs. Chains and dates are not looked at.
func (k *PKCS7) VerifyDetached(message, signature []byte) ([]byte, error) {
	m, err := parsePKCS7(signature)
	if err != nil {
		return nil, err
	}
	if n := len(m.Content.SignerInfos); n > maxSigners {
		return nil, fmt.Errorf("PKCS7 message has %d signers, the limit is %d", n, maxSigners)
	}
	certs, _ := m.Content.Certificates.Parse() // those that can be read
	if len(certs) == 0 || !bytes.Equal(certs[0].Raw, k.cert.Raw) {
		return nil, errors.New("PKCS7 message has another certificate")
	}
	if err := checkCertSizes(certs); err != nil {
		return nil, err
	}
	if len(message) == 0 {
		message = nil // the message may have its content
	}
	if _, err := m.Content.Verify(message, false); err != nil {
		return nil, err
	}
	return detachedPKCS7(m)
}

// checkCertSizes refuses keys that take long.
func checkCertSizes(certs []*x509.Certificate) error {
	for _, c := range certs {
		if err := checkSize(c.PublicKey); err != nil {
			return err
		}
		if d, ok := c.PublicKey.(*dsa.PublicKey); ok && (d.P.BitLen() > maxDSABits || d.Q.BitLen() > maxDSABits/8) {
			return fmt.Errorf("DSA key has %d bits, the limit is %d", d.P.BitLen(), maxDSABits)
		}
	}
	return nil
}

// detachedPKCS7 returns a signed message without its content, in PEM. It
// changes m.
func detachedPKCS7(m *pkcs7.ContentInfoSignedData) ([]byte, error) {
	if _, err := m.Detach(); err != nil {
		return nil, err
	}
	der, err := m.Marshal()
	if err != nil {
		return nil, err
	}
	return appendPEM(nil, der, pemPKCS7), nil
}

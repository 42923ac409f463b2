package compat

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// inToto is the payload type of in-toto statements.
const inToto = "application/vnd.in-toto+json"

// A signer is a key with, where it has one, its certificate.
type signer struct {
	keyType string
	key     crypto.Signer
	hash    crypto.Hash         // that hashedrekord's policy wants with the key
	chain   []*x509.Certificate // leaf first
}

// keyTypes are what newSigner can make.
var keyTypes = []string{"p256", "p384", "p521", "ed25519", "rsa2048", "rsa3072", "rsa4096"}

// newSigner makes a key.
func newSigner(kind string) (*signer, error) {
	var (
		key  crypto.Signer
		hash = crypto.SHA256
		err  error
	)
	switch kind {
	case "p256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "p384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		hash = crypto.SHA384
	case "p521":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
		hash = crypto.SHA512
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
		hash = crypto.SHA512
	case "rsa2048":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "rsa3072":
		key, err = rsa.GenerateKey(rand.Reader, 3072)
	case "rsa4096":
		key, err = rsa.GenerateKey(rand.Reader, 4096)
	default:
		return nil, fmt.Errorf("unknown key type %q", kind)
	}
	return &signer{keyType: kind, key: key, hash: hash}, err
}

// certify gives s a certificate with SANs: what has "://" is a URI, what has
// "@" an email address, all else a DNS name. It is signed by ca, or by s
// itself if ca is nil.
func (s *signer) certify(ca *signer, sans ...string) error {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "compat"},
		NotBefore:    now.Add(-time.Minute),
		NotAfter:     now.Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	for _, san := range sans {
		switch {
		case strings.Contains(san, "://"):
			u, err := url.Parse(san)
			if err != nil {
				return err
			}
			template.URIs = append(template.URIs, u)
		case strings.Contains(san, "@"):
			template.EmailAddresses = append(template.EmailAddresses, san)
		default:
			template.DNSNames = append(template.DNSNames, san)
		}
	}
	parent, parentKey := template, s.key
	if ca != nil {
		parent, parentKey = ca.chain[0], ca.key
	}
	return s.issue(template, parent, parentKey, ca)
}

// certifyCA gives s the certificate of an authority.
func (s *signer) certifyCA() error {
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "compat root", Organization: []string{"compat"}},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	return s.issue(template, template, s.key, nil)
}

func (s *signer) issue(template, parent *x509.Certificate, parentKey crypto.Signer, ca *signer) error {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, s.key.Public(), parentKey)
	if err != nil {
		return err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	s.chain = []*x509.Certificate{cert}
	if ca != nil {
		s.chain = append(s.chain, ca.chain...)
	}
	return nil
}

// privatePEM returns the key in PKCS #8.
func (s *signer) privatePEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// publicPEM returns the public key in PKIX.
func (s *signer) publicPEM() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(s.key.Public())
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// verifierPEM returns what a log entry is to be verified with: the first n
// certificates of the chain, or the public key if n is 0.
func (s *signer) verifierPEM(n int) ([]byte, error) {
	if n == 0 {
		return s.publicPEM()
	}
	var b bytes.Buffer
	for _, c := range s.chain[:n] {
		if err := pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// sign signs data after hashing it with h. RSA signatures are PKCS #1 v1.5.
// Ed25519 is pure with hash 0, otherwise Ed25519ph.
func (s *signer) sign(data []byte, h crypto.Hash) ([]byte, error) {
	if _, ok := s.key.Public().(ed25519.PublicKey); ok && h == 0 {
		return s.key.Sign(rand.Reader, data, crypto.Hash(0))
	}
	return s.key.Sign(rand.Reader, digest(data, h), h)
}

// signDetached signs as rekord and dsse entries want it: pure Ed25519, and
// SHA-256 with every other key.
func (s *signer) signDetached(data []byte) ([]byte, error) {
	if _, ok := s.key.Public().(ed25519.PublicKey); ok {
		return s.sign(data, 0)
	}
	return s.sign(data, crypto.SHA256)
}

func digest(data []byte, h crypto.Hash) []byte {
	w := h.New()
	w.Write(data)
	return w.Sum(nil)
}

// envelope returns a DSSE envelope of the payload with a signature by each signer.
func envelope(payloadType string, payload []byte, signers ...*signer) ([]byte, error) {
	e := dsse.Envelope{PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString(payload)}
	for _, s := range signers {
		sig, err := s.signDetached(dsse.PAE(payloadType, payload))
		if err != nil {
			return nil, err
		}
		e.Signatures = append(e.Signatures, dsse.Signature{Sig: base64.StdEncoding.EncodeToString(sig)})
	}
	return json.Marshal(e)
}

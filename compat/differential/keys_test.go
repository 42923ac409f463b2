package differential

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
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// keys are what the proposals of this run are signed with.
type keys struct {
	x509 []*signer
	pgp  []*openpgp.Entity
}

// A signer is a key with the texts that stand for it.
type signer struct {
	crypto.Signer
	public []byte   // PEM
	certs  [][]byte // the key's certificate, and with its issuer's; PEM
}

func newKeys() (*keys, error) {
	authority, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return nil, err
	}
	var k keys
	for _, generate := range []func() (crypto.Signer, error){
		func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) },
		func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) },
		func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P521(), rand.Reader) },
		func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P224(), rand.Reader) },
		func() (crypto.Signer, error) { _, s, err := ed25519.GenerateKey(rand.Reader); return s, err },
		func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) },
		func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 1024) },
	} {
		key, err := generate()
		if err != nil {
			return nil, err
		}
		s, err := newSigner(key, authority)
		if err != nil {
			return nil, err
		}
		k.x509 = append(k.x509, s)
	}
	for i, c := range []packet.Config{
		{Algorithm: packet.PubKeyAlgoRSA, RSABits: 2048},
		{Algorithm: packet.PubKeyAlgoEdDSA},
		{Algorithm: packet.PubKeyAlgoECDSA, Curve: packet.CurveNistP256},
		{Algorithm: packet.PubKeyAlgoEd25519, V6Keys: true},
	} {
		c.Time = func() time.Time { return time.Now().Add(-time.Hour) }
		e, err := openpgp.NewEntity(fmt.Sprintf("Key %d", i), "", fmt.Sprintf("Key%d@Example.com", i), &c)
		if err != nil {
			return nil, err
		}
		k.pgp = append(k.pgp, e)
	}
	two, err := openpgp.NewEntity("One", "", "one@example.com", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err == nil {
		err = two.AddUserId("Two", "", "two@example.com", nil)
	}
	k.pgp = append(k.pgp, two)
	return &k, err
}

func newSigner(key crypto.Signer, authority crypto.Signer) (*signer, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	s := &signer{Signer: key, public: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, authority.Public(), authority)
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour),
		EmailAddresses: []string{"Someone@Example.com"}, DNSNames: []string{"host.example"},
		URIs: []*url.URL{{Scheme: "https", Host: "ci.example", Path: "/build"}},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), authority)
	if err != nil {
		return nil, err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leafDER})
	s.certs = [][]byte{cert, append(bytes.Clone(cert), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})...)}
	return s, nil
}

// key returns a text of the signer's key.
func (s *signer) key(m *mutator) []byte {
	if m.oneIn(2) {
		return s.public
	}
	return pick(m, s.certs)
}

// signature signs as most kinds want it: pure Ed25519, and all else by the
// SHA-256 of the message.
func (s *signer) signature(message []byte) []byte {
	if _, ok := s.Public().(ed25519.PublicKey); ok {
		return must(s.Sign(rand.Reader, message, crypto.Hash(0)))
	}
	return s.signHash(message, crypto.SHA256)
}

func (s *signer) signHash(message []byte, h crypto.Hash) []byte {
	w := h.New()
	w.Write(message)
	return must(s.Sign(rand.Reader, w.Sum(nil), h))
}

// ring returns the packets of a key, now and then with those of another.
func (m *mutator) ring(e *openpgp.Entity) []byte {
	var b bytes.Buffer
	must(0, e.Serialize(&b))
	if m.oneIn(6) {
		must(0, pick(m, m.keys.pgp).Serialize(&b))
	}
	return b.Bytes()
}

// pgpKey returns the text of a key, maybe changed.
func (m *mutator) pgpKey(e *openpgp.Entity) []byte {
	raw := m.ring(e)
	if m.oneIn(3) {
		var other bytes.Buffer
		must(0, pick(m, m.keys.pgp).Serialize(&other))
		raw = m.changePackets(raw, other.Bytes())
	}
	if m.oneIn(4) {
		return raw
	}
	return toArmor("PGP PUBLIC KEY BLOCK", raw)
}

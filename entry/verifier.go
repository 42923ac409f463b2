package entry

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/cairnlog/cairn/entry/jcs"
	"github.com/cairnlog/cairn/pki"
)

// What the proposals of the Rekor v2 API have in common,
// https://github.com/sigstore/rekor-tiles/tree/main/api/proto/rekor/v2

// A Verifier is what a signature is verified with: a key or a certificate, and
// the algorithm that its signatures are by.
type Verifier struct {
	PublicKey   []byte // PKIX DER; nil if there is a certificate
	Certificate []byte // DER; nil if there is a key
	KeyDetails  string // a name of sigstore's PublicKeyDetails
}

// A Signature is a signature with its verifier.
type Signature struct {
	Content  []byte // ECDSA in ASN.1
	Verifier *Verifier
}

// An algorithm is one of PublicKeyDetails.
type algorithm struct {
	name string
	hash crypto.Hash // of what is signed; 0 signs the message itself
	fits func(key any) bool
}

// algorithms are those that the Rekor v2 API takes.
var algorithms = []algorithm{
	{"PKIX_ECDSA_P256_SHA_256", crypto.SHA256, isECDSA(elliptic.P256())},
	{"PKIX_ECDSA_P384_SHA_384", crypto.SHA384, isECDSA(elliptic.P384())},
	{"PKIX_ECDSA_P521_SHA_512", crypto.SHA512, isECDSA(elliptic.P521())},
	{"PKIX_RSA_PKCS1V15_2048_SHA256", crypto.SHA256, isRSA(2048)},
	{"PKIX_RSA_PKCS1V15_3072_SHA256", crypto.SHA256, isRSA(3072)},
	{"PKIX_RSA_PKCS1V15_4096_SHA256", crypto.SHA256, isRSA(4096)},
	{"PKIX_ED25519", 0, isEd25519},
	{"PKIX_ED25519_PH", crypto.SHA512, isEd25519},
}

// AllowsKeyDetails reports whether some kind takes signatures by the algorithm
// of that name.
func AllowsKeyDetails(name string) bool {
	return slices.ContainsFunc(algorithms, func(a algorithm) bool { return a.name == name })
}

func isECDSA(c elliptic.Curve) func(any) bool {
	return func(key any) bool {
		k, ok := key.(*ecdsa.PublicKey)
		return ok && k.Curve == c
	}
}

func isRSA(bits int) func(any) bool {
	return func(key any) bool {
		k, ok := key.(*rsa.PublicKey)
		return ok && 8*k.Size() == bits
	}
}

func isEd25519(key any) bool {
	_, ok := key.(ed25519.PublicKey)
	return ok
}

// hashName returns the name of sigstore's HashAlgorithm, and what a search
// term has in its place.
func hashName(h crypto.Hash) (name, term string) {
	switch h {
	case crypto.SHA384:
		return "SHA2_384", "sha384"
	case crypto.SHA512:
		return "SHA2_512", "sha512"
	}
	return "SHA2_256", "sha256"
}

// present checks that there is something to read a key from.
func (v *Verifier) present() error {
	switch {
	case v.PublicKey != nil && v.Certificate != nil:
		return errors.New("verifier has both a public key and a certificate")
	case v.PublicKey == nil && v.Certificate == nil:
		return errors.New("verifier has neither a public key nor a certificate")
	case len(v.PublicKey)+len(v.Certificate) == 0:
		return errors.New("verifier has no raw bytes")
	}
	return nil
}

// key reads the key or certificate. No chain is built, and when a certificate
// is valid and what for does not matter.
func (v *Verifier) key() (*pki.X509, error) {
	if v.Certificate != nil {
		k, err := pki.ParseX509Certificate(v.Certificate)
		if err != nil {
			return nil, fmt.Errorf("parse certificate: %w", err)
		}
		return k, nil
	}
	k, err := pki.ParseX509Key(v.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("parse public key: %w", err)
	}
	return k, nil
}

// algorithm finds the algorithm that v names, and checks that k is a key for it.
func (v *Verifier) algorithm(k *pki.X509) (algorithm, error) {
	for _, a := range algorithms {
		if a.name != v.KeyDetails {
			continue
		}
		if !a.fits(k.Public()) {
			return a, &Error{Reason: NotAllowed, Text: "key is not of the type that keyDetails says, " + a.name}
		}
		return a, nil
	}
	return algorithm{}, &Error{Reason: NotAllowed, Text: fmt.Sprintf("keyDetails %.64q is not an algorithm that is allowed", v.KeyDetails)}
}

// append appends the canonical form of s.
func (s *Signature) append(b []byte) []byte {
	b = append(b, `{"content":"`...)
	b = base64.StdEncoding.AppendEncode(b, s.Content)
	b = append(b, `","verifier":{"keyDetails":`...)
	b = jcs.AppendString(b, []byte(s.Verifier.KeyDetails))
	if s.Verifier.Certificate != nil {
		b = append(b, `,"x509Certificate":{"rawBytes":"`...)
		b = base64.StdEncoding.AppendEncode(b, s.Verifier.Certificate)
	} else {
		b = append(b, `,"publicKey":{"rawBytes":"`...)
		b = base64.StdEncoding.AppendEncode(b, s.Verifier.PublicKey)
	}
	return append(b, `"}}}`...)
}

// read reads the canonical form.
func (s *Signature) read(r *jcs.Reader) error {
	*s = Signature{}
	var there bool
	return readObject(r, &there, func(name []byte) error {
		switch string(name) {
		case "content":
			return readBytes(r, &s.Content)
		case "verifier":
			s.Verifier = new(Verifier)
			return readObject(r, &there, func(name []byte) error {
				switch string(name) {
				case "keyDetails":
					var text []byte
					err := readString(r, &text)
					s.Verifier.KeyDetails = string(text)
					return err
				case "publicKey":
					return readRawBytes(r, &s.Verifier.PublicKey)
				case "x509Certificate":
					return readRawBytes(r, &s.Verifier.Certificate)
				}
				return nil
			})
		}
		return nil
	})
}

// readRawBytes reads an object with a member rawBytes. *dst is nil if there is
// no such object, empty if there is no such member.
func readRawBytes(r *jcs.Reader, dst *[]byte) error {
	*dst = nil
	var there bool
	err := readObject(r, &there, func(name []byte) error {
		if string(name) == "rawBytes" {
			return readBytes(r, dst)
		}
		return nil
	})
	if there && *dst == nil {
		*dst = []byte{}
	}
	return err
}

// readBytes reads the next value if it is a string, as base64; otherwise *dst is nil.
func readBytes(r *jcs.Reader, dst *[]byte) error {
	*dst = nil
	var text []byte
	if err := readString(r, &text); err != nil || text == nil {
		return err
	}
	c, err := decode(text)
	if err != nil {
		return invalid("reading base64: %v", err)
	}
	*dst = c.raw
	return nil
}

// readHash reads an object {"algorithm": …, "digest": …} as the Rekor v2 API
// has it. h is 0 for an algorithm that is not known.
func readHash(r *jcs.Reader, h *crypto.Hash, digest *[]byte) error {
	*h, *digest = 0, nil
	var there bool
	return readObject(r, &there, func(name []byte) error {
		switch string(name) {
		case "algorithm":
			var text []byte
			if err := readString(r, &text); err != nil {
				return err
			}
			*h = 0
			for _, known := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
				if n, _ := hashName(known); n == string(text) {
					*h = known
				}
			}
		case "digest":
			return readBytes(r, digest)
		}
		return nil
	})
}

// appendHash appends the canonical form of a digest.
func appendHash(b []byte, h crypto.Hash, digest []byte) []byte {
	name, _ := hashName(h)
	b = append(b, `{"algorithm":"`...)
	b = append(b, name...)
	b = append(b, `","digest":"`...)
	b = base64.StdEncoding.AppendEncode(b, digest)
	return append(b, `"}`...)
}

package entry

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/cairnlog/cairn/entry/jcs"
	"github.com/cairnlog/cairn/pki"
)

// A hashedRekord is a signature over an artifact that is known by its digest
// alone. Its stored form is its proposed form.
type hashedRekord struct {
	hash         hashValue
	hasSignature bool
	signature    []byte // base64
	hasKey       bool
	key          []byte // base64 of PEM
}

func (s *hashedRekord) member(r *jcs.Reader, name []byte) error {
	switch string(name) {
	case "data":
		s.hash = hashValue{}
		var there bool
		return readObject(r, &there, func(name []byte) error {
			if string(name) == "hash" {
				return s.hash.read(r)
			}
			return nil
		})
	case "signature":
		s.signature, s.hasKey, s.key = nil, false, nil
		return readObject(r, &s.hasSignature, func(name []byte) error {
			switch string(name) {
			case "content":
				return readString(r, &s.signature)
			case "publicKey":
				return readContent(r, &s.hasKey, &s.key)
			}
			return nil
		})
	}
	return nil
}

func checkHashedRekord(spec []byte, o Options) (*Checked, error) {
	// 1. Read.
	var s hashedRekord
	if err := readSpec(spec, s.member); err != nil {
		return nil, err
	}
	signature, err := decode(s.signature)
	if err != nil {
		return nil, fmt.Errorf("failed parsing base64 data for signature content: %w", err)
	}
	pem, err := decode(s.key)
	if err != nil {
		return nil, fmt.Errorf("failed parsing base64 data for public key content: %w", err)
	}
	noData, noSignature := s.hash.problem("data.data.hash.data.hash", "sha256", "sha384", "sha512"), ""
	if !s.hash.there {
		noData = "data in body is required"
	}
	if !s.hasSignature {
		noSignature = "signature in body is required"
	}
	if err := problems(noData, noSignature); err != nil {
		return nil, err
	}
	if !s.hasKey {
		return nil, errors.New("missing public key")
	}

	// 2. Verify.
	key, err := pki.ParseX509(pem.raw)
	if err != nil {
		return nil, err
	}
	h := crypto.SHA256
	switch string(s.hash.algorithm) {
	case "sha384":
		h = crypto.SHA384
	case "sha512":
		h = crypto.SHA512
	}
	if len(s.hash.value) != 2*h.Size() {
		return nil, errors.New("invalid value for hash")
	}
	digest, err := hex.AppendDecode(nil, s.hash.value)
	if err != nil {
		return nil, err
	}
	if err := key.VerifyDigest(h, digest, signature.raw); err != nil {
		return nil, fmt.Errorf("verifying signature: %w", err)
	}
	if !o.Stored && !allowed(key.Public(), h) {
		return nil, &Error{Reason: NotAllowed, Text: "entry algorithms are not allowed"}
	}

	// 3. Canonicalise. The letter case of the digest is kept.
	pem = canonicalKey(key, pem)
	b := make([]byte, 0, 256+len(s.hash.value)+len(signature.text)+len(pem.text))
	b = append(b, `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":`...)
	b = s.hash.append(b)
	b = append(b, `},"signature":{"content":"`...)
	b = append(b, signature.text...)
	b = append(b, `","publicKey":{"content":"`...)
	b = append(b, pem.text...)
	b = append(b, `"}}}}`...)

	subjects := key.Subjects()
	artifact := s.hash.term()
	return &Checked{
		Body:       b,
		Terms:      append(append(make([]string, 0, len(subjects)+2), subjects...), keyHash(key), artifact),
		Artifact:   artifact,
		Identities: identities(key, subjects),
	}, nil
}

// allowed is the policy on new entries: for each key the hash that goes with
// it, https://github.com/sigstore/architecture-docs/blob/main/algorithm-registry.md
func allowed(key any, h crypto.Hash) bool {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return h == crypto.SHA256
		case elliptic.P384():
			return h == crypto.SHA384
		case elliptic.P521():
			return h == crypto.SHA512
		}
	case *rsa.PublicKey:
		bits := 8 * k.Size()
		return h == crypto.SHA256 && (bits == 2048 || bits == 3072 || bits == 4096)
	case ed25519.PublicKey:
		return h == crypto.SHA512
	}
	return false
}

package bundle

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // SHA-384 and SHA-512 are asked for by name
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
)

// hashes are the algorithms of digests.
var hashes = map[common.HashAlgorithm]struct {
	name string
	hash crypto.Hash
}{
	common.HashAlgorithm_SHA2_256: {"sha256", crypto.SHA256},
	common.HashAlgorithm_SHA2_384: {"sha384", crypto.SHA384},
	common.HashAlgorithm_SHA2_512: {"sha512", crypto.SHA512},
}

func hashByName(name string) (crypto.Hash, bool) {
	for _, h := range hashes {
		if h.name == name {
			return h.hash, true
		}
	}
	return 0, false
}

// errSignature means that a signature does not verify.
var errSignature = errors.New("the signature does not verify by this key")

// maxRSA bounds the time that a signature may take.
const maxRSA = 8192

// verify returns nil if c is signed by key. Of an artifact it believes the
// digest.
func (c *Content) verify(key crypto.PublicKey) error {
	if !c.IsEnvelope() {
		h, ok := hashByName(c.Algorithm)
		if !ok {
			return fmt.Errorf("digest by %q", c.Algorithm)
		}
		return verifyDigest(key, h, c.Digest, c.Signature)
	}
	pae := c.pae()
	if k, ok := key.(ed25519.PublicKey); ok {
		// DSSE is signed by Ed25519 as it is; what goes into a hashedrekord is
		// hashed before.
		sum := crypto.SHA512.New()
		sum.Write(pae)
		if ed25519.Verify(k, pae, c.Signature) || verifyDigest(key, crypto.SHA512, sum.Sum(nil), c.Signature) == nil {
			return nil
		}
		return errSignature
	}
	h := crypto.SHA256
	if k, ok := key.(*ecdsa.PublicKey); ok {
		switch k.Curve {
		case elliptic.P384():
			h = crypto.SHA384
		case elliptic.P521():
			h = crypto.SHA512
		}
	}
	sum := h.New()
	sum.Write(pae)
	if verifyDigest(key, h, sum.Sum(nil), c.Signature) == nil {
		return nil
	}
	// Older clients took SHA-256 for all curves.
	d := sha256.Sum256(pae)
	return verifyDigest(key, crypto.SHA256, d[:], c.Signature)
}

func verifyDigest(key crypto.PublicKey, h crypto.Hash, digest, sig []byte) error {
	ok := false
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(key, digest, sig)
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits > maxRSA {
			return fmt.Errorf("RSA key of %d bits", bits)
		}
		ok = rsa.VerifyPKCS1v15(key, h, digest, sig) == nil
	case ed25519.PublicKey:
		ok = h == crypto.SHA512 && ed25519.VerifyWithOptions(key, digest, sig, &ed25519.Options{Hash: h}) == nil
	default:
		return fmt.Errorf("keys of type %T are not known", key)
	}
	if !ok {
		return errSignature
	}
	return nil
}

// pae returns what of an envelope is signed.
// https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
func (c *Content) pae() []byte {
	b := make([]byte, 0, len(c.Payload)+len(c.PayloadType)+60)
	b = append(b, "DSSEv1 "...)
	b = strconv.AppendInt(b, int64(len(c.PayloadType)), 10)
	b = append(b, ' ')
	b = append(b, c.PayloadType...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(len(c.Payload)), 10)
	b = append(b, ' ')
	return append(b, c.Payload...)
}

// inTotoType is the payload type of in-toto statements.
const inTotoType = "application/vnd.in-toto+json"

// statementTypes are the versions of in-toto statements that are known.
var statementTypes = []string{"https://in-toto.io/Statement/v0.1", "https://in-toto.io/Statement/v1"}

// A Digests has an artifact's digests in hex by the name of their algorithm.
type Digests map[string]string

// hasArtifact says whether c speaks of an artifact: it is what was signed, or
// a subject of the in-toto statement that was.
func (c *Content) hasArtifact(digests Digests) error {
	if !c.IsEnvelope() {
		want := hex.EncodeToString(c.Digest)
		have, ok := digests[c.Algorithm]
		if !ok {
			return fmt.Errorf("the %s of the artifact is not known", c.Algorithm)
		}
		if !strings.EqualFold(have, want) {
			return fmt.Errorf("the artifact is %s:%s, what was signed %[1]s:%[3]s", c.Algorithm, have, want)
		}
		return nil
	}
	if c.PayloadType != inTotoType {
		return fmt.Errorf("the envelope holds %q, which does not name artifacts", c.PayloadType)
	}
	var s struct {
		Type    string `json:"_type"`
		Subject []struct {
			Digest map[string]string `json:"digest"`
		} `json:"subject"`
	}
	if err := json.NewDecoder(bytes.NewReader(c.Payload)).Decode(&s); err != nil {
		return fmt.Errorf("the statement is not JSON: %w", err)
	}
	known := false
	for _, t := range statementTypes {
		known = known || s.Type == t
	}
	if !known {
		return fmt.Errorf("%q is not a type of in-toto statement that is known", s.Type)
	}
	for _, subject := range s.Subject {
		for name, want := range subject.Digest {
			if have, ok := digests[name]; ok && strings.EqualFold(have, want) {
				return nil
			}
		}
	}
	return errors.New("the artifact is no subject of the statement")
}

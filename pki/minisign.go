package pki

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/jedisct1/go-minisign"
	"golang.org/x/crypto/blake2b"
)

// maxText bounds keys and signatures in formats of a few lines.
const maxText = 64 << 10

// A Minisign is a public key of minisign or signify.
type Minisign struct {
	key minisign.PublicKey
}

// ParseMinisign reads a key file of two lines, its second line alone, or the 32
// bytes of the key, as old entries have it. It reads 64 KiB at most.
func ParseMinisign(text []byte) (*Minisign, error) {
	if err := checkText("minisign public key", text); err != nil {
		return nil, err
	}
	key, err := minisign.DecodePublicKey(string(text))
	if err != nil {
		key, err = minisign.NewPublicKey(string(text))
	}
	if err != nil && len(text) == ed25519.PublicKeySize {
		key, err = minisign.PublicKey{SignatureAlgorithm: [2]byte{'E', 'd'}}, nil
		copy(key.PublicKey[:], text)
	}
	if err != nil {
		return nil, fmt.Errorf("unable to read minisign public key: %w", err)
	}
	return &Minisign{key}, nil
}

func checkText(what string, text []byte) error {
	if len(text) > maxText {
		return fmt.Errorf("%s has %d bytes, the limit is %d", what, len(text), maxText)
	}
	return nil
}

// Canonical returns algorithm, key id and key in base64.
func (k *Minisign) Canonical() []byte {
	return packed(k.key.SignatureAlgorithm, k.key.KeyId, k.key.PublicKey[:])
}

func packed(algorithm [2]byte, id [8]byte, value []byte) []byte {
	b := append(algorithm[:], id[:]...)
	return base64.StdEncoding.AppendEncode(nil, append(b, value...))
}

// Subjects returns none: what a comment says is not part of the key.
func (k *Minisign) Subjects() []string { return nil }

// Identities returns the key.
func (k *Minisign) Identities() []Identity {
	der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(k.key.PublicKey[:]))
	if err != nil {
		return nil // Ed25519 keys always have a form
	}
	sum := sha256.Sum256(der)
	return []Identity{{Type: fmt.Sprintf("%T", &k.key), Raw: der, Fingerprint: hex.EncodeToString(sum[:])}}
}

// VerifyDetached checks a signature file of minisign or signify. Key ids are
// not compared. What is stored is the signature alone, and so the signature
// over the trusted comment is not checked.
func (k *Minisign) VerifyDetached(message, signature []byte) ([]byte, error) {
	s, err := parseMinisig(signature)
	if err != nil {
		return nil, err
	}
	if s.SignatureAlgorithm[1] == 'D' {
		sum := blake2b.Sum512(message)
		message = sum[:]
	}
	if !ed25519.Verify(k.key.PublicKey[:], message, s.Signature[:]) {
		return nil, errors.New("failed to verify signature")
	}
	return canonicalMinisig(s), nil
}

// parseMinisig reads the four lines of minisign, or the first two, which is
// all that signify writes.
func parseMinisig(text []byte) (s minisign.Signature, err error) {
	if err := checkText("minisign signature", text); err != nil {
		return s, err
	}
	if s, err = minisign.DecodeSignature(string(text)); err == nil {
		return s, nil
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	if len(lines) != 2 {
		return s, fmt.Errorf("invalid signature provided: %d lines detected", len(lines))
	}
	b, err := base64.StdEncoding.DecodeString(lines[1])
	if err != nil {
		return s, errors.New("invalid signature provided: base64 decoding failed")
	}
	if len(b) != len(s.SignatureAlgorithm)+len(s.KeyId)+len(s.Signature) {
		return s, fmt.Errorf("invalid signature provided: incorrect size %d detected", len(b))
	}
	n := copy(s.SignatureAlgorithm[:], b)
	n += copy(s.KeyId[:], b[n:])
	copy(s.Signature[:], b[n:])
	return s, nil
}

func canonicalMinisig(s minisign.Signature) []byte {
	return append([]byte("untrusted comment:\n"), packed(s.SignatureAlgorithm, s.KeyId, s.Signature[:])...)
}

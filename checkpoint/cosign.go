package checkpoint

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// A cosignature is a witness's statement about a checkpoint: the tree is the
// largest that it has seen of this log at a time that it names, and continues
// all that it has seen before. https://c2sp.org/tlog-cosignature

// typeCosignature is the first byte of the key in the vkey of a witness that
// signs with Ed25519.
const typeCosignature = 0x04

// timeSize is the length of the time in front of a timestamped signature.
const timeSize = 8

// A Cosigner makes timestamped Ed25519 cosignatures. It is a note.Signer that
// signs nothing but checkpoints.
type Cosigner struct {
	name string
	key  crypto.Signer
	hash uint32
	vkey string
	now  func() time.Time
}

var _ note.Signer = (*Cosigner)(nil)

// NewCosigner returns a Cosigner with a name, by custom a URL without its
// scheme. The key must be Ed25519, and of nobody else: the signed message
// does not have the name. now is nil for time.Now.
func NewCosigner(name string, key crypto.Signer, now func() time.Time) (*Cosigner, error) {
	pub, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("a cosigner's key is Ed25519, not %T", key.Public())
	}
	if !ValidName(name) {
		return nil, fmt.Errorf("%q cannot be the name of a signature", name)
	}
	if now == nil {
		now = time.Now
	}
	hash := cosignerHash(name, pub)
	vkey := fmt.Sprintf("%s+%08x+%s", name, hash, base64.StdEncoding.EncodeToString(append([]byte{typeCosignature}, pub...)))
	return &Cosigner{name: name, key: key, hash: hash, vkey: vkey, now: now}, nil
}

// Name returns the name on the signature lines.
func (s *Cosigner) Name() string { return s.name }

// KeyHash returns the first bytes of the signature lines.
func (s *Cosigner) KeyHash() uint32 { return s.hash }

// VKey returns name and public key as verifiers are told them.
func (s *Cosigner) VKey() string { return s.vkey }

// Verifier returns the verifier of what s signs.
func (s *Cosigner) Verifier() note.Verifier {
	return newCosignatureVerifier(s.name, s.key.Public().(ed25519.PublicKey))
}

// Sign returns a cosignature of the text of a checkpoint, as of now: the time
// and the signature.
func (s *Cosigner) Sign(text []byte) ([]byte, error) {
	if _, err := parseText(string(text)); err != nil {
		return nil, fmt.Errorf("cosign: %w", err)
	}
	seconds := s.now().Unix()
	if seconds < 0 {
		return nil, errors.New("cosign: the clock is before 1970")
	}
	sig, err := s.key.Sign(rand.Reader, cosignedMessage(uint64(seconds), text), crypto.Hash(0))
	if err != nil {
		return nil, fmt.Errorf("cosign: %w", err)
	}
	return append(binary.BigEndian.AppendUint64(nil, uint64(seconds)), sig...), nil
}

// cosignedMessage returns what an Ed25519 cosigner signs.
func cosignedMessage(seconds uint64, text []byte) []byte {
	m := make([]byte, 0, len(text)+64)
	m = append(m, "cosignature/v1\ntime "...)
	m = strconv.AppendUint(m, seconds, 10)
	m = append(m, '\n')
	return append(m, text...)
}

// cosignerHash returns the key hash of an Ed25519 cosigner.
func cosignerHash(name string, pub ed25519.PublicKey) uint32 {
	h := sha256.New()
	h.Write([]byte(name))
	h.Write([]byte{'\n', typeCosignature})
	h.Write(pub)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

// A cosignatureVerifier verifies timestamped Ed25519 cosignatures.
type cosignatureVerifier struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

// newCosignatureVerifier returns the verifier for a vkey of type 0x04, whose
// key of ed25519.PublicKeySize bytes is pub.
func newCosignatureVerifier(name string, pub ed25519.PublicKey) note.Verifier {
	return &cosignatureVerifier{name, cosignerHash(name, pub), pub}
}

func (v *cosignatureVerifier) Name() string    { return v.name }
func (v *cosignatureVerifier) KeyHash() uint32 { return v.hash }

// Verify says whether sig is a cosignature of the text of a checkpoint.
func (v *cosignatureVerifier) Verify(text, sig []byte) bool {
	if len(sig) != timeSize+ed25519.SignatureSize {
		return false
	}
	seconds := binary.BigEndian.Uint64(sig)
	if seconds > math.MaxInt64 {
		return false
	}
	if _, err := parseText(string(text)); err != nil {
		return false
	}
	return ed25519.Verify(v.key, cosignedMessage(seconds, text), sig[timeSize:])
}

// CosignatureTime returns when a cosignature was made, in Unix seconds, by
// its own word. Both forms begin with the time, that of Ed25519 and that of
// ML-DSA-44; whether s is one, and right, is for its verifier to say.
func CosignatureTime(s note.Signature) (int64, error) {
	b, err := base64.StdEncoding.DecodeString(s.Base64)
	if err != nil {
		return 0, fmt.Errorf("time of a cosignature: %w", err)
	}
	if len(b) < 4+timeSize+ed25519.SignatureSize {
		return 0, errors.New("time of a cosignature: it is too short")
	}
	seconds := binary.BigEndian.Uint64(b[4:])
	if seconds > math.MaxInt64 {
		return 0, errors.New("time of a cosignature: it is past the end of time")
	}
	return int64(seconds), nil
}

package checkpoint

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"filippo.io/mldsa"
	"golang.org/x/mod/sumdb/note"
)

// The notes of C2SP have any number of signature lines, by keys of several
// types. A line names its key by four bytes, which for all types but ECDSA
// are a hash of name, type and key. Whoever verifies is told name and key as
// one string, a vkey:
//
//	log.example+5ae29d1c+AYx3…
//
// https://c2sp.org/signed-note

// First bytes of the key in a vkey; typeCosignature is another.
const (
	typeEd25519 = 0x01
	typeECDSA   = 0x02
	typeMLDSA44 = 0x06
)

// maxVKey bounds what ParseVKey looks at. The longest are those of ML-DSA-44,
// of 1,800 bytes and a name.
const maxVKey = 4 << 10

// ErrUnverified means that no line of a note is by a known key.
var ErrUnverified = errors.New("no signature is by a known key")

// A noteKey is a public key under a name: it verifies signature lines.
type noteKey struct {
	name   string
	hash   uint32
	typ    byte
	key    []byte // as the vkey has it, without the type
	verify func(text, sig []byte) bool
}

func (k *noteKey) Name() string                 { return k.name }
func (k *noteKey) KeyHash() uint32              { return k.hash }
func (k *noteKey) Verify(text, sig []byte) bool { return k.verify(text, sig) }

// vkey returns name and key as ParseVKey reads them.
func (k *noteKey) vkey() string {
	return fmt.Sprintf("%s+%08x+%s", k.name, k.hash, base64.StdEncoding.EncodeToString(append([]byte{k.typ}, k.key...)))
}

// newNoteKey returns the key by which a log of that name signs notes.
func newNoteKey(name string, pub crypto.PublicKey) (*noteKey, error) {
	if !ValidName(name) {
		return nil, fmt.Errorf("%q cannot be the name of a signature", name)
	}
	k := &noteKey{name: name}
	switch pub := pub.(type) {
	case ed25519.PublicKey:
		if len(pub) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("Ed25519 key of %d bytes", len(pub))
		}
		k.typ, k.key = typeEd25519, pub
	case *ecdsa.PublicKey:
		der, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			return nil, fmt.Errorf("marshal public key: %w", err)
		}
		k.typ, k.key = typeECDSA, der
	case *mldsa.PublicKey:
		if pub.Parameters() != mldsa.MLDSA44() {
			return nil, fmt.Errorf("%v keys cannot sign notes, only ML-DSA-44 ones can", pub.Parameters())
		}
		if len(name) > maxSubtreeName {
			return nil, fmt.Errorf("the name of an ML-DSA-44 signature has at most %d bytes, not %d", maxSubtreeName, len(name))
		}
		k.typ, k.key = typeMLDSA44, pub.Bytes()
		k.hash = noteKeyHash(name, k.typ, k.key)
		k.verify = func(text, sig []byte) bool { return verifySubtree(name, pub, text, sig) }
		return k, nil
	default:
		return nil, fmt.Errorf("keys of type %T cannot sign notes", pub)
	}
	k.hash = noteKeyHash(name, k.typ, k.key)
	k.verify = func(text, sig []byte) bool { return VerifyMessage(pub, text, sig) == nil }
	return k, nil
}

// noteKeyHash returns what stands in front of the signatures of a key.
func noteKeyHash(name string, typ byte, key []byte) uint32 {
	id := noteKeyID(name, typ, key)
	return binary.BigEndian.Uint32(id[:])
}

func noteKeyID(name string, typ byte, key []byte) (id [sha256.Size]byte) {
	h := sha256.New()
	if typ != typeECDSA {
		h.Write([]byte(name))
		h.Write([]byte{'\n', typ})
	}
	h.Write(key)
	h.Sum(id[:0])
	return id
}

// NoteKeyID returns the id of the key by which a log of that name signs notes:
// its first four bytes stand in front of the signatures, and the whole of it
// is the log id in entries of the Rekor v2 API. That of an ECDSA key is that
// of KeyID.
func NoteKeyID(name string, pub crypto.PublicKey) ([32]byte, error) {
	k, err := newNoteKey(name, pub)
	if err != nil {
		return [32]byte{}, fmt.Errorf("key id: %w", err)
	}
	return noteKeyID(k.name, k.typ, k.key), nil
}

// VKey returns the vkey of a log's key, which is Ed25519, ECDSA, or ML-DSA-44.
// The name is by custom the log's origin.
func VKey(name string, pub crypto.PublicKey) (string, error) {
	k, err := newNoteKey(name, pub)
	if err != nil {
		return "", fmt.Errorf("vkey: %w", err)
	}
	return k.vkey(), nil
}

// VKeyID returns the id of the log's key that a vkey has, as NoteKeyID does.
func VKeyID(vkey string) ([32]byte, error) {
	v, err := ParseVKey(vkey)
	if err != nil {
		return [32]byte{}, err
	}
	k, ok := v.(*noteKey)
	if !ok {
		return [32]byte{}, errors.New("vkey is a witness's, not a log's")
	}
	return noteKeyID(k.name, k.typ, k.key), nil
}

// ParseVKey returns the verifier that a vkey describes: of a log's key, which
// is Ed25519, ECDSA, or ML-DSA-44, or of a witness's, which is Ed25519 with
// timestamped signatures, or ML-DSA-44. There is one vkey to a verifier, but
// for the case of hex digits.
func ParseVKey(vkey string) (note.Verifier, error) {
	v, err := parseVKey(vkey)
	if err != nil {
		return nil, fmt.Errorf("parse vkey: %w", err)
	}
	return v, nil
}

func parseVKey(vkey string) (note.Verifier, error) {
	if len(vkey) > maxVKey {
		return nil, fmt.Errorf("over %d bytes", maxVKey)
	}
	name, rest, _ := strings.Cut(vkey, "+")
	hash16, key64, ok := strings.Cut(rest, "+")
	if !ok {
		return nil, errors.New("is not a name, a hash and a key with plus signs between them")
	}
	if !ValidName(name) {
		return nil, fmt.Errorf("%q cannot be the name of a signature", name)
	}
	hash, err := strconv.ParseUint(hash16, 16, 32)
	if err != nil || len(hash16) != 8 {
		return nil, fmt.Errorf("hash %q is not eight hex digits", hash16)
	}
	if strings.ContainsAny(key64, "\r\n") { // the decoder would skip them
		return nil, errors.New("key: line break in base64")
	}
	key, err := base64.StdEncoding.Strict().DecodeString(key64)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if len(key) < 2 {
		return nil, errors.New("key is too short")
	}
	typ, key := key[0], key[1:]
	if have := noteKeyHash(name, typ, key); uint32(hash) != have {
		return nil, fmt.Errorf("hash is %08x, but that of name and key is %08x", hash, have)
	}
	var pub crypto.PublicKey
	switch typ {
	case typeEd25519, typeCosignature:
		if len(key) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("Ed25519 key of %d bytes", len(key))
		}
		if typ == typeCosignature {
			return newCosignatureVerifier(name, key), nil
		}
		pub = ed25519.PublicKey(key)
	case typeECDSA:
		if pub, err = x509.ParsePKIXPublicKey(key); err != nil {
			return nil, fmt.Errorf("key: %w", err)
		}
		if _, ok := pub.(*ecdsa.PublicKey); !ok {
			return nil, fmt.Errorf("key is said to be ECDSA, but is a %T", pub)
		}
	case typeMLDSA44:
		if pub, err = mldsa.NewPublicKey(mldsa.MLDSA44(), key); err != nil {
			return nil, fmt.Errorf("key: %w", err)
		}
	default:
		return nil, fmt.Errorf("keys of type 0x%02x are not known", typ)
	}
	return newNoteKey(name, pub)
}

// A noteSigner signs notes with a log's key.
type noteSigner struct {
	*noteKey
	sign func(text []byte) ([]byte, error)
}

func (s *noteSigner) Sign(text []byte) ([]byte, error) { return s.sign(text) }

// NewNoteSigner returns a signer for SignNote, with a key that is Ed25519,
// ECDSA, or ML-DSA-44; with the last it signs nothing but checkpoints without
// further lines. The name is by custom the log's origin.
func NewNoteSigner(name string, key crypto.Signer) (note.Signer, error) {
	s, err := newNoteSigner(name, key)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func newNoteSigner(name string, key crypto.Signer) (*noteSigner, error) {
	k, err := newNoteKey(name, key.Public())
	if err != nil {
		return nil, err
	}
	s := &noteSigner{noteKey: k}
	if k.typ == typeMLDSA44 {
		s.sign = func(text []byte) ([]byte, error) { return signSubtree(name, key, text) }
	} else {
		s.sign = func(text []byte) ([]byte, error) { return SignMessage(key, text) }
	}
	return s, nil
}

// SignNote returns a note over c with a line of each signer, in their order.
func SignNote(c Checkpoint, signers ...note.Signer) ([]byte, error) {
	if len(signers) == 0 {
		return nil, errors.New("sign checkpoint: nobody to sign it")
	}
	text := c.Text()
	if strings.ContainsFunc(text, isControl) {
		return nil, errors.New("sign checkpoint: control character in the text")
	}
	if _, err := parseText(text); err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	msg, err := note.Sign(&note.Note{Text: text}, signers...)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	return msg, nil
}

// OpenNote parses a note and verifies it by the rule of C2SP: at least one
// line is by a known key, else the error is ErrUnverified, and no line that
// is by one is wrong. The Note tells which they are. If origin is not empty
// it must be the one in the note.
func OpenNote(msg []byte, origin string, known ...note.Verifier) (Checkpoint, *note.Note, error) {
	c, _, err := parse(msg)
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint: %w", err)
	}
	if origin != "" && c.Origin != origin {
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint: origin is %q, not %q", c.Origin, origin)
	}
	n, err := note.Open(msg, note.VerifierList(known...))
	var wrong *note.InvalidSignatureError
	var none *note.UnverifiedNoteError
	switch {
	case errors.As(err, &wrong):
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint: signature of %s by key %08x: %w", wrong.Name, wrong.Hash, ErrSignature)
	case errors.As(err, &none):
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint of %q: %w", c.Origin, ErrUnverified)
	case err != nil:
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint: %w", err)
	}
	return c, n, nil
}

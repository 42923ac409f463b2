// Package checkpoint is the signed text by which a log commits to a tree:
// its form, and how it is signed, parsed and verified.
//
// A checkpoint is a signed note (https://c2sp.org/signed-note) whose text is
// the origin, the tree size, and the root hash, a line each:
//
//	localhost - 3904496407287907110
//	42
//	SBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7I=
//
//	— localhost ep2GtTBGAiEA5Mph…
//
// Rekor v1 differs from C2SP in one thing: whatever the type of the key, the
// four bytes in front of a signature are the first of the SHA-256 of its PKIX
// DER, which are also the first of the log id.
package checkpoint

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cairnlog/cairn/merkle"
)

// Bounds on what Parse looks at. The largest notes in use carry a dozen
// witnesses with 2.4 KB signatures each.
const (
	maxNote       = 1 << 20
	maxSignatures = 100
)

// A Checkpoint is what the log says about its tree.
type Checkpoint struct {
	Origin string // such as "localhost - 3904496407287907110"
	Tree   merkle.Tree
	Extra  []string // further lines of the text, without their newlines
}

// A Signature is one signature line of a note. It has been parsed, not verified.
type Signature struct {
	Name    string
	KeyHash [4]byte
	Sig     []byte
}

// V1Origin returns the first line of a Rekor v1 checkpoint. Clients tell v1
// from v2 by its last part.
func V1Origin(origin string, treeID int64) string {
	return origin + " - " + strconv.FormatInt(treeID, 10)
}

// ValidName says whether a name can stand on a signature line: not empty,
// UTF-8, without white space, control characters and plus signs.
func ValidName(name string) bool {
	return name != "" && utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool {
		return r == '+' || unicode.IsSpace(r) || unicode.IsControl(r)
	})
}

// Text returns what is signed. It ends with a newline.
func (c Checkpoint) Text() string { return string(c.appendText(nil)) }

func (c Checkpoint) appendText(b []byte) []byte {
	b = append(b, c.Origin...)
	b = append(b, '\n')
	b = strconv.AppendInt(b, c.Tree.Size, 10)
	b = append(b, '\n')
	b = base64.StdEncoding.AppendEncode(b, c.Tree.Root[:])
	b = append(b, '\n')
	for _, line := range c.Extra {
		b = append(b, line...)
		b = append(b, '\n')
	}
	return b
}

// A Signer signs checkpoints as Rekor v1 does.
type Signer struct {
	name string
	key  crypto.Signer
	hash [4]byte // first bytes of the key id
}

// NewSigner returns a Signer whose signature lines carry the name, by custom
// the host in the origin.
func NewSigner(name string, key crypto.Signer) (*Signer, error) {
	if !ValidName(name) {
		return nil, fmt.Errorf("%q cannot be the name of a signature", name)
	}
	id, err := KeyID(key.Public())
	if err != nil {
		return nil, err
	}
	return &Signer{name: name, key: key, hash: [4]byte(id[:4])}, nil
}

// Sign returns a note over c with one signature line.
func (s *Signer) Sign(c Checkpoint) ([]byte, error) {
	text := c.appendText(make([]byte, 0, 512))
	if bytes.ContainsFunc(text, isControl) {
		return nil, errors.New("sign checkpoint: control character in the text")
	}
	if _, err := parseText(string(text)); err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	sig, err := SignMessage(s.key, text)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	note := append(text, "\n"+sigPrefix...)
	note = append(note, s.name...)
	note = append(note, ' ')
	note = base64.StdEncoding.AppendEncode(note, append(s.hash[:len(s.hash):len(s.hash)], sig...))
	return append(note, '\n'), nil
}

// Sign is Signer.Sign for one checkpoint.
func Sign(c Checkpoint, name string, key crypto.Signer) ([]byte, error) {
	s, err := NewSigner(name, key)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	return s.Sign(c)
}

// sigPrefix starts a signature line: an em dash and a space.
const sigPrefix = "— "

// Parse reads a note without verifying it. The text ends at the last blank
// line, has at least three lines, and is exactly what Text returns for the
// result. There is at least one signature. A note of more than 1 MiB or 100
// signatures is refused.
func Parse(note []byte) (Checkpoint, []Signature, error) {
	c, sigs, err := parse(note)
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("parse checkpoint: %w", err)
	}
	return c, sigs, nil
}

func parse(note []byte) (Checkpoint, []Signature, error) {
	if len(note) > maxNote {
		return Checkpoint{}, nil, fmt.Errorf("over %d bytes", maxNote)
	}
	if !utf8.Valid(note) {
		return Checkpoint{}, nil, errors.New("not UTF-8")
	}
	if i := bytes.IndexFunc(note, isControl); i >= 0 {
		return Checkpoint{}, nil, fmt.Errorf("control character at byte %d", i)
	}
	blank := bytes.LastIndex(note, []byte("\n\n"))
	if blank < 0 {
		return Checkpoint{}, nil, errors.New("no blank line between text and signatures")
	}
	text, rest := string(note[:blank+1]), string(note[blank+2:])
	if !strings.HasSuffix(rest, "\n") {
		return Checkpoint{}, nil, errors.New("no newline at the end, or no signature")
	}
	c, err := parseText(text)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	if n := strings.Count(rest, "\n"); n > maxSignatures {
		return Checkpoint{}, nil, fmt.Errorf("over %d signatures", maxSignatures)
	}
	var sigs []Signature
	for line := range strings.Lines(rest) {
		s, err := parseSignature(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return Checkpoint{}, nil, fmt.Errorf("signature %d: %w", len(sigs)+1, err)
		}
		sigs = append(sigs, s)
	}
	return c, sigs, nil
}

// isControl is true of what a note must not have. The base64 decoder would skip
// a carriage return, and a terminal would act on an escape sequence.
func isControl(r rune) bool { return r < ' ' && r != '\n' }

func parseText(text string) (Checkpoint, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 3 {
		return Checkpoint{}, fmt.Errorf("text has %d lines, at least origin, size and root are due", len(lines))
	}
	c := Checkpoint{Origin: lines[0]}
	if c.Origin == "" {
		return Checkpoint{}, errors.New("empty origin")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || strconv.FormatInt(size, 10) != lines[1] || size < 0 {
		return Checkpoint{}, fmt.Errorf("size %q is not a plain decimal number", lines[1])
	}
	c.Tree.Size = size
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("root hash: %w", err)
	}
	if len(root) != merkle.HashSize {
		return Checkpoint{}, fmt.Errorf("root hash has %d bytes, not %d", len(root), merkle.HashSize)
	}
	c.Tree.Root = merkle.Hash(root)
	if len(lines) > 3 {
		c.Extra = lines[3:]
	}
	return c, nil
}

func parseSignature(line string) (Signature, error) {
	rest, ok := strings.CutPrefix(line, sigPrefix)
	if !ok {
		return Signature{}, errors.New("does not start with an em dash and a space")
	}
	name, b64, ok := strings.Cut(rest, " ")
	if !ok || !ValidName(name) {
		return Signature{}, errors.New("is not a name and a signature")
	}
	b, err := base64.StdEncoding.Strict().DecodeString(b64)
	if err != nil {
		return Signature{}, err
	}
	if len(b) < 5 {
		return Signature{}, errors.New("is too short")
	}
	return Signature{Name: name, KeyHash: [4]byte(b), Sig: b[4:]}, nil
}

// Open parses a note and verifies it by the rule of Rekor v1: every signature
// line is by key. If origin is not empty it must be the one in the note.
func Open(note []byte, origin string, key crypto.PublicKey) (Checkpoint, error) {
	c, sigs, err := Parse(note)
	if err != nil {
		return Checkpoint{}, err
	}
	if origin != "" && c.Origin != origin {
		return Checkpoint{}, fmt.Errorf("open checkpoint: origin is %q, not %q", c.Origin, origin)
	}
	id, err := KeyID(key)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("open checkpoint: %w", err)
	}
	text := []byte(c.Text())
	for _, s := range sigs {
		if !bytes.Equal(s.KeyHash[:], id[:4]) {
			return Checkpoint{}, fmt.Errorf("open checkpoint: signature of %s is by key %x, not %x", s.Name, s.KeyHash, id[:4])
		}
		if err := VerifyMessage(key, text, s.Sig); err != nil {
			return Checkpoint{}, fmt.Errorf("open checkpoint: signature of %s: %w", s.Name, err)
		}
	}
	return c, nil
}

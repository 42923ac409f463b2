package checkpoint

import (
	"crypto"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"github.com/cairnlog/cairn/merkle"
)

// An Author signs the checkpoints of one log for C2SP clients. It may be used
// concurrently if its keys may.
type Author struct {
	origin  string
	signers []note.Signer
	keys    []*noteKey // of the signers
}

// NewAuthor returns an Author for the log of that origin, which is also the
// name of its keys. There is at least one key, none twice; the first makes
// the first signature line.
func NewAuthor(origin string, keys ...crypto.Signer) (*Author, error) {
	if len(keys) == 0 {
		return nil, errors.New("no key to sign checkpoints with")
	}
	a := &Author{origin: origin}
	for _, key := range keys {
		s, err := newNoteSigner(origin, key)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(a.keys, func(k *noteKey) bool { return k.hash == s.hash }) {
			return nil, fmt.Errorf("two keys with hash %08x: clients could not tell them apart", s.hash)
		}
		a.keys, a.signers = append(a.keys, s.noteKey), append(a.signers, s)
	}
	return a, nil
}

// Checkpoint returns a note over t with a line of each key.
func (a *Author) Checkpoint(t merkle.Tree) ([]byte, error) {
	return SignNote(Checkpoint{Origin: a.origin, Tree: t}, a.signers...)
}

// VKeys returns the vkey of each key.
func (a *Author) VKeys() []string {
	s := make([]string, len(a.keys))
	for i, k := range a.keys {
		s[i] = k.vkey()
	}
	return s
}

// Verifiers returns a verifier of each key.
func (a *Author) Verifiers() []note.Verifier {
	v := make([]note.Verifier, len(a.keys))
	for i, k := range a.keys {
		v[i] = k
	}
	return v
}

// KeyID returns the id of the first key, as NoteKeyID has it.
func (a *Author) KeyID() [32]byte {
	k := a.keys[0]
	return noteKeyID(k.name, k.typ, k.key)
}

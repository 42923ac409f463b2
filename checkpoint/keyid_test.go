package checkpoint_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/cairnlog/cairn/checkpoint"
)

// TestNoteKeyID checks that the id of a key begins with the hash in its
// signature lines, and that an ECDSA key has the same id as in the v1 API.
func TestNoteKeyID(t *testing.T) {
	t.Parallel()
	const name = "log.example"
	for kind, key := range keys(t) {
		signer, err := checkpoint.NewNoteSigner(name, key)
		if err != nil {
			continue // RSA signs no notes
		}
		id, err := checkpoint.NoteKeyID(name, key.Public())
		if err != nil {
			t.Fatal(err)
		}
		if hash := binary.BigEndian.Uint32(id[:]); hash != signer.KeyHash() {
			t.Errorf("%s: id %x, hash %08x", kind, id, signer.KeyHash())
		}
		author, err := checkpoint.NewAuthor(name, key)
		if err != nil {
			t.Fatal(err)
		}
		if author.KeyID() != id {
			t.Errorf("%s: the author's id is %x, the key's %x", kind, author.KeyID(), id)
		}
		vkey, err := checkpoint.VKey(name, key.Public())
		if err != nil {
			t.Fatal(err)
		}
		if byVKey, err := checkpoint.VKeyID(vkey); err != nil || byVKey != id {
			t.Errorf("%s: the id of %s is %x, %v, want %x", kind, vkey, byVKey, err, id)
		}
		v1, err := checkpoint.KeyID(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		if ecdsa := kind[0] == 'P'; (v1 == id) != ecdsa {
			t.Errorf("%s: id %x, in the v1 API %x", kind, id, v1)
		}
	}
	witness, err := checkpoint.NewCosigner(name, keys(t)["Ed25519"], time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, vkey := range []string{"", "x+00000000+AAAA", witness.VKey()} {
		if id, err := checkpoint.VKeyID(vkey); err == nil {
			t.Errorf("the id of %q is %x", vkey, id)
		}
	}
	if _, err := checkpoint.NoteKeyID("two words", keys(t)["Ed25519"].Public()); err == nil {
		t.Error("a name with a space has an id")
	}
}

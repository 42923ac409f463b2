package pki

import (
	"bufio"
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

const (
	// maxKeyRing is the largest key ring that is read, in bytes. What is
	// stored of it must fit into a leaf of 64 KiB, after base64 twice; the rest
	// is room for what is not stored, such as photographs.
	maxKeyRing = 256 << 10

	pgpBegin = "-----BEGIN PGP"
	pgpEnd   = "-----END PGP"
)

// A PGP is a ring of OpenPGP public keys.
type PGP struct {
	keys    openpgp.EntityList
	userIDs [][]*openpgp.Identity // of each key, as received
	// ring is the keys that can verify, each with its primary user ID alone:
	// what is looked up in a map of several would depend on chance.
	ring      openpgp.EntityList
	canonical []byte
}

// ParsePGP reads a ring of public keys: packets, or any number of armored
// blocks with nothing before them. Keys that cannot be read are left out as
// long as there is one that can.
//
// A ring may have 256 KiB in 4096 packets, and its keys may need as many
// verifications of their own signatures as fit into about 70 ms. Secret keys
// are refused unread.
func ParsePGP(text []byte) (k *PGP, err error) {
	defer recoverPGP(&err)
	if len(text) > maxKeyRing {
		return nil, fmt.Errorf("PGP key ring has %d bytes, the limit is %d", len(text), maxKeyRing)
	}
	if len(text) < len(pgpBegin) {
		return nil, errors.New("unable to read PGP public key: EOF")
	}
	k = &PGP{}
	var w ringWalk
	if !bytes.HasPrefix(text, []byte(pgpBegin)) {
		if err := k.read(text, &w); err != nil {
			return nil, fmt.Errorf("error reading binary PGP public key: %w", err)
		}
	} else if err := k.readArmored(text, &w); err != nil {
		return nil, err
	}
	if len(k.keys) == 0 {
		return nil, errors.New("no PGP public keys could be read")
	}
	k.order(w.keys)
	if k.canonical, err = k.serialize(); err != nil {
		return nil, fmt.Errorf("error generating canonical value of PGP public key: %w", err)
	}
	return k, nil
}

// recoverPGP turns a panic of the library into an error: some malformed keys
// and signatures make it follow nil pointers.
func recoverPGP(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("malformed PGP data: %v", r)
	}
}

// readArmored reads block by block. What follows the last one is ignored.
func (k *PGP) readArmored(text []byte, w *ringWalk) error {
	var block bytes.Buffer
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		block.Write(lines.Bytes())
		block.WriteByte('\n')
		if !bytes.HasPrefix(lines.Bytes(), []byte(pgpEnd)) {
			continue
		}
		b, err := armor.Decode(&block)
		if err != nil {
			return fmt.Errorf("invalid PGP public key provided: %w", err)
		}
		if b.Type != openpgp.PublicKeyType && b.Type != openpgp.PrivateKeyType {
			return errors.New("invalid PGP type detected")
		}
		packets, err := io.ReadAll(b.Body)
		if err == nil {
			err = k.read(packets, w)
		}
		if err != nil {
			return fmt.Errorf("error reading PGP public key: %w", err)
		}
		block.Reset()
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("error reading PGP public key: %w", err)
	}
	return nil
}

// read adds the keys in packets to the ring.
func (k *PGP) read(packets []byte, w *ringWalk) error {
	packets, err := w.walk(packets)
	if err != nil {
		return err
	}
	ring, err := openpgp.ReadKeyRing(bytes.NewReader(packets))
	k.keys = append(k.keys, ring...)
	return err
}

// order brings the user IDs into the order in which they were received, and
// makes the ring.
func (k *PGP) order(walked []walkedKey) {
	k.userIDs = make([][]*openpgp.Identity, len(k.keys))
	for i, e := range k.keys {
		// Keys that could not be read are missing; the others are in the same
		// order.
		for !walked[0].is(e) {
			walked = walked[1:]
		}
		var primary *openpgp.Identity
		for _, id := range walked[0].userIDs {
			identity := e.Identities[id]
			if identity == nil || slices.Contains(k.userIDs[i], identity) {
				continue
			}
			k.userIDs[i] = append(k.userIDs[i], identity)
			if primary == nil || preferred(identity, primary) {
				primary = identity
			}
		}
		walked = walked[1:]
		if primary != nil {
			e.Identities = map[string]*openpgp.Identity{primary.Name: primary}
		}
		if e.PrimaryKey.Version == 6 || primary != nil && primary.SelfSignature != nil {
			k.ring = append(k.ring, e)
		}
	}
}

// preferred reports whether a user ID is to be preferred to one that came
// before it: not revoked, signed by the key itself, marked as primary, newer.
func preferred(id, before *openpgp.Identity) bool {
	if a, b := len(id.Revocations), len(before.Revocations); a != b {
		return a < b
	}
	if id.SelfSignature == nil || before.SelfSignature == nil {
		return id.SelfSignature != nil
	}
	primary := func(s *packet.Signature) bool { return s.IsPrimaryId != nil && *s.IsPrimaryId }
	if a, b := primary(id.SelfSignature), primary(before.SelfSignature); a != b {
		return a
	}
	return id.SelfSignature.CreationTime.After(before.SelfSignature.CreationTime)
}

// serialize makes the canonical form: one armored block with all keys.
func (k *PGP) serialize() ([]byte, error) {
	var packets bytes.Buffer
	var err error
	put := func(p interface{ Serialize(io.Writer) error }) {
		if err == nil {
			err = p.Serialize(&packets)
		}
	}
	for i, e := range k.keys {
		put(e.PrimaryKey)
		for _, s := range e.Revocations {
			put(s)
		}
		for _, s := range e.Signatures {
			put(s)
		}
		for _, id := range k.userIDs[i] {
			put(id.UserId)
			for _, s := range id.Signatures {
				put(s)
			}
		}
		for _, sub := range e.Subkeys {
			put(sub.PublicKey)
			for _, s := range sub.Revocations {
				put(s)
			}
			put(sub.Sig)
		}
	}
	if err != nil {
		return nil, err
	}
	return armored(packets.Bytes(), openpgp.PublicKeyType)
}

// armored returns an armored block without headers and final newline.
func armored(packets []byte, blockType string) ([]byte, error) {
	var b bytes.Buffer
	w, err := armor.Encode(&b, blockType, nil)
	if err == nil {
		_, err = w.Write(packets)
	}
	if err == nil {
		err = w.Close()
	}
	return b.Bytes(), err
}

// Canonical returns the ring as one armored block, without what the library
// does not keep, such as photographs.
func (k *PGP) Canonical() []byte { return k.canonical }

// Subjects returns the e-mail addresses in the user IDs that are valid ones.
func (k *PGP) Subjects() []string {
	var names []string
	for _, ids := range k.userIDs {
		for _, id := range ids {
			if isEmail(id.UserId.Email) {
				names = append(names, id.UserId.Email)
			}
		}
	}
	return names
}

// Identities returns the RSA keys and subkeys, those of the other algorithms
// have types that are the library's own.
func (k *PGP) Identities() []Identity {
	var ids []Identity
	add := func(p *packet.PublicKey) {
		key, ok := p.PublicKey.(*rsa.PublicKey)
		if !ok {
			return
		}
		if der, err := x509.MarshalPKIXPublicKey(key); err == nil {
			ids = append(ids, Identity{Type: typeName(key), Raw: der, Fingerprint: hex.EncodeToString(p.Fingerprint)})
		}
	}
	for _, e := range k.keys {
		add(e.PrimaryKey)
		for _, sub := range e.Subkeys {
			add(sub.PublicKey)
		}
	}
	return ids
}

// Entities returns the keys that can verify, for libraries that verify
// signatures themselves. Each has its primary user ID only.
func (k *PGP) Entities() openpgp.EntityList { return k.ring }

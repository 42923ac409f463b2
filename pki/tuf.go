package pki

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/data"
	// ECDSA keys as hex, which roots had before they had PEM.
	_ "github.com/theupdateframework/go-tuf/pkg/deprecated/set_ecdsa"
	"github.com/theupdateframework/go-tuf/verify"

	"github.com/cairnlog/cairn/entry/jcs"
)

const (
	// maxTUF is the most bytes that a document may have in canonical form. A
	// body of the log has room for one of 49 KB.
	maxTUF = 64 << 10
	// maxTUFText is the most that white space and the like may add to it.
	maxTUFText = 8 * maxTUF
	// maxTUFSignatures and maxTUFKeys bound the time of verification.
	maxTUFSignatures = 32
	maxTUFKeys       = 64
)

// A TUF is a root of The Update Framework, https://theupdateframework.github.io/specification/:
// keys, and the roles that may sign with them.
type TUF struct {
	db          *verify.DB
	now         time.Time
	canonical   []byte
	specVersion string
	identities  []Identity
}

// TUFMetadata is a document of a repository, signed by a role of its root.
type TUFMetadata struct {
	Role      string // as the document has it, in any letter case
	Version   int
	Canonical []byte // of signed part and signatures, RFC 8785

	signed *data.Signed
}

type signedMeta struct {
	Type        string    `json:"_type"`
	Expires     time.Time `json:"expires"`
	Version     int       `json:"version"`
	SpecVersion string    `json:"spec_version"`
}

// ParseTUF reads a root that its own root role has signed. It must not have
// expired at the time now, nor must metadata that is verified with it; the
// zero time never comes after.
//
// It takes at most 64 KiB in canonical form and 512 KiB as sent, 64 keys and
// 32 signatures, and so a few megabytes and 20 ms at worst.
func ParseTUF(text []byte, now time.Time) (k *TUF, err error) {
	defer tufPanic(&err)
	m, s, err := readTUF(text)
	if err != nil {
		return nil, err
	}
	var root data.Root
	if err := json.Unmarshal(m.signed.Signed, &root); err != nil {
		return nil, err
	}
	if n := len(root.Keys); n > maxTUFKeys {
		return nil, fmt.Errorf("tuf root contains %d keys, the limit is %d", n, maxTUFKeys)
	}
	k = &TUF{db: verify.NewDB(), now: now, canonical: m.Canonical, specVersion: s.SpecVersion}
	for _, id := range slices.Sorted(maps.Keys(root.Keys)) {
		key := root.Keys[id]
		if key == nil {
			return nil, errors.New("tuf root contains nil key")
		}
		if err := k.db.AddKey(id, key); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(root.Roles)) {
		role := root.Roles[name]
		if role == nil {
			return nil, errors.New("tuf root contains nil role")
		}
		if err := k.db.AddRole(name, role); err != nil {
			return nil, err
		}
	}
	if k.identities, err = tufIdentities(k.db, root.Keys); err != nil {
		return nil, err
	}
	if err := k.verify(m.signed, "root", s); err != nil {
		return nil, err
	}
	return k, nil
}

// ParseTUFMetadata reads a signed document, without verifying it. The limits
// are those of ParseTUF.
func ParseTUFMetadata(text []byte) (*TUFMetadata, error) {
	m, _, err := readTUF(text)
	return m, err
}

// Verify checks that the role that m names has signed it, and that it has not
// expired.
func (k *TUF) Verify(m *TUFMetadata) (err error) {
	defer tufPanic(&err)
	var s signedMeta
	if err := json.Unmarshal(m.signed.Signed, &s); err != nil {
		return err
	}
	return k.verify(m.signed, m.Role, &s)
}

// VerifyDetached verifies a document of the repository. It carries what it
// signs in itself; message is not looked at.
func (k *TUF) VerifyDetached(_, signature []byte) ([]byte, error) {
	m, err := ParseTUFMetadata(signature)
	if err != nil {
		return nil, err
	}
	return m.Canonical, k.Verify(m)
}

// Canonical returns signed part and signatures of the root, RFC 8785.
func (k *TUF) Canonical() []byte { return k.canonical }

// SpecVersion returns the version of TUF that the root says it follows.
func (k *TUF) SpecVersion() string { return k.specVersion }

// Subjects returns nothing: a root has keys, but no names.
func (k *TUF) Subjects() []string { return nil }

// Identities returns the root's keys, in the order of their ids.
func (k *TUF) Identities() []Identity { return k.identities }

func (k *TUF) verify(signed *data.Signed, role string, s *signedMeta) error {
	if err := verifyTUF(k.db, signed, role, s.Type); err != nil {
		return err
	}
	if !k.now.IsZero() && !s.Expires.After(k.now) {
		return verify.ErrExpired{Expired: s.Expires}
	}
	return nil
}

// readTUF reads what all documents have in common.
func readTUF(text []byte) (*TUFMetadata, *signedMeta, error) {
	if len(text) > maxTUFText {
		return nil, nil, fmt.Errorf("tuf document has %d bytes, the limit is %d", len(text), maxTUFText)
	}
	var signed data.Signed
	if err := json.Unmarshal(text, &signed); err != nil {
		return nil, nil, err
	}
	var s signedMeta
	if err := json.Unmarshal(signed.Signed, &s); err != nil {
		return nil, nil, err
	}
	if n := len(signed.Signatures); n > maxTUFSignatures {
		return nil, nil, fmt.Errorf("tuf document has %d signatures, the limit is %d", n, maxTUFSignatures)
	}
	again, err := json.Marshal(&signed)
	if err != nil {
		return nil, nil, fmt.Errorf("marshal tuf document: %w", err)
	}
	canonical, err := jcs.Transform(again)
	if err != nil {
		return nil, nil, err
	}
	if len(canonical) > maxTUF {
		return nil, nil, fmt.Errorf("tuf document has %d bytes in canonical form, the limit is %d", len(canonical), maxTUF)
	}
	return &TUFMetadata{Role: s.Type, Version: s.Version, Canonical: canonical, signed: &signed}, &s, nil
}

// tufPanic turns a panic of the library into an error. It has them for keys
// without a value, and for such whose id cannot be computed.
func tufPanic(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("invalid key in tuf root: %v", r)
	}
}

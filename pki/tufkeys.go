package pki

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/data"
	"github.com/theupdateframework/go-tuf/verify"
)

// tufIdentities returns the keys, by their ids. The db has verified their form.
func tufIdentities(db *verify.DB, keys map[string]*data.PublicKey) ([]Identity, error) {
	ids := make([]Identity, 0, len(keys))
	for _, id := range slices.Sorted(maps.Keys(keys)) {
		v, err := db.GetVerifier(id)
		if err != nil {
			return nil, err
		}
		pub, err := tufKey(keys[id].Type, v.Public())
		if err != nil {
			return nil, fmt.Errorf("key %s of the tuf root: %w", id, err)
		}
		if err := checkSize(pub); err != nil {
			return nil, fmt.Errorf("key %s of the tuf root: %w", id, err)
		}
		der, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			return nil, fmt.Errorf("key %s of the tuf root: %w", id, err)
		}
		sum := sha256.Sum256(der)
		ids = append(ids, Identity{Type: typeName(pub), Raw: der, Fingerprint: hex.EncodeToString(sum[:])})
	}
	return ids, nil
}

// tufKey reads what the library gives as the public part of a key: Ed25519 as
// it is, others in PKIX form, ECDSA keys that came as hex in hex.
func tufKey(t data.KeyType, public string) (any, error) {
	if t == data.KeyTypeEd25519 {
		return ed25519.PublicKey(public), nil
	}
	if point, err := hex.DecodeString(public); err == nil {
		return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	}
	return x509.ParsePKIXPublicKey([]byte(public))
}

// verifyTUF checks that as many keys of the role as it needs have signed, and
// that the role may sign documents of that type. It does what the library
// does, but for the library's reading the document anew for each signature.
func verifyTUF(db *verify.DB, s *data.Signed, role, metaType string) error {
	if len(s.Signatures) == 0 {
		return verify.ErrNoSignatures
	}
	r := db.GetRole(role)
	if r == nil {
		return verify.ErrUnknownRole{Role: role}
	}
	var document map[string]any
	if err := json.Unmarshal(s.Signed, &document); err != nil {
		return err
	}
	message, messageErr := cjson.EncodeCanonical(document)
	seen := map[string]bool{}
	signers := 0
	for _, sig := range s.Signatures {
		if !r.ValidKey(sig.KeyID) || messageErr != nil {
			continue
		}
		key, err := db.GetVerifier(sig.KeyID)
		if err != nil || key.Verify(message, sig.Signature) != nil {
			continue
		}
		// One key may be there under several ids, and counts once.
		known := false
		ids := key.MarshalPublicKey().IDs()
		for _, id := range ids {
			known = known || seen[id]
			seen[id] = true
		}
		if !known {
			signers++
		}
	}
	if signers < r.Threshold {
		return verify.ErrRoleThreshold{Expected: r.Threshold, Actual: signers}
	}
	may := "targets" // what delegated roles sign
	switch role {
	case "root", "targets", "snapshot", "timestamp":
		may = role
	}
	if !strings.EqualFold(metaType, may) {
		return verify.ErrWrongMetaType
	}
	return nil
}

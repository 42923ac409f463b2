package pki

import (
	"bytes"
	"crypto/dsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Types of packets, RFC 9580, 5.
const (
	tagSignature = 2
	tagSecretKey = 5
	tagKey       = 6
	tagSecretSub = 7
	tagTrust     = 12
	tagUserID    = 13
	tagSubkey    = 14
	tagAttribute = 17
	tagMarker    = 10
	tagPadding   = 21
	tagPrivate   = 40 // and above: not critical, skipped
)

// maxRingCost is the time that the verification of the signatures in a key
// ring may take, in microseconds as cost counts them.
const maxRingCost = 100_000

// A ringWalk goes through the packets of a key ring before the library reads
// them, because the library takes whatever time they need.
type ringWalk struct {
	keys []walkedKey
	cost int
}

// A walkedKey is a primary key that was read, with the user IDs that follow.
type walkedKey struct {
	fingerprint []byte
	userIDs     []string
}

// is reports whether e can be k with what follows it.
func (k *walkedKey) is(e *openpgp.Entity) bool {
	if !bytes.Equal(k.fingerprint, e.PrimaryKey.Fingerprint) {
		return false
	}
	found := map[string]bool{}
	for _, id := range k.userIDs {
		if e.Identities[id] != nil {
			found[id] = true
		}
	}
	return len(found) == len(e.Identities)
}

// walk returns the packets with headers that leave no doubt about where each
// one ends.
func (w *ringWalk) walk(packets []byte) ([]byte, error) {
	var out bytes.Buffer
	var primary, last int // cost of one verification with these keys
	afterUserID := false
	var current *packet.PublicKey
	for r := packet.NewOpaqueReader(bytes.NewReader(packets)); ; {
		op, err := r.Next()
		if err == io.EOF {
			return out.Bytes(), nil
		}
		if err != nil {
			return nil, err
		}
		switch op.Tag {
		case tagSignature:
			if err := checkSignature(op.Contents, false); err != nil {
				return nil, err
			}
		case tagSecretKey, tagSecretSub:
			return nil, errors.New("no PGP public keys could be read: this is a secret key, send the public key only")
		case tagKey, tagUserID, tagSubkey, tagAttribute, tagTrust, tagMarker, tagPadding:
		default:
			if op.Tag < tagPrivate {
				return nil, fmt.Errorf("PGP packet of type %d in a key ring", op.Tag)
			}
		}
		start := out.Len()
		if err := op.Serialize(&out); err != nil {
			return nil, err
		}
		one := bytes.NewReader(out.Bytes()[start:])
		p, err := packet.Read(one)
		if err != nil {
			continue // the library decides whether it can do without
		}
		if one.Len() > 0 {
			return nil, fmt.Errorf("PGP packet of type %d has %d bytes too many", op.Tag, one.Len())
		}
		switch p := p.(type) {
		case *packet.PublicKey:
			last, afterUserID = cost(p), false
			if !p.IsSubkey {
				primary, current = last, p
				w.keys = append(w.keys, walkedKey{fingerprint: p.Fingerprint})
			}
		case *packet.UserId:
			afterUserID = true
			if n := len(w.keys); n > 0 {
				w.keys[n-1].userIDs = append(w.keys[n-1].userIDs, p.Id)
			}
		case *packet.Signature:
			if afterUserID && current != nil && !p.CheckKeyIdOrFingerprint(current) {
				continue // by somebody else, not verified
			}
			w.cost += primary
			if p.EmbeddedSignature != nil {
				w.cost += last
			}
			if w.cost > maxRingCost {
				return nil, errors.New("PGP key ring has too many signatures")
			}
		}
	}
}

// cost returns about how many microseconds one verification takes.
func cost(p *packet.PublicKey) int {
	switch key := p.PublicKey.(type) {
	case *rsa.PublicKey:
		n := 1 + key.N.BitLen()/1024
		return 20 + 10*n*n
	case *dsa.PublicKey:
		n := 1 + key.P.BitLen()/1024
		return 20 + n*n*(1+max(key.Q.BitLen(), key.Y.BitLen()/64))
	}
	switch p.PubKeyAlgo {
	case packet.PubKeyAlgoEdDSA, packet.PubKeyAlgoEd25519:
		return 100
	case packet.PubKeyAlgoEd448:
		return 1000
	case packet.PubKeyAlgoECDSA:
		if bits, err := p.BitLength(); err == nil && bits == 256 {
			return 100
		}
		return 10_000 // curves without code of their own among them
	}
	return 0 // cannot sign
}

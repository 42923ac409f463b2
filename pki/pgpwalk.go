package pki

import (
	"bytes"
	"crypto/dsa" //lint:ignore SA1019 old keys are verified, none is made
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"math/big"

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

// maxPackets is the most packets in a key ring.
const maxPackets = 4096

// maxRingCost is the time that the verification of all signatures in a key ring
// may take, in microseconds as cost counts them. With every key of a ring
// tried, the verification of what they sign takes no longer than that again.
const maxRingCost = 70_000

// A ringWalk goes through the packets of a key ring before the library reads
// them, because the library takes whatever time they need.
type ringWalk struct {
	keys    []walkedKey
	packets int
	cost    int
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
	for r := packet.NewOpaqueReader(bytes.NewReader(packets)); ; w.packets++ {
		op, err := r.Next()
		if err == io.EOF {
			return out.Bytes(), nil
		}
		if err != nil {
			return nil, err
		}
		if w.packets == maxPackets {
			return nil, fmt.Errorf("PGP key ring has more than %d packets", maxPackets)
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

// cost returns about how many microseconds one verification takes at most.
func cost(p *packet.PublicKey) int {
	square := func(n *big.Int) int {
		n1024 := (n.BitLen() + 1023) / 1024
		return n1024 * n1024
	}
	switch key := p.PublicKey.(type) {
	case *rsa.PublicKey:
		return 50 + 40*square(key.N)
	case *dsa.PublicKey:
		return 50 + 2*square(key.P)*key.Q.BitLen()
	}
	switch p.PubKeyAlgo {
	case packet.PubKeyAlgoEdDSA, packet.PubKeyAlgoEd25519, packet.PubKeyAlgoEd448:
		return 250
	case packet.PubKeyAlgoECDSA:
		switch curve, _ := p.Curve(); curve {
		case packet.CurveNistP256, packet.CurveNistP384:
			return 600
		}
		return 15_000 // some curves are big.Int alone
	}
	return 0 // cannot sign
}

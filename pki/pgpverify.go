package pki

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

const (
	// maxPGPSignature is the most bytes of a detached signature; it is stored.
	maxPGPSignature = 64 << 10
	// maxPGPSignatures is the most packets in it.
	maxPGPSignatures = 32
)

// VerifyDetached checks a detached signature, armored or not, as VerifyPackets
// does. An armored signature is stored as it came, any other armored.
func (k *PGP) VerifyDetached(message, signature []byte) (canonical []byte, err error) {
	defer recoverPGP(&err)
	s, err := readPGPSignature(signature)
	if err != nil {
		return nil, err
	}
	if err := k.verify(bytes.NewReader(message), s); err != nil {
		return nil, err
	}
	return s.canonical()
}

// VerifyPackets checks a detached signature of up to 32 packets, of which the
// first by a key of the ring counts; what follows it does not. signed is read
// once at most.
//
// Keys are taken as they were when the first signature was made: that they
// expired since does not matter.
func (k *PGP) VerifyPackets(signed io.Reader, packets []byte) (err error) {
	defer recoverPGP(&err)
	s, err := parsePGPSignature(packets)
	if err != nil {
		return err
	}
	return k.verify(signed, s)
}

func (k *PGP) verify(signed io.Reader, s *pgpSignature) error {
	if s.sigType == byte(packet.SigTypeText) {
		signed = &textReader{r: signed}
	}
	var err error = pgperrors.ErrUnknownIssuer
	if s.first != nil {
		cfg := &packet.Config{Time: func() time.Time { return s.first.CreationTime }}
		_, err = openpgp.CheckDetachedSignature(k.ring, signed, &s.packets, cfg)
	}
	if !errors.Is(err, pgperrors.ErrUnknownIssuer) {
		return err
	}
	for _, old := range s.old {
		if keys := k.ring.KeysByIdUsage(old.issuer, packet.KeyFlagSign); len(keys) > 0 {
			return old.verify(signed, keys[0])
		}
	}
	return cmp.Or(s.rest, err)
}

// ArmorPGPSignature returns the packets of a signature as one armored block
// without headers and final newline.
func ArmorPGPSignature(packets []byte) ([]byte, error) {
	return armored(packets, openpgp.SignatureType)
}

// A pgpSignature is a detached signature.
type pgpSignature struct {
	first   *packet.Signature // of packets
	packets bytes.Buffer      // version 4 and later
	old     []oldSignature    // version 3
	sigType byte              // of all
	rest    error             // what follows them

	sent      []byte
	isArmored bool
}

func (s *pgpSignature) canonical() ([]byte, error) {
	if s.isArmored {
		return s.sent, nil
	}
	return ArmorPGPSignature(s.sent)
}

// readPGPSignature reads a signature, armored or not.
func readPGPSignature(signature []byte) (*pgpSignature, error) {
	if len(signature) == 0 {
		return nil, errors.New("PGP signature has not been initialized")
	}
	if len(signature) > maxPGPSignature {
		return nil, fmt.Errorf("PGP signature has %d bytes, the limit is %d", len(signature), maxPGPSignature)
	}
	packets, isArmored := signature, false
	var rest error
	if b, err := armor.Decode(bytes.NewReader(signature)); err == nil {
		if b.Type != openpgp.SignatureType {
			return nil, errors.New("invalid PGP signature provided")
		}
		isArmored = true
		packets, rest = io.ReadAll(b.Body)
	}
	s, err := parsePGPSignature(packets)
	if err != nil {
		return nil, cmp.Or(rest, err)
	}
	if rest != nil {
		s.rest = rest
	}
	s.sent, s.isArmored = signature, isArmored
	return s, nil
}

// parsePGPSignature reads packets as far as it can, one at least.
func parsePGPSignature(packets []byte) (*pgpSignature, error) {
	s := &pgpSignature{}
	s.rest = s.read(packets)
	if s.first == nil && s.old == nil {
		return nil, cmp.Or(s.rest, errors.New("invalid PGP signature: EOF"))
	}
	return s, nil
}

// read reads all packets.
func (s *pgpSignature) read(packets []byte) error {
	r := packet.NewOpaqueReader(bytes.NewReader(packets))
	for n := 0; ; n++ {
		op, err := r.Next()
		if err == io.EOF && n > 0 {
			return nil
		}
		if err == nil {
			err = s.add(op, n)
		}
		if err != nil {
			return fmt.Errorf("invalid PGP signature: %w", err)
		}
	}
}

// add adds the n-th packet.
func (s *pgpSignature) add(op *packet.OpaquePacket, n int) error {
	if n == maxPGPSignatures {
		return fmt.Errorf("more than %d packets", maxPGPSignatures)
	}
	if op.Tag == tagMarker || op.Tag >= tagPrivate {
		return nil
	}
	if op.Tag != tagSignature || len(op.Contents) < 3 {
		return errors.New("valid PGP signature was not detected")
	}
	old, sigType := op.Contents[0] < 4, op.Contents[1]
	if old {
		sigType = op.Contents[2]
	}
	if s.first == nil && s.old == nil {
		s.sigType = sigType
	} else if s.sigType != sigType {
		return errors.New("packets of different types")
	}
	if old {
		o, err := parseOldSignature(op.Contents)
		if err != nil {
			return err
		}
		s.old = append(s.old, o)
		return nil
	}
	if err := checkSignature(op.Contents, false); err != nil {
		return err
	}
	if s.first == nil {
		p, err := op.Parse()
		if err != nil {
			return err
		}
		s.first = p.(*packet.Signature)
	}
	return op.Serialize(&s.packets)
}

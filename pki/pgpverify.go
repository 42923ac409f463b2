package pki

import (
	"bytes"
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
// first by a key of the ring counts. signed is read once at most.
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
	return err
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
	if b, err := armor.Decode(bytes.NewReader(signature)); err == nil {
		if b.Type != openpgp.SignatureType {
			return nil, errors.New("invalid PGP signature provided")
		}
		if packets, err = io.ReadAll(b.Body); err != nil {
			return nil, fmt.Errorf("invalid PGP signature: %w", err)
		}
		isArmored = true
	}
	s, err := parsePGPSignature(packets)
	if err != nil {
		return nil, err
	}
	s.sent, s.isArmored = signature, isArmored
	return s, nil
}

func parsePGPSignature(packets []byte) (*pgpSignature, error) {
	s := &pgpSignature{}
	r := packet.NewOpaqueReader(bytes.NewReader(packets))
	for n := 0; ; n++ {
		op, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("invalid PGP signature: %w", err)
		}
		if n == maxPGPSignatures {
			return nil, fmt.Errorf("PGP signature has more than %d packets", maxPGPSignatures)
		}
		switch {
		case op.Tag == tagMarker || op.Tag >= tagPrivate:
		case op.Tag != tagSignature:
			return nil, errors.New("valid PGP signature was not detected")
		case len(op.Contents) > 0 && op.Contents[0] < 4:
			old, err := parseOldSignature(op.Contents)
			if err != nil {
				return nil, fmt.Errorf("invalid PGP signature: %w", err)
			}
			s.old = append(s.old, old)
		default:
			if err := s.add(op); err != nil {
				return nil, fmt.Errorf("invalid PGP signature: %w", err)
			}
		}
	}
	if s.first == nil && s.old == nil {
		return nil, errors.New("invalid PGP signature: EOF")
	}
	return s, nil
}

func (s *pgpSignature) add(op *packet.OpaquePacket) error {
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

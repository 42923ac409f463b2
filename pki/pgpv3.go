package pki

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// An oldSignature is a signature packet of version 3, which the library does
// not read; those who sign RPM packages still make them.
type oldSignature struct {
	issuer  uint64
	created time.Time
	sig     *packet.Signature // what a packet of version 4 would say
}

// parseOldSignature reads the content of a packet, RFC 9580, 5.2.2: version,
// 5, type, time, key, two algorithms, two octets of the hash, numbers.
func parseOldSignature(content []byte) (oldSignature, error) {
	const fixed = 19
	if len(content) < fixed || content[0] > 3 || content[0] < 2 || content[1] != 5 {
		return oldSignature{}, errors.New("unsupported version of a PGP signature packet")
	}
	hashed, key, algorithms, rest := content[2:7], content[7:15], content[15:17], content[17:]

	// The same as version 4, for the library.
	v4 := slices.Concat(
		[]byte{4, hashed[0], algorithms[0], algorithms[1]},
		[]byte{0, 6, 5, 2}, hashed[1:], // the time is hashed
		[]byte{0, 10, 9, 16}, key, // the issuer is not
		rest,
	)
	op := packet.OpaquePacket{Tag: tagSignature, Contents: v4}
	p, err := op.Parse()
	if err != nil {
		return oldSignature{}, err
	}
	s := oldSignature{
		issuer:  binary.BigEndian.Uint64(key),
		created: time.Unix(int64(binary.BigEndian.Uint32(hashed[1:])), 0),
		sig:     p.(*packet.Signature),
	}
	s.sig.HashSuffix = bytes.Clone(hashed)
	return s, nil
}

// verify checks the signature with the key that has its id.
func (s oldSignature) verify(signed io.Reader, key openpgp.Key) error {
	h, err := s.sig.PrepareVerify()
	if err != nil {
		return err
	}
	w := h
	switch s.sig.SigType {
	case packet.SigTypeBinary:
	case packet.SigTypeText:
		w = openpgp.NewCanonicalTextHash(h)
	default:
		return pgperrors.UnsupportedError("signature type")
	}
	if _, err := io.Copy(w, signed); err != nil {
		return err
	}
	if err := key.PublicKey.VerifySignature(h, s.sig); err != nil {
		return err
	}
	primary, identity := key.Entity.PrimarySelfSignature()
	switch {
	case primary == nil:
		return pgperrors.ErrUnknownIssuer
	case key.Entity.Revoked(s.created), key.Revoked(s.created), identity != nil && identity.Revoked(s.created):
		return pgperrors.ErrKeyRevoked
	case key.Entity.PrimaryKey.KeyExpired(primary, s.created), key.PublicKey.KeyExpired(key.SelfSignature, s.created):
		return pgperrors.ErrKeyExpired
	}
	return nil
}

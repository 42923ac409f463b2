package pki

import (
	"encoding/binary"
	"errors"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// subpacketEmbedded holds a signature, by which a subkey agrees to be one.
const subpacketEmbedded = 32

var errPGPSignature = errors.New("malformed PGP signature packet")

// checkSignature checks the lengths in a signature packet of version 4 to 6,
// RFC 9580, 5.2.3: the library makes room for what they say before it reads,
// and follows signatures in signatures to any depth.
func checkSignature(content []byte, embedded bool) error {
	if len(content) == 0 || content[0] < 4 || content[0] > 6 {
		return nil // not read
	}
	size := 2 // of the lengths
	if content[0] == 6 {
		size = 4
	}
	rest := content[1:]
	if len(rest) < 3 {
		return errPGPSignature
	}
	rest = rest[3:] // type and algorithms
	for range 2 {   // hashed and not hashed
		if len(rest) < size {
			return errPGPSignature
		}
		n := int64(binary.BigEndian.Uint16(rest))
		if size == 4 {
			n = int64(binary.BigEndian.Uint32(rest))
		}
		rest = rest[size:]
		if n > int64(len(rest)) {
			return errPGPSignature
		}
		subpackets, err := packet.OpaqueSubpackets(rest[:n])
		if err != nil {
			return errPGPSignature
		}
		for _, s := range subpackets {
			if s.SubType&0x7f != subpacketEmbedded {
				continue
			}
			if embedded {
				return errPGPSignature
			}
			if err := checkSignature(s.Contents, true); err != nil {
				return err
			}
		}
		rest = rest[n:]
	}
	return nil
}

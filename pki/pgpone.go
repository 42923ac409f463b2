package pki

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// PGPSignatureVersion returns the version of the one signature packet that
// blob must be, and says whether a library can be trusted with it: the packet
// has 64 KiB at most and its lengths fit.
func PGPSignatureVersion(blob []byte) (int, error) {
	if len(blob) > maxPGPSignature {
		return 0, fmt.Errorf("PGP signature has %d bytes, the limit is %d", len(blob), maxPGPSignature)
	}
	r := bytes.NewReader(blob)
	op, err := packet.NewOpaqueReader(r).Next()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return 0, err
	}
	if r.Len() > 0 {
		return 0, errors.New("trailing garbage after PGP signature packet")
	}
	if op.Tag != tagSignature || len(op.Contents) == 0 {
		return 0, errors.New("no supported PGP signature packet found")
	}
	return int(op.Contents[0]), checkSignature(op.Contents, false)
}

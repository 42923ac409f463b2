package pki

import (
	"errors"
	"fmt"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
)

// A ClearSigned is a clear-signed message, RFC 9580, 7.
type ClearSigned struct {
	Text      []byte // with dashes not escaped, lines ended by a newline
	Signed    []byte // what the signature is over
	Signature []byte // packets, not armored
}

// ParseClearSigned finds the first clear-signed message in data. What is
// before and after it is ignored. It needs about four times the memory of data
// and time in proportion to it.
func ParseClearSigned(data []byte) (c *ClearSigned, err error) {
	defer recoverPGP(&err) // from a message without a line
	b, _ := clearsign.Decode(data)
	if b == nil {
		return nil, errors.New("no clear-signed message")
	}
	signature, err := io.ReadAll(io.LimitReader(b.ArmoredSignature.Body, maxPGPSignature+1))
	if err != nil {
		return nil, fmt.Errorf("unable to read PGP signature: %w", err)
	}
	if len(signature) > maxPGPSignature {
		return nil, fmt.Errorf("PGP signature has more than %d bytes", maxPGPSignature)
	}
	return &ClearSigned{b.Plaintext, b.Bytes, signature}, nil
}

package entry

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"
)

// maxSign1Headers is the most bytes that the headers of a COSE message may
// have. Decoded, a byte of them can take a hundred times as much memory.
const maxSign1Headers = 128 << 10

// A sign1 is a COSE_Sign1 message.
type sign1 struct {
	message     *cose.Sign1Message
	payload     []byte
	contentType string // of the protected header, "" if that is a number or absent
}

// coseKey tells whether a key can verify COSE messages: with RSA they are
// signed by PS256, with ECDSA on P-256 by ES256.
func coseKey(key any) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return fmt.Errorf("unsupported elliptic curve %s", k.Params().Name)
		}
		return nil
	}
	return fmt.Errorf("unsupported algorithm type %T", key)
}

// parseSign1 reads a tagged COSE_Sign1 message, in time linear in its length.
// Headers are at most maxSign1Headers long and 32 levels deep; memory is twice
// the length of the message and what the headers need.
func parseSign1(message []byte) (*sign1, error) {
	if err := boundHeaders(message); err != nil {
		return nil, err
	}
	m := cose.NewSign1Message()
	if err := m.UnmarshalCBOR(message); err != nil {
		return nil, err
	}
	s := &sign1{message: m, payload: m.Payload}
	s.contentType, _ = m.Headers.Protected[cose.HeaderLabelContentType].(string)
	return s, nil
}

// boundHeaders looks at the first two elements of a message, the headers.
// What is wrong with their form is left to others to find.
func boundHeaders(message []byte) error {
	const prefix = 2 // tag and array
	if len(message) < prefix {
		return nil
	}
	rest := message[prefix:]
	for range 2 {
		var header cbor.RawMessage
		after, err := cbor.UnmarshalFirst(rest, &header)
		if err != nil {
			return nil
		}
		rest = after
	}
	if n := len(message) - prefix - len(rest); n > maxSign1Headers {
		return fmt.Errorf("headers of the COSE message have %d bytes, the limit is %d", n, maxSign1Headers)
	}
	return nil
}

// verify checks the signature. aad is what was signed along with the message
// but is not in it.
func (s *sign1) verify(key any, aad []byte) error {
	algorithm := cose.AlgorithmES256
	if _, ok := key.(*rsa.PublicKey); ok {
		algorithm = cose.AlgorithmPS256
	}
	v, err := cose.NewVerifier(algorithm, key)
	if err != nil {
		return err
	}
	if s.payload == nil { // verified below as well, but not in words
		return errors.New("missing payload")
	}
	return s.message.Verify(aad, v)
}

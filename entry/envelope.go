package entry

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/cairnlog/cairn/entry/jcs"
	"github.com/cairnlog/cairn/pki"
)

// maxSigners is the most signatures, and the most keys, that one DSSE envelope
// may come with. Each key is tried on each signature, so this bounds the time
// that a proposal takes.
const maxSigners = 32

// maxVerifying is the time that all these tries may take together, in
// microseconds as pki.X509.Cost counts them: some keys take twenty times as
// long as others, and Ed25519 hashes the payload for each try. 32 keys of P-256
// take less than half of it, and so do five of P-521.
const maxVerifying = 100_000

// An envelope is a DSSE envelope,
// https://github.com/secure-systems-lab/dsse/blob/master/envelope.md. It is
// read by encoding/json, whose ways with names and types are what other
// implementations have.
type envelope struct {
	PayloadType string             `json:"payloadType"`
	Payload     string             `json:"payload"`
	Signatures  envelopeSignatures `json:"signatures"`
}

// envelopeSignatures reads as the slice does, but counts before it makes room.
type envelopeSignatures []envelopeSignature

func (s *envelopeSignatures) UnmarshalJSON(text []byte) error {
	if r := jcs.NewReader(text); r.Kind() == jcs.Array {
		n := 0
		err := r.Array(func() error {
			if n++; n > maxSigners {
				return fmt.Errorf("envelope has more than %d signatures", maxSigners)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return json.Unmarshal(text, (*[]envelopeSignature)(s))
}

type envelopeSignature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"`
}

func parseEnvelope(text []byte) (*envelope, error) {
	var e envelope
	err := json.Unmarshal(text, &e)
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		if wrong.Field == "" {
			return nil, fmt.Errorf("DSSE envelope cannot be a JSON %s", wrong.Value)
		}
		return nil, fmt.Errorf("DSSE envelope: member %s cannot be a JSON %s", wrong.Field, wrong.Value)
	}
	if err != nil {
		return nil, err
	}
	return &e, nil
}

// A signed envelope is one with everything decoded that verifying needs.
type signedEnvelope struct {
	*envelope
	payload    []byte
	signatures [][]byte
	message    []byte // what was signed
	digest     [sha256.Size]byte
	spent      int // of maxVerifying
}

var errEnvelopeBase64 = errors.New("unable to base64 decode payload (is payload in the right format?)")

// decode decodes payload and signatures, in either alphabet of base64.
func (e *envelope) decode() (*signedEnvelope, error) {
	if len(e.Signatures) == 0 {
		return nil, errors.New("no signature found")
	}
	if len(e.Signatures) > maxSigners {
		return nil, fmt.Errorf("envelope has more than %d signatures", maxSigners)
	}
	s := &signedEnvelope{envelope: e, signatures: make([][]byte, len(e.Signatures))}
	var err error
	if s.payload, err = decodeAny(e.Payload); err != nil {
		return nil, err
	}
	for i, sig := range e.Signatures {
		if s.signatures[i], err = decodeAny(sig.Sig); err != nil {
			return nil, err
		}
	}
	s.message = preAuthEncoding(e.PayloadType, s.payload)
	s.digest = sha256.Sum256(s.message)
	return s, nil
}

func decodeAny(text string) ([]byte, error) {
	if b, err := base64.StdEncoding.DecodeString(text); err == nil {
		return b, nil
	}
	if b, err := base64.URLEncoding.DecodeString(text); err == nil {
		return b, nil
	}
	return nil, errEnvelopeBase64
}

// preAuthEncoding is what DSSE signs,
// https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
func preAuthEncoding(payloadType string, payload []byte) []byte {
	b := make([]byte, 0, len("DSSEv1    ")+2*20+len(payloadType)+len(payload))
	b = append(b, "DSSEv1 "...)
	b = strconv.AppendInt(b, int64(len(payloadType)), 10)
	b = append(b, ' ')
	b = append(b, payloadType...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(len(payload)), 10)
	b = append(b, ' ')
	return append(b, payload...)
}

// first returns the first signature that key verifies, among those that try
// says yes to; nil means all. A key counts for one signature, however many it
// could verify.
func (s *signedEnvelope) first(key *pki.X509, try func(envelopeSignature) bool) (int, error) {
	if err := key.CanVerify(); err != nil {
		return 0, fmt.Errorf("could not load verifier: %w", err)
	}
	for i, sig := range s.signatures {
		if try != nil && !try(s.Signatures[i]) {
			continue
		}
		if s.spent += key.Cost(len(s.message)); s.spent > maxVerifying {
			return 0, errors.New("envelope has too many signatures for keys of this type")
		}
		if key.VerifyMessage(s.message, s.digest, sig) == nil {
			return i, nil
		}
	}
	return 0, errors.New("accepted signatures do not match threshold, Found: 0, Expected 1")
}

// A verified says who signed an envelope.
type verified struct {
	keys  []*pki.X509          // in the order given, as far as they were looked at
	bySig map[string]*pki.X509 // which key verified a signature, by its text
}

// verify checks that every signature is verified by some key, and that every
// key verifies one. Key ids do not matter. With enough, it stops at the last
// signature, so that keys behind that are not even parsed.
func (e *envelope) verify(pems []content, enough bool) (*signedEnvelope, *verified, error) {
	var s *signedEnvelope
	missing := make(map[string]bool, len(e.Signatures))
	for _, sig := range e.Signatures {
		missing[sig.Sig] = true
	}
	by := &verified{bySig: make(map[string]*pki.X509, len(missing))}
	for _, pem := range pems {
		if enough && len(missing) == 0 {
			break
		}
		key, err := pki.ParseX509(pem.raw)
		if err != nil {
			return nil, nil, fmt.Errorf("could not parse public key as x509: %w", err)
		}
		if s == nil {
			if s, err = e.decode(); err != nil {
				return nil, nil, fmt.Errorf("could not verify envelope: %w", err)
			}
		}
		i, err := s.first(key, nil)
		if err != nil {
			return nil, nil, fmt.Errorf("could not verify envelope: %w", err)
		}
		text := e.Signatures[i].Sig
		delete(missing, text)
		by.bySig[text] = key
		by.keys = append(by.keys, key)
	}
	if s == nil || len(missing) > 0 {
		return nil, nil, errors.New("all signatures must have a key that verifies it")
	}
	return s, by, nil
}

// checkSigners refuses more keys or signatures than maxSigners.
func checkSigners(n int, what string) error {
	if n > maxSigners {
		return invalid("more than %d %s", maxSigners, what)
	}
	return nil
}

package entry

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/cairnlog/cairn/entry/jcs"
	"github.com/cairnlog/cairn/pki"
)

// A coseSign1 is a COSE_Sign1 message, https://www.rfc-editor.org/rfc/rfc9052,
// with the key of its signature. What is stored is the hashes of message and
// payload, and the key; the message is kept as attestation.
type coseSign1 struct {
	message, key []byte // base64
	hasData      bool
	aad          []byte // base64

	payloadHash, envelopeHash hashValue
}

func (s *coseSign1) member(r *jcs.Reader, name []byte) error {
	switch string(name) {
	case "message":
		return readString(r, &s.message)
	case "publicKey":
		return readString(r, &s.key)
	case "data":
		s.aad, s.payloadHash, s.envelopeHash = nil, hashValue{}, hashValue{}
		return readObject(r, &s.hasData, func(name []byte) error {
			switch string(name) {
			case "aad":
				return readString(r, &s.aad)
			case "payloadHash":
				return s.payloadHash.read(r)
			case "envelopeHash":
				return s.envelopeHash.read(r)
			}
			return nil
		})
	}
	return nil
}

func checkCOSE(spec []byte, o Options) (*Checked, error) {
	// 1. Read.
	var s coseSign1
	if err := readSpec(spec, s.member); err != nil {
		return nil, err
	}
	message, err := decode(s.message)
	if err != nil {
		return nil, fmt.Errorf("failed parsing base64 data for message: %w", err)
	}
	pem, err := decode(s.key)
	if err != nil {
		return nil, fmt.Errorf("failed parsing base64 data for publicKey: %w", err)
	}
	aad, err := decode(s.aad)
	if err != nil {
		return nil, fmt.Errorf("failed parsing base64 data for aad: %w", err)
	}
	noKey := ""
	if len(s.key) == 0 {
		noKey = "publicKey in body is required"
	}
	if err := problems(s.hashProblem(), noKey); err != nil {
		return nil, err
	}
	key, err := pki.ParseX509(pem.raw)
	if err != nil {
		return nil, err
	}

	// 2. Verify. A leaf has nothing to verify.
	c := &Checked{}
	if len(message.raw) == 0 {
		if s.envelopeHash.value == nil {
			return nil, errors.New("envelope hash should have been previously computed")
		}
		if _, err := hex.AppendDecode(nil, s.envelopeHash.value); err != nil {
			return nil, err
		}
		switch {
		case !o.Stored:
			return nil, notInsertable("missing COSE Sign1 message")
		case !o.read:
			return nil, errors.New("missing COSE Sign1 message: a cose entry can only be looked up with the message")
		}
	} else {
		if err := coseKey(key.Public()); err != nil {
			return nil, err
		}
		m, err := parseSign1(message.raw)
		if err != nil {
			return nil, err
		}
		if !s.hasData {
			return nil, errors.New("cose object data cannot be nil")
		}
		if err := m.verify(key.Public(), aad.raw); err != nil {
			return nil, err
		}
		s.envelopeHash = hashValue{there: true, algorithm: []byte("sha256"), value: []byte(digest(message.raw))}
		s.payloadHash = hashValue{there: true, algorithm: []byte("sha256"), value: []byte(digest(m.payload))}
		if o.keeps(len(message.raw)) {
			c.Attachment = message.raw
		}
		if m.contentType == inTotoType {
			if c.Terms, err = subjectTerms(m.payload); err != nil {
				return nil, err
			}
		}
	}

	// 3. Canonicalise.
	pem = canonicalKey(key, pem)
	b := make([]byte, 0, 320+len(pem.text))
	b = append(b, `{"apiVersion":"0.0.1","kind":"cose","spec":{"data":{"envelopeHash":`...)
	b = s.envelopeHash.append(b)
	if s.payloadHash.there { // always in what is new
		b = append(b, `,"payloadHash":`...)
		b = s.payloadHash.append(b)
	}
	b = append(b, `},"publicKey":"`...)
	b = append(b, pem.text...)
	c.Body = append(b, `"}}`...)

	subjects := key.Subjects()
	c.Terms = append(c.Terms, keyHash(key), s.envelopeHash.term())
	c.Terms = append(c.Terms, subjects...)
	if s.payloadHash.there {
		c.Artifact = s.payloadHash.term()
		c.Terms = append(c.Terms, c.Artifact)
	}
	c.Identities = identities(key, subjects)
	return c, nil
}

func (s *coseSign1) hashProblem() string {
	if p := s.envelopeHash.problem("data.data.envelopeHash.data.envelopeHash", "sha256"); p != "" {
		return p
	}
	return s.payloadHash.problem("data.data.payloadHash.data.payloadHash", "sha256")
}

// NewCOSE proposes a COSE_Sign1 message with the key that signed it, in PEM.
// aad is what was signed along with the message but is not in it, often
// nothing.
func NewCOSE(message, publicKeyPEM, aad []byte) Proposal {
	data := map[string]any{}
	if len(aad) > 0 {
		data["aad"] = aad
	}
	return propose("cose", "0.0.1", map[string]any{
		"message":   message,
		"publicKey": publicKeyPEM,
		"data":      data,
	})
}

package entry

import (
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/cairnlog/cairn/entry/jcs"
	"github.com/cairnlog/cairn/pki"
)

// An intoto002 is a DSSE envelope whose payload and signatures, base64
// already, are base64 once more, with a key beside each signature. What is
// stored is all but the payload, and its hash.
type intoto002 struct {
	payloadType   []byte
	payload       []byte // base64 twice
	hasSignatures bool
	signatures    []intotoSignature

	hash, payloadHash hashValue
}

type intotoSignature struct {
	keyID []byte
	sig   []byte // base64 twice
	key   []byte // base64 of PEM
}

func (s *intoto002) member(r *jcs.Reader, name []byte) error {
	if string(name) != "content" {
		return nil
	}
	*s = intoto002{}
	var there bool
	return readObject(r, &there, func(name []byte) error {
		switch string(name) {
		case "envelope":
			s.payloadType, s.payload, s.hasSignatures, s.signatures = nil, nil, false, nil
			return readObject(r, &there, func(name []byte) error {
				switch string(name) {
				case "payloadType":
					return readString(r, &s.payloadType)
				case "payload":
					return readString(r, &s.payload)
				case "signatures":
					return s.readSignatures(r)
				}
				return nil
			})
		case "hash":
			return s.hash.read(r)
		case "payloadHash":
			return s.payloadHash.read(r)
		}
		return nil
	})
}

// readSignatures leaves out elements that are no object.
func (s *intoto002) readSignatures(r *jcs.Reader) error {
	s.signatures = nil
	if s.hasSignatures = r.Kind() == jcs.Array; !s.hasSignatures {
		return nil
	}
	return r.Array(func() error {
		var sig intotoSignature
		var there bool
		err := readObject(r, &there, func(name []byte) error {
			switch string(name) {
			case "keyid":
				return readString(r, &sig.keyID)
			case "sig":
				return readString(r, &sig.sig)
			case "publicKey":
				return readString(r, &sig.key)
			}
			return nil
		})
		if err != nil || !there {
			return err
		}
		s.signatures = append(s.signatures, sig)
		return checkSigners(len(s.signatures), "signatures")
	})
}

func checkIntoto002(spec []byte, o Options) (*Checked, error) {
	// 1. Read.
	var s intoto002
	if err := readSpec(spec, s.member); err != nil {
		return nil, err
	}
	payload, err := decode(s.payload)
	if err != nil {
		return nil, fmt.Errorf("failed parsing base64 data for payload: %w", err)
	}
	sigs, pems := make([]content, len(s.signatures)), make([]content, len(s.signatures))
	for i, sig := range s.signatures {
		if sigs[i], err = decode(sig.sig); err != nil {
			return nil, fmt.Errorf("failed parsing base64 data for signature: %w", err)
		}
		if pems[i], err = decode(sig.key); err != nil {
			return nil, fmt.Errorf("failed parsing base64 data for public key: %w", err)
		}
	}
	if err := s.problems(); err != nil {
		return nil, err
	}

	// 2. Verify, unless it is the stored form.
	c := &Checked{}
	var keys []*pki.X509
	if len(payload.raw) > 0 {
		if keys, err = s.verify(string(payload.raw), sigs, pems, o, c); err != nil {
			return nil, err
		}
	} else if !o.Stored {
		return nil, notInsertable("missing envelope content")
	} else {
		keys = make([]*pki.X509, len(pems))
		for i, pem := range pems {
			keys[i], _ = pki.ParseX509(pem.raw) // one that cannot be read stays
		}
	}
	if !s.hash.there {
		return nil, errors.New("missing envelope digest")
	}
	if !s.payloadHash.there {
		return nil, errors.New("missing payload digest")
	}

	// 3. Canonicalise. Keys stay as they were sent, unlike in other kinds.
	b := append(c.Body, `{"apiVersion":"0.0.2","kind":"intoto","spec":{"content":{"envelope":{"payloadType":`...)
	b = jcs.AppendString(b, s.payloadType)
	b = append(b, `,"signatures":[`...)
	for i, sig := range s.signatures {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		if len(sig.keyID) > 0 {
			b = append(b, `"keyid":`...)
			b = jcs.AppendString(b, sig.keyID)
			b = append(b, ',')
		}
		b = append(b, `"publicKey":"`...)
		b = append(b, pems[i].text...)
		b = append(b, `","sig":"`...)
		b = append(b, sigs[i].text...)
		b = append(b, `"}`...)
		c.signedBy(keys[i])
	}
	b = append(b, `]},"hash":`...)
	b = s.hash.append(b)
	b = append(b, `,"payloadHash":`...)
	b = s.payloadHash.append(b)
	c.Body = append(b, `}}}`...)
	c.Artifact = s.payloadHash.term()
	c.Terms = append(c.Terms, c.Artifact)
	return c, nil
}

// verify checks the signatures and computes the payload's hash, whatever was
// sent as such. It returns the keys beside the signatures.
func (s *intoto002) verify(payloadText string, sigs, pems []content, o Options, c *Checked) ([]*pki.X509, error) {
	env := &envelope{PayloadType: string(s.payloadType), Payload: payloadText}
	for i, sig := range sigs {
		env.Signatures = append(env.Signatures, envelopeSignature{KeyID: string(s.signatures[i].keyID), Sig: string(sig.raw)})
	}
	_, by, err := env.verify(pems, false)
	if err != nil {
		return nil, err
	}
	payload, err := base64.StdEncoding.DecodeString(payloadText)
	if err != nil { // in the alphabet for URLs, which DSSE allows but this kind does not
		return nil, fmt.Errorf("could not decode envelope payload: %w", err)
	}
	if !o.Stored && len(s.payloadType) == 0 {
		return nil, notInsertable("missing payloadType content")
	}
	s.payloadHash = hashValue{there: true, algorithm: []byte("sha256"), value: []byte(digest(payload))}
	c.Attachment = o.attachment(payload, payloadText)
	if env.PayloadType == inTotoType {
		c.Terms, err = provenanceTerms(payload)
	}
	return by.keys, err
}

func (s *intoto002) problems() error {
	const path = "content.content.envelope.content.envelope."
	switch {
	case s.payloadType == nil:
		return problems(path + "payloadType in body is required")
	case !s.hasSignatures:
		return problems(path + "signatures in body is required")
	case len(s.signatures) == 0:
		return problems(path + "signatures in body should have at least 1 items")
	}
	for i, sig := range s.signatures {
		switch {
		case sig.key == nil:
			return problems(fmt.Sprintf("%ssignatures.%d.publicKey in body is required", path, i))
		case sig.sig == nil:
			return problems(fmt.Sprintf("%ssignatures.%d.sig in body is required", path, i))
		}
	}
	if p := s.hash.problem("content.content.hash.content.hash", "sha256"); p != "" {
		return problems(p)
	}
	return problems(s.payloadHash.problem("content.content.payloadHash.content.payloadHash", "sha256"))
}

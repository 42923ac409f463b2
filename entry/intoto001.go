package entry

import (
	"encoding/base64"
	"errors"
	"fmt"
	"sync"

	"github.com/cairnlog/cairn/entry/jcs"
	"github.com/cairnlog/cairn/pki"
)

// An intoto001 is a DSSE envelope with one key, which verifies at least one of
// the signatures. What is stored is the key and the hashes of envelope and
// payload.
type intoto001 struct {
	hasContent        bool
	envelope          []byte
	hash, payloadHash hashValue
	key               []byte // base64 of PEM
}

func (s *intoto001) member(r *jcs.Reader, name []byte) error {
	switch string(name) {
	case "content":
		s.envelope, s.hash, s.payloadHash = nil, hashValue{}, hashValue{}
		return readObject(r, &s.hasContent, func(name []byte) error {
			switch string(name) {
			case "envelope":
				return readString(r, &s.envelope)
			case "hash":
				return s.hash.read(r)
			case "payloadHash":
				return s.payloadHash.read(r)
			}
			return nil
		})
	case "publicKey":
		return readString(r, &s.key)
	}
	return nil
}

func checkIntoto001(spec []byte, o Options) (*Checked, error) {
	// 1. Read.
	var s intoto001
	if err := readSpec(spec, s.member); err != nil {
		return nil, err
	}
	pem, err := decode(s.key)
	if err != nil {
		return nil, fmt.Errorf("failed parsing base64 data for public key: %w", err)
	}
	contentProblem, keyProblem := s.hash.problem("content.content.hash.content.hash", "sha256"), ""
	if contentProblem == "" {
		contentProblem = s.payloadHash.problem("content.content.payloadHash.content.payloadHash", "sha256")
	}
	if !s.hasContent {
		contentProblem = "content in body is required"
	}
	if len(s.key) == 0 {
		keyProblem = "publicKey in body is required"
	}
	if err := problems(contentProblem, keyProblem); err != nil {
		return nil, err
	}
	key, err := pki.ParseX509(pem.raw)
	if err != nil {
		return nil, err
	}

	// 2. Verify, unless it is the stored form.
	c := &Checked{}
	if len(s.envelope) > 0 {
		if err := s.verify(key, o, c); err != nil {
			return nil, err
		}
	} else if !s.hash.there {
		return nil, errors.New("missing hash value for envelope")
	} else if !o.Stored {
		return nil, notInsertable("missing envelope content")
	}

	// 3. Canonicalise. Entries of old have no payloadHash.
	pem = canonicalKey(key, pem)
	b := append(c.Body, `{"apiVersion":"0.0.1","kind":"intoto","spec":{"content":{"hash":`...)
	b = s.hash.append(b)
	c.Terms = append(c.Terms, s.hash.term())
	if s.payloadHash.there {
		b = append(b, `,"payloadHash":`...)
		b = s.payloadHash.append(b)
		c.Artifact = s.payloadHash.term()
		c.Terms = append(c.Terms, c.Artifact)
	}
	b = append(b, `},"publicKey":"`...)
	b = append(b, pem.text...)
	c.Body = append(b, `"}}`...)
	c.signedBy(key)
	return c, nil
}

// verify checks the envelope and computes the hashes, whatever was sent as
// such.
func (s *intoto001) verify(key *pki.X509, o Options, c *Checked) error {
	env, err := parseEnvelope(s.envelope)
	if err != nil {
		return err
	}
	signed, err := env.decode()
	if err != nil {
		return err
	}
	// A signature that names another key is not tried.
	fingerprint := sync.OnceValue(key.SSHFingerprint)
	if _, err := signed.first(key, func(sig envelopeSignature) bool {
		return sig.KeyID == "" || fingerprint() == "" || sig.KeyID == fingerprint()
	}); err != nil {
		return err
	}
	payload, err := base64.StdEncoding.DecodeString(env.Payload)
	if err != nil {
		return err // in the alphabet for URLs, which DSSE allows but this kind does not
	}
	if !o.Stored && (env.Payload == "" || env.PayloadType == "") {
		return notInsertable("invalid DSSE envelope")
	}
	s.hash = hashValue{there: true, algorithm: []byte("sha256"), value: []byte(digest(s.envelope))}
	s.payloadHash = hashValue{there: true, algorithm: []byte("sha256"), value: []byte(digest(payload))}
	c.Attachment = o.attachment(payload, env.Payload)
	if env.PayloadType == inTotoType {
		c.Terms, err = provenanceTerms(payload)
	}
	return err
}

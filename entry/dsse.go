package entry

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cairnlog/cairn/entry/jcs"
	"github.com/cairnlog/cairn/pki"
)

// A dsse is a DSSE envelope with the keys of its signatures. What is stored is
// the hashes of envelope and payload, and each signature with its key.
type dsse struct {
	proposed     bool
	envelope     []byte
	hasVerifiers bool
	verifiers    [][]byte // base64 of PEM

	envelopeHash, payloadHash hashValue
	hasSignatures             bool
	signatures                []dsseSignature
}

type dsseSignature struct {
	signature []byte
	verifier  []byte // base64 of PEM
}

func (s *dsse) member(r *jcs.Reader, name []byte) error {
	switch string(name) {
	case "proposedContent":
		s.envelope, s.hasVerifiers, s.verifiers = nil, false, nil
		return readObject(r, &s.proposed, func(name []byte) error {
			switch string(name) {
			case "envelope":
				return readString(r, &s.envelope)
			case "verifiers":
				return s.readVerifiers(r)
			}
			return nil
		})
	case "envelopeHash":
		return s.envelopeHash.read(r)
	case "payloadHash":
		return s.payloadHash.read(r)
	case "signatures":
		return s.readSignatures(r)
	}
	return nil
}

// readVerifiers leaves out elements that are no string, or empty.
func (s *dsse) readVerifiers(r *jcs.Reader) error {
	s.verifiers = nil
	if s.hasVerifiers = r.Kind() == jcs.Array; !s.hasVerifiers {
		return nil
	}
	return r.Array(func() error {
		var v []byte
		if err := readString(r, &v); err != nil || len(v) == 0 {
			return err
		}
		s.verifiers = append(s.verifiers, v)
		return checkSigners(len(s.verifiers), "verifiers")
	})
}

// readSignatures leaves out elements that are no object.
func (s *dsse) readSignatures(r *jcs.Reader) error {
	s.signatures = nil
	if s.hasSignatures = r.Kind() == jcs.Array; !s.hasSignatures {
		return nil
	}
	return r.Array(func() error {
		var sig dsseSignature
		var there bool
		err := readObject(r, &there, func(name []byte) error {
			switch string(name) {
			case "signature":
				return readString(r, &sig.signature)
			case "verifier":
				return readString(r, &sig.verifier)
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

func checkDSSE(spec []byte, o Options) (*Checked, error) {
	// 1. Read.
	var s dsse
	if err := readSpec(spec, s.member); err != nil {
		return nil, err
	}
	pems := make([]content, len(s.verifiers))
	for i, v := range s.verifiers {
		var err error
		if pems[i], err = decode(v); err != nil {
			return nil, fmt.Errorf("failed parsing base64 data for verifier: %w", err)
		}
	}
	stored := make([]content, len(s.signatures))
	for i, sig := range s.signatures {
		var err error
		if stored[i], err = decode(sig.verifier); err != nil {
			return nil, fmt.Errorf("failed parsing base64 data for signature verifier: %w", err)
		}
	}
	if err := s.problems(); err != nil {
		return nil, err
	}
	if !s.proposed {
		if !s.envelopeHash.there || !s.payloadHash.there || len(s.signatures) == 0 {
			return nil, errors.New("either proposedContent or envelopeHash, payloadHash, and signatures must be present")
		}
		if !o.Stored {
			return nil, notInsertable("missing proposed content")
		}
		return s.stored(stored), nil
	}
	if s.envelopeHash.there || s.payloadHash.there || len(s.signatures) > 0 {
		return nil, errors.New("either proposedContent or envelopeHash, payloadHash, and signatures must be present but not both")
	}

	// 2. Verify.
	env, err := parseEnvelope(s.envelope)
	if err != nil {
		return nil, err
	}
	if len(env.Signatures) == 0 {
		return nil, errors.New("DSSE envelope must contain 1 or more signatures")
	}
	signed, by, err := env.verify(pems, true)
	if err != nil {
		return nil, err
	}

	// 3. Canonicalise: the signatures as they came, sorted.
	s.envelopeHash = hashValue{algorithm: []byte("sha256"), value: []byte(digest(s.envelope))}
	s.payloadHash = hashValue{algorithm: []byte("sha256"), value: []byte(digest(signed.payload))}
	keys := make([]*pki.X509, 0, len(by.bySig))
	stored = stored[:0]
	for _, text := range slices.Sorted(maps.Keys(by.bySig)) {
		if !isBase64([]byte(text)) && !o.Stored {
			return nil, invalid("signature %.20q is not in the standard base64 alphabet: it could not be read back from the log", text)
		}
		key := by.bySig[text]
		keys = append(keys, key)
		stored = append(stored, storedKey(key, pems))
		s.signatures = append(s.signatures, dsseSignature{signature: []byte(text)})
	}
	c := s.checked(keys, stored)
	if signed.PayloadType == inTotoType {
		terms, err := statementTerms(signed.payload)
		if err != nil {
			return nil, err
		}
		c.Terms = append(c.Terms, terms...)
	}
	return c, nil
}

// storedKey returns the content that is stored for key, one of those in pems
// if it came in canonical form.
func storedKey(key *pki.X509, pems []content) content {
	for _, pem := range pems {
		if bytes.Equal(pem.raw, key.Canonical()) {
			return pem
		}
	}
	return encode(key.Canonical())
}

// stored makes an entry of its stored form. The keys stay as they are, even
// one that cannot be read.
func (s *dsse) stored(verifiers []content) *Checked {
	type pair struct {
		sig dsseSignature
		pem content
	}
	pairs := make([]pair, len(s.signatures))
	for i := range pairs {
		pairs[i] = pair{s.signatures[i], verifiers[i]}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return bytes.Compare(a.sig.signature, b.sig.signature) })
	keys := make([]*pki.X509, len(pairs))
	for i, p := range pairs {
		s.signatures[i], verifiers[i] = p.sig, p.pem
		keys[i], _ = pki.ParseX509(p.pem.raw)
	}
	return s.checked(keys, verifiers)
}

// checked makes the body, and the terms that come from what is stored.
func (s *dsse) checked(keys []*pki.X509, verifiers []content) *Checked {
	c := &Checked{Artifact: s.payloadHash.term()}
	c.Terms = append(c.Terms, c.Artifact, s.envelopeHash.term())
	b := append(c.Body, `{"apiVersion":"0.0.1","kind":"dsse","spec":{"envelopeHash":`...)
	b = s.envelopeHash.append(b)
	b = append(b, `,"payloadHash":`...)
	b = s.payloadHash.append(b)
	b = append(b, `,"signatures":[`...)
	for i, sig := range s.signatures {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"signature":`...)
		b = jcs.AppendString(b, sig.signature)
		b = append(b, `,"verifier":"`...)
		b = append(b, verifiers[i].text...)
		b = append(b, `"}`...)
		c.signedBy(keys[i])
	}
	c.Body = append(b, `]}}`...)
	return c
}

// signedBy adds a key to the terms and identities, as the kinds with DSSE
// envelopes do. A key is nil if it could not be read.
func (c *Checked) signedBy(key *pki.X509) {
	if key == nil {
		return
	}
	subjects := key.Subjects()
	c.Terms = append(c.Terms, "sha256:"+keyHash(key))
	c.Terms = append(c.Terms, subjects...)
	c.Identities = append(c.Identities, identities(key, subjects)...)
}

func (s *dsse) problems() error {
	var proposed, signatures string
	switch {
	case !s.proposed:
	case s.envelope == nil:
		proposed = "proposedContent.proposedContent.envelope in body is required"
	case !s.hasVerifiers:
		proposed = "proposedContent.proposedContent.verifiers in body is required"
	case len(s.verifiers) == 0:
		proposed = "proposedContent.proposedContent.verifiers in body should have at least 1 items"
	}
	if s.hasSignatures && len(s.signatures) == 0 {
		signatures = "signatures in body should have at least 1 items"
	}
	for i, sig := range s.signatures {
		switch {
		case sig.signature == nil:
			signatures = fmt.Sprintf("signatures.%d.signature in body is required", i)
		case !isBase64(sig.signature):
			signatures = fmt.Sprintf("signatures.%d.signature in body should match '%s'", i, base64Pattern)
		case len(sig.verifier) == 0:
			signatures = fmt.Sprintf("signatures.%d.verifier in body is required", i)
		default:
			continue
		}
		break
	}
	return problems(
		s.envelopeHash.problem("envelopeHash.envelopeHash", "sha256"),
		s.payloadHash.problem("payloadHash.payloadHash", "sha256"),
		proposed, signatures)
}

// base64Pattern is what a stored signature must match for readers of the log.
const base64Pattern = `^(?:[A-Za-z0-9+\/]{4})*(?:[A-Za-z0-9+\/]{2}==|[A-Za-z0-9+\/]{3}=|[A-Za-z0-9+\/]{4})$`

// isBase64 reports whether s matches base64Pattern.
func isBase64(s []byte) bool {
	if len(s) == 0 || len(s)%4 != 0 {
		return false
	}
	s = bytes.TrimSuffix(s, []byte("="))
	s = bytes.TrimSuffix(s, []byte("="))
	for _, c := range s {
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '+' && c != '/' {
			return false
		}
	}
	return true
}

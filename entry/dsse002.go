package entry

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/cairnlog/cairn/entry/jcs"
	"github.com/cairnlog/cairn/pki"
)

// A DSSE002 proposes an entry of kind dsse 0.0.2: a DSSE envelope with what
// its signatures are verified with. What is stored is the hash of the payload,
// and each signature with its verifier.
type DSSE002 struct {
	Envelope  *Envelope002
	Verifiers []Verifier
}

// An Envelope002 is a DSSE envelope with everything decoded. Key ids do not
// matter.
type Envelope002 struct {
	PayloadType string
	Payload     []byte
	Signatures  [][]byte
}

// maxSigners002 is the most signatures, and the most verifiers, that a dsse
// 0.0.2 may have.
const maxSigners002 = 10

// Check verifies the signatures and makes the canonical body and the search
// terms. A refusal is an *Error.
//
// The result shares no memory with the proposal but the bytes of Identities.
func (d *DSSE002) Check() (*Checked, error) {
	signatures, keys, err := d.verify()
	if err != nil {
		return nil, refusal(err)
	}
	// The payload's hash is always SHA-256: each signature may be over another.
	hash := sha256.Sum256(d.Envelope.Payload)
	c := checked002(crypto.SHA256, hash[:], signatures, keys)
	if d.Envelope.PayloadType == inTotoType {
		terms, err := statementTerms(d.Envelope.Payload)
		if err != nil {
			return nil, refusal(err)
		}
		c.Terms = append(c.Terms, terms...)
	}
	return c.finish("dsse", "0.0.2", false)
}

// verify checks that every signature is verified by some verifier, and returns
// them in the order of what is stored. Verifiers count in their order up to
// the one that verifies the last signature; each verifies one.
func (d *DSSE002) verify() ([]Signature, []*pki.X509, error) {
	// 1. Is everything there?
	switch {
	case d.Envelope == nil:
		return nil, nil, errors.New("envelope is missing")
	case len(d.Verifiers) == 0:
		return nil, nil, errors.New("verifiers are missing")
	case len(d.Verifiers) > maxSigners002:
		return nil, nil, fmt.Errorf("%d verifiers, the limit is %d", len(d.Verifiers), maxSigners002)
	}
	for i := range d.Verifiers {
		if err := d.Verifiers[i].present(); err != nil {
			return nil, nil, err
		}
	}
	e := d.Envelope
	switch {
	case len(e.Signatures) == 0:
		return nil, nil, errors.New("envelope has no signatures")
	case len(e.Signatures) > maxSigners002:
		return nil, nil, fmt.Errorf("envelope has %d signatures, the limit is %d", len(e.Signatures), maxSigners002)
	case slices.ContainsFunc(e.Signatures, func(s []byte) bool { return len(s) == 0 }):
		return nil, nil, errors.New("envelope has an empty signature")
	}
	for i, v := range d.Verifiers {
		for _, w := range d.Verifiers[:i] {
			if bytes.Equal(v.PublicKey, w.PublicKey) && bytes.Equal(v.Certificate, w.Certificate) {
				return nil, nil, errors.New("a verifier is there twice")
			}
		}
	}
	keys := make([]*pki.X509, len(d.Verifiers))
	for i := range d.Verifiers {
		var err error
		if keys[i], err = d.Verifiers[i].key(); err != nil {
			return nil, nil, err
		}
	}

	// 2. Who signed what?
	message := preAuthEncoding(e.PayloadType, e.Payload)
	sum := sha256.Sum256(message)
	sums := map[crypto.Hash][]byte{crypto.SHA256: sum[:]}
	missing := make(map[string]bool, len(e.Signatures))
	for _, s := range e.Signatures {
		missing[string(s)] = true
	}
	by := make(map[string]int, len(missing)) // the last verifier of each signature
	spent := 0                               // of maxVerifying
	for i := range d.Verifiers {
		if len(missing) == 0 {
			break
		}
		a, err := d.Verifiers[i].algorithm(keys[i])
		if err != nil {
			return nil, nil, err
		}
		pure := isEd25519(keys[i].Public()) // it signs the message, whichever variant is named
		if !pure && sums[a.hash] == nil {
			h := a.hash.New()
			h.Write(message)
			sums[a.hash] = h.Sum(nil)
		}
		at := slices.IndexFunc(e.Signatures, func(s []byte) bool {
			if spent += keys[i].Cost(len(message)); spent > maxVerifying {
				return false
			}
			if pure {
				return keys[i].VerifyMessage(message, sum, s) == nil
			}
			return keys[i].VerifyDigest(a.hash, sums[a.hash], s) == nil
		})
		if spent > maxVerifying {
			return nil, nil, errors.New("envelope has too many signatures for keys of this type")
		}
		if at < 0 {
			return nil, nil, fmt.Errorf("verifier %d verifies no signature", i)
		}
		delete(missing, string(e.Signatures[at]))
		by[string(e.Signatures[at])] = i
	}
	if len(missing) > 0 {
		return nil, nil, errors.New("a signature has no verifier")
	}

	// 3. In the order of the signatures' bytes.
	signatures := make([]Signature, 0, len(by))
	for s, i := range by {
		signatures = append(signatures, Signature{Content: []byte(s), Verifier: &d.Verifiers[i]})
	}
	slices.SortFunc(signatures, func(a, b Signature) int { return bytes.Compare(a.Content, b.Content) })
	sorted := make([]*pki.X509, len(signatures))
	for i, s := range signatures {
		sorted[i] = keys[by[string(s.Content)]]
	}
	return signatures, sorted, nil
}

// checked002 makes the body, and the terms that come from what is stored.
func checked002(h crypto.Hash, digest []byte, signatures []Signature, keys []*pki.X509) *Checked {
	c := &Checked{Artifact: digestTerm(h, digest)}
	c.Terms = append(c.Terms, c.Artifact)
	b := append(c.Body, `{"apiVersion":"0.0.2","kind":"dsse","spec":{"dsseV002":{"payloadHash":`...)
	b = appendHash(b, h, digest)
	b = append(b, `,"signatures":[`...)
	for i := range signatures {
		if i > 0 {
			b = append(b, ',')
		}
		b = signatures[i].append(b)
		c.signedBy(keys[i])
	}
	c.Body = append(b, `]}}}`...)
	return c
}

// readDSSE002 reads the spec of a leaf. What was signed is not in it, so
// nothing is verified.
func readDSSE002(spec []byte, _ Options) (*Checked, error) {
	var (
		hash       crypto.Hash
		digest     []byte
		signatures []Signature
		there      bool
	)
	err := readSpec(spec, func(r *jcs.Reader, name []byte) error {
		if string(name) != "dsseV002" {
			return nil
		}
		hash, digest, signatures = 0, nil, nil
		return readObject(r, &there, func(name []byte) error {
			switch string(name) {
			case "payloadHash":
				return readHash(r, &hash, &digest)
			case "signatures":
				signatures = nil
				if r.Kind() != jcs.Array {
					return nil
				}
				return r.Array(func() error {
					var s Signature
					if err := s.read(r); err != nil {
						return err
					}
					signatures = append(signatures, s)
					return checkSigners(len(signatures), "signatures")
				})
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	if !there || hash == 0 || len(digest) != hash.Size() || len(signatures) == 0 {
		return nil, errors.New("spec is not that of a dsse 0.0.2")
	}
	keys := make([]*pki.X509, len(signatures))
	for i, s := range signatures {
		if s.Verifier == nil || len(s.Content) == 0 {
			return nil, errors.New("a signature is not complete")
		}
		if err := s.Verifier.present(); err != nil {
			return nil, err
		}
		if keys[i], err = s.Verifier.key(); err != nil {
			return nil, err
		}
	}
	return checked002(hash, digest, signatures, keys), nil
}

package entry

import (
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/cairnlog/cairn/entry/jcs"
	"github.com/cairnlog/cairn/pki"
)

// A HashedRekord002 proposes an entry of kind hashedrekord 0.0.2: a signature
// over a digest.
type HashedRekord002 struct {
	Digest    []byte
	Signature *Signature
}

// Check verifies the signature and makes the canonical body and the search
// terms. A refusal is an *Error.
//
// The result shares no memory with the proposal but the bytes of Identities.
func (h *HashedRekord002) Check() (*Checked, error) { return h.check(false) }

func (h *HashedRekord002) check(stored bool) (*Checked, error) {
	c, err := h.verify()
	if err != nil {
		return nil, refusal(err)
	}
	return c.finish("hashedrekord", "0.0.2", stored)
}

// verify looks at the members in the order in which others do.
func (h *HashedRekord002) verify() (*Checked, error) {
	// 1. Is everything there?
	switch {
	case h.Signature == nil || len(h.Signature.Content) == 0:
		return nil, errors.New("signature is missing")
	case h.Signature.Verifier == nil:
		return nil, errors.New("verifier is missing")
	case len(h.Digest) == 0:
		return nil, errors.New("digest is missing")
	}
	v := h.Signature.Verifier
	if err := v.present(); err != nil {
		return nil, err
	}

	// 2. Verify.
	key, err := v.key()
	if err != nil {
		return nil, err
	}
	a, err := v.algorithm(key)
	if err != nil {
		return nil, err
	}
	if a.hash == 0 {
		return nil, &Error{Reason: NotAllowed, Text: a.name + " signs messages: such a signature cannot be verified from a digest"}
	}
	if len(h.Digest) != a.hash.Size() {
		return nil, fmt.Errorf("digest has %d bytes, that of %s has %d", len(h.Digest), a.name, a.hash.Size())
	}
	if err := key.VerifyDigest(a.hash, h.Digest, h.Signature.Content); err != nil {
		return nil, fmt.Errorf("verify signature: %w", err)
	}

	// 3. Canonicalise. The key stays as it came, even where its DER could be
	// written in another way; it is found by its PEM, like those of v1.
	b := make([]byte, 0, 320+base64.StdEncoding.EncodedLen(len(v.Certificate)+len(v.PublicKey)+len(h.Signature.Content)+len(h.Digest)))
	b = append(b, `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":`...)
	b = appendHash(b, a.hash, h.Digest)
	b = append(b, `,"signature":`...)
	b = h.Signature.append(b)
	b = append(b, `}}}`...)

	subjects := key.Subjects()
	artifact := digestTerm(a.hash, h.Digest)
	return &Checked{
		Body:       b,
		Terms:      append(append(make([]string, 0, len(subjects)+2), subjects...), keyHash(key), artifact),
		Artifact:   artifact,
		Identities: identities(key, subjects),
	}, nil
}

// Rekor2 returns what a client of the v2 API proposes for the signature of a
// hashedrekord 0.0.1, of a chain the first certificate. ok is false for other
// kinds, and for keys and hashes that v2 does not take.
func (p Proposal) Rekor2() (_ *HashedRekord002, ok bool) {
	var s hashedRekord
	if p.Kind != "hashedrekord" || p.APIVersion != "0.0.1" || readSpec(p.Spec, s.member) != nil {
		return nil, false
	}
	signature, err := decode(s.signature)
	if err != nil {
		return nil, false
	}
	pem, err := decode(s.key)
	if err != nil {
		return nil, false
	}
	key, err := pki.ParseX509(pem.raw)
	if err != nil {
		return nil, false
	}
	digest, err := hex.AppendDecode(nil, s.hash.value)
	if err != nil {
		return nil, false
	}
	for _, a := range algorithms {
		if _, name := hashName(a.hash); a.hash == 0 || name != string(s.hash.algorithm) || !a.fits(key.Public()) {
			continue
		}
		v := &Verifier{KeyDetails: a.name}
		if id := key.Identities()[0]; id.Type == "*x509.Certificate" {
			v.Certificate = id.Raw
		} else {
			v.PublicKey = id.Raw
		}
		return &HashedRekord002{Digest: digest, Signature: &Signature{Content: signature.raw, Verifier: v}}, true
	}
	return nil, false
}

// digestTerm is what an artifact is found by.
func digestTerm(h crypto.Hash, digest []byte) string {
	_, name := hashName(h)
	return name + ":" + hex.EncodeToString(digest)
}

// readHashedRekord002 reads the spec of a leaf.
func readHashedRekord002(spec []byte, _ Options) (*Checked, error) {
	var h HashedRekord002
	var hash crypto.Hash
	var there bool
	err := readSpec(spec, func(r *jcs.Reader, name []byte) error {
		if string(name) != "hashedRekordV002" {
			return nil
		}
		h, hash = HashedRekord002{}, 0
		return readObject(r, &there, func(name []byte) error {
			switch string(name) {
			case "data":
				return readHash(r, &hash, &h.Digest)
			case "signature":
				h.Signature = new(Signature)
				return h.Signature.read(r)
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	if !there || hash == 0 {
		return nil, errors.New("spec is not that of a hashedrekord 0.0.2")
	}
	c, err := h.check(true)
	if err == nil && c.Artifact != digestTerm(hash, h.Digest) {
		return nil, errors.New("digest is of another algorithm than the signature")
	}
	return c, err
}

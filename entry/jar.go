package entry

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/cairnlog/cairn/entry/jcs"
	"github.com/cairnlog/cairn/pki"
)

// A jar is a signed Java archive. What is stored is its hash, the signature
// block, and the certificate in that.
type jar struct {
	hasArchive bool
	content    []byte // base64
	hash       hashValue

	hasSignature bool
	signature    []byte // base64 of PEM
	hasKey       bool
	key          []byte // base64 of PEM
}

func (s *jar) member(r *jcs.Reader, name []byte) error {
	switch string(name) {
	case "archive":
		s.content, s.hash = nil, hashValue{}
		return readObject(r, &s.hasArchive, func(name []byte) error {
			switch string(name) {
			case "content":
				return readString(r, &s.content)
			case "hash":
				return s.hash.read(r)
			}
			return nil
		})
	case "signature":
		s.signature, s.hasKey, s.key = nil, false, nil
		return readObject(r, &s.hasSignature, func(name []byte) error {
			switch string(name) {
			case "content":
				return readString(r, &s.signature)
			case "publicKey":
				return readContent(r, &s.hasKey, &s.key)
			}
			return nil
		})
	}
	return nil
}

func checkJAR(spec []byte, o Options) (*Checked, error) {
	// 1. Read. A signature that a client sends has to be whole, but the one
	// in the archive counts.
	var s jar
	if err := readSpec(spec, s.member); err != nil {
		return nil, err
	}
	signature, err := decode(s.signature)
	if err != nil {
		return nil, fmt.Errorf("failed parsing base64 data for signature content: %w", err)
	}
	pem, err := decode(s.key)
	if err != nil {
		return nil, fmt.Errorf("failed parsing base64 data for signature publicKey content: %w", err)
	}
	archive, err := decode(s.content)
	if err != nil {
		return nil, fmt.Errorf("failed parsing base64 data for archive content: %w", err)
	}
	if err := s.check(len(archive.raw)); err != nil {
		return nil, err
	}

	// 2. Verify. A leaf has nothing to verify.
	var key pki.Key
	if len(archive.raw) == 0 {
		switch {
		case !o.Stored:
			return nil, notInsertable("missing archive content")
		case !o.read:
			return nil, errors.New("missing archive content: a jar can only be looked up with the archive")
		}
	} else {
		sum := digest(archive.raw)
		if s.hash.there && string(s.hash.value) != sum {
			return nil, fmt.Errorf("SHA mismatch: %s != %s", sum, s.hash.value)
		}
		signed, err := verifyJAR(archive.raw)
		if err != nil {
			return nil, err
		}
		s.hash = hashValue{there: true, algorithm: []byte("sha256"), value: []byte(sum)}
		signature, pem = encode(signed.block), encode(signed.key.Canonical())
	}
	if key, err = pki.ParseX509(pem.raw); err != nil {
		return nil, err
	}

	// 3. Canonicalise.
	b := make([]byte, 0, 300+len(signature.text)+len(pem.text))
	b = append(b, `{"apiVersion":"0.0.1","kind":"jar","spec":{"archive":{"hash":`...)
	b = s.hash.append(b)
	b = append(b, `},"signature":{"content":"`...)
	b = append(b, signature.text...)
	b = append(b, `","publicKey":{"content":"`...)
	b = append(b, pem.text...)
	b = append(b, `"}}}}`...)

	// Not the key is indexed but the signature, as Rekor does.
	c := &Checked{Body: b, Terms: []string{digest(signature.raw)}, Identities: identities(key, key.Subjects())}
	if s.hash.there {
		c.Artifact = s.hash.term()
		c.Terms = append(c.Terms, c.Artifact)
	}
	return c, nil
}

// check checks the members, each alone and then together.
func (s *jar) check(size int) error {
	archive, signature := s.hash.problem("archive.archive.hash.archive.hash", "sha256"), ""
	if !s.hasArchive {
		archive = "archive in body is required"
	}
	switch {
	case !s.hasSignature:
	case len(s.signature) == 0:
		signature = "signature.signature.content in body is required"
	case !s.hasKey:
		signature = "signature.signature.publicKey in body is required"
	case len(s.key) == 0:
		signature = "signature.signature.publicKey.signature.publicKey.content in body is required"
	}
	if err := problems(archive, signature); err != nil {
		return err
	}
	if !s.hasSignature && size == 0 {
		return errors.New("'content' must be specified for package")
	}
	if s.hash.there {
		if _, err := hex.AppendDecode(nil, s.hash.value); err != nil || len(s.hash.value) != 64 {
			return errors.New("invalid value for hash")
		}
	}
	return nil
}

// NewJAR proposes a signed Java archive. Its signature and the certificate are
// in it.
func NewJAR(archive []byte) Proposal {
	return propose("jar", "0.0.1", map[string]any{"archive": map[string]any{"content": archive}})
}

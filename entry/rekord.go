package entry

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/cairnlog/cairn/entry/jcs"
	"github.com/cairnlog/cairn/pki"
)

// A rekord is a detached signature over an artifact that is sent along. What
// is stored is the signature, the key, and the artifact's hash.
type rekord struct {
	hasData bool
	content []byte // base64
	hash    hashValue

	hasSignature      bool
	format, signature []byte // signature is base64
	hasKey            bool
	key               []byte // base64
}

// rekordFormats are the key formats of rekords.
var rekordFormats = []string{"pgp", "minisign", "x509", "ssh"}

func (s *rekord) member(r *jcs.Reader, name []byte) error {
	switch string(name) {
	case "data":
		s.content, s.hash = nil, hashValue{}
		return readObject(r, &s.hasData, func(name []byte) error {
			switch string(name) {
			case "content":
				return readString(r, &s.content)
			case "hash":
				return s.hash.read(r)
			}
			return nil
		})
	case "signature":
		s.format, s.signature, s.hasKey, s.key = nil, nil, false, nil
		return readObject(r, &s.hasSignature, func(name []byte) error {
			switch string(name) {
			case "content":
				return readString(r, &s.signature)
			case "format":
				return readString(r, &s.format)
			case "publicKey":
				return readContent(r, &s.hasKey, &s.key)
			}
			return nil
		})
	}
	return nil
}

func checkRekord(spec []byte, o Options) (*Checked, error) {
	// 1. Read.
	var s rekord
	if err := readSpec(spec, s.member); err != nil {
		return nil, err
	}
	signature, err := decode(s.signature)
	if err != nil {
		return nil, fmt.Errorf("failed parsing base64 data for signature content: %w", err)
	}
	pub, err := decode(s.key)
	if err != nil {
		return nil, fmt.Errorf("failed parsing base64 data for signature publicKey content: %w", err)
	}
	artifact, err := decode(s.content)
	if err != nil {
		return nil, fmt.Errorf("failed parsing base64 data for data content: %w", err)
	}
	if err := s.check(len(artifact.raw)); err != nil {
		return nil, err
	}
	key, err := pki.Parse(string(s.format), pub.raw)

	// 2. Verify. A leaf has nothing to verify.
	if len(artifact.raw) == 0 {
		switch {
		case !o.Stored:
			return nil, notInsertable("missing data content")
		case !o.read:
			return nil, errors.New("missing data content: a rekord can only be looked up with the artifact")
		case err != nil:
			return nil, err
		}
	} else {
		sum := digest(artifact.raw)
		if s.hash.there && string(s.hash.value) != sum {
			return nil, fmt.Errorf("SHA mismatch: %s != %s", sum, s.hash.value)
		}
		if err != nil {
			return nil, err
		}
		verified, err := key.VerifyDetached(artifact.raw, signature.raw)
		if err != nil {
			return nil, err
		}
		if string(verified) != string(signature.raw) {
			signature = encode(verified)
		}
		s.hash = hashValue{algorithm: []byte("sha256"), value: []byte(sum)}
	}

	// 3. Canonicalise.
	pub = canonicalKey(key, pub)
	b := make([]byte, 0, 300+len(signature.text)+len(pub.text))
	b = append(b, `{"apiVersion":"0.0.1","kind":"rekord","spec":{"data":{"hash":`...)
	b = s.hash.append(b)
	b = append(b, `},"signature":{"content":"`...)
	b = append(b, signature.text...)
	b = append(b, `","format":"`...)
	b = append(b, s.format...)
	b = append(b, `","publicKey":{"content":"`...)
	b = append(b, pub.text...)
	b = append(b, `"}}}}`...)

	subjects := key.Subjects()
	if string(s.format) == "ssh" {
		subjects = nil // a comment is not stored, whoever reads the leaf does not see it
	}
	c := &Checked{Body: b, Artifact: s.hash.term(), Identities: identities(key, subjects)}
	c.Terms = append(c.Terms, keyHash(key), c.Artifact)
	c.Terms = append(c.Terms, subjects...)
	return c, nil
}

// check checks the members, each alone and then together.
func (s *rekord) check(size int) error {
	data, signature := s.hash.problem("data.data.hash.data.hash", "sha256"), ""
	if !s.hasData {
		data = "data in body is required"
	}
	switch {
	case !s.hasSignature:
		signature = "signature in body is required"
	case len(s.signature) == 0:
		signature = "signature.signature.content in body is required"
	case s.format == nil:
		signature = "signature.signature.format in body is required"
	case !slices.Contains(rekordFormats, string(s.format)):
		signature = fmt.Sprintf("signature.signature.format in body should be one of %v", rekordFormats)
	case !s.hasKey:
		signature = "signature.signature.publicKey in body is required"
	case len(s.key) == 0:
		signature = "signature.signature.publicKey.signature.publicKey.content in body is required"
	}
	if err := problems(data, signature); err != nil {
		return err
	}
	if s.hash.there {
		if len(s.hash.value) == 0 {
			return errors.New("missing hash value")
		}
		if _, err := hex.AppendDecode(nil, s.hash.value); err != nil || len(s.hash.value) != 64 {
			return errors.New("invalid value for hash")
		}
	} else if size == 0 {
		return errors.New("'content' must be specified for data")
	}
	return nil
}

package entry

import (
	"errors"

	"github.com/cairnlog/cairn/pki"
)

// checkRPM checks an RPM package with the OpenPGP keys that signed it. What is
// stored is the keys, the hash of the package, and what its header says of
// name and version.
func checkRPM(spec []byte, o Options) (*Checked, error) {
	// 1. Read.
	s := packageSpec{info: "headers"}
	if err := readSpec(spec, s.member); err != nil {
		return nil, err
	}
	pub, pkg, err := s.decode("publicKey")
	if err != nil {
		return nil, err
	}
	if err := s.check(len(pkg)); err != nil {
		return nil, err
	}
	if len(pkg) == 0 && !o.Stored {
		return nil, notInsertable("missing package content")
	}
	key, err := pki.ParsePGP(pub.raw)
	if err != nil {
		return nil, err
	}

	// 2. Verify. A leaf has nothing to verify.
	if len(pkg) > 0 {
		if err := s.sum(pkg); err != nil {
			return nil, err
		}
		if s.about, err = verifyRPM(pkg, key); err != nil {
			return nil, err
		}
	} else if !o.read {
		return nil, errors.New("missing package content: an rpm entry can only be looked up with the package")
	}

	// 3. Canonicalise.
	b, err := s.append([]byte(`{"apiVersion":"0.0.1","kind":"rpm","spec":`), canonicalKey(key, pub))
	if err != nil {
		return nil, err
	}
	subjects := key.Subjects()
	c := &Checked{Body: append(b, '}'), Artifact: s.hash.term(), Identities: identities(key, subjects)}
	c.Terms = append(c.Terms, keyHash(key), c.Artifact)
	c.Terms = append(c.Terms, subjects...)
	return c, nil
}

// NewRPM proposes an RPM package with the OpenPGP keys that signed it.
func NewRPM(pkg, publicKey []byte) Proposal {
	return propose("rpm", "0.0.1", map[string]any{
		"package":   map[string]any{"content": pkg},
		"publicKey": map[string]any{"content": publicKey},
	})
}

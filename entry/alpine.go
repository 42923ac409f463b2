package entry

import (
	"errors"

	"github.com/cairnlog/cairn/pki"
)

// checkAlpine checks a package of Alpine Linux with the key that signed it.
// What is stored is the key, the hash of the package, and its .PKGINFO.
func checkAlpine(spec []byte, o Options) (*Checked, error) {
	// 1. Read. A key without content is as good as none.
	s := packageSpec{info: "pkginfo"}
	if err := readSpec(spec, s.member); err != nil {
		return nil, err
	}
	s.hasKey = len(s.key) > 0
	s.hash.there = s.hash.algorithm != nil || s.hash.value != nil
	pub, pkg, err := s.decode("public key")
	if err != nil {
		return nil, err
	}
	if err := s.check(len(pkg)); err != nil {
		return nil, err
	}
	if len(pkg) == 0 && !o.Stored {
		return nil, notInsertable("missing package content")
	}
	key, err := pki.ParseX509(pub.raw)
	if err != nil {
		return nil, err
	}

	// 2. Verify. A leaf has nothing to verify.
	if len(pkg) > 0 {
		if err := s.sum(pkg); err != nil {
			return nil, err
		}
		apk, err := readAPK(pkg)
		if err != nil {
			return nil, err
		}
		if err := key.VerifySHA1(apk.control, apk.signature); err != nil {
			return nil, err
		}
		s.about = apk.pkginfo
	} else if !o.read {
		return nil, errors.New("missing package content: an alpine entry can only be looked up with the package")
	}

	// 3. Canonicalise.
	b, err := s.append([]byte(`{"apiVersion":"0.0.1","kind":"alpine","spec":`), canonicalKey(key, pub))
	if err != nil {
		return nil, err
	}
	subjects := key.Subjects()
	c := &Checked{Body: append(b, '}'), Artifact: s.hash.term(), Identities: identities(key, subjects)}
	c.Terms = append(c.Terms, keyHash(key), c.Artifact)
	c.Terms = append(c.Terms, subjects...)
	return c, nil
}

// NewAlpine proposes a package of Alpine Linux with the key that signed it, in
// PEM.
func NewAlpine(pkg, publicKeyPEM []byte) Proposal {
	return propose("alpine", "0.0.1", map[string]any{
		"package":   map[string]any{"content": pkg},
		"publicKey": map[string]any{"content": publicKeyPEM},
	})
}

package entry

import (
	"errors"
	"fmt"

	"github.com/cairnlog/cairn/entry/jcs"
	"github.com/cairnlog/cairn/pki"
)

// A helm is the provenance file of a Helm chart, which is clear-signed. What
// is stored is the signature, the keys, and what the signer says is the hash
// of the chart.
type helm struct {
	hasChart      bool
	hash          hashValue
	hasProvenance bool
	provenance    []byte // base64
	hasSignature  bool
	signature     []byte // base64

	hasKey bool
	key    []byte // base64
}

func (s *helm) member(r *jcs.Reader, name []byte) error {
	content := func(there *bool, dst *[]byte) error {
		*dst = nil
		return readObject(r, there, func(name []byte) error {
			if string(name) == "content" {
				return readString(r, dst)
			}
			return nil
		})
	}
	switch string(name) {
	case "chart":
		*s = helm{hasKey: s.hasKey, key: s.key}
		return readObject(r, &s.hasChart, func(name []byte) error {
			switch string(name) {
			case "hash":
				return s.hash.read(r)
			case "provenance":
				s.provenance, s.hasSignature, s.signature = nil, false, nil
				return readObject(r, &s.hasProvenance, func(name []byte) error {
					switch string(name) {
					case "content":
						return readString(r, &s.provenance)
					case "signature":
						return content(&s.hasSignature, &s.signature)
					}
					return nil
				})
			}
			return nil
		})
	case "publicKey":
		return content(&s.hasKey, &s.key)
	}
	return nil
}

func checkHelm(spec []byte, o Options) (*Checked, error) {
	// 1. Read.
	var s helm
	if err := readSpec(spec, s.member); err != nil {
		return nil, err
	}
	pub, err := decode(s.key)
	if err != nil {
		return nil, fmt.Errorf("failed parsing base64 data for publicKey content: %w", err)
	}
	signature, err := decode(s.signature)
	if err != nil {
		return nil, fmt.Errorf("failed parsing base64 data for provenance signature content: %w", err)
	}
	provenance, err := decode(s.provenance)
	if err != nil {
		return nil, fmt.Errorf("failed parsing base64 data for provenance content: %w", err)
	}
	if err := s.check(o); err != nil {
		return nil, err
	}
	if len(provenance.raw) == 0 && !o.Stored {
		return nil, notInsertable("missing provenance content")
	}
	key, err := pki.ParsePGP(pub.raw)
	if err != nil {
		return nil, err
	}

	// 2. Verify. A leaf has nothing to verify.
	switch {
	case len(provenance.raw) > 0:
		p, err := readProvenance(provenance.raw)
		if err != nil {
			return nil, err
		}
		canonical, err := key.VerifyDetached(p.Signed, p.Signature)
		if err != nil {
			return nil, err
		}
		signature = encode(canonical)
		if s.hash, err = chartHash(p.files); err != nil {
			return nil, err
		}
	case !o.read:
		return nil, errors.New("missing provenance content: a helm entry can only be looked up with the provenance file")
	case !s.hash.there:
		return nil, errors.New("missing chart hash")
	}

	// 3. Canonicalise.
	pub = canonicalKey(key, pub)
	b := make([]byte, 0, 300+len(signature.text)+len(pub.text))
	b = append(b, `{"apiVersion":"0.0.1","kind":"helm","spec":{"chart":{"hash":`...)
	b = s.hash.append(b)
	b = append(b, `,"provenance":{"signature":{"content":"`...)
	b = append(b, signature.text...)
	b = append(b, `"}}},"publicKey":{"content":"`...)
	b = append(b, pub.text...)
	b = append(b, `"}}}`...)

	subjects := key.Subjects()
	c := &Checked{Body: b, Artifact: s.hash.term(), Identities: identities(key, subjects)}
	c.Terms = append(c.Terms, keyHash(key), c.Artifact)
	c.Terms = append(c.Terms, subjects...)
	return c, nil
}

// check checks the members, each alone and then together.
func (s *helm) check(o Options) error {
	chart, provenance, key := s.hash.problem("chart.chart.hash.chart.hash", "sha256"), "", ""
	if o.read && s.hash.algorithm != nil && s.hash.value != nil {
		chart = "" // there are leaves with other algorithms
	}
	switch {
	case !s.hasChart:
		chart = "chart in body is required"
	case !s.hasProvenance:
		provenance = "chart.chart.provenance in body is required"
	case s.hasSignature && len(s.signature) == 0:
		provenance = "chart.chart.provenance.chart.provenance.signature.chart.provenance.signature.content in body is required"
	}
	switch {
	case !s.hasKey:
		key = "publicKey in body is required"
	case len(s.key) == 0:
		key = "publicKey.publicKey.content in body is required"
	}
	if err := problems(chart, provenance, key); err != nil {
		return err
	}
	if !s.hasSignature && len(s.provenance) == 0 {
		return errors.New("'content' must be specified for provenance")
	}
	return nil
}

// NewHelm proposes the provenance file of a Helm chart with the OpenPGP keys
// that signed it.
func NewHelm(provenance, publicKey []byte) Proposal {
	return propose("helm", "0.0.1", map[string]any{
		"chart":     map[string]any{"provenance": map[string]any{"content": provenance}},
		"publicKey": map[string]any{"content": publicKey},
	})
}

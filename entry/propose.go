package entry

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/cairnlog/cairn/entry/jcs"
)

// NewHashedRekord proposes a signature over an artifact that is known by its
// digest. algorithm is sha256, sha384 or sha512.
func NewHashedRekord(algorithm, hexDigest string, signature, publicKeyPEM []byte) Proposal {
	return propose("hashedrekord", "0.0.1", map[string]any{
		"data": map[string]any{"hash": map[string]any{"algorithm": algorithm, "value": hexDigest}},
		"signature": map[string]any{
			"content":   signature,
			"publicKey": map[string]any{"content": publicKeyPEM},
		},
	})
}

// NewRekord proposes a detached signature over an artifact that is sent along.
// format is that of signature and key, such as x509.
func NewRekord(artifact, signature, publicKey []byte, format string) Proposal {
	return propose("rekord", "0.0.1", map[string]any{
		"data": map[string]any{"content": artifact},
		"signature": map[string]any{
			"content":   signature,
			"format":    format,
			"publicKey": map[string]any{"content": publicKey},
		},
	})
}

// NewDSSE proposes a DSSE envelope with the keys of its signatures, in PEM.
func NewDSSE(envelope []byte, verifiers [][]byte) Proposal {
	return propose("dsse", "0.0.1", map[string]any{
		"proposedContent": map[string]any{"envelope": string(envelope), "verifiers": verifiers},
	})
}

// NewIntoto proposes a DSSE envelope as kind intoto. Version 0.0.1 takes one
// key; in 0.0.2 every signature must be verified by one of the keys.
func NewIntoto(version string, envelope []byte, publicKeys [][]byte) (Proposal, error) {
	switch version {
	case "0.0.1":
		if len(publicKeys) != 1 {
			return Proposal{}, fmt.Errorf("intoto 0.0.1 takes one public key, not %d", len(publicKeys))
		}
		return propose("intoto", version, map[string]any{
			"content": map[string]any{
				"envelope": string(envelope),
				"hash":     map[string]any{"algorithm": "sha256", "value": digest(envelope)},
			},
			"publicKey": publicKeys[0],
		}), nil
	case "0.0.2":
		return newIntoto002(envelope, publicKeys)
	}
	return Proposal{}, fmt.Errorf("kind intoto has no version %s", version)
}

func newIntoto002(text []byte, publicKeys [][]byte) (Proposal, error) {
	env, err := parseEnvelope(text)
	if err != nil {
		return Proposal{}, fmt.Errorf("parse envelope: %w", err)
	}
	if len(env.Signatures) == 0 {
		return Proposal{}, errors.New("envelope has no signatures")
	}
	pems := make([]content, len(publicKeys))
	for i, pem := range publicKeys {
		pems[i].raw = pem
	}
	_, by, err := env.verify(pems, false)
	if err != nil {
		return Proposal{}, err
	}
	signatures := make([]map[string]any, len(env.Signatures))
	for i, sig := range env.Signatures {
		signatures[i] = map[string]any{"publicKey": by.bySig[sig.Sig].Canonical(), "sig": []byte(sig.Sig)}
		if sig.KeyID != "" {
			signatures[i]["keyid"] = sig.KeyID
		}
	}
	return propose("intoto", "0.0.2", map[string]any{
		"content": map[string]any{
			"envelope": map[string]any{
				"payload":     []byte(env.Payload),
				"payloadType": env.PayloadType,
				"signatures":  signatures,
			},
			"hash": map[string]any{"algorithm": "sha256", "value": digest(text)},
		},
	}), nil
}

// propose makes a proposal of a spec. Bytes in the spec travel in base64.
func propose(kind, version string, spec map[string]any) Proposal {
	b, err := json.Marshal(spec)
	if err != nil {
		panic(err) // strings, bytes and maps of them always have a form in JSON
	}
	return Proposal{Kind: kind, APIVersion: version, Spec: b}
}

// MarshalJSON returns the proposal as it is sent, with the members in the
// order that rekor-cli has.
func (p Proposal) MarshalJSON() ([]byte, error) {
	spec := p.Spec
	if len(spec) == 0 {
		spec = []byte("null")
	}
	b := slices.Grow([]byte(nil), len(spec)+len(p.Kind)+len(p.APIVersion)+40)
	b = append(b, `{"apiVersion":`...)
	b = jcs.AppendString(b, p.APIVersion)
	b = append(b, `,"spec":`...)
	b = append(b, spec...)
	b = append(b, `,"kind":`...)
	b = jcs.AppendString(b, p.Kind)
	return append(b, '}'), nil
}

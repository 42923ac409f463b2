package differential

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
)

// makeTUF makes a root by some keys and metadata of one of its roles.
func makeTUF(m *mutator, _ string) any {
	signers := []*signer{pick(m, m.keys.x509), pick(m, m.keys.x509)}
	table, ids := object{}, []any{}
	for i, s := range signers {
		id := string(rune('a' + i))
		table[id] = m.tufKey(s)
		ids = append(ids, id)
	}
	role := func() object { return object{"keyids": clone(ids), "threshold": 1 + float64(m.IntN(6)/5)} }
	root := object{
		"_type": "root", "spec_version": "1.0", "version": 3.0, "expires": "2040-01-01T00:00:00Z", "consistent_snapshot": true,
		"keys": table, "roles": object{"root": role(), "timestamp": role(), "snapshot": role(), "targets": role()},
	}
	kind := pick(m, []string{"timestamp", "timestamp", "snapshot", "targets", "root"})
	metadata := object{"_type": kind, "spec_version": "1.0", "version": 7.0, "expires": "2040-01-01T00:00:00Z"}
	switch kind {
	case "targets":
		metadata["targets"] = object{"a": object{"length": 3.0, "hashes": object{"sha256": "aa"}}}
	default:
		metadata["meta"] = object{"x.json": object{"length": 3.0, "version": 1.0}}
	}
	signedRoot, signedMetadata := any(root), any(metadata)
	if m.oneIn(2) {
		signedRoot = m.change(root, nil)
	}
	if m.oneIn(2) {
		signedMetadata = m.change(metadata, nil)
	}
	return object{"root": object{"content": m.tufDocument(signedRoot, signers)}, "metadata": object{"content": m.tufDocument(signedMetadata, signers)}}
}

func (m *mutator) tufKey(s *signer) any {
	switch pub := s.Public().(type) {
	case ed25519.PublicKey:
		return object{"keytype": "ed25519", "scheme": "ed25519", "keyid_hash_algorithms": []any{"sha256"}, "keyval": object{"public": hex.EncodeToString(pub)}}
	case *rsa.PublicKey:
		return object{"keytype": "rsa", "scheme": "rsassa-pss-sha256", "keyval": object{"public": string(s.public)}}
	case *ecdsa.PublicKey:
		text := string(s.public)
		if point, err := pub.Bytes(); err == nil && m.oneIn(3) {
			text = hex.EncodeToString(point)
		}
		return object{"keytype": pick(m, []string{"ecdsa", "ecdsa-sha2-nistp256"}), "scheme": "ecdsa-sha2-nistp256", "keyval": object{"public": text}}
	}
	return nil
}

// tufDocument signs a document: as an object, or as its text in base64.
func (m *mutator) tufDocument(signed any, signers []*signer) any {
	message, err := cjson.EncodeCanonical(signed)
	if err != nil {
		message = encode(signed) // has no signature then
	}
	var signatures []any
	for i, s := range signers {
		var sig []byte
		if _, ok := s.Public().(*rsa.PublicKey); ok {
			h := crypto.SHA256.New()
			h.Write(message)
			sig = must(s.Sign(rand.Reader, h.Sum(nil), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}))
		} else {
			sig = s.signature(message)
		}
		signatures = append(signatures, object{"keyid": string(rune('a' + i)), "sig": hex.EncodeToString(sig)})
	}
	doc := object{"signed": signed, "signatures": signatures}
	if m.oneIn(10) {
		v := m.change(doc, nil)
		if m.oneIn(2) {
			return v
		}
	}
	if m.oneIn(2) {
		text, err := json.Marshal(doc)
		return tobase64(must(text, err))
	}
	return doc
}

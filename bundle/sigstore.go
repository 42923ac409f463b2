package bundle

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
)

// mediaType is that of the bundles that are made here.
const mediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// mediaTypes are those of the bundles that are read. Before 0.2 there were no
// inclusion proofs in them.
var mediaTypes = []string{
	mediaType,
	"application/vnd.dev.sigstore.bundle+json;version=0.1",
	"application/vnd.dev.sigstore.bundle+json;version=0.2",
	"application/vnd.dev.sigstore.bundle+json;version=0.3",
}

// readBundle takes over what a Sigstore bundle has.
// https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_bundle.proto
func readBundle(m *protobundle.Bundle) (*Bundle, error) {
	if !slices.Contains(mediaTypes, m.GetMediaType()) {
		return nil, fmt.Errorf("media type %q is not that of a Sigstore bundle up to v0.3", m.GetMediaType())
	}
	b := &Bundle{Format: Sigstore, source: m}

	// 1. Who signed.
	material := m.GetVerificationMaterial()
	var der []byte
	switch material.GetContent().(type) {
	case *protobundle.VerificationMaterial_Certificate:
		der = material.GetCertificate().GetRawBytes()
	case *protobundle.VerificationMaterial_X509CertificateChain:
		chain := material.GetX509CertificateChain().GetCertificates()
		if m.GetMediaType() == mediaType || len(chain) == 0 {
			return nil, errors.New("a bundle of this version has one certificate, and no chain")
		}
		der = chain[0].GetRawBytes() // of the others none is trusted
	case *protobundle.VerificationMaterial_PublicKey:
		b.KeyHint = material.GetPublicKey().GetHint()
	default:
		return nil, errors.New("there is neither a certificate nor a key in it")
	}
	if der != nil {
		var err error
		if b.Certificate, err = x509.ParseCertificate(der); err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
	} else if material.GetPublicKey() == nil {
		return nil, errors.New("the certificate is empty")
	}

	// 2. When.
	entries := material.GetTlogEntries()
	stamps := material.GetTimestampVerificationData().GetRfc3161Timestamps()
	if len(entries) > maxEntries || len(stamps) > maxTimestamps {
		return nil, fmt.Errorf("over %d log entries or %d timestamps", maxEntries, maxTimestamps)
	}
	for _, t := range entries {
		e, err := readEntry(t)
		if err != nil {
			return nil, err
		}
		for _, other := range b.Entries {
			if string(other.LogID) == string(e.LogID) && other.Index == e.Index {
				return nil, fmt.Errorf("entry %d is in it twice", e.Index)
			}
		}
		b.Entries = append(b.Entries, e)
	}
	for _, t := range stamps {
		b.Timestamps = append(b.Timestamps, t.GetSignedTimestamp())
	}

	// 3. What.
	var err error
	b.Content, err = readContent(m)
	return b, err
}

func readContent(m *protobundle.Bundle) (*Content, error) {
	if s := m.GetMessageSignature(); s != nil {
		c := &Content{Signature: s.GetSignature(), Digest: s.GetMessageDigest().GetDigest()}
		h, ok := hashes[s.GetMessageDigest().GetAlgorithm()]
		if !ok || len(c.Digest) != h.hash.Size() {
			return nil, errors.New("message signature: the digest is not one of SHA-256, SHA-384 or SHA-512")
		}
		if len(c.Signature) == 0 {
			return nil, errors.New("message signature: it is empty")
		}
		c.Algorithm = h.name
		return c, nil
	}
	e := m.GetDsseEnvelope()
	if e == nil {
		return nil, errors.New("there is neither a message signature nor an envelope in it")
	}
	if n := len(e.GetSignatures()); n != 1 || len(e.GetSignatures()[0].GetSig()) == 0 {
		return nil, fmt.Errorf("envelope: it has %d signatures, not one", n)
	}
	return &Content{Signature: e.GetSignatures()[0].GetSig(), PayloadType: e.GetPayloadType(), Payload: e.GetPayload()}, nil
}

// hashAlgorithm returns the algorithm of that name as protobuf has it.
func hashAlgorithm(name string) common.HashAlgorithm {
	for a, h := range hashes {
		if h.name == name {
			return a
		}
	}
	return common.HashAlgorithm_HASH_ALGORITHM_UNSPECIFIED
}

package bundle

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	dsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// A ContentError says why an entry does not make a Sigstore bundle by itself.
// Text is meant for people.
type ContentError struct{ Text string }

func (e *ContentError) Error() string { return e.Text }

// TLE returns e as a TransparencyLogEntry in JSON: the same bytes for the same
// entry.
func (e *Entry) TLE() ([]byte, error) { return marshal(e.message()) }

func (e *Entry) message() *rekor.TransparencyLogEntry {
	m := &rekor.TransparencyLogEntry{
		LogIndex:          e.Index,
		LogId:             &common.LogId{KeyId: e.LogID},
		KindVersion:       &rekor.KindVersion{Kind: e.Kind, Version: e.Version},
		IntegratedTime:    e.Time,
		CanonicalizedBody: e.Body,
	}
	if e.Promise != nil {
		m.InclusionPromise = &rekor.InclusionPromise{SignedEntryTimestamp: e.Promise}
	}
	if p := e.Proof; p != nil {
		hashes := make([][]byte, len(p.Hashes))
		for i := range p.Hashes {
			hashes[i] = p.Hashes[i][:]
		}
		m.InclusionProof = &rekor.InclusionProof{
			LogIndex: p.Index, RootHash: p.Tree.Root[:], TreeSize: p.Tree.Size, Hashes: hashes,
			Checkpoint: &rekor.Checkpoint{Envelope: string(p.Checkpoint)},
		}
	}
	return m
}

// Sigstore returns a Sigstore bundle v0.3 of e. The signature and who made it
// are those in the entry; envelope is the DSSE envelope that was signed, nil
// if there was none. That they belong together is verified: a bundle that
// nobody would accept is not made. What is missing or does not fit is a
// *ContentError.
func (e *Entry) Sigstore(envelope *Envelope) ([]byte, error) {
	l, err := readBody(e)
	if err != nil {
		return nil, err
	}
	b := &Bundle{Entries: []*Entry{e}}
	m := &protobundle.Bundle{
		MediaType:            mediaType,
		VerificationMaterial: &protobundle.VerificationMaterial{TlogEntries: []*rekor.TransparencyLogEntry{e.message()}},
	}
	if len(l.signatures) != 1 {
		return nil, &ContentError{fmt.Sprintf("the entry has %d signatures, a Sigstore bundle has one", len(l.signatures))}
	}
	s := l.signatures[0]
	switch {
	case envelope == nil && l.needsEnvelope:
		return nil, &ContentError{fmt.Sprintf("an entry of kind %s has hashes only of what was signed; a Sigstore bundle needs the DSSE envelope itself", e.Kind)}
	case envelope == nil:
		b.Content = &Content{Signature: s.sig, Algorithm: l.algorithm, Digest: l.digest}
		m.Content = &protobundle.Bundle_MessageSignature{MessageSignature: &common.MessageSignature{
			MessageDigest: &common.HashOutput{Algorithm: hashAlgorithm(l.algorithm), Digest: l.digest},
			Signature:     s.sig,
		}}
	default:
		b.Content = &Content{Signature: s.sig, PayloadType: envelope.PayloadType, Payload: envelope.Payload}
		m.Content = &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &dsse.Envelope{
			PayloadType: envelope.PayloadType, Payload: envelope.Payload,
			Signatures: []*dsse.Signature{{Sig: s.sig}},
		}}
	}
	if s.certificate != nil {
		b.Certificate = s.certificate
		m.VerificationMaterial.Content = &protobundle.VerificationMaterial_Certificate{
			Certificate: &common.X509Certificate{RawBytes: s.certificate.Raw}}
	} else {
		der, err := x509.MarshalPKIXPublicKey(s.key)
		if err != nil {
			return nil, fmt.Errorf("marshal public key: %w", err)
		}
		id := sha256.Sum256(der) // as cosign names keys
		m.VerificationMaterial.Content = &protobundle.VerificationMaterial_PublicKey{
			PublicKey: &common.PublicKeyIdentifier{Hint: base64.StdEncoding.EncodeToString(id[:])}}
	}
	if err := l.matches(b.Content, s.key, s.certificate); err != nil {
		return nil, &ContentError{err.Error()}
	}
	if err := b.Content.verify(s.key); err != nil {
		return nil, &ContentError{err.Error()}
	}
	return marshal(m)
}

// WithEntry returns b with e in place of the entry with the same body.
func (b *Bundle) WithEntry(e *Entry) ([]byte, error) {
	switch b.Format {
	case TLE:
		return e.TLE()
	case TLogProof:
		return e.TLogProof()
	}
	m := proto.CloneOf(b.source)
	for i, t := range m.GetVerificationMaterial().GetTlogEntries() {
		if bytes.Equal(t.GetCanonicalizedBody(), e.Body) {
			m.VerificationMaterial.TlogEntries[i] = e.message()
			return marshal(m)
		}
	}
	return nil, errors.New("the bundle does not have this entry")
}

// An Envelope is what of a DSSE envelope an entry may not have.
type Envelope struct {
	PayloadType string `json:"payloadType"`
	Payload     []byte `json:"payload"`
}

// Envelope returns the DSSE envelope of e around a payload that is known, nil
// if the entry does not say of which type that is.
func (e *Entry) Envelope(payload []byte) *Envelope {
	l, err := readBody(e)
	if err != nil || l.envelope == nil {
		return nil
	}
	return &Envelope{PayloadType: l.envelope.PayloadType, Payload: payload}
}

// ParseEnvelope reads a DSSE envelope in JSON.
func ParseEnvelope(data []byte) (*Envelope, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("parse envelope: over %d bytes", MaxSize)
	}
	var m dsse.Envelope
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("parse envelope: %w", err)
	}
	if m.GetPayloadType() == "" || len(m.GetPayload()) == 0 {
		return nil, errors.New("parse envelope: payload or payloadType is missing")
	}
	return &Envelope{PayloadType: m.GetPayloadType(), Payload: m.GetPayload()}, nil
}

// marshal writes a message in the JSON form of protobuf, whose white space is
// random by design; here it is none.
func marshal(m proto.Message) ([]byte, error) {
	b, err := protojson.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write bundle: %w", err)
	}
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		return nil, fmt.Errorf("write bundle: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

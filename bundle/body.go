package bundle

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// A logged is what the body of an entry says was signed, and by whom.
type logged struct {
	kind, version string

	algorithm string // of digest: "sha256", "sha384" or "sha512"; of the payload it is always "sha256"
	digest    []byte // of the artifact, or of the payload of an envelope

	needsEnvelope bool // digest is of the payload
	envelope      *Envelope
	signatures    []loggedSignature
}

type loggedSignature struct {
	sig         []byte
	key         crypto.PublicKey
	certificate *x509.Certificate // nil for a bare key
}

// The bodies, with members in the order of the canonical form.
type (
	body[S any] struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Spec       S      `json:"spec"`
	}
	hexHash struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"value"`
	}
	hashedRekord001 struct {
		Data struct {
			Hash hexHash `json:"hash"`
		} `json:"data"`
		Signature struct {
			Content   []byte `json:"content"`
			PublicKey struct {
				Content []byte `json:"content"`
			} `json:"publicKey"`
		} `json:"signature"`
	}
	dsse001 struct {
		EnvelopeHash hexHash `json:"envelopeHash"`
		PayloadHash  hexHash `json:"payloadHash"`
		Signatures   []struct {
			Signature []byte `json:"signature"`
			Verifier  []byte `json:"verifier"`
		} `json:"signatures"`
	}
	intoto002 struct {
		Content struct {
			Envelope struct {
				PayloadType string `json:"payloadType"`
				Signatures  []struct {
					KeyID     string `json:"keyid,omitempty"`
					PublicKey []byte `json:"publicKey"`
					Sig       []byte `json:"sig"` // base64 once more
				} `json:"signatures"`
			} `json:"envelope"`
			Hash        hexHash `json:"hash"`
			PayloadHash hexHash `json:"payloadHash"`
		} `json:"content"`
	}
	rawHash struct {
		Algorithm string `json:"algorithm"`
		Digest    []byte `json:"digest"`
	}
	rawBytes struct {
		RawBytes []byte `json:"rawBytes"`
	}
	signature002 struct {
		Content  []byte `json:"content"`
		Verifier struct {
			KeyDetails      string    `json:"keyDetails"`
			PublicKey       *rawBytes `json:"publicKey,omitempty"`
			X509Certificate *rawBytes `json:"x509Certificate,omitempty"`
		} `json:"verifier"`
	}
	hashedRekord002 struct {
		V002 struct {
			Data      rawHash      `json:"data"`
			Signature signature002 `json:"signature"`
		} `json:"hashedRekordV002"`
	}
	dsse002 struct {
		V002 struct {
			PayloadHash rawHash        `json:"payloadHash"`
			Signatures  []signature002 `json:"signatures"`
		} `json:"dsseV002"`
	}
)

// readBody reads a body in its one canonical form. One without a signature by
// a key or certificate in X.509, as far as we can read, is a *ContentError.
func readBody(e *Entry) (*logged, error) {
	kind, version, err := KindOf(e.Body)
	if err != nil {
		return nil, err
	}
	if kind != e.Kind || version != e.Version {
		return nil, fmt.Errorf("the entry says it is %s %s, its body is %s %s", e.Kind, e.Version, kind, version)
	}
	l := &logged{kind: kind, version: version}
	switch kind + " " + version {
	case "hashedrekord 0.0.1":
		err = l.hashedRekord001(e.Body)
	case "hashedrekord 0.0.2":
		err = l.hashedRekord002(e.Body)
	case "dsse 0.0.1":
		err = l.dsse001(e.Body)
	case "dsse 0.0.2":
		err = l.dsse002(e.Body)
	case "intoto 0.0.2":
		err = l.intoto002(e.Body)
	default:
		return nil, &ContentError{fmt.Sprintf("entries of kind %s %s have no signature that can be in a Sigstore bundle", kind, version)}
	}
	if err != nil {
		return nil, &ContentError{fmt.Sprintf("the entry cannot be in a Sigstore bundle: %v", err)}
	}
	return l, nil
}

func (l *logged) hashedRekord001(b []byte) error {
	s, err := decodeBody[hashedRekord001](b)
	if err != nil {
		return err
	}
	if err := l.setHash(s.Data.Hash); err != nil {
		return err
	}
	return l.addPEM(s.Signature.Content, s.Signature.PublicKey.Content)
}

func (l *logged) dsse001(b []byte) error {
	s, err := decodeBody[dsse001](b)
	if err != nil {
		return err
	}
	l.needsEnvelope = true
	if err := l.setHash(s.PayloadHash); err != nil {
		return err
	}
	for _, sig := range s.Signatures {
		if err := l.addPEM(sig.Signature, sig.Verifier); err != nil {
			return err
		}
	}
	return nil
}

func (l *logged) intoto002(b []byte) error {
	s, err := decodeBody[intoto002](b)
	if err != nil {
		return err
	}
	l.needsEnvelope = true
	if err := l.setHash(s.Content.PayloadHash); err != nil {
		return err
	}
	l.envelope = &Envelope{PayloadType: s.Content.Envelope.PayloadType}
	for _, sig := range s.Content.Envelope.Signatures {
		raw, err := base64.StdEncoding.DecodeString(string(sig.Sig))
		if err != nil {
			return fmt.Errorf("signature: %w", err)
		}
		if err := l.addPEM(raw, sig.PublicKey); err != nil {
			return err
		}
	}
	return nil
}

func (l *logged) hashedRekord002(b []byte) error {
	s, err := decodeBody[hashedRekord002](b)
	if err != nil {
		return err
	}
	if err := l.setRaw(s.V002.Data); err != nil {
		return err
	}
	return l.add002(s.V002.Signature)
}

func (l *logged) dsse002(b []byte) error {
	s, err := decodeBody[dsse002](b)
	if err != nil {
		return err
	}
	l.needsEnvelope = true
	if err := l.setRaw(s.V002.PayloadHash); err != nil {
		return err
	}
	for _, sig := range s.V002.Signatures {
		if err := l.add002(sig); err != nil {
			return err
		}
	}
	return nil
}

// decodeBody decodes a body of which there is no other reading: written again
// it is the same.
func decodeBody[S any](b []byte) (*S, error) {
	var v body[S]
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, err
	}
	var again bytes.Buffer
	enc := json.NewEncoder(&again)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	if !bytes.Equal(bytes.TrimSuffix(again.Bytes(), []byte("\n")), b) {
		return nil, errors.New("it is not in its canonical form, or has members that are not known")
	}
	return &v.Spec, nil
}

func (l *logged) setHash(h hexHash) (err error) {
	l.algorithm = h.Algorithm
	l.digest, err = hex.DecodeString(h.Value)
	return l.checkHash(err)
}

func (l *logged) setRaw(h rawHash) error {
	for a, known := range hashes {
		if a.String() == h.Algorithm {
			l.algorithm = known.name
		}
	}
	l.digest = h.Digest
	return l.checkHash(nil)
}

func (l *logged) checkHash(err error) error {
	h, ok := hashByName(l.algorithm)
	if err != nil || !ok || len(l.digest) != h.Size() {
		return errors.New("the digest is not one of SHA-256, SHA-384 or SHA-512")
	}
	return nil
}

// addPEM adds a signature by the key or certificate that is first in text.
func (l *logged) addPEM(sig, text []byte) error {
	block, _ := pem.Decode(text)
	if block == nil {
		return &ContentError{"the entry was signed by a key that is not X.509"}
	}
	if block.Type == "CERTIFICATE" {
		return l.add(sig, nil, block.Bytes)
	}
	return l.add(sig, block.Bytes, nil)
}

func (l *logged) add002(s signature002) error {
	switch v := s.Verifier; {
	case v.X509Certificate != nil && v.PublicKey == nil:
		return l.add(s.Content, nil, v.X509Certificate.RawBytes)
	case v.PublicKey != nil && v.X509Certificate == nil:
		return l.add(s.Content, v.PublicKey.RawBytes, nil)
	}
	return errors.New("a signature has not one verifier")
}

func (l *logged) add(sig, spki, cert []byte) error {
	if len(sig) == 0 {
		return errors.New("a signature is empty")
	}
	s := loggedSignature{sig: sig}
	var err error
	if cert != nil {
		if s.certificate, err = x509.ParseCertificate(cert); err != nil {
			return fmt.Errorf("certificate: %w", err)
		}
		s.key = s.certificate.PublicKey
	} else if s.key, err = x509.ParsePKIXPublicKey(spki); err != nil {
		return fmt.Errorf("key: %w", err)
	}
	l.signatures = append(l.signatures, s)
	return nil
}

// matches says whether the entry is of this signature, by this signer.
func (l *logged) matches(c *Content, key crypto.PublicKey, cert *x509.Certificate) error {
	// An entry with further signatures is another statement than the bundle's,
	// but holds this one.
	found := false
	for _, s := range l.signatures {
		if !bytes.Equal(s.sig, c.Signature) {
			continue
		}
		switch {
		case cert != nil:
			found = found || s.certificate != nil && s.certificate.Equal(cert)
		default:
			k, ok := s.key.(interface{ Equal(crypto.PublicKey) bool })
			found = found || s.certificate == nil && ok && k.Equal(key)
		}
	}
	if !found {
		return errors.New("the entry is not of this signature by this key or certificate")
	}
	switch {
	case !c.IsEnvelope():
		if l.needsEnvelope {
			return fmt.Errorf("the entry is of kind %s, of an envelope, and not of the signature of an artifact", l.kind)
		}
		if l.algorithm != c.Algorithm || !bytes.Equal(l.digest, c.Digest) {
			return fmt.Errorf("the entry is of artifact %s:%x, and not %s:%x", l.algorithm, l.digest, c.Algorithm, c.Digest)
		}
	case l.needsEnvelope:
		if l.envelope != nil && l.envelope.PayloadType != c.PayloadType {
			return fmt.Errorf("the entry is of payload type %q, and not %q", l.envelope.PayloadType, c.PayloadType)
		}
		h := sha256.Sum256(c.Payload)
		if l.algorithm != "sha256" || !bytes.Equal(l.digest, h[:]) {
			return errors.New("the entry is of another payload")
		}
	default: // the digest is of what DSSE signs
		if l.version == "0.0.1" {
			return errors.New("the entry is of the signature of an artifact, and not of an envelope")
		}
		h, _ := hashByName(l.algorithm)
		d := h.New()
		d.Write(c.pae())
		if !bytes.Equal(l.digest, d.Sum(nil)) {
			return errors.New("the entry is of another envelope")
		}
	}
	return nil
}

// content returns what of a signature is in the entry itself, nil for an
// envelope.
func (l *logged) content() (*Content, loggedSignature) {
	if l.needsEnvelope || len(l.signatures) != 1 {
		return nil, loggedSignature{}
	}
	s := l.signatures[0]
	return &Content{Signature: s.sig, Algorithm: strings.ToLower(l.algorithm), Digest: l.digest}, s
}

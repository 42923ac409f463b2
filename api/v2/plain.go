package v2

import (
	"encoding/base64"
	"errors"

	"github.com/cairnlog/cairn/entry"
	"github.com/cairnlog/cairn/entry/jcs"
)

// errNotPlain means that a request needs the whole parser.
var errNotPlain = errors.New("not plain")

// parsePlain reads a request of the form that nearly all have: a hashedrekord,
// each member at most once and under its lowerCamel name, canonical base64,
// nothing else. It costs a tenth of what the library takes for it. Everything
// that is unusual, right or wrong, is left to Parse: then ok is false.
func parsePlain(body []byte) (_ *Request, ok bool) {
	p := plain{jcs.NewReader(body)}
	var h *entry.HashedRekord002
	err := p.object(func(name string) error {
		if name != "hashedRekordRequestV002" || h != nil {
			return errNotPlain
		}
		h = new(entry.HashedRekord002)
		return p.object(func(name string) error {
			switch {
			case name == "digest" && h.Digest == nil:
				return p.bytes(&h.Digest)
			case name == "signature" && h.Signature == nil:
				h.Signature = new(entry.Signature)
				return p.signature(h.Signature)
			}
			return errNotPlain
		})
	})
	if err != nil || h == nil || p.End() != nil {
		return nil, false
	}
	return &Request{HashedRekord: h}, true
}

type plain struct{ *jcs.Reader }

func (p plain) object(member func(name string) error) error {
	return p.Object(func(name []byte) error { return member(string(name)) })
}

func (p plain) signature(s *entry.Signature) error {
	return p.object(func(name string) error {
		switch {
		case name == "content" && s.Content == nil:
			return p.bytes(&s.Content)
		case name == "verifier" && s.Verifier == nil:
			s.Verifier = new(entry.Verifier)
			return p.verifier(s.Verifier)
		}
		return errNotPlain
	})
}

func (p plain) verifier(v *entry.Verifier) error {
	err := p.object(func(name string) error {
		switch {
		case name == "publicKey" && v.PublicKey == nil && v.Certificate == nil:
			return p.rawBytes(&v.PublicKey)
		case name == "x509Certificate" && v.PublicKey == nil && v.Certificate == nil:
			return p.rawBytes(&v.Certificate)
		case name == "keyDetails" && v.KeyDetails == "":
			text, err := p.String()
			v.KeyDetails = string(text)
			if !entry.AllowsKeyDetails(v.KeyDetails) {
				return errNotPlain
			}
			return err
		}
		return errNotPlain
	})
	if v.KeyDetails == "" {
		return errNotPlain
	}
	return err
}

// rawBytes reads an object with that one member.
func (p plain) rawBytes(dst *[]byte) error {
	err := p.object(func(name string) error {
		if name != "rawBytes" || *dst != nil {
			return errNotPlain
		}
		return p.bytes(dst)
	})
	if *dst == nil {
		return errNotPlain
	}
	return err
}

// bytes reads a string that is what encoding its bytes again would give. The
// result is not nil.
func (p plain) bytes(dst *[]byte) error {
	text, err := p.String()
	if err != nil {
		return err
	}
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(raw, text)
	if err != nil || base64.StdEncoding.EncodedLen(n) != len(text) {
		return errNotPlain
	}
	*dst = raw[:n]
	return nil
}

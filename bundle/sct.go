package bundle

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyteasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/trust"
)

// oidSCTs is that of the list of signed certificate timestamps in a
// certificate, https://www.rfc-editor.org/rfc/rfc6962#section-3.3
var oidSCTs = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}

// maxSCTs bounds the work on one certificate.
const maxSCTs = 32

// verifySCT returns the CT log, of those that are trusted, that has promised
// to log a certificate. The second in the chain is the issuer's.
func verifySCT(chain []*x509.Certificate, logs []trust.Log) (trust.Log, error) {
	if len(chain) < 2 {
		return trust.Log{}, errors.New("the certificate has no issuer")
	}
	cert := chain[0]
	var list cryptobyte.String
	for _, x := range cert.Extensions {
		if x.Id.Equal(oidSCTs) {
			der := cryptobyte.String(x.Value)
			var inner cryptobyte.String
			if !der.ReadASN1(&inner, cryptobyteasn1.OCTET_STRING) || !der.Empty() ||
				!inner.ReadUint16LengthPrefixed(&list) || !inner.Empty() {
				return trust.Log{}, errors.New("the list of signed certificate timestamps is malformed")
			}
		}
	}
	if list == nil {
		return trust.Log{}, errors.New("the certificate has no signed certificate timestamp")
	}
	tbs, err := withoutSCTs(cert.RawTBSCertificate)
	if err != nil {
		return trust.Log{}, err
	}
	issuer := sha256.Sum256(chain[1].RawSubjectPublicKeyInfo)
	err = errors.New("no signed certificate timestamp is by a CT log that is trusted")
	for n := 0; !list.Empty(); n++ {
		var sct cryptobyte.String
		if n == maxSCTs || !list.ReadUint16LengthPrefixed(&sct) {
			return trust.Log{}, errors.New("the list of signed certificate timestamps is malformed")
		}
		l, e := verifyOneSCT(sct, issuer[:], tbs, logs)
		if e == nil {
			return l, nil
		}
		if !errors.Is(e, errUnknownLog) {
			err = e
		}
	}
	return trust.Log{}, err
}

func verifyOneSCT(sct cryptobyte.String, issuer, tbs []byte, logs []trust.Log) (trust.Log, error) {
	var (
		version, hash, algorithm uint8
		id                       []byte
		millis                   uint64
		extensions, sig          cryptobyte.String
	)
	if !sct.ReadUint8(&version) || version != 0 || !sct.ReadBytes(&id, 32) || !sct.ReadUint64(&millis) ||
		!sct.ReadUint16LengthPrefixed(&extensions) || !sct.ReadUint8(&hash) || !sct.ReadUint8(&algorithm) ||
		!sct.ReadUint16LengthPrefixed(&sig) || !sct.Empty() {
		return trust.Log{}, errors.New("a signed certificate timestamp is malformed")
	}
	const sha256Hash = 4
	if hash != sha256Hash {
		return trust.Log{}, errors.New("a signed certificate timestamp is not by SHA-256")
	}
	for _, l := range logs {
		if string(l.ID) != string(id) {
			continue
		}
		if t := time.UnixMilli(int64(millis & (1<<62 - 1))); !l.ValidAt(t) {
			return trust.Log{}, fmt.Errorf("the CT log %s was not trusted at %s", l.URL, t.UTC().Format(time.RFC3339))
		}
		// https://www.rfc-editor.org/rfc/rfc6962#section-3.2
		var m cryptobyte.Builder
		m.AddUint8(0) // v1
		m.AddUint8(0) // certificate_timestamp
		m.AddBytes(binary.BigEndian.AppendUint64(nil, millis))
		m.AddUint16(1) // precert_entry
		m.AddBytes(issuer)
		m.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(tbs) })
		m.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(extensions) })
		message, err := m.Bytes()
		if err != nil {
			return trust.Log{}, err
		}
		if err := checkpoint.VerifyMessage(l.Key, message, sig); err != nil {
			return trust.Log{}, fmt.Errorf("signed certificate timestamp of %s: %w", l.URL, err)
		}
		return l, nil
	}
	return trust.Log{}, errUnknownLog
}

// withoutSCTs returns a TBSCertificate as it was before the timestamps were
// put into it: without that one extension.
func withoutSCTs(tbs []byte) ([]byte, error) {
	malformed := errors.New("the certificate is malformed")
	in := cryptobyte.String(tbs)
	var fields cryptobyte.String
	if !in.ReadASN1(&fields, cryptobyteasn1.SEQUENCE) || !in.Empty() {
		return nil, malformed
	}
	tag := cryptobyteasn1.Tag(3).Constructed().ContextSpecific()
	var b cryptobyte.Builder
	bad := false
	b.AddASN1(cryptobyteasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for !fields.Empty() {
			var element cryptobyte.String
			var t cryptobyteasn1.Tag
			if !fields.ReadAnyASN1Element(&element, &t) {
				bad = true
				return
			}
			if t != tag {
				b.AddBytes(element)
				continue
			}
			var outer, list cryptobyte.String
			if !element.ReadASN1(&outer, tag) || !outer.ReadASN1(&list, cryptobyteasn1.SEQUENCE) || !outer.Empty() {
				bad = true
				return
			}
			b.AddASN1(tag, func(b *cryptobyte.Builder) {
				b.AddASN1(cryptobyteasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					for !list.Empty() {
						var extension cryptobyte.String
						if !list.ReadASN1Element(&extension, cryptobyteasn1.SEQUENCE) {
							bad = true
							return
						}
						whole := extension
						var body cryptobyte.String
						var id asn1.ObjectIdentifier
						if !extension.ReadASN1(&body, cryptobyteasn1.SEQUENCE) || !body.ReadASN1ObjectIdentifier(&id) {
							bad = true
							return
						}
						if !id.Equal(oidSCTs) {
							b.AddBytes(whole)
						}
					}
				})
			})
		}
	})
	out, err := b.Bytes()
	if bad || err != nil {
		return nil, malformed
	}
	return out, nil
}

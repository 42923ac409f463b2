package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
)

// fulcioOtherName is the DER of the OID that Fulcio names user names with,
// 1.3.6.1.4.1.57264.1.7, and subjectAltName the OID of RFC 5280, 4.2.1.6.
var (
	fulcioOtherName = []byte{0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x01, 0x07}
	fulcioOID       = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 7}
	subjectAltName  = asn1.ObjectIdentifier{2, 5, 29, 17}
)

// Subjects returns the alternative names of the first certificate: DNS names,
// e-mail addresses, IP addresses, URIs, Fulcio's user name. A bare key has none.
func (k *X509) Subjects() []string {
	if len(k.certs) == 0 {
		return nil
	}
	c := k.certs[0]
	n := len(c.DNSNames) + len(c.EmailAddresses) + len(c.IPAddresses) + len(c.URIs)
	names := make([]string, 0, n+1)
	names = append(names, c.DNSNames...)
	names = append(names, c.EmailAddresses...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	if name := userName(c); name != "" {
		names = append(names, name)
	}
	return names
}

// userName returns the one name of Fulcio's type. If there are several, or
// one of another type beside it, there is no telling which is meant, and so
// there is none.
func userName(c *x509.Certificate) string {
	var name string
	var found int
	for _, e := range c.Extensions {
		if !e.Id.Equal(subjectAltName) || !bytes.Contains(e.Value, fulcioOtherName) {
			continue
		}
		var seq asn1.RawValue
		rest, err := asn1.Unmarshal(e.Value, &seq)
		if err != nil || len(rest) > 0 || !seq.IsCompound || seq.Tag != asn1.TagSequence || seq.Class != asn1.ClassUniversal {
			return ""
		}
		for rest = seq.Bytes; len(rest) > 0; {
			var v asn1.RawValue
			if rest, err = asn1.Unmarshal(rest, &v); err != nil {
				return ""
			}
			if v.Tag != 0 { // otherName is [0]
				continue
			}
			var other struct {
				ID    asn1.ObjectIdentifier
				Value string `asn1:"utf8,explicit,tag:0"`
			}
			if _, err := asn1.UnmarshalWithParams(v.FullBytes, &other, "tag:0"); err != nil || !other.ID.Equal(fulcioOID) {
				return ""
			}
			name = other.Value
			found++
		}
	}
	if found != 1 {
		return ""
	}
	return name
}

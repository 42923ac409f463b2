package pki

import (
	"encoding/asn1"

	"github.com/sassoftware/relic/v8/lib/pkcs7"
	"github.com/sassoftware/relic/v8/lib/pkcs9"
)

// VerifyTimestamp checks the timestamp that a signed message may carry, as a
// token or, older, as a bare signature; a message without one is fine. That
// the message is signed is what VerifyDetached has found before.
func (k *PKCS7) VerifyTimestamp(message, signature []byte) error {
	m, err := parsePKCS7(signature)
	if err != nil {
		return err
	}
	s, err := m.Content.Verify(message, false)
	if err != nil {
		return err
	}
	for _, oid := range []asn1.ObjectIdentifier{pkcs9.OidAttributeTimeStampToken, pkcs9.OidSpcTimeStampToken} {
		var token pkcs7.ContentInfoSignedData
		if err := s.SignerInfo.UnauthenticatedAttributes.GetOne(oid, &token); err != nil {
			continue // there is none, or the library finds what is wrong with it
		}
		certs, _ := token.Content.Certificates.Parse() // those that can be read
		if err := checkCertSizes(certs); err != nil {
			return err
		}
	}
	_, err = pkcs9.VerifyOptionalTimestamp(s)
	return err
}

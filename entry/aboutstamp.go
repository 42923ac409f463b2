package entry

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"time"

	"github.com/sassoftware/relic/v8/lib/pkcs7"
	"github.com/sassoftware/relic/v8/lib/pkcs9"
)

// stampHashes are the names of hash algorithms in timestamps.
var stampHashes = map[string]string{
	"1.3.14.3.2.26":          "sha1",
	"2.16.840.1.101.3.4.2.1": "sha256",
	"2.16.840.1.101.3.4.2.2": "sha384",
	"2.16.840.1.101.3.4.2.3": "sha512",
}

// timestamp adds what a timestamp response says: which digest existed when,
// in whose words.
func (a *about) timestamp(der []byte) {
	var r pkcs9.TimeStampResp
	if len(der) > maxTimestamp {
		return
	}
	if _, err := asn1.Unmarshal(der, &r); err != nil {
		return
	}
	token := &r.TimeStampToken.Content
	text, err := token.ContentInfo.Bytes()
	if err != nil {
		return
	}
	if len(text) > 0 && text[0] == asn1.TagOctetString {
		if _, err := asn1.Unmarshal(text, &text); err != nil {
			return
		}
	}
	var info pkcs9.TSTInfo
	if _, err := asn1.Unmarshal(text, &info); err != nil {
		return
	}
	if t, err := info.SigningTime(); err == nil {
		a.add("time", t.UTC().Format(time.RFC3339Nano))
	}
	algorithm := info.MessageImprint.HashAlgorithm.Algorithm.String()
	if name, ok := stampHashes[algorithm]; ok {
		algorithm = name
	}
	a.add("artifact", algorithm+":"+hex.EncodeToString(info.MessageImprint.HashedMessage))
	if cert := stampCertificate(token); cert != nil {
		a.add("authority", cert.Subject.String())
		a.add("authority's issuer", cert.Issuer.String())
	}
	a.add("policy", info.Policy.String())
	if info.SerialNumber != nil {
		a.add("serial number", info.SerialNumber.Text(16))
	}
}

// stampCertificate returns the certificate of the first signer, nil if it is
// not in the token.
func stampCertificate(token *pkcs7.SignedData) *x509.Certificate {
	certs, _ := token.Certificates.Parse() // those that can be read
	if len(token.SignerInfos) == 0 {
		return nil
	}
	cert, err := token.SignerInfos[0].FindCertificate(certs)
	if err != nil {
		return nil
	}
	return cert
}

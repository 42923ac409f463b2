package bundle

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sassoftware/relic/v8/lib/pkcs7"
	"github.com/sassoftware/relic/v8/lib/pkcs9"
	"github.com/sassoftware/relic/v8/lib/x509tools"

	"github.com/cairnlog/cairn/trust"
)

// maxTimestamp bounds a response, and with it the signatures and certificates
// that there can be in it.
const maxTimestamp = 16 << 10

// minHash is the size of SHA-256.
const minHash = 32

// oidExtKeyUsage is that of the extension in a certificate.
var oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}

// verifyTimestamp returns the time that a trusted authority has signed for
// what was signed, by RFC 3161.
func verifyTimestamp(der, signature []byte, authorities []trust.Authority) (time.Time, error) {
	if len(der) > maxTimestamp {
		return time.Time{}, fmt.Errorf("timestamp is over %d bytes", maxTimestamp)
	}
	var r pkcs9.TimeStampResp
	if rest, err := asn1.Unmarshal(der, &r); err != nil || len(rest) > 0 {
		return time.Time{}, errors.New("timestamp is not a response by RFC 3161")
	}
	if s := r.Status.Status; s != pkcs9.StatusGranted && s != pkcs9.StatusGrantedWithMods {
		return time.Time{}, fmt.Errorf("timestamp was refused with status %d", s)
	}
	if !r.TimeStampToken.ContentType.Equal(pkcs7.OidSignedData) {
		return time.Time{}, errors.New("timestamp holds no signed data")
	}
	if len(authorities) == 0 {
		return time.Time{}, errors.New("no timestamp authority is trusted")
	}
	var errs []error
	for _, a := range authorities {
		t, err := verifyToken(&r.TimeStampToken, signature, a)
		if err == nil {
			return t, nil
		}
		errs = append(errs, err)
	}
	return time.Time{}, fmt.Errorf("timestamp: %w", errors.Join(errs...))
}

// verifyToken verifies a token by one authority. It does what pkcs9.Verify
// does, which panics without content and has an eye on neither types nor hashes.
func verifyToken(token *pkcs7.ContentInfoSignedData, signature []byte, a trust.Authority) (time.Time, error) {
	fail := func(text string) (time.Time, error) { return time.Time{}, errors.New(text) }
	own, root := a.Chain[0], a.Chain[len(a.Chain)-1]

	// 1. The content is a TSTInfo that is signed as such, by one signer.
	data := &token.Content
	content, err := data.ContentInfo.Bytes()
	if err != nil || len(content) == 0 || !data.ContentInfo.ContentType.Equal(pkcs9.OidTSTInfo) {
		return fail("it has no TSTInfo")
	}
	if len(data.SignerInfos) != 1 {
		return fail("it has not one signer")
	}
	signer := data.SignerInfos[0]
	var signed asn1.ObjectIdentifier
	if err := signer.AuthenticatedAttributes.GetOne(pkcs7.OidAttributeContentType, &signed); err != nil || !signed.Equal(pkcs9.OidTSTInfo) {
		return fail("what is signed is no TSTInfo")
	}
	if h, err := x509tools.PkixDigestToHashE(signer.DigestAlgorithm); err != nil || h.Size() < minHash {
		return fail("its hash is unknown or too weak")
	}
	certs, _ := data.Certificates.Parse() // those that cannot be read are not the signer's
	cert, err := signer.Verify(content, false, append(slices.Clip(certs), a.Chain...))
	if err != nil {
		return time.Time{}, err
	}

	// 2. It is of this signature.
	var info pkcs9.TSTInfo
	if rest, err := asn1.Unmarshal(content, &info); err != nil || len(rest) > 0 {
		return fail("its TSTInfo is malformed")
	}
	h, err := x509tools.PkixDigestToHashE(info.MessageImprint.HashAlgorithm)
	if err != nil || h.Size() < minHash {
		return fail("the hash of its imprint is unknown or too weak")
	}
	sum := h.New()
	sum.Write(signature)
	if !bytes.Equal(sum.Sum(nil), info.MessageImprint.HashedMessage) {
		return fail("it is of something else")
	}
	at, err := info.SigningTime()
	if err != nil {
		return fail("its time is malformed")
	}

	// 3. The signer was the authority then.
	// https://www.rfc-editor.org/rfc/rfc3161#section-2.3
	if len(a.Chain) > 1 && (!cert.Equal(own) || cert.IsCA) {
		return fail("it is not by the certificate of the authority")
	}
	critical := slices.ContainsFunc(cert.Extensions, func(e pkix.Extension) bool {
		return e.Id.Equal(oidExtKeyUsage) && e.Critical
	})
	if u := cert.ExtKeyUsage; !critical || len(u) != 1 || u[0] != x509.ExtKeyUsageTimeStamping || len(cert.UnknownExtKeyUsage) > 0 {
		return fail("the certificate of the authority is not for timestamps alone")
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root)
	for _, c := range a.Chain[:len(a.Chain)-1] {
		between.AddCert(c)
	}
	if _, err := cert.Verify(x509.VerifyOptions{
		CurrentTime: at, Roots: roots, Intermediates: between,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
	}); err != nil {
		return time.Time{}, err
	}
	if !a.ValidAt(at) {
		return fail("the authority was not trusted then")
	}
	return at.UTC(), nil
}

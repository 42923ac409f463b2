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
	"golang.org/x/crypto/cryptobyte"
	cryptobyteasn1 "golang.org/x/crypto/cryptobyte/asn1"

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
	if !wellFormed(der, 0) {
		return time.Time{}, errors.New("timestamp is malformed")
	}
	var r pkcs9.TimeStampResp
	if rest, err := asn1.Unmarshal(der, &r); err != nil || len(rest) > 0 {
		return time.Time{}, errors.New("timestamp is not a response by RFC 3161")
	}
	if s := r.Status.Status; s != pkcs9.StatusGranted { // nothing asks for what could be granted with modifications
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

// maxDepth is how deep values may be in each other. Real ones have a dozen levels.
const maxDepth = 32

// wellFormed says that b is whole values in DER, down to the last of them.
// encoding/asn1 leaves open what it does not have to look at.
func wellFormed(b cryptobyte.String, depth int) bool {
	for !b.Empty() {
		var v cryptobyte.String
		var tag cryptobyteasn1.Tag
		if !b.ReadAnyASN1(&v, &tag) || depth == maxDepth {
			return false
		}
		if constructed := tag&0x20 != 0; constructed && !wellFormed(v, depth+1) {
			return false
		}
	}
	return true
}

// verifyToken verifies a token by one authority. It does what pkcs9.Verify
// does, which panics without content and has an eye on neither types nor hashes.
func verifyToken(token *pkcs7.ContentInfoSignedData, signature []byte, a trust.Authority) (time.Time, error) {
	fail := func(text string) (time.Time, error) { return time.Time{}, errors.New(text) }
	own, root := a.Chain[0], a.Chain[len(a.Chain)-1]

	// 1. The content is a TSTInfo that is signed as such, by one signer.
	data := &token.Content
	encapsulated := cryptobyte.String(data.ContentInfo.Raw)
	var fields, explicit, content cryptobyte.String
	var kind asn1.ObjectIdentifier
	if !encapsulated.ReadASN1(&fields, cryptobyteasn1.SEQUENCE) || !fields.ReadASN1ObjectIdentifier(&kind) || !kind.Equal(pkcs9.OidTSTInfo) ||
		!fields.ReadASN1(&explicit, cryptobyteasn1.Tag(0).Constructed().ContextSpecific()) || !fields.Empty() ||
		!explicit.ReadASN1(&content, cryptobyteasn1.OCTET_STRING) || !explicit.Empty() {
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
	certs, err := data.Certificates.Parse()
	if err != nil {
		return time.Time{}, err
	}
	if len(certs) == 0 {
		certs = a.Chain // the authority was asked to leave them out
	}
	cert, err := signer.Verify(content, false, certs)
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

package bundle

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sassoftware/relic/v8/lib/pkcs7"
	"github.com/sassoftware/relic/v8/lib/pkcs9"

	"github.com/cairnlog/cairn/trust"
)

// maxTimestamp bounds a response, and with it the signatures and certificates
// that there can be in it.
const maxTimestamp = 16 << 10

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

func verifyToken(token *pkcs7.ContentInfoSignedData, signature []byte, a trust.Authority) (time.Time, error) {
	own, root := a.Chain[0], a.Chain[len(a.Chain)-1]
	s, err := pkcs9.Verify(token, signature, a.Chain)
	if err != nil {
		return time.Time{}, err
	}
	if !s.Hash.Available() || s.Hash.Size() < 32 {
		return time.Time{}, errors.New("its hash is too weak")
	}
	if len(a.Chain) > 1 && !s.Certificate.Equal(own) {
		return time.Time{}, errors.New("it is not by the certificate of the authority")
	}

	// https://www.rfc-editor.org/rfc/rfc3161#section-2.3
	critical := slices.ContainsFunc(s.Certificate.Extensions, func(e pkix.Extension) bool {
		return e.Id.Equal(oidExtKeyUsage) && e.Critical
	})
	if u := s.Certificate.ExtKeyUsage; !critical || len(u) != 1 || u[0] != x509.ExtKeyUsageTimeStamping || len(s.Certificate.UnknownExtKeyUsage) > 0 {
		return time.Time{}, errors.New("the certificate of the authority is not for timestamps alone")
	}
	if s.Certificate.IsCA && len(a.Chain) > 1 {
		return time.Time{}, errors.New("the certificate of the authority is that of a CA")
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	if err := s.VerifyChain(pool, a.Chain); err != nil {
		return time.Time{}, err
	}
	if !a.ValidAt(s.SigningTime) {
		return time.Time{}, errors.New("the authority was not trusted then")
	}
	return s.SigningTime.UTC(), nil
}

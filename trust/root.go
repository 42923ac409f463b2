package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	trustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// rootType is the media type of a trusted root. Readers of today know no newer one.
const (
	rootType       = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
	rootTypePrefix = "application/vnd.dev.sigstore.trustedroot"
)

// Document returns r as trusted_root.json.
func (r *Root) Document() ([]byte, error) {
	m := &trustroot.TrustedRoot{MediaType: rootType}
	var err error
	if m.Tlogs, err = logs(r.Logs); err != nil {
		return nil, err
	}
	if m.Ctlogs, err = logs(r.CTLogs); err != nil {
		return nil, err
	}
	m.CertificateAuthorities = authorities(r.Authorities)
	m.TimestampAuthorities = authorities(r.Timestamps)
	return document(m)
}

func logs(in []Log) ([]*trustroot.TransparencyLogInstance, error) {
	var out []*trustroot.TransparencyLogInstance
	for _, l := range in {
		der, err := x509.MarshalPKIXPublicKey(l.Key)
		if err != nil {
			return nil, fmt.Errorf("marshal public key: %w", err)
		}
		details, err := keyDetails(l.Key)
		if err != nil {
			return nil, err
		}
		out = append(out, &trustroot.TransparencyLogInstance{
			BaseUrl:       l.URL,
			HashAlgorithm: common.HashAlgorithm_SHA2_256,
			PublicKey:     &common.PublicKey{RawBytes: der, KeyDetails: details, ValidFor: period(l.Start, l.End)},
			LogId:         &common.LogId{KeyId: l.ID},
		})
	}
	return out, nil
}

func authorities(in []Authority) []*trustroot.CertificateAuthority {
	var out []*trustroot.CertificateAuthority
	for _, a := range in {
		root := a.Chain[len(a.Chain)-1].Subject
		c := &trustroot.CertificateAuthority{
			Subject:   &common.DistinguishedName{Organization: strings.Join(root.Organization, ", "), CommonName: root.CommonName},
			Uri:       a.URL,
			CertChain: &common.X509CertificateChain{},
			ValidFor:  period(a.Start, a.End),
		}
		for _, cert := range a.Chain {
			c.CertChain.Certificates = append(c.CertChain.Certificates, &common.X509Certificate{RawBytes: cert.Raw})
		}
		out = append(out, c)
	}
	return out
}

// keyDetails names the algorithm by which a log signs.
func keyDetails(key crypto.PublicKey) (common.PublicKeyDetails, error) {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return common.PublicKeyDetails_PKIX_ED25519, nil
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return common.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256, nil
		// Rekor signs by SHA-256 whatever the curve, and readers know it under this name.
		case elliptic.P384():
			return common.PublicKeyDetails_PKIX_ECDSA_P384_SHA_384, nil
		case elliptic.P521():
			return common.PublicKeyDetails_PKIX_ECDSA_P521_SHA_512, nil
		}
	case *rsa.PublicKey:
		switch k.N.BitLen() {
		case 2048:
			return common.PublicKeyDetails_PKIX_RSA_PKCS1V15_2048_SHA256, nil
		case 3072:
			return common.PublicKeyDetails_PKIX_RSA_PKCS1V15_3072_SHA256, nil
		case 4096:
			return common.PublicKeyDetails_PKIX_RSA_PKCS1V15_4096_SHA256, nil
		}
	}
	return 0, fmt.Errorf("%w and size: %T", ErrKeyType, key)
}

func period(start, end time.Time) *common.TimeRange {
	r := &common.TimeRange{Start: timestamppb.New(start)}
	if !end.IsZero() {
		r.End = timestamppb.New(end)
	}
	return r
}

// ParseRoot reads a trusted_root.json. What it does not know it refuses:
// to trust less than was meant would be silent otherwise.
func ParseRoot(data []byte) (*Root, error) {
	r, err := parseRoot(data)
	if err != nil {
		return nil, fmt.Errorf("parse trusted root: %w", err)
	}
	return r, nil
}

func parseRoot(data []byte) (*Root, error) {
	if len(data) > maxDocument {
		return nil, fmt.Errorf("over %d bytes", maxDocument)
	}
	var m trustroot.TrustedRoot
	if err := protojson.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(m.GetMediaType(), rootTypePrefix) {
		return nil, fmt.Errorf("media type is %q, not that of a trusted root", m.GetMediaType())
	}
	if max(len(m.GetTlogs()), len(m.GetCtlogs()), len(m.GetCertificateAuthorities()), len(m.GetTimestampAuthorities())) > maxItems {
		return nil, fmt.Errorf("over %d items of one sort", maxItems)
	}
	r := new(Root)
	var err error
	if r.Logs, err = readLogs(m.GetTlogs()); err != nil {
		return nil, fmt.Errorf("tlogs: %w", err)
	}
	if r.CTLogs, err = readLogs(m.GetCtlogs()); err != nil {
		return nil, fmt.Errorf("ctlogs: %w", err)
	}
	if r.Authorities, err = readAuthorities(m.GetCertificateAuthorities()); err != nil {
		return nil, fmt.Errorf("certificateAuthorities: %w", err)
	}
	if r.Timestamps, err = readAuthorities(m.GetTimestampAuthorities()); err != nil {
		return nil, fmt.Errorf("timestampAuthorities: %w", err)
	}
	return r, nil
}

func readLogs(in []*trustroot.TransparencyLogInstance) ([]Log, error) {
	var out []Log
	for i, m := range in {
		l := Log{URL: m.GetBaseUrl(), ID: m.GetLogId().GetKeyId()}
		if id := m.GetCheckpointKeyId().GetKeyId(); len(l.ID) == 0 {
			l.ID = id
		}
		if len(l.ID) < 4 {
			return nil, fmt.Errorf("number %d has no log id", i)
		}
		if h := m.GetHashAlgorithm(); h != common.HashAlgorithm_SHA2_256 {
			return nil, fmt.Errorf("number %d has hash algorithm %v", i, h)
		}
		var err error
		if l.Start, l.End, err = readPeriod(m.GetPublicKey().GetValidFor()); err != nil {
			return nil, fmt.Errorf("number %d: %w", i, err)
		}
		raw := m.GetPublicKey().GetRawBytes()
		//lint:ignore SA1019 the first CT log of Sigstore's staging has such a key
		if m.GetPublicKey().GetKeyDetails() == common.PublicKeyDetails_PKCS1_RSA_PKCS1V5 {
			l.Key, err = x509.ParsePKCS1PublicKey(raw)
		} else {
			l.Key, err = x509.ParsePKIXPublicKey(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("number %d: %w", i, err)
		}
		out = append(out, l)
	}
	return out, nil
}

func readAuthorities(in []*trustroot.CertificateAuthority) ([]Authority, error) {
	var out []Authority
	for i, m := range in {
		a := Authority{URL: m.GetUri()}
		var err error
		if a.Start, a.End, err = readPeriod(m.GetValidFor()); err != nil {
			return nil, fmt.Errorf("number %d: %w", i, err)
		}
		certs := m.GetCertChain().GetCertificates()
		if len(certs) == 0 || len(certs) > maxChain {
			return nil, fmt.Errorf("number %d has %d certificates", i, len(certs))
		}
		for _, c := range certs {
			cert, err := x509.ParseCertificate(c.GetRawBytes())
			if err != nil {
				return nil, fmt.Errorf("number %d: %w", i, err)
			}
			a.Chain = append(a.Chain, cert)
		}
		out = append(out, a)
	}
	return out, nil
}

func readPeriod(r *common.TimeRange) (start, end time.Time, err error) {
	if r.GetStart() == nil {
		return start, end, errors.New("validity has no start")
	}
	if err := r.GetStart().CheckValid(); err != nil {
		return start, end, fmt.Errorf("start of validity: %w", err)
	}
	start = r.GetStart().AsTime()
	if r.GetEnd() != nil {
		if err := r.GetEnd().CheckValid(); err != nil {
			return start, end, fmt.Errorf("end of validity: %w", err)
		}
		end = r.GetEnd().AsTime()
	}
	return start, end, nil
}

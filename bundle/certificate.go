package bundle

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/cairnlog/cairn/trust"
)

// An Identity is who a signer has to be. A pattern has to match all of a name.
type Identity struct {
	Name          string         // one of the subject alternative names
	NamePattern   *regexp.Regexp // in its place
	Issuer        string         // who identified the signer
	IssuerPattern *regexp.Regexp
}

// Pattern compiles a regular expression that has to match all of a name.
func Pattern(expr string) (*regexp.Regexp, error) {
	return regexp.Compile(`^(?:` + expr + `)$`)
}

// Extensions of the certificates that Fulcio issues.
// https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md
var (
	oidIssuerOld = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1} // as it is
	oidIssuer    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8} // as a DER string
	oidUserName  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 7}
	oidSAN       = asn1.ObjectIdentifier{2, 5, 29, 17}
)

// Issuer returns who identified the holder of a certificate by Fulcio, "" for
// others.
func Issuer(cert *x509.Certificate) string {
	old := ""
	for _, x := range cert.Extensions {
		switch {
		case x.Id.Equal(oidIssuer):
			var s string
			if rest, err := asn1.Unmarshal(x.Value, &s); err == nil && len(rest) == 0 {
				return s
			}
		case x.Id.Equal(oidIssuerOld):
			old = string(x.Value)
		}
	}
	return old
}

// Names returns the names that a certificate is for.
func Names(cert *x509.Certificate) []string {
	names := slices.Concat(cert.EmailAddresses, cert.DNSNames)
	for _, u := range cert.URIs {
		names = append(names, u.String())
	}
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	for _, x := range cert.Extensions {
		if x.Id.Equal(oidSAN) {
			names = append(names, userNames(x.Value)...)
		}
	}
	return names
}

// userNames returns the names of Fulcio's own sort in a subject alternative name.
func userNames(der []byte) []string {
	var seq asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &seq); err != nil || len(rest) > 0 {
		return nil
	}
	var names []string
	for b := seq.Bytes; len(b) > 0; {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(b, &v)
		if err != nil {
			return names
		}
		b = rest
		var other struct {
			ID    asn1.ObjectIdentifier
			Value string `asn1:"utf8,explicit,tag:0"`
		}
		if v.Class != asn1.ClassContextSpecific || v.Tag != 0 {
			continue
		}
		if _, err := asn1.UnmarshalWithParams(v.FullBytes, &other, "tag:0"); err == nil && other.ID.Equal(oidUserName) {
			names = append(names, other.Value)
		}
	}
	return names
}

// Check says whether a certificate is for the identity.
func (id *Identity) Check(cert *x509.Certificate) error {
	names, issuer := Names(cert), Issuer(cert)
	named := slices.ContainsFunc(names, func(n string) bool {
		if id.NamePattern != nil {
			return id.NamePattern.MatchString(n)
		}
		return n == id.Name
	})
	if !named {
		return fmt.Errorf("the certificate is for %q", names)
	}
	if id.IssuerPattern != nil && !id.IssuerPattern.MatchString(issuer) || id.IssuerPattern == nil && id.Issuer != issuer {
		return fmt.Errorf("the signer was identified by %q", issuer)
	}
	return nil
}

// verifyChain returns the chain from a certificate to an authority that is
// trusted, as it was at a time.
func verifyChain(cert *x509.Certificate, at time.Time, authorities []trust.Authority) ([]*x509.Certificate, error) {
	// The names in it may be of a sort that crypto/x509 does not know.
	leaf := *cert
	leaf.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(leaf.UnhandledCriticalExtensions), oidSAN.Equal)
	err := errors.New("no certificate authority is trusted")
	for _, a := range authorities {
		if !a.ValidAt(at) {
			err = fmt.Errorf("%s was not trusted at %s", a.URL, at.Format(time.RFC3339))
			continue
		}
		roots, between := x509.NewCertPool(), x509.NewCertPool()
		roots.AddCert(a.Chain[len(a.Chain)-1])
		for _, c := range a.Chain[:len(a.Chain)-1] {
			between.AddCert(c)
		}
		var chains [][]*x509.Certificate
		chains, err = leaf.Verify(x509.VerifyOptions{
			CurrentTime: at, Roots: roots, Intermediates: between,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		})
		if err == nil {
			return chains[0], nil
		}
	}
	return nil, fmt.Errorf("certificate: %w", err)
}

// verifySigner verifies who holds a certificate: at each of the times, of
// which there must be one, it was valid.
func (b *Bundle) verifySigner(r *Report, t *Trust, id *Identity, cert *x509.Certificate, times []time.Time) error {
	if id == nil {
		return fmt.Errorf("it was signed with a certificate for %q, identified by %q: say who it should be", Names(cert), Issuer(cert))
	}
	if len(times) == 0 {
		return errors.New("nobody who is trusted says when it was signed, so that the certificate may have expired before: there is neither a promise of the log nor a timestamp")
	}
	var chain []*x509.Certificate
	for _, at := range times {
		var err error
		if chain, err = verifyChain(cert, at, t.Authorities); err != nil {
			return err
		}
	}
	if err := id.Check(cert); err != nil {
		return err
	}
	issuer := ""
	if s := Issuer(cert); s != "" {
		issuer = fmt.Sprintf(", identified by %q,", s)
	}
	r.verified("the signature is by a certificate for %q%s that was valid then", Names(cert), issuer)
	if len(t.CTLogs) == 0 {
		r.open("that the certificate is in a CT log: no key of one is given")
		return nil
	}
	l, err := verifySCT(chain, t.CTLogs)
	if err != nil {
		return err
	}
	r.verified("the CT log %s has promised to log the certificate", l.URL)
	return nil
}

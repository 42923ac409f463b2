package main

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/cairnlog/cairn/bundle"
	"github.com/cairnlog/cairn/client"
	"github.com/cairnlog/cairn/entry"
)

// A description says what an entry is about and who signed it. It is the part
// of the JSON of get and verify that rekor-cli has not. All of it was verified
// to be in the log; but names are as the signer, or the certificate, has them.
type description struct {
	Kind       string
	APIVersion string
	About      []entry.Fact
	Signers    []signer
}

// A signer is a key or certificate that an entry was signed with.
type signer struct {
	Key         string   `json:",omitempty"` // Go type of the key, as monitors know it
	Fingerprint string   `json:",omitempty"`
	Names       []string `json:",omitempty"`

	// Of a certificate. It is not held against any authority.
	Subject      string     `json:",omitempty"`
	IdentifiedBy string     `json:",omitempty"` // the issuer of an OpenID Connect token
	IssuedBy     string     `json:",omitempty"`
	NotBefore    *time.Time `json:",omitempty"`
	NotAfter     *time.Time `json:",omitempty"`
}

func describe(e *client.Entry) description {
	d := description{
		Kind: e.Kind, APIVersion: e.APIVersion,
		About:   append([]entry.Fact{}, entry.About(e.Body, e.Attestation)...),
		Signers: []signer{},
	}
	checked, err := entry.Read(e.Body)
	if err != nil {
		return d // of a kind or version that is not known here
	}
	for _, id := range checked.Identities {
		s := signer{Key: id.Type, Fingerprint: id.Fingerprint, Names: id.Subjects}
		if cert, err := x509.ParseCertificate(id.Raw); err == nil {
			notBefore, notAfter := cert.NotBefore.UTC(), cert.NotAfter.UTC()
			s.Subject, s.IssuedBy, s.IdentifiedBy = cert.Subject.String(), cert.Issuer.String(), bundle.Issuer(cert)
			s.NotBefore, s.NotAfter = &notBefore, &notAfter
		}
		d.Signers = append(d.Signers, s)
	}
	return d
}

// lines returns the description for people.
func (d description) lines() []string {
	lines := []string{fmt.Sprintf("%s %s", d.Kind, d.APIVersion)}
	for _, f := range d.About {
		lines = append(lines, f.Name+": "+f.Value)
	}
	with := "signed with "
	if len(d.Signers) > 1 {
		switch d.Kind {
		case "tuf":
			with = "  "
			lines = append(lines, "signed with keys of a root that has")
		case "rekord", "rpm", "helm":
			with = "  "
			lines = append(lines, "signed with one of")
		}
	}
	for _, s := range d.Signers {
		lines = append(lines, s.lines(with)...)
	}
	for i := range lines {
		lines[i] = client.Printable(lines[i], "")
	}
	return lines
}

func (s signer) lines(with string) []string {
	names := strings.Join(s.Names, ", ")
	if s.NotAfter == nil {
		line := with + "key " + s.Fingerprint
		if s.Fingerprint == "" {
			line = with + "a key"
		}
		if names != "" {
			line += " of " + names
		}
		return []string{line}
	}
	line := with + "a certificate"
	names = cmp.Or(names, s.Subject)
	if names != "" {
		line += " for " + names
	}
	if s.IdentifiedBy != "" {
		line += ", identified by " + s.IdentifiedBy
	}
	return []string{line, fmt.Sprintf("  valid %s to %s, issued by %s (not verified here)",
		s.NotBefore.Format(time.RFC3339), s.NotAfter.Format(time.RFC3339), s.IssuedBy)}
}

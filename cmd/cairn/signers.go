package main

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"strings"
	"time"

	"github.com/cairnlog/cairn/client"
	"github.com/cairnlog/cairn/entry"
)

// signers describes who signed an entry, for people. The certificates are not
// held against any authority: the text says what they claim.
func signers(e *client.Entry) []string {
	checked, err := entry.Read(e.Body)
	if err != nil {
		return nil // kinds that cannot be read again from their stored form
	}
	var lines []string
	for _, id := range checked.Identities {
		cert, err := x509.ParseCertificate(id.Raw)
		if err != nil {
			line := "signed with key " + client.Printable(id.Fingerprint, "")
			if id.Fingerprint == "" {
				line = "signed with a key"
			}
			if len(id.Subjects) > 0 {
				line += " of " + client.Printable(strings.Join(id.Subjects, ", "), "")
			}
			lines = append(lines, line)
			continue
		}
		line := "signed with a certificate"
		if len(id.Subjects) > 0 {
			line += " for " + client.Printable(strings.Join(id.Subjects, ", "), "")
		}
		if issuer := oidcIssuer(cert); issuer != "" {
			line += ", identified by " + client.Printable(issuer, "")
		}
		lines = append(lines, line, fmt.Sprintf("  valid %s to %s, issued by %s (not verified here)",
			cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339), client.Printable(cert.Issuer.String(), "")))
	}
	return lines
}

// oidcIssuer returns who identified the holder of a keyless signing certificate.
// https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md
func oidcIssuer(cert *x509.Certificate) string {
	raw := ""
	for _, x := range cert.Extensions {
		switch x.Id.String() {
		case "1.3.6.1.4.1.57264.1.8":
			var s string
			if rest, err := asn1.Unmarshal(x.Value, &s); err == nil && len(rest) == 0 {
				return s
			}
		case "1.3.6.1.4.1.57264.1.1":
			raw = string(x.Value)
		}
	}
	return raw
}

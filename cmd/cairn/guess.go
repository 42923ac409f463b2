package main

import (
	"crypto/ed25519"
	"fmt"
	"strings"

	"github.com/cairnlog/cairn/entry"
)

// provEnding is how the provenance file of a Helm chart is named after it.
const provEnding = ".prov"

// because says why an artifact is taken for a kind.
var because = map[string]string{
	"alpine":  "a signed package of Alpine Linux",
	"cose":    "a COSE message",
	"dsse":    "a DSSE envelope",
	"helm":    "provenance of a Helm chart",
	"jar":     "a signed Java archive",
	"rfc3161": "a timestamp response",
	"rpm":     "an RPM package",
	"tuf":     "metadata of The Update Framework",
}

// guess fills in what the user did not say: the format of the key, and the
// kind that the material is fit for. An artifact with a detached signature is
// a hashedrekord, of which only the hash is sent; one that has none, but one
// of its own, is of the kind that it is by its form; formats other than x509,
// and a signature that an Ed25519 key made over the artifact itself, are
// rekord. It returns what to say about it, "" if there was no choice.
func (m *material) guess(a *source) (string, error) {
	named := m.format != ""
	if m.format == "" && len(m.keys) > 0 {
		m.format = m.keys[0].format
	}
	if m.format == "" {
		m.format = recipes[m.kind].format
	}
	if m.format == "" {
		m.format = "x509"
	}
	if m.kind != "" {
		return "", nil
	}
	form, why, err := m.form(a)
	if err != nil {
		return "", err
	}
	if form != "" && m.signature == "" {
		beside, err := besides(m.artifact, m.format)
		if err != nil {
			m.setKind(form)
			if !named {
				m.format = recipes[form].format
			}
			said := fmt.Sprintf("taken for %s (--type %s)", why, form)
			if recipes[form].keys == 0 && len(m.keys) > 0 {
				m.keys = nil // it is for other artifacts
				said += "; its certificate is in it, the public key is not used"
			}
			return said, nil
		}
		m.signature = beside
	}
	if form == "" && a != nil && len(m.keys) == 0 {
		return "", usage("%s carries no signature of its own: the signer's public key or certificate must be provided, with --public-key", m.artifact)
	}
	if m.format != "x509" {
		m.setKind("rekord")
	} else if pure, err := m.isPureEd25519(a); err != nil {
		return "", err
	} else if pure {
		m.setKind("rekord")
	} else {
		m.setKind("hashedrekord")
	}
	switch {
	case form != "":
		return fmt.Sprintf("it is %s, but logged with its detached signature %s (--type %s; for the other --type %s)", strings.TrimSuffix(why, byForm), m.signature, m.kind, form), nil
	case m.kind == "rekord":
		return fmt.Sprintf("taken for a file with a detached signature in format %s, that is logged with the file (--type rekord)", m.format), nil
	}
	return "", nil
}

// setKind sets the kind, in its newest version.
func (m *material) setKind(kind string) {
	m.kind, m.version, _ = parseType(kind)
}

// byForm is at the end of what form says of artifacts that it has looked into.
const byForm = ", by its form"

// form returns the kind of an artifact that carries its own signature, also of
// a Helm chart whose provenance lies beside it, and what it was taken for.
func (m *material) form(a *source) (kind, why string, err error) {
	if a == nil {
		return "", "", nil
	}
	head, err := a.head()
	if err != nil {
		return "", "", err
	}
	if entry.Signed(head) {
		content, err := a.all()
		if a.long && m.signature == "" {
			if _, err := besides(m.artifact, m.format); err != nil {
				return "", "", usage("%s is over %d bytes; of what is that long only a hash can be logged: %w", m.artifact, maxArtifact, err)
			}
		}
		if a.long {
			return "", "", nil
		}
		if err != nil {
			return "", "", err
		}
		if kind := entry.Guess(content); kind != "" {
			return kind, because[kind] + byForm, nil
		}
		if p, err := entry.ParseProposal(content); err == nil {
			if _, ok := entry.Lookup(p.Kind, p.APIVersion); ok {
				return "", "", usage("%s is a proposed entry; name it with --entry", m.artifact)
			}
		}
	}
	if m.format == "pgp" && m.artifact != "-" && !isURL(m.artifact) && exists(m.artifact+provEnding) {
		return "helm", "a Helm chart, by the provenance beside it", nil
	}
	return "", "", nil
}

func (m *material) isPureEd25519(a *source) (bool, error) {
	if len(m.keys) != 1 || a == nil {
		return false, nil
	}
	key, ok := firstKey(m.keys[0].text).(ed25519.PublicKey)
	if !ok {
		return false, nil
	}
	signature, err := m.readSignature()
	if err != nil {
		return false, err
	}
	content, err := a.all()
	if a.long {
		return false, nil
	}
	return err == nil && ed25519.Verify(key, content, signature), err
}

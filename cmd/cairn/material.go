package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	_ "crypto/sha1"   // registers crypto.SHA1
	_ "crypto/sha256" // registers crypto.SHA256
	_ "crypto/sha512" // registers crypto.SHA384 and crypto.SHA512
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"

	"github.com/cairnlog/cairn/entry"
)

// material is what one entry is made of.
type material struct {
	g             *Globals
	kind, version string // "" if it is to be guessed
	format        string // of signature and key, "" if it is to be guessed
	keys          []signerKey
	aad           []byte
	artifact      string // "" if there is only the hash
	hash          string
	signature     string // "" for the file beside the artifact
	read          []byte // the signature, once it was read
}

// A recipe says what a kind is made of, besides the artifact.
type recipe struct {
	format   string // of the keys, "" for all that rekord has
	keys     int    // how many
	detached bool   // the signature is a file of its own
	what     string // the artifact is
}

const anyKeys = -1 // one or more

var recipes = map[string]recipe{
	"alpine":       {format: "x509", keys: 1, what: "the package"},
	"cose":         {format: "x509", keys: 1, what: "the message"},
	"dsse":         {format: "x509", keys: anyKeys, what: "the envelope"},
	"hashedrekord": {format: "x509", keys: 1, detached: true, what: "the artifact"},
	"helm":         {format: "pgp", keys: 1, what: "the provenance file"},
	"intoto":       {format: "x509", keys: anyKeys, what: "the envelope"},
	"jar":          {what: "the archive"},
	"rekord":       {keys: 1, detached: true, what: "the artifact"},
	"rfc3161":      {what: "the timestamp response"},
	"rpm":          {format: "pgp", keys: 1, what: "the package"},
	"tuf":          {format: "tuf", keys: 1, what: "the metadata"},
}

// propose makes the entry, after a guess of what was not said.
func (m material) propose() (proposed, error) {
	var a *source
	if m.artifact != "" {
		var err error
		if a, err = m.g.source(m.artifact); err != nil {
			return proposed{}, err
		}
		defer a.close()
	}
	guess, err := m.guess(a)
	if err != nil {
		return proposed{}, err
	}
	p, err := m.make(a)
	return proposed{p, guess}, err
}

func (m *material) make(a *source) (entry.Proposal, error) {
	var none entry.Proposal
	r := recipes[m.kind]
	if err := m.check(r); err != nil {
		return none, err
	}
	if m.kind == "hashedrekord" {
		signature, err := m.readSignature()
		if err != nil {
			return none, err
		}
		algorithm, digest, err := m.digest(a)
		if err != nil {
			return none, err
		}
		return entry.NewHashedRekord(algorithm, digest, signature, m.keys[0].text), nil
	}
	if a == nil {
		return none, usage("type %s needs %s itself, with --artifact", m.kind, r.what)
	}
	content, err := a.all()
	if err != nil {
		return none, err
	}
	if m.hash != "" {
		if _, _, err := m.digest(a); err != nil {
			return none, err
		}
	}
	switch m.kind {
	case "alpine":
		return entry.NewAlpine(content, m.keys[0].text), nil
	case "cose":
		return entry.NewCOSE(content, m.keys[0].text, m.aad), nil
	case "dsse":
		return entry.NewDSSE(content, m.texts()), nil
	case "helm":
		if content, err = m.provenance(content); err != nil {
			return none, err
		}
		return entry.NewHelm(content, m.keys[0].text), nil
	case "intoto":
		return entry.NewIntoto(m.version, content, m.texts())
	case "jar":
		return entry.NewJAR(content), nil
	case "rekord":
		signature, err := m.readSignature()
		if err != nil {
			return none, err
		}
		return entry.NewRekord(content, signature, m.keys[0].text, m.format), nil
	case "rfc3161":
		return entry.NewRFC3161(content), nil
	case "rpm":
		return entry.NewRPM(content, m.keys[0].text), nil
	case "tuf":
		return entry.NewTUF(content, m.keys[0].text), nil
	}
	return none, usage("entries of type %s cannot be made here; write one yourself and use --entry", m.kind)
}

// check finds flags that do not go with the kind, which would otherwise seem
// to have been heeded.
func (m *material) check(r recipe) error {
	switch {
	case m.kind == "hashedrekord" && m.format != "x509":
		return usage("hashedrekord entries can only be created for artifacts signed with x509-based PKI; use --type rekord")
	case m.signature != "" && !r.detached:
		return usage("type %s has its signature in %s; --signature is for hashedrekord and rekord", m.kind, r.what)
	case len(m.aad) > 0 && m.kind != "cose":
		return usage("--aad is for cose, not for %s", m.kind)
	case r.keys == 0 && len(m.keys) > 0:
		return usage("type %s has its certificate in %s; no --public-key is needed", m.kind, r.what)
	case r.keys != 0 && len(m.keys) == 0 && m.kind == "tuf":
		return usage("the root that the metadata is signed by must be provided, with --public-key")
	case r.keys != 0 && len(m.keys) == 0:
		return usage("the signer's public key or certificate must be provided, with --public-key")
	case r.keys == 1 && len(m.keys) > 1:
		return usage("type %s takes one public key, not %d", m.kind, len(m.keys))
	case m.kind == "rekord" && (m.format == "pkcs7" || m.format == "tuf"):
		return usage("no kind takes a detached signature in format %s", m.format)
	}
	want := r.format
	if want == "" {
		want = m.format
	}
	for _, k := range m.keys {
		if k.format != "" && k.format != want {
			return usage("%s is in format %s, but type %s wants a key in format %s", k.name, k.format, m.kind, want)
		}
	}
	if r.format != "" && m.format != r.format {
		return usage("type %s has keys in format %s, not %s", m.kind, r.format, m.format)
	}
	return nil
}

func (m *material) texts() [][]byte {
	var texts [][]byte
	for _, k := range m.keys {
		texts = append(texts, k.text)
	}
	return texts
}

func (m *material) readSignature() (signature []byte, err error) {
	if m.read != nil {
		return m.read, nil
	}
	name := m.signature
	if name == "" {
		if m.artifact == "" {
			return nil, usage("a detached signature must be provided, with --signature")
		}
		if name, err = besides(m.artifact, m.format); err != nil {
			return nil, err
		}
	}
	m.read, err = m.g.signature(name, m.format)
	return m.read, err
}

// provenance returns the provenance file of a chart that lies beside it, or
// content if that is one. The log never sees the chart, so its hash is held
// against what the signer says here.
func (m *material) provenance(content []byte) ([]byte, error) {
	beside := m.artifact + provEnding
	if entry.Guess(content) == "helm" || m.artifact == "-" || isURL(m.artifact) || !exists(beside) {
		return content, nil
	}
	text, err := m.g.read(beside, maxKey)
	if err != nil {
		return nil, err
	}
	signed, err := entry.ChartHash(text)
	if err != nil {
		return nil, usage("%s: %w", beside, err)
	}
	if hash := entry.ArtifactTerm(content); hash != signed {
		return nil, &ExitError{exitUnverified, usage("%s has the hash %s, but %s is about %s", m.artifact, hash, beside, signed)}
	}
	return text, nil
}

// firstKey returns the key in the first PEM block, or nil.
func firstKey(text []byte) crypto.PublicKey {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil
	}
	if block.Type == "CERTIFICATE" {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			return c.PublicKey
		}
		return nil
	}
	key, _ := x509.ParsePKIXPublicKey(block.Bytes)
	return key
}

// hashes are those that a digest can be of.
var hashes = map[string]crypto.Hash{"sha1": crypto.SHA1, "sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}

// digest returns the hash of the artifact by the algorithm that goes with the
// signer's key, or the one that was given.
func (m *material) digest(a *source) (algorithm, digits string, err error) {
	if m.hash != "" {
		algorithm, digits, err = parseHash(m.hash)
		switch {
		case err != nil:
			return "", "", err
		case algorithm == "sha1" && m.kind == "hashedrekord":
			return "", "", usage("a hashedrekord takes sha256, sha384 or sha512, not sha1")
		case a == nil:
			return algorithm, digits, nil
		}
	} else {
		algorithm = "sha256"
		switch key := firstKey(m.keys[0].text).(type) {
		case *ecdsa.PublicKey:
			if bits := key.Curve.Params().BitSize; bits > 384 {
				algorithm = "sha512"
			} else if bits > 256 {
				algorithm = "sha384"
			}
		case ed25519.PublicKey:
			algorithm = "sha512"
		}
	}
	sum, err := a.sum(hashes[algorithm])
	if err != nil {
		return "", "", err
	}
	if want, _ := hex.DecodeString(digits); digits != "" && !bytes.Equal(want, sum) {
		return "", "", &ExitError{exitUnverified, usage("%s has the %s hash %x, not the one of --artifact-hash", m.artifact, algorithm, sum)}
	}
	return algorithm, hex.EncodeToString(sum), nil
}

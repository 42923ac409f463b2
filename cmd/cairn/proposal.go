package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	_ "crypto/sha256" // registers crypto.SHA256
	_ "crypto/sha512" // registers crypto.SHA384 and crypto.SHA512
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"slices"
	"strings"

	"github.com/cairnlog/cairn/entry"
)

// artifactFlags say what was signed, how and by whom. They are shared by
// upload and verify.
type artifactFlags struct {
	Artifact     []string `name:"artifact" sep:"none" placeholder:"FILE" help:"Signed file, URL, or - for standard input; may be repeated."`
	ArtifactHash string   `name:"artifact-hash" placeholder:"HASH" help:"Hash of the signed file in hex, where the file itself is not at hand."`
	Signature    []string `name:"signature" sep:"none" placeholder:"FILE" help:"Detached signature, binary or base64 (FILE.sig beside each artifact)."`
	PublicKey    []string `name:"public-key" short:"k" sep:"none" placeholder:"FILE" help:"Public key or certificate of the signer; may be repeated for dsse and intoto."`
	PKIFormat    string   `name:"pki-format" enum:"x509,pgp,minisign,ssh,pkcs7,tuf" default:"x509" placeholder:"FORMAT" help:"Format of signature and key: ${enum} (${default})."`
	Type         string   `name:"type" placeholder:"KIND[:VERSION]" help:"Kind of entry (by the files: hashedrekord, rekord, or dsse)."`
	Entry        []string `name:"entry" sep:"none" placeholder:"FILE" help:"Proposed entry in JSON, instead of all of these; may be repeated."`
}

// A job is one entry to be made, and the file it is made of.
type job struct {
	name     string
	proposal func() (entry.Proposal, error)
}

// jobs returns what the flags ask for. Files are read when a job is done.
func (f *artifactFlags) jobs(g *Globals, files []string) ([]job, error) {
	artifacts := append(f.Artifact[:len(f.Artifact):len(f.Artifact)], files...)
	if len(f.Entry) > 0 {
		if len(artifacts) > 0 || f.ArtifactHash != "" {
			return nil, usage("--entry and artifacts exclude each other")
		}
		var jobs []job
		for _, name := range f.Entry {
			jobs = append(jobs, job{name, func() (entry.Proposal, error) { return g.entryFile(name) }})
		}
		return jobs, nil
	}
	if len(artifacts) == 0 && f.ArtifactHash == "" {
		return nil, usage("either 'entry' or 'artifact' or 'artifact-hash' must be specified")
	}
	kind, version, err := parseType(f.Type)
	if err != nil {
		return nil, err
	}
	if len(f.PublicKey) == 0 {
		return nil, usage("the signer's public key or certificate must be provided, with --public-key")
	}
	var keys [][]byte
	for _, name := range f.PublicKey {
		k, err := g.publicKey(name)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	if len(f.Signature) > 0 && len(f.Signature) != max(1, len(artifacts)) {
		return nil, usage("%d signatures for %d artifacts", len(f.Signature), len(artifacts))
	}
	if f.ArtifactHash != "" && len(artifacts) > 1 {
		return nil, usage("--artifact-hash is for one artifact")
	}
	if len(artifacts) == 0 {
		artifacts = []string{""}
	}
	stdin := 0
	for _, name := range append(append(artifacts[:len(artifacts):len(artifacts)], f.Signature...), f.PublicKey...) {
		if name == "-" {
			stdin++
		}
	}
	if stdin > 1 {
		return nil, usage("standard input can be read once only")
	}
	var jobs []job
	for i, a := range artifacts {
		m := material{g: g, f: f, kind: kind, version: version, keys: keys, artifact: a}
		if len(f.Signature) > 0 {
			m.signature = f.Signature[i]
		}
		name := a
		if name == "" {
			name = f.ArtifactHash
		}
		jobs = append(jobs, job{name, m.proposal})
	}
	return jobs, nil
}

// parseType reads "kind[:version]". An empty kind is to be guessed, an empty
// version is the newest.
func parseType(s string) (kind, version string, err error) {
	kind, version, _ = strings.Cut(s, ":")
	if kind == "" {
		return "", "", nil
	}
	var have []string
	for _, t := range entry.Kinds() {
		if t.Kind == kind && t.API == 1 {
			have = append(have, t.Version)
		}
	}
	switch {
	case len(have) == 0:
		return "", "", usage("unknown type %s", kind)
	case version == "":
		return kind, have[len(have)-1], nil
	}
	if !slices.Contains(have, version) {
		return "", "", usage("type %s does not support version %s", kind, version)
	}
	return kind, version, nil
}

func (g *Globals) entryFile(name string) (entry.Proposal, error) {
	b, err := g.read(name, maxArtifact)
	if err != nil {
		return entry.Proposal{}, err
	}
	p, err := entry.ParseProposal(b)
	if err != nil {
		return p, usage("parse entry file: %w", err)
	}
	return p, nil
}

// material is what one entry is made of.
type material struct {
	g                   *Globals
	f                   *artifactFlags
	kind, version       string
	keys                [][]byte
	artifact, signature string
}

func (m material) proposal() (entry.Proposal, error) {
	var none entry.Proposal
	if m.kind == "" {
		return m.guess()
	}
	switch m.kind {
	case "dsse", "intoto":
		if m.artifact == "" {
			return none, usage("type %s needs the envelope itself, with --artifact", m.kind)
		}
		envelope, err := m.g.read(m.artifact, maxArtifact)
		if err != nil {
			return none, err
		}
		if m.kind == "dsse" {
			return entry.NewDSSE(envelope, m.keys), nil
		}
		return entry.NewIntoto(m.version, envelope, m.keys)
	}
	if len(m.keys) != 1 {
		return none, usage("type %s takes one public key, not %d", m.kind, len(m.keys))
	}
	signature, err := m.readSignature()
	if err != nil {
		return none, err
	}
	switch m.kind {
	case "hashedrekord":
		if m.f.PKIFormat != "x509" {
			return none, usage("hashedrekord entries can only be created for artifacts signed with x509-based PKI; use --type rekord")
		}
		algorithm, digest, err := m.digest()
		if err != nil {
			return none, err
		}
		return entry.NewHashedRekord(algorithm, digest, signature, m.keys[0]), nil
	case "rekord":
		if m.artifact == "" {
			return none, usage("type rekord needs the artifact itself, with --artifact")
		}
		b, err := m.g.read(m.artifact, maxArtifact)
		if err != nil {
			return none, err
		}
		return entry.NewRekord(b, signature, m.keys[0], m.f.PKIFormat), nil
	}
	return none, usage("entries of type %s cannot be made here; write one yourself and use --entry", m.kind)
}

func (m material) readSignature() ([]byte, error) {
	name := m.signature
	if name == "" {
		if m.artifact == "" {
			return nil, usage("a detached signature must be provided, with --signature")
		}
		var err error
		if name, err = besides(m.artifact, m.f.PKIFormat); err != nil {
			return nil, err
		}
	}
	return m.g.signature(name, m.f.PKIFormat)
}

// guess finds the kind that the material is fit for: an envelope without a
// signature beside it is dsse; formats other than x509, and a signature that
// an Ed25519 key made over the artifact itself, are rekord; all else is
// hashedrekord, which sends the hash only.
func (m material) guess() (entry.Proposal, error) {
	m.kind = "hashedrekord"
	switch {
	case m.f.PKIFormat != "x509":
		m.kind = "rekord"
	case m.artifact == "" || m.artifact == "-" || isURL(m.artifact):
	case m.signature == "" && m.isEnvelope():
		m.kind = "dsse"
	case m.isPureEd25519():
		m.kind = "rekord"
	}
	return m.proposal()
}

func (m material) isEnvelope() bool {
	if _, err := besides(m.artifact, m.f.PKIFormat); err == nil {
		return false
	}
	b, err := readFile(m.artifact, maxArtifact)
	var e struct {
		PayloadType string            `json:"payloadType"`
		Signatures  []json.RawMessage `json:"signatures"`
	}
	return err == nil && json.Unmarshal(b, &e) == nil && e.PayloadType != "" && len(e.Signatures) > 0
}

func (m material) isPureEd25519() bool {
	key, ok := signerKey(m.keys[0]).(ed25519.PublicKey)
	if !ok || m.signature == "-" {
		return false
	}
	signature, err := m.readSignature()
	if err != nil {
		return false
	}
	artifact, err := readFile(m.artifact, maxArtifact)
	return err == nil && ed25519.Verify(key, artifact, signature)
}

// signerKey returns the key in the first PEM block, or nil.
func signerKey(text []byte) crypto.PublicKey {
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

// digest returns the hash of the artifact by the algorithm that goes with the
// signer's key, or the one that was given.
func (m material) digest() (algorithm, digits string, err error) {
	if m.f.ArtifactHash != "" {
		algorithm, digits, err = parseHash(m.f.ArtifactHash)
		if err != nil {
			return "", "", err
		}
		if algorithm == "sha1" {
			return "", "", usage("a hashedrekord takes sha256, sha384 or sha512, not sha1")
		}
		if m.artifact == "" {
			return algorithm, digits, nil
		}
	} else {
		algorithm = "sha256"
		switch key := signerKey(m.keys[0]).(type) {
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
	h := map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}[algorithm].New()
	r, err := m.g.open(m.artifact)
	if err != nil {
		return "", "", err
	}
	defer r.Close()
	if _, err := io.Copy(h, r); err != nil {
		return "", "", usage("read %s: %w", m.artifact, err)
	}
	sum := h.Sum(nil)
	if want, _ := hex.DecodeString(digits); digits != "" && !bytes.Equal(want, sum) {
		return "", "", &ExitError{exitUnverified, usage("%s has the %s hash %x, not the one of --artifact-hash", m.artifact, algorithm, sum)}
	}
	return algorithm, hex.EncodeToString(sum), nil
}

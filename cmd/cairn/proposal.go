package main

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/cairnlog/cairn/entry"
)

// artifactFlags say what was signed, how and by whom. They are shared by
// upload and verify.
type artifactFlags struct {
	Artifact     []string `name:"artifact" sep:"none" placeholder:"FILE" help:"Signed file, URL, or - for standard input; may be repeated."`
	ArtifactHash string   `name:"artifact-hash" placeholder:"HASH" help:"Hash of the signed file in hex; without the file it is enough for a hashedrekord."`
	Signature    []string `name:"signature" sep:"none" placeholder:"FILE" help:"Detached signature, binary or base64 (FILE.sig beside each artifact)."`
	PublicKey    []string `name:"public-key" short:"k" sep:"none" placeholder:"FILE" help:"Public key or certificate of the signer, for tuf the root; may be repeated for dsse and intoto."`
	PKIFormat    string   `name:"pki-format" placeholder:"FORMAT" help:"Format of signature and key: x509, pgp, minisign, ssh, pkcs7, tuf (that of the key)."`
	AAD          string   `name:"aad" placeholder:"BASE64" help:"What was signed along with a COSE message but is not in it."`
	Type         string   `name:"type" placeholder:"KIND[:VERSION]" help:"Kind of entry: alpine, cose, dsse, hashedrekord, helm, intoto, jar, rekord, rfc3161, rpm, tuf (by the files)."`
	Entry        []string `name:"entry" sep:"none" placeholder:"FILE" help:"Proposed entry in JSON, instead of all of these; may be repeated."`
}

// kindsHelp is the part of the help of upload and verify about kinds.
const kindsHelp = `Without --type the kind is that of a file which carries its own signature: packages (rpm,
alpine), signed archives (jar), provenance of charts (helm), envelopes (dsse, cose),
timestamps (rfc3161), TUF metadata (tuf). Everything else has a detached signature: it is
logged by its hash (hashedrekord), or where the key or signature needs the file, with the
file (rekord). What was guessed is said on standard error.`

// A job is one entry to be made, and the file it is made of.
type job struct {
	name    string
	propose func() (proposed, error)
}

// A proposed entry comes with what was guessed about it, "" if the user said
// all of it.
type proposed struct {
	entry.Proposal
	guess string
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
			jobs = append(jobs, job{name, func() (proposed, error) { return g.entryFile(name) }})
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
	if err := checkFormat(f.PKIFormat, "x509", "pgp", "minisign", "ssh", "pkcs7", "tuf"); err != nil {
		return nil, err
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
	aad, err := base64.StdEncoding.DecodeString(f.AAD)
	if err != nil {
		return nil, usage("--aad is not base64: %w", err)
	}
	var keys []signerKey
	for _, name := range f.PublicKey {
		k, err := g.publicKey(name)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	var jobs []job
	for i, a := range artifacts {
		m := material{g: g, kind: kind, version: version, format: f.PKIFormat, keys: keys, aad: aad, artifact: a, hash: f.ArtifactHash}
		if len(f.Signature) > 0 {
			m.signature = f.Signature[i]
		}
		name := a
		if name == "" {
			name = f.ArtifactHash
		}
		jobs = append(jobs, job{name, m.propose})
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
		return "", "", usage("unknown type %s; there are %s", kind, strings.Join(kindNames(), ", "))
	case version == "":
		return kind, have[len(have)-1], nil
	}
	if !slices.Contains(have, version) {
		return "", "", usage("type %s does not support version %s", kind, version)
	}
	return kind, version, nil
}

// checkFormat tells whether a format is one of those that there are, or "" for
// a guess.
func checkFormat(format string, formats ...string) error {
	if format != "" && !slices.Contains(formats, format) {
		return usage("--pki-format: %q is none of %s", format, strings.Join(formats, ", "))
	}
	return nil
}

// kindNames returns the names of all kinds.
func kindNames() []string {
	var names []string
	for _, t := range entry.Kinds() {
		if !slices.Contains(names, t.Kind) {
			names = append(names, t.Kind)
		}
	}
	return names
}

func (g *Globals) entryFile(name string) (proposed, error) {
	b, err := g.read(name, maxArtifact)
	if err != nil {
		return proposed{}, err
	}
	p, err := entry.ParseProposal(b)
	if err != nil {
		return proposed{}, usage("parse entry file: %w", err)
	}
	return proposed{Proposal: p}, nil
}

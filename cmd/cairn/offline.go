package main

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cairnlog/cairn/bundle"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/client"
	"github.com/cairnlog/cairn/trust"
)

// offlineFlags are those of verify for a bundle. Whom to trust is in files.
type offlineFlags struct {
	Offline      bool     `group:"bundle" help:"Ask nobody. For --bundle, which implies it."`
	Bundle       string   `group:"bundle" placeholder:"FILE" help:"Sigstore bundle, TransparencyLogEntry or tlog-proof to verify."`
	TrustedRoot  string   `group:"bundle" placeholder:"FILE" help:"trusted_root.json with logs, Fulcio, CT logs and timestamp authorities; --log-key names a log by its v1 key."`
	LogVKey      []string `name:"log-vkey" group:"bundle" sep:"none" placeholder:"VKEY" help:"Key of the log's C2SP checkpoint, or a file of them; may be repeated."`
	Policy       string   `group:"bundle" placeholder:"FILE" help:"tlog-policy with the log and the quorum of witnesses that the checkpoint must have."`
	FulcioRoot   []string `group:"bundle" sep:"none" placeholder:"FILE" help:"Certificates of an authority that issues signing certificates, root last; may be repeated."`
	CTLogKey     []string `name:"ctlog-key" group:"bundle" sep:"none" placeholder:"FILE" help:"Public key of a CT log; may be repeated."`
	TSA          []string `name:"tsa" group:"bundle" sep:"none" placeholder:"FILE" help:"Certificates of a timestamp authority, its own first, root last; may be repeated."`
	LogOnly      bool     `group:"bundle" help:"Verify that the log has the entry, and not who signed what."`
	CertIdentity string   `name:"certificate-identity" group:"bundle" placeholder:"NAME" help:"Who the certificate must be for."`
	CertPattern  string   `name:"certificate-identity-regexp" group:"bundle" placeholder:"EXPR" help:"The same as a regular expression for all of the name."`
	CertIssuer   string   `name:"certificate-oidc-issuer" group:"bundle" placeholder:"URL" help:"Who must have identified the signer."`
	CertIssuers  string   `name:"certificate-oidc-issuer-regexp" group:"bundle" placeholder:"EXPR" help:"The same as a regular expression for all of the URL."`
}

// maxTrust bounds a file of keys, certificates or policy.
const maxTrust = 4 << 20

// verifyOffline verifies a bundle and prints what it found out.
func (c *verifyCmd) verifyOffline(g *Globals, asJSON bool) error {
	switch {
	case c.Bundle == "":
		return usage("--offline verifies a file that has the proof in it: name it with --bundle; cairn bundle writes one")
	case c.UUID != "" || c.LogIndex != "" || len(c.Signature) > 0 || len(c.Entry) > 0:
		return usage("--bundle has the entry and its signature in it: leave out --uuid, --log-index, --signature and --entry")
	}
	trusted, err := c.trust(g)
	if err != nil {
		return err
	}
	policy, err := c.policy(g)
	if err != nil {
		return err
	}
	data, err := readFile(c.Bundle, bundle.MaxSize)
	if err != nil {
		return err
	}
	r := new(bundle.Report)
	b, err := bundle.Parse(data)
	if err == nil {
		r, err = b.Verify(trusted, *policy)
	}
	if asJSON {
		if perr := g.printReport(r, err); perr != nil {
			return perr
		}
		if err != nil {
			return &ExitError{exitUnverified, errors.Join(errTold, err)}
		}
		return nil
	}
	var out bytes.Buffer
	for _, f := range r.Findings {
		word := "verified:    "
		if !f.Verified {
			word = "not verified:"
		}
		fmt.Fprintf(&out, "%s %s\n", word, client.Printable(f.What, ""))
	}
	if _, werr := g.Stdout.Write(out.Bytes()); werr != nil {
		return werr
	}
	if errors.As(err, new(*bundle.ContentError)) {
		err = fmt.Errorf("%w (--log-only)", err)
	}
	if err != nil {
		return &ExitError{exitUnverified, err}
	}
	return nil
}

func (g *Globals) printReport(r *bundle.Report, err error) error {
	out := struct {
		Verified    bool     `json:"verified"`
		Error       string   `json:"error,omitempty"`
		Findings    []string `json:"findings"`
		NotVerified []string `json:"notVerified"`
	}{Verified: err == nil, Findings: []string{}, NotVerified: []string{}}
	if err != nil {
		out.Error = client.Printable(err.Error(), "")
	}
	for _, f := range r.Findings {
		if what := client.Printable(f.What, ""); f.Verified {
			out.Findings = append(out.Findings, what)
		} else {
			out.NotVerified = append(out.NotVerified, what)
		}
	}
	return g.printJSON(out)
}

// trust puts together whom the flags say to trust. If they name no log it is
// the one at --server, whose key is remembered.
func (c *verifyCmd) trust(g *Globals) (*bundle.Trust, error) {
	t := new(bundle.Trust)
	if c.TrustedRoot != "" {
		text, err := readFile(c.TrustedRoot, maxTrust)
		if err != nil {
			return nil, err
		}
		root, err := trust.ParseRoot(text)
		if err != nil {
			return nil, usage("%s: %w", c.TrustedRoot, err)
		}
		t.Root = *root
	}
	key, err := g.logKey()
	if err != nil {
		return nil, err
	}
	if key == nil && c.TrustedRoot == "" && len(c.LogVKey) == 0 && c.Policy == "" {
		if key, err = g.rememberedKey(); err != nil {
			return nil, err
		}
	}
	if key != nil {
		l, err := trust.NewLog(g.Server, key, time.Unix(0, 0))
		if err != nil {
			return nil, usage("--log-key: %w", err)
		}
		t.Logs = append(t.Logs, l)
	}
	if err := c.addVKeys(t); err != nil {
		return nil, err
	}
	for _, name := range c.CTLogKey {
		l, err := readLogKey(name)
		if err != nil {
			return nil, usage("--ctlog-key: %w", err)
		}
		t.CTLogs = append(t.CTLogs, l)
	}
	if t.Authorities, err = addAuthorities(t.Authorities, "--fulcio-root", c.FulcioRoot, ""); err != nil {
		return nil, err
	}
	t.Timestamps, err = addAuthorities(t.Timestamps, "--tsa", c.TSA, "")
	return t, err
}

func (c *verifyCmd) addVKeys(t *bundle.Trust) error {
	for _, v := range c.LogVKey {
		text := []byte(v)
		if exists(v) {
			var err error
			if text, err = readFile(v, maxTrust); err != nil {
				return err
			}
		}
		for _, vkey := range strings.Fields(string(text)) {
			known, err := checkpoint.ParseVKey(vkey)
			if err != nil {
				return usage("--log-vkey: %w", err)
			}
			t.Verifiers = append(t.Verifiers, known)
		}
	}
	if c.Policy == "" {
		return nil
	}
	text, err := readFile(c.Policy, maxTrust)
	if err != nil {
		return err
	}
	p, err := checkpoint.ParsePolicy(text)
	if err != nil {
		return usage("%s: %w", c.Policy, err)
	}
	for _, l := range p.Logs() {
		t.Verifiers = append(t.Verifiers, l.Verifier)
	}
	t.Check = func(msg []byte) error { _, err := p.Check(msg); return err }
	return nil
}

// rememberedKey returns the key of the log at --server that was trusted before.
func (g *Globals) rememberedKey() (crypto.PublicKey, error) {
	none := func(err error) (crypto.PublicKey, error) {
		return nil, usage("nobody to trust: name the log's key with --log-key, --log-vkey, --policy or --trusted-root%w", err)
	}
	plain, err := client.New(client.Options{URL: g.Server})
	if err != nil {
		return nil, usage("%w", err)
	}
	path, err := g.statePath()
	if err != nil {
		return none(fmt.Errorf(" (%w)", err))
	}
	known, err := client.NewStateFile(path).Log(plain.URL()).Load(g.Context)
	if err != nil {
		return nil, &client.StateError{Err: err}
	}
	if known.Key == nil {
		return none(fmt.Errorf("; no key of %s is remembered", plain.URL()))
	}
	key, err := x509.ParsePKIXPublicKey(known.Key)
	if err != nil {
		return nil, &client.StateError{Err: err}
	}
	g.warn("trusting the key of %s that is remembered, SHA-256 %x", plain.URL(), sha256.Sum256(known.Key))
	return key, nil
}

// readLogKey reads the public key of a log in PEM.
func readLogKey(name string) (trust.Log, error) {
	text, err := readFile(name, maxKey)
	if err != nil {
		return trust.Log{}, err
	}
	key, err := client.ParseKey(text)
	if err != nil {
		return trust.Log{}, fmt.Errorf("%s: %w", name, err)
	}
	return trust.NewLog("", key, time.Unix(0, 0))
}

// addAuthorities adds those whose certificates are in the files of a flag.
func addAuthorities(to []trust.Authority, flag string, files []string, url string) ([]trust.Authority, error) {
	for _, name := range files {
		text, err := readFile(name, maxTrust)
		if err != nil {
			return nil, err
		}
		chain, err := trust.ReadChain(text)
		if err != nil {
			return nil, usage("%s %s: %w", flag, name, err)
		}
		to = append(to, trust.Authority{URL: url, Chain: chain, Start: chain[len(chain)-1].NotBefore})
	}
	return to, nil
}

// policy puts together what the flags say to verify.
func (c *verifyCmd) policy(g *Globals) (*bundle.Policy, error) {
	p := &bundle.Policy{LogOnly: c.LogOnly}
	artifacts := append(c.What, c.Artifact...)
	switch {
	case len(artifacts) > 1 || len(artifacts) == 1 && c.ArtifactHash != "":
		return nil, usage("a bundle is of one artifact")
	case c.ArtifactHash != "":
		algorithm, digits, err := parseHash(c.ArtifactHash)
		if err != nil {
			return nil, err
		}
		p.Artifact = bundle.Digests{algorithm: strings.ToLower(digits)}
	case len(artifacts) == 1:
		var err error
		if p.Artifact, err = g.digests(artifacts[0]); err != nil {
			return nil, err
		}
	}
	if len(c.PublicKey) > 1 {
		return nil, usage("a bundle has one signer")
	}
	if len(c.PublicKey) == 1 {
		if err := local(c.PublicKey[0]); err != nil {
			return nil, err
		}
		k, err := g.publicKey(c.PublicKey[0])
		if err != nil {
			return nil, err
		}
		if p.Key, err = client.ParseKey(k.text); err != nil {
			return nil, usage("%s is no public key in PEM, which is what the signers of bundles have; of a certificate say who it is for, with --certificate-identity; --log-only asks for no signer", c.PublicKey[0])
		}
	}
	if c.CertIdentity+c.CertPattern+c.CertIssuer+c.CertIssuers == "" {
		return p, nil
	}
	if (c.CertIdentity == "") == (c.CertPattern == "") || c.CertIssuer != "" && c.CertIssuers != "" {
		return nil, usage("say who the certificate must be for with one of --certificate-identity and --certificate-identity-regexp, and who identified the signer with one of --certificate-oidc-issuer and --certificate-oidc-issuer-regexp")
	}
	p.Identity = &bundle.Identity{Name: c.CertIdentity, Issuer: c.CertIssuer}
	var err error
	if c.CertPattern != "" {
		if p.Identity.NamePattern, err = bundle.Pattern(c.CertPattern); err != nil {
			return nil, usage("--certificate-identity-regexp: %w", err)
		}
	}
	if c.CertIssuers != "" {
		if p.Identity.IssuerPattern, err = bundle.Pattern(c.CertIssuers); err != nil {
			return nil, usage("--certificate-oidc-issuer-regexp: %w", err)
		}
	}
	return p, nil
}

// local refuses what would have to be fetched.
func local(name string) error {
	if isURL(name) {
		return usage("%s is not on this machine, and --bundle asks nobody", name)
	}
	return nil
}

// digests hashes a file or standard input in each way that a bundle may want.
func (g *Globals) digests(name string) (bundle.Digests, error) {
	var r io.Reader = g.Stdin
	if name != "-" {
		if err := local(name); err != nil {
			return nil, err
		}
		f, err := openFile(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	s256, s384, s512 := sha256.New(), sha512.New384(), sha512.New()
	if _, err := io.Copy(io.MultiWriter(s256, s384, s512), r); err != nil {
		return nil, &ExitError{exitUsage, fmt.Errorf("read %s: %w", name, err)}
	}
	return bundle.Digests{
		"sha256": hex.EncodeToString(s256.Sum(nil)),
		"sha384": hex.EncodeToString(s384.Sum(nil)),
		"sha512": hex.EncodeToString(s512.Sum(nil)),
	}, nil
}

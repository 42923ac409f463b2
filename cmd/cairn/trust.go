package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cairnlog/cairn/client"
	"github.com/cairnlog/cairn/sign"
	"github.com/cairnlog/cairn/trust"
)

type trustCmd struct {
	Dir        string   `default:"." type:"path" placeholder:"DIR" help:"Where to write the files (${default})."`
	URL        string   `placeholder:"URL" help:"Address of the log for those who use the files. Default: that of --server."`
	Operator   string   `placeholder:"NAME" help:"Who runs the log, for the signing config. Default: its origin."`
	APIVersion []uint32 `name:"api-version" enum:"1,2" placeholder:"N" help:"Versions of the API that signers may use. Default: both if the log has C2SP checkpoints, but only 1 with Fulcio and without --tsa: entries of v2 do not say when."`
	FulcioRoot []string `sep:"none" placeholder:"FILE" help:"Certificates of an authority that issues signing certificates, root last; may be repeated."`
	FulcioURL  string   `name:"fulcio-url" placeholder:"URL" help:"Where signers get certificates."`
	OIDCURL    string   `name:"oidc-url" placeholder:"URL" help:"Where signers identify themselves."`
	CTLogKey   []string `name:"ctlog-key" sep:"none" placeholder:"FILE" help:"Public key of a CT log; may be repeated."`
	TSA        []string `name:"tsa" sep:"none" placeholder:"FILE" help:"Certificates of a timestamp authority, its own first, root last; may be repeated."`
	TSAURL     string   `name:"tsa-url" placeholder:"URL" help:"Where signers get timestamps."`
	Force      bool     `help:"Replace files that are there."`
}

// Help is shown with the flags.
func (c *trustCmd) Help() string {
	return `Writes for the log at --server what clients want to know of it: trusted_root.json and
signing_config.json for cosign and other clients of Sigstore, log.pub for --log-key,
log.vkey and tlog-policy for those who read C2SP checkpoints. Name the log's key with
--log-key: everything else hangs on it.

  cairn trust --dir trust --log-key log.pub
  cosign sign-blob --signing-config trust/signing_config.json \
    --trusted-root trust/trusted_root.json --key cosign.key --bundle a.json a.txt`
}

// A document is a file of trust.
type document struct {
	name string
	text []byte
}

func (c *trustCmd) Run(g *Globals) error {
	base := c.URL
	if base == "" {
		base = g.Server
	}
	base, err := trust.BaseURL(base)
	if err != nil {
		return usage("the address of the log: %w; name another with --url", err)
	}
	return g.withLog(func(ctx context.Context, l *client.Client) error {
		i, err := l.LogInfo(ctx)
		if err != nil {
			return err
		}
		key, err := l.Key(ctx)
		if err != nil {
			return err
		}
		vkeys, err := l.CheckpointKeys(ctx)
		if err != nil {
			return err
		}
		policy, err := l.WitnessPolicy(ctx, vkeys)
		if err != nil {
			return err
		}
		if policy == nil {
			policy = trust.Policy(vkeys, base)
		}
		docs, err := c.documents(base, string(i.Checkpoint), key, vkeys, policy)
		if err != nil {
			return err
		}
		fmt.Fprintf(g.Stderr, "log id   %s\n", i.LogID)
		for _, v := range vkeys {
			fmt.Fprintf(g.Stderr, "vkey     %s\n", client.Printable(v, ""))
		}
		if len(vkeys) > 0 {
			g.warn("the vkeys, and witnesses if there are some, are what the log itself says; the vkeys sign the same tree as its v1 key")
		}
		return c.write(g, docs)
	})
}

func (c *trustCmd) documents(base, note string, key crypto.PublicKey, vkeys []string, policy []byte) ([]document, error) {
	always := time.Unix(0, 0)
	root, versions, err := trust.OfLog(base, key, vkeys, always)
	if err != nil {
		return nil, err
	}
	for _, name := range c.CTLogKey {
		l, err := readLogKey(name)
		if err != nil {
			return nil, usage("--ctlog-key: %w", err)
		}
		root.CTLogs = append(root.CTLogs, l)
	}
	if root.Authorities, err = addAuthorities(nil, "--fulcio-root", c.FulcioRoot, c.FulcioURL); err != nil {
		return nil, err
	}
	if root.Timestamps, err = addAuthorities(nil, "--tsa", c.TSA, c.TSAURL); err != nil {
		return nil, err
	}
	if len(c.TSA) == 0 && len(c.FulcioRoot) > 0 {
		versions = []uint32{1}
	}
	if len(c.APIVersion) > 0 {
		versions = c.APIVersion
	}
	operator := c.Operator
	if operator == "" {
		operator, _, _ = strings.Cut(note, "\n")
		operator, _, _ = strings.Cut(operator, " - ")
	}
	signing := trust.SigningConfig{
		Log: base, Versions: versions, Operator: operator, Start: always,
		Authority: c.FulcioURL, OIDC: c.OIDCURL, Timestamp: c.TSAURL,
	}

	var docs []document
	add := func(name string, text []byte, err error) error {
		docs = append(docs, document{name, text})
		return err
	}
	text, err := root.Document()
	err = add("trusted_root.json", text, err)
	if err == nil {
		text, err = signing.Document()
		err = add("signing_config.json", text, err)
	}
	if err == nil {
		text, err = sign.PublicPEM(key)
		err = add("log.pub", text, err)
	}
	if err == nil && len(vkeys) > 0 {
		err = errors.Join(
			add("log.vkey", []byte(strings.Join(vkeys, "\n")+"\n"), nil),
			add("tlog-policy", policy, nil))
	}
	return docs, err
}

// write puts all documents into the directory, or none if one is there.
func (c *trustCmd) write(g *Globals, docs []document) error {
	if err := os.MkdirAll(c.Dir, 0o777); err != nil {
		return &ExitError{exitTrouble, err}
	}
	for _, d := range docs {
		path := filepath.Join(c.Dir, d.name)
		if _, err := os.Lstat(path); !c.Force && !errors.Is(err, fs.ErrNotExist) {
			return &ExitError{exitRefused, fmt.Errorf("there is a file at %s already; nothing was changed; --force replaces it", path)}
		}
	}
	for _, d := range docs {
		path := filepath.Join(c.Dir, d.name)
		if err := g.write(path, d.text); err != nil {
			return err
		}
		fmt.Fprintln(g.Stdout, path)
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/bundle"
	"github.com/cairnlog/cairn/client"
	"github.com/cairnlog/cairn/merkle"
)

type bundleCmd struct {
	entryFlags
	ID       string `arg:"" optional:"" name:"id" help:"Index, entry id, uuid, or the URL that upload printed."`
	As       string `enum:"sigstore,tle,tlog-proof" default:"sigstore" placeholder:"FORMAT" help:"What to write: ${enum} (${default})."`
	Cosigned bool   `help:"With the newest checkpoint that the log's witnesses have signed."`
	Envelope string `placeholder:"FILE" help:"DSSE envelope in JSON that was signed, where the log has its hashes only."`
	Upgrade  string `placeholder:"FILE" help:"Write this file again, with the newest checkpoint that the witnesses have signed."`
	Out      string `placeholder:"FILE" help:"Where to write it (standard output)."`
}

// Help is shown with the flags.
func (c *bundleCmd) Help() string {
	return `Writes an entry with all that it takes to verify it without the log.

  cairn bundle 17 --out hello.sigstore.json
  cairn bundle 17 --as tlog-proof --out hello.tlog-proof
  cairn bundle --upgrade hello.tlog-proof --out hello.tlog-proof
  cairn verify --offline --bundle hello.sigstore.json -k key.pub hello.txt`
}

func (c *bundleCmd) Run(g *Globals) error {
	n, err := c.parse()
	if err != nil {
		return err
	}
	var old *bundle.Bundle
	o := client.BundleOptions{Format: bundle.Format(c.As), Cosigned: c.Cosigned}
	switch {
	case c.Upgrade != "" && (n != nil || c.ID != "" || c.Envelope != ""):
		return usage("--upgrade takes entry and envelope from its file")
	case c.Upgrade != "":
		data, err := g.read(c.Upgrade, bundle.MaxSize)
		if err != nil {
			return err
		}
		if old, err = bundle.Parse(data); err != nil {
			return err
		}
		n = &name{id: v1.EntryID{Hash: merkle.HashLeaf(old.Entries[0].Body)}}
	case c.ID != "" && n != nil:
		return usage("name the entry once")
	case c.ID != "":
		if n = parseName(c.ID); n == nil {
			return usage("%q is not an index, an entry id (80 hex digits) or a uuid (64)", c.ID)
		}
	case n == nil:
		return usage("name the entry by its index, entry id or uuid, or a file with --upgrade")
	}
	if c.Envelope != "" {
		data, err := g.read(c.Envelope, bundle.MaxSize)
		if err != nil {
			return err
		}
		if o.Envelope, err = bundle.ParseEnvelope(data); err != nil {
			return usage("--envelope: %w", err)
		}
	}
	return g.withLog(func(ctx context.Context, l *client.Client) error {
		e, err := n.fetch(ctx, l)
		if err != nil {
			return err
		}
		var out []byte
		if old != nil {
			out, err = c.upgrade(ctx, g, l, old, e)
		} else {
			out, err = l.Bundle(ctx, e, o)
		}
		var missing *bundle.ContentError
		if errors.As(err, &missing) {
			if c.Envelope == "" && c.Upgrade == "" {
				err = fmt.Errorf("%w; --as tle takes any entry", missing)
			}
			return &ExitError{exitRefused, err}
		}
		if err != nil {
			return err
		}
		return g.write(c.Out, out)
	})
}

// upgrade returns a file with a newer proof of its entry.
func (c *bundleCmd) upgrade(ctx context.Context, g *Globals, l *client.Client, old *bundle.Bundle, e *client.Entry) ([]byte, error) {
	cosigned := true
	if old.Format == bundle.Sigstore && old.Entries[0].Promise != nil {
		g.warn("verifiers of Sigstore bundles take this kind of entry with the v1 checkpoint alone: the new one is the log's newest, and not cosigned; --as tlog-proof makes one that is")
		cosigned = false
	}
	b, err := l.Offline(ctx, e, old.Format == bundle.TLogProof, cosigned)
	if err != nil {
		return nil, err
	}
	if before := old.Entries[0].Proof; before != nil && before.Tree.Size > b.Proof.Tree.Size {
		return nil, &ExitError{exitTrouble, fmt.Errorf("the file has a newer tree, of %d entries, than the log offers now, of %d", before.Tree.Size, b.Proof.Tree.Size)}
	}
	return old.WithEntry(b)
}

// write puts what was made into a file, or on standard output.
func (g *Globals) write(path string, data []byte) error {
	if path == "" || path == "-" {
		_, err := g.Stdout.Write(data)
		return err
	}
	err := writeFile(path, data)
	if err == nil {
		err = os.Chmod(path, 0o644) // it is for others
	}
	if err != nil {
		return &ExitError{exitTrouble, fmt.Errorf("write %s: %w", path, err)}
	}
	return nil
}

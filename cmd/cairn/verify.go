package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/client"
	"github.com/cairnlog/cairn/entry"
	"github.com/cairnlog/cairn/merkle"
)

type verifyCmd struct {
	artifactFlags
	entryFlags
	offlineFlags
	What []string `arg:"" optional:"" name:"what" help:"Signed files (a detached signature is FILE.sig beside it), or an index, entry id, uuid or URL of an entry."`
}

// Help is shown with the flags.
func (c *verifyCmd) Help() string {
	return `Verifies that an entry is in the log, and with an artifact that it is this artifact,
signature and key, and shows each step of the proof.

  cairn verify -k key.pub hello.txt
  cairn verify --log-index 0

With --bundle nobody is asked: the file has the proof in it. What is printed is what was
verified, and what was not.

  cairn verify --offline --bundle hello.sigstore.json --log-key log.pub -k key.pub hello.txt

` + kindsHelp
}

// A target is an entry to verify, and the body it must have, if that is known.
type target struct {
	file   string
	name   *name
	body   []byte
	byBody bool // the name is that of the body
	// What a client of the v2 API makes of the same signature; nil if it is of
	// another kind than hashedrekord.
	body2 []byte
}

func (c *verifyCmd) Run(g *Globals) error {
	asJSON, err := g.json()
	if err != nil {
		return err
	}
	if c.Offline || c.Bundle != "" {
		return c.verifyOffline(g, asJSON)
	}
	targets, err := c.targets(g)
	if err != nil {
		return err
	}
	return g.withLog(func(ctx context.Context, l *client.Client) error {
		for i, t := range targets {
			e, err := t.name.fetch(ctx, l)
			if errors.Is(err, client.ErrNotFound) && t.byBody && t.body2 != nil {
				e, err = l.ByID(ctx, v1.EntryID{Hash: merkle.HashLeaf(t.body2)})
			}
			if err != nil {
				if errors.Is(err, client.ErrNotFound) {
					err = &ExitError{exitNotFound, errors.New("entry in log cannot be located")}
				}
				if len(targets) > 1 {
					err = fmt.Errorf("%s: %w", t.file, err)
				}
				return err
			}
			if t.body != nil && !bytes.Equal(e.Body, t.body) && !bytes.Equal(e.Body, t.body2) {
				return &client.VerifyError{What: "entry", Err: errors.New("the log has another body under this hash")}
			}
			g.warnOlder(e)
			if asJSON {
				err = g.printProofJSON(e)
			} else {
				if i > 0 {
					fmt.Fprintln(g.Stdout)
				}
				err = g.printProof(e)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *verifyCmd) targets(g *Globals) ([]target, error) {
	n, err := c.parse()
	if err != nil {
		return nil, err
	}
	made := len(c.Artifact) > 0 || c.ArtifactHash != "" || len(c.Entry) > 0
	if n == nil && !made && len(c.What) == 1 && len(c.PublicKey) == 0 && !exists(c.What[0]) {
		if n = parseName(c.What[0]); n == nil {
			return nil, usage("%q is not a file, an index, an entry id (80 hex digits) or a uuid (64)", c.What[0])
		}
		c.What = nil
	}
	if n != nil && !made && len(c.What) == 0 {
		return []target{{name: n}}, nil
	}
	jobs, err := c.jobs(g, c.What)
	if err != nil {
		return nil, err
	}
	if n != nil && len(jobs) > 1 {
		return nil, usage("--uuid and --log-index are for one artifact")
	}
	var targets []target
	for _, j := range jobs {
		p, err := j.propose()
		g.warnGuess(j.name, p.guess)
		if err != nil {
			return nil, err
		}
		// In 1970 nothing had expired: whether metadata of TUF was still good
		// is a question about the time when it was logged.
		checked, err := entry.Check(p.Proposal, entry.Options{Stored: true, Now: time.Unix(0, 0)})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", j.name, p.refused(err))
		}
		t := target{file: j.name, name: n, body: checked.Body}
		if r, ok := p.Rekor2(); ok {
			if c, err := r.Check(); err == nil {
				t.body2 = c.Body
			}
		}
		if n == nil {
			t.name, t.byBody = &name{id: v1.EntryID{Hash: merkle.HashLeaf(checked.Body)}}, true
		}
		targets = append(targets, t)
	}
	return targets, nil
}

func (g *Globals) printProofJSON(e *client.Entry) error {
	hashes := make([]string, len(e.Proof.Hashes))
	for i, h := range e.Proof.Hashes {
		hashes[i] = h.String()
	}
	return g.printJSON(struct {
		RootHash   string
		EntryUUID  string
		Index      int64
		Size       int64
		Hashes     []string
		Checkpoint string
		*description
	}{e.Proof.Tree.Root.String(), e.ID.String(), e.Proof.Index, e.Proof.Tree.Size, hashes, string(e.Proof.Checkpoint), g.description(e)})
}

// printProof spells the proof out: each line can be computed by hand.
func (g *Globals) printProof(e *client.Entry) error {
	var out bytes.Buffer
	p := e.Proof
	fmt.Fprintf(&out, "Current Root Hash: %s\nEntry Hash: %s\nEntry Index in Current Tree: %d\nCurrent Tree Size: %d\n", p.Tree.Root, e.ID.Hash, p.Index, p.Tree.Size)
	fmt.Fprintf(&out, "Checkpoint:\n%s\n\nInclusion Proof:\n", client.Printable(string(p.Checkpoint), "\n"))
	root := e.ID.Hash
	at, last := p.Index, p.Tree.Size-1
	for _, h := range p.Hashes {
		left, right := root, h
		if at&1 == 1 || at == last {
			left, right = h, root
			for at&1 == 0 && at != 0 {
				at, last = at>>1, last>>1
			}
		}
		at, last = at>>1, last>>1
		root = merkle.HashChildren(left, right)
		fmt.Fprintf(&out, "SHA256(0x01 | %s | %s) =\n\t%s\n\n", left, right, root)
	}
	fmt.Fprintf(&out, "Computed Root Hash: %s\nExpected Root Hash: %s\n", root, p.Tree.Root)
	if people(g.Stdout) {
		fmt.Fprintf(&out, "\nverified: entry %d, logged %s, is in the log\n", e.Index, e.Time.Format(time.RFC3339))
		fmt.Fprintln(&out, strings.Join(describe(e).lines(), "\n"))
	}
	_, err := g.Stdout.Write(out.Bytes())
	return err
}

package main

import (
	"cmp"
	"context"
	"crypto"
	"encoding/hex"
	"fmt"
	"net/mail"
	"strings"

	"github.com/cairnlog/cairn/client"
	"github.com/cairnlog/cairn/entry"
)

type searchCmd struct {
	Artifact  string   `name:"artifact" placeholder:"FILE" help:"File or URL whose hash to look for; - is standard input."`
	SHA       string   `name:"sha" placeholder:"HASH" help:"Hash of an artifact, payload or envelope, in hex."`
	Email     string   `name:"email" placeholder:"ADDRESS" help:"E-mail address of the signer."`
	Subject   string   `name:"subject" placeholder:"NAME" help:"Any name of the signer: e-mail address, URI, host."`
	PublicKey string   `name:"public-key" short:"k" placeholder:"FILE" help:"Public key or certificate of the signer."`
	PKIFormat string   `name:"pki-format" placeholder:"FORMAT" help:"Format of the key: x509, pgp, minisign, ssh, tuf (by its form)."`
	Operator  string   `name:"operator" enum:"or,and" default:"or" help:"How to combine several: ${enum} (${default})."`
	Words     []string `arg:"" optional:"" name:"what" help:"A hash, a file, an e-mail address or another name of the signer."`
}

// Help is shown with the flags.
func (c *searchCmd) Help() string {
	return "Prints the ids of matching entries, one a line. That nothing is missing is the log's\nword only; get and verify show entries that were verified."
}

func (c *searchCmd) Run(g *Globals) error {
	asJSON, err := g.json()
	if err != nil {
		return err
	}
	if len(c.Words) > 1 {
		return usage("search for one thing, or combine --sha, --email, --subject and --public-key")
	}
	if err := checkFormat(c.PKIFormat, "x509", "pgp", "minisign", "ssh", "tuf"); err != nil {
		return err
	}
	what := ""
	for _, w := range c.Words {
		if what, err = c.sort(w); err != nil {
			return err
		}
	}
	q := client.Query{Email: c.Email, Subject: c.Subject, All: c.Operator == "and"}
	if c.SHA != "" {
		algorithm, digits, err := parseHash(c.SHA)
		if err != nil {
			return err
		}
		q.Hash = algorithm + ":" + digits
		if algorithm == "sha384" {
			q.Subject, q.Hash = q.Hash, "" // the API's hashes leave it out, its subjects share their names
			if c.Subject != "" {
				return usage("a sha384 hash cannot be combined with --subject")
			}
		}
	}
	if c.Artifact != "" {
		if c.SHA != "" {
			return usage("--artifact and --sha exclude each other")
		}
		if err := c.artifact(g, &q); err != nil {
			return err
		}
	}
	if c.Email != "" {
		if a, err := mail.ParseAddress(c.Email); err != nil || a.Address != c.Email {
			return usage("--email: %q is not a valid email address", c.Email)
		}
	}
	if c.PublicKey != "" {
		k, err := g.publicKey(c.PublicKey)
		if err != nil {
			return err
		}
		q.Key, q.KeyFormat = k.text, cmp.Or(c.PKIFormat, k.format, "x509")
	}
	if q.Hash == "" && q.Email == "" && q.Subject == "" && q.Key == nil {
		return usage("either 'sha' or 'artifact' or 'public-key' or 'email' or 'subject' must be specified")
	}
	return g.withLog(func(ctx context.Context, l *client.Client) error {
		ids, err := l.Search(ctx, q)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			if what != "" {
				return &ExitError{exitNotFound, fmt.Errorf("no matching entries found for %s", what)}
			}
			return &ExitError{exitNotFound, fmt.Errorf("no matching entries found")}
		}
		names := make([]string, len(ids))
		for i, id := range ids {
			names[i] = id.String()
		}
		if asJSON {
			return g.printJSON(struct{ UUIDs []string }{names})
		}
		fmt.Fprintln(g.Stderr, "Found matching entries (listed by UUID):")
		_, err = fmt.Fprintln(g.Stdout, strings.Join(names, "\n"))
		return err
	})
}

// sort puts a bare word where it belongs and says what it was taken for.
func (c *searchCmd) sort(w string) (string, error) {
	slot, what := &c.Subject, fmt.Sprintf("the signer's name %q (there is no file of that name)", w)
	switch {
	case hashShape.MatchString(w):
		slot, what = &c.SHA, "this hash"
	case w == "-" || exists(w):
		slot, what = &c.Artifact, fmt.Sprintf("the hash of the file %q", w)
	}
	if *slot != "" {
		return "", usage("%q: searched for already by a flag", w)
	}
	*slot = w
	return what, nil
}

// artifact asks for the hash of an artifact, and for what else entries of it
// are found by: the hash of a chart, where the artifact is its provenance.
func (c *searchCmd) artifact(g *Globals, q *client.Query) error {
	a, err := g.source(c.Artifact)
	if err != nil {
		return err
	}
	defer a.close()
	head, err := a.head()
	if err != nil {
		return err
	}
	term := ""
	if entry.Signed(head) {
		content, err := a.all()
		switch {
		case err == nil:
			term = entry.ArtifactTerm(content)
		case !a.long:
			return err
		}
	}
	sum, err := a.sum(crypto.SHA256)
	if err != nil {
		return err
	}
	q.Hash = "sha256:" + hex.EncodeToString(sum)
	if term == "" || term == q.Hash {
		return nil
	}
	if c.Subject != "" {
		return usage("this artifact cannot be combined with --subject; search for %s", term)
	}
	q.Subject = term // hashes and subjects are one name space
	if q.All {
		q.Hash = ""
	}
	return nil
}

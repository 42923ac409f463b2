package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/client"
	"github.com/cairnlog/cairn/entry"
)

type getCmd struct {
	entryFlags
	ID string `arg:"" optional:"" name:"id" help:"Index, entry id, uuid, or the URL that upload printed."`
}

// Help is shown with the flags.
func (c *getCmd) Help() string {
	return "What is shown was verified: the log's promise, the proof, the checkpoint, and that\nthe log has not changed its history since the last time."
}

// entryFlags name an entry that is in the log. They are shared by get and verify.
type entryFlags struct {
	UUID     string `name:"uuid" placeholder:"ID" help:"Entry id (80 hex digits) or uuid (64)."`
	LogIndex string `name:"log-index" placeholder:"N" help:"Index of the entry."`
}

// A name is what an entry is asked for by.
type name struct {
	byIndex bool
	index   int64
	id      v1.EntryID
	url     string // that the name was in, "" for none
}

// parse returns nil if the flags name nothing.
func (f *entryFlags) parse() (*name, error) {
	switch {
	case f.UUID != "" && f.LogIndex != "":
		return nil, usage("--uuid and --log-index exclude each other")
	case f.UUID != "":
		id, err := v1.ParseEntryID(f.UUID)
		if err != nil {
			return nil, usage("--uuid: %w", err)
		}
		return &name{id: id}, nil
	case f.LogIndex != "":
		i, err := strconv.ParseInt(f.LogIndex, 10, 64)
		if err != nil || i < 0 {
			return nil, usage("--log-index: %q is not an index", f.LogIndex)
		}
		return &name{byIndex: true, index: i}, nil
	}
	return nil, nil
}

// parseName reads what people paste: an index, an id, or a URL that ends in one.
func parseName(s string) *name {
	var url string
	if isURL(s) {
		url = s
		s, _, _ = strings.Cut(s, "?")
		s = strings.TrimRight(s, "/")
		s = s[strings.LastIndex(s, "/")+1:]
	}
	if id, err := v1.ParseEntryID(s); err == nil {
		return &name{id: id, url: url}
	}
	if i, err := strconv.ParseInt(s, 10, 64); err == nil && i >= 0 {
		return &name{byIndex: true, index: i, url: url}
	}
	return nil
}

func (n *name) fetch(ctx context.Context, l *client.Client) (*client.Entry, error) {
	where := "the log"
	if n.url != "" && !strings.HasPrefix(n.url, l.URL()+"/") {
		where += " at " + l.URL() + ", which is not the server in the URL"
	}
	if n.byIndex {
		e, err := l.ByIndex(ctx, n.index)
		if errors.Is(err, client.ErrNotFound) {
			err = fmt.Errorf("no entry at index %d in %s: %w", n.index, where, err)
		}
		return e, err
	}
	e, err := l.ByID(ctx, n.id)
	if errors.Is(err, client.ErrNotFound) {
		id := n.id.String()
		if n.id.TreeID == 0 {
			id = n.id.Hash.String()
		}
		err = fmt.Errorf("no entry %s in %s: %w", id, where, err)
	}
	return e, err
}

func (c *getCmd) Run(g *Globals) error {
	n, err := c.parse()
	if err != nil {
		return err
	}
	if c.ID != "" {
		if n != nil {
			return usage("name the entry once")
		}
		if n = parseName(c.ID); n == nil {
			return usage("%q is not an index, an entry id (80 hex digits) or a uuid (64)", c.ID)
		}
	}
	if n == nil {
		return usage("either --uuid or --log-index must be specified")
	}
	return g.withLog(func(ctx context.Context, l *client.Client) error {
		e, err := n.fetch(ctx, l)
		if err != nil {
			return err
		}
		g.warnOlder(e)
		switch g.Format {
		case "json":
			return g.printEntryJSON(e)
		case "tle":
			return g.printTLE(e)
		}
		return g.printEntry(e)
	})
}

// warnOlder tells people that a replica is behind. It is no alarm: the tree was
// proved to be a prefix of the one known.
func (g *Globals) warnOlder(e *client.Entry) {
	if e.Older {
		g.warn("the log answered with a tree of %d entries, older than one seen before; it is a proved prefix of that", e.Proof.Tree.Size)
	}
}

// bodyObject returns the spec of a body under the name that rekor-cli gives it.
func bodyObject(e *client.Entry) (json.RawMessage, error) {
	var b struct {
		Spec json.RawMessage `json:"spec"`
	}
	if err := json.Unmarshal(e.Body, &b); err != nil || len(b.Spec) == 0 {
		return nil, &client.VerifyError{What: "body", Err: fmt.Errorf("it is no entry that can be shown: %w", err)}
	}
	member := e.Kind
	if t, ok := entry.Lookup(e.Kind, e.APIVersion); ok {
		member = t.Object
	}
	q, err := json.Marshal(member)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	json.HTMLEscape(&out, escapeJSON(append(append(append(append([]byte{'{'}, q...), ':'), b.Spec...), '}'))) // as rekor-cli has it
	return out.Bytes(), nil
}

// escapeJSON writes what a terminal would act on as \u escapes. The text means
// the same afterwards.
func escapeJSON(b []byte) []byte {
	var out bytes.Buffer
	for _, r := range string(b) {
		switch {
		case r < 0x80 && r != 0x7f, unicode.IsPrint(r):
			out.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.Bytes()
}

func (g *Globals) printEntryJSON(e *client.Entry) error {
	body, err := bodyObject(e)
	if err != nil {
		return err
	}
	return g.printJSON(struct {
		Attestation     string
		AttestationType string
		Body            json.RawMessage
		LogIndex        int64
		IntegratedTime  int64
		UUID            string
		LogID           string
		*description
	}{string(e.Attestation), "", body, e.Index, e.Time.Unix(), e.ID.String(), e.LogID, g.description(e)})
}

// description returns nil for rekor-cli, whose JSON is its own.
func (g *Globals) description(e *client.Entry) *description {
	if g.RekorCLI {
		return nil
	}
	d := describe(e)
	return &d
}

func (g *Globals) printEntry(e *client.Entry) error {
	object, err := bodyObject(e)
	if err != nil {
		return err
	}
	var body bytes.Buffer
	if err := json.Indent(&body, object, "", "  "); err != nil {
		return err
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "LogID: %s\n", e.LogID)
	if e.Attestation != nil {
		a := string(e.Attestation)
		if people(g.Stdout) {
			a = client.Printable(a, "\n\t")
		}
		fmt.Fprintf(&out, "Attestation: %s\n", a)
	}
	fmt.Fprintf(&out, "Index: %d\nIntegratedTime: %s\nUUID: %s\nBody: %s\n\n", e.Index, e.Time.Format(time.RFC3339), e.ID, body.Bytes())
	if people(g.Stdout) {
		fmt.Fprintln(&out, strings.Join(describe(e).lines(), "\n"))
	}
	_, err = g.Stdout.Write(out.Bytes())
	return err
}

// printTLE prints the entry as Sigstore bundles carry it, TransparencyLogEntry
// in the JSON form of protobuf.
func (g *Globals) printTLE(e *client.Entry) error {
	keyID, err := hex.DecodeString(e.LogID)
	if err != nil {
		return err
	}
	hashes := make([][]byte, len(e.Proof.Hashes))
	for i, h := range e.Proof.Hashes {
		hashes[i] = h[:]
	}
	type keyed struct {
		KeyID []byte `json:"keyId"`
	}
	type kindVersion struct {
		Kind    string `json:"kind"`
		Version string `json:"version"`
	}
	type promise struct {
		SET []byte `json:"signedEntryTimestamp"`
	}
	type envelope struct {
		Envelope string `json:"envelope"`
	}
	type proof struct {
		LogIndex   int64    `json:"logIndex,string"`
		RootHash   []byte   `json:"rootHash"`
		TreeSize   int64    `json:"treeSize,string"`
		Hashes     [][]byte `json:"hashes"`
		Checkpoint envelope `json:"checkpoint"`
	}
	return g.printJSON(struct {
		LogIndex          int64       `json:"logIndex,string"`
		LogID             keyed       `json:"logId"`
		KindVersion       kindVersion `json:"kindVersion"`
		IntegratedTime    int64       `json:"integratedTime,string"`
		InclusionPromise  promise     `json:"inclusionPromise"`
		InclusionProof    proof       `json:"inclusionProof"`
		CanonicalizedBody string      `json:"canonicalizedBody"`
	}{
		e.Index, keyed{keyID}, kindVersion{e.Kind, e.APIVersion}, e.Time.Unix(), promise{e.Promise},
		proof{e.Proof.Index, e.Proof.Tree.Root[:], e.Proof.Tree.Size, hashes, envelope{string(e.Proof.Checkpoint)}},
		base64.StdEncoding.EncodeToString(e.Body),
	})
}

// exists tells whether there is a file of that name.
func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

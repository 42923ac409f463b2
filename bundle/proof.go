package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cairnlog/cairn/checkpoint"
)

// parseProof reads a tlog-proof whose extra line is the canonical body of the
// entry.
func parseProof(text []byte) (*Bundle, error) {
	p, err := checkpoint.ParseTLogProof(text)
	if err != nil {
		return nil, err
	}
	if p.Extra == nil {
		return nil, errors.New("the tlog-proof does not have the entry in its extra line: what it proves is unknown")
	}
	c, _, err := checkpoint.Parse(p.Checkpoint)
	if err != nil {
		return nil, err
	}
	e := &Entry{
		Body:  p.Extra,
		Index: p.Index,
		Proof: &Proof{Index: p.Index, Tree: c.Tree, Hashes: p.Hashes, Checkpoint: p.Checkpoint},
	}
	if e.Kind, e.Version, err = KindOf(e.Body); err != nil {
		return nil, err
	}
	return &Bundle{Format: TLogProof, Entries: []*Entry{e}}, nil
}

// TLogProof returns e as a tlog-proof with the body in its extra line. Its
// index is that in the tree.
func (e *Entry) TLogProof() ([]byte, error) {
	if e.Proof == nil {
		return nil, errNoProof
	}
	p := checkpoint.TLogProof{Extra: e.Body, Index: e.Proof.Index, Hashes: e.Proof.Hashes, Checkpoint: e.Proof.Checkpoint}
	return p.Text()
}

var errNoProof = errors.New("the entry has no inclusion proof")

// KindOf returns the kind and version that the canonical body of an entry has.
func KindOf(body []byte) (kind, version string, err error) {
	var head struct {
		Kind    string `json:"kind"`
		Version string `json:"apiVersion"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&head); err != nil || head.Kind == "" || head.Version == "" {
		return "", "", fmt.Errorf("body of the entry: it has no kind and version")
	}
	return head.Kind, head.Version, nil
}

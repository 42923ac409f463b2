// Package bundle is about files that prove an entry of a log to somebody who
// does not ask the log: how they are made, read and verified.
//
// There are three sorts. A Sigstore bundle has the signature of an artifact
// and the entry that was made of it. A TransparencyLogEntry is that entry
// alone, in the JSON form of protobuf. A tlog-proof is C2SP's text with an
// inclusion proof; the canonical body of the entry is in its extra line, so
// that it too says what was logged.
//
// Nothing here opens a connection.
package bundle

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/merkle"
)

// Bounds on what is read.
const (
	// MaxSize is the most bytes of a file. A DSSE envelope has its payload in it.
	MaxSize = 64 << 20

	maxEntries    = 32
	maxTimestamps = 32
	maxHashes     = 64 // of a proof: no tree is deeper
)

// A Format is a sort of file.
type Format string

// The formats.
const (
	Sigstore  Format = "sigstore"   // Sigstore bundle v0.3
	TLE       Format = "tle"        // TransparencyLogEntry in JSON
	TLogProof Format = "tlog-proof" // C2SP tlog-proof
)

// An Entry is an entry of a log with a proof.
type Entry struct {
	Kind, Version string
	Body          []byte // canonical body, the leaf
	LogID         []byte // of the key; nil in a tlog-proof
	Index         int64  // over all shards; in a tlog-proof that of the tree
	Time          int64  // when it was logged in Unix seconds, 0 for unknown
	Promise       []byte // signed entry timestamp, nil for none
	Proof         *Proof // nil for none
}

// A Proof leads from an entry to a signed tree.
type Proof struct {
	Index      int64 // in the tree
	Tree       merkle.Tree
	Hashes     []merkle.Hash // leaf to root
	Checkpoint []byte
}

// A Bundle is what was read from a file.
type Bundle struct {
	Format  Format
	Entries []*Entry

	// Of a Sigstore bundle.
	Certificate *x509.Certificate // of the signer, nil for a bare key
	KeyHint     string            // names a bare key
	Timestamps  [][]byte          // RFC 3161 responses over the signature
	Content     *Content          // what was signed

	source *protobundle.Bundle // as read
}

// A Content is a signature with what it is over: either a digest or an envelope.
type Content struct {
	Signature []byte

	Algorithm string // "sha256", "sha384" or "sha512"; "" for an envelope
	Digest    []byte // of the artifact

	PayloadType string // of a DSSE envelope
	Payload     []byte
}

// IsEnvelope tells a DSSE envelope from the signature of an artifact.
func (c *Content) IsEnvelope() bool { return c.Algorithm == "" }

// Parse reads a file of any of the formats.
func Parse(data []byte) (*Bundle, error) {
	b, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("parse bundle: %w", err)
	}
	return b, nil
}

func parse(data []byte) (*Bundle, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("over %d bytes", MaxSize)
	}
	if bytes.HasPrefix(data, []byte(checkpoint.TLogProofHeader)) {
		return parseProof(data)
	}
	if len(data) == 0 {
		return nil, errors.New("it is empty")
	}
	// A TransparencyLogEntry has no media type, a bundle nothing else at its top
	// that an entry has too.
	var entry rekor.TransparencyLogEntry
	if err := protojson.Unmarshal(data, &entry); err == nil {
		e, err := readEntry(&entry)
		if err != nil {
			return nil, err
		}
		return &Bundle{Format: TLE, Entries: []*Entry{e}}, nil
	}
	source := new(protobundle.Bundle)
	if err := protojson.Unmarshal(data, source); err != nil {
		return nil, fmt.Errorf("neither a Sigstore bundle, nor a TransparencyLogEntry, nor a tlog-proof: %w", err)
	}
	return readBundle(source)
}

// readEntry takes over an entry and checks that it is whole.
func readEntry(m *rekor.TransparencyLogEntry) (*Entry, error) {
	e := &Entry{
		Kind:    m.GetKindVersion().GetKind(),
		Version: m.GetKindVersion().GetVersion(),
		Body:    m.GetCanonicalizedBody(),
		LogID:   m.GetLogId().GetKeyId(),
		Index:   m.GetLogIndex(),
		Time:    m.GetIntegratedTime(),
		Promise: m.GetInclusionPromise().GetSignedEntryTimestamp(),
	}
	switch {
	case len(e.Body) == 0:
		return nil, errors.New("log entry: there is no body")
	case len(e.LogID) < 4:
		return nil, errors.New("log entry: there is no log id")
	case e.Index < 0 || e.Time < 0:
		return nil, errors.New("log entry: index or time is negative")
	}
	p := m.GetInclusionProof()
	if p == nil {
		return e, nil
	}
	hashes, err := readHashes(p.GetHashes())
	if err != nil {
		return nil, err
	}
	e.Proof = &Proof{Index: p.GetLogIndex(), Hashes: hashes, Checkpoint: []byte(p.GetCheckpoint().GetEnvelope())}
	c, _, err := checkpoint.Parse(e.Proof.Checkpoint)
	if err != nil {
		return nil, fmt.Errorf("log entry: %w", err)
	}
	if e.Proof.Tree = c.Tree; p.GetTreeSize() != c.Tree.Size || !bytes.Equal(p.GetRootHash(), c.Tree.Root[:]) {
		return nil, errors.New("log entry: size or root of the inclusion proof are not the checkpoint's")
	}
	return e, nil
}

func readHashes(raw [][]byte) ([]merkle.Hash, error) {
	if len(raw) > maxHashes {
		return nil, fmt.Errorf("a proof of %d hashes is longer than any tree is deep", len(raw))
	}
	hashes := make([]merkle.Hash, len(raw))
	for i, h := range raw {
		if len(h) != merkle.HashSize {
			return nil, fmt.Errorf("hash %d of the proof has %d bytes", i, len(h))
		}
		hashes[i] = merkle.Hash(h)
	}
	return hashes, nil
}

package v2

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/cairnlog/cairn/entry/jcs"
	"github.com/cairnlog/cairn/merkle"
)

// An Entry is a TransparencyLogEntry as the Rekor v2 API answers with it: it
// has neither a time nor a promise.
type Entry struct {
	Index      int64
	LogID      []byte // of the key of the checkpoint's first line, not cut short
	Kind       string
	Version    string
	Tree       merkle.Tree
	Hashes     []merkle.Hash // leaf to root
	Checkpoint []byte        // signed note over Tree
	Body       []byte        // canonical body, the leaf
}

// Append appends e as JSON with every member there.
func (e *Entry) Append(b []byte) []byte {
	b = append(b, `{"logIndex":"`...)
	b = strconv.AppendInt(b, e.Index, 10)
	b = append(b, `","logId":{"keyId":`...)
	b = appendBytes(b, e.LogID)
	b = append(b, `},"kindVersion":{"kind":`...)
	b = jcs.AppendString(b, []byte(e.Kind))
	b = append(b, `,"version":`...)
	b = jcs.AppendString(b, []byte(e.Version))
	b = append(b, `},"integratedTime":"0","inclusionPromise":null,"inclusionProof":{"logIndex":"`...)
	b = strconv.AppendInt(b, e.Index, 10)
	b = append(b, `","rootHash":`...)
	b = appendBytes(b, e.Tree.Root[:])
	b = append(b, `,"treeSize":"`...)
	b = strconv.AppendInt(b, e.Tree.Size, 10)
	b = append(b, `","hashes":[`...)
	for i := range e.Hashes {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendBytes(b, e.Hashes[i][:])
	}
	b = append(b, `],"checkpoint":{"envelope":`...)
	b = jcs.AppendString(b, e.Checkpoint)
	b = append(b, `}},"canonicalizedBody":"`...)
	b = base64.StdEncoding.AppendEncode(b, e.Body)
	return append(b, `"}`...)
}

// maxHashes is the most that a proof can have: a tree of 2^63 leaves is not deeper.
const maxHashes = 64

// ParseEntry reads a TransparencyLogEntry that has a proof. It verifies
// nothing but that the two indexes agree.
func ParseEntry(text []byte) (*Entry, error) {
	e, err := parseEntry(text)
	if err != nil {
		return nil, fmt.Errorf("parse log entry: %w", err)
	}
	return e, nil
}

func parseEntry(text []byte) (*Entry, error) {
	var m rekor.TransparencyLogEntry
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, &m); err != nil {
		return nil, err
	}
	p := m.GetInclusionProof()
	e := &Entry{
		Index:      m.GetLogIndex(),
		LogID:      m.GetLogId().GetKeyId(),
		Kind:       m.GetKindVersion().GetKind(),
		Version:    m.GetKindVersion().GetVersion(),
		Tree:       merkle.Tree{Size: p.GetTreeSize()},
		Checkpoint: []byte(p.GetCheckpoint().GetEnvelope()),
		Body:       m.GetCanonicalizedBody(),
	}
	switch {
	case p == nil:
		return nil, errors.New("there is no inclusion proof")
	case len(p.GetRootHash()) != merkle.HashSize:
		return nil, fmt.Errorf("root hash has %d bytes", len(p.GetRootHash()))
	case p.GetLogIndex() != e.Index:
		return nil, fmt.Errorf("index %d is not that of the proof, %d", e.Index, p.GetLogIndex())
	case len(p.GetHashes()) > maxHashes:
		return nil, fmt.Errorf("proof has %d hashes", len(p.GetHashes()))
	}
	copy(e.Tree.Root[:], p.GetRootHash())
	for _, h := range p.GetHashes() {
		if len(h) != merkle.HashSize {
			return nil, fmt.Errorf("hash of the proof has %d bytes", len(h))
		}
		e.Hashes = append(e.Hashes, merkle.Hash(h))
	}
	return e, nil
}

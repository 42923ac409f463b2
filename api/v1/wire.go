// Package v1 holds the wire formats of the Rekor v1 HTTP API, shared by the
// server and the client. It does no I/O.
package v1

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/cairnlog/cairn/merkle"
)

// A LogEntry is one entry as POST and GET return it, under its entry id.
type LogEntry struct {
	Attestation    *Attestation  `json:"attestation,omitempty"`
	Body           string        `json:"body"` // base64 of the canonical body
	IntegratedTime int64         `json:"integratedTime"`
	LogID          string        `json:"logID"` // hex SHA-256 of the log key's PKIX DER
	LogIndex       int64         `json:"logIndex"`
	Verification   *Verification `json:"verification,omitempty"`
}

// An Attestation is what is stored beside an entry.
type Attestation struct {
	Data []byte `json:"data"`
}

// A Verification is the log's proof and promise for an entry.
type Verification struct {
	InclusionProof       *InclusionProof `json:"inclusionProof,omitempty"`
	SignedEntryTimestamp []byte          `json:"signedEntryTimestamp"`
}

// An InclusionProof leads from a leaf to a signed root.
type InclusionProof struct {
	Checkpoint string   `json:"checkpoint"`
	Hashes     []string `json:"hashes"` // hex, leaf to root
	LogIndex   int64    `json:"logIndex"`
	RootHash   string   `json:"rootHash"`
	TreeSize   int64    `json:"treeSize"`
}

// A LogInfo is the answer of GET /api/v1/log.
type LogInfo struct {
	InactiveShards []InactiveShard `json:"inactiveShards"` // null when there are none
	RootHash       string          `json:"rootHash"`
	SignedTreeHead string          `json:"signedTreeHead"` // the checkpoint
	TreeID         string          `json:"treeID"`         // decimal
	TreeSize       int64           `json:"treeSize"`
}

// An InactiveShard is a frozen shard of a log.
type InactiveShard struct {
	RootHash       string `json:"rootHash"`
	SignedTreeHead string `json:"signedTreeHead"`
	TreeID         string `json:"treeID"`
	TreeSize       int64  `json:"treeSize"`
}

// A ConsistencyProof is the answer of GET /api/v1/log/proof.
type ConsistencyProof struct {
	Hashes   []string `json:"hashes"`
	RootHash string   `json:"rootHash"` // of the newest tree, as Rekor has it
}

// An Error is the body of every refusal.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// A SearchLogQuery is the body of POST /api/v1/log/entries/retrieve.
type SearchLogQuery struct {
	EntryUUIDs []string `json:"entryUUIDs,omitempty"`
	LogIndexes []int64  `json:"logIndexes,omitempty"`
	Entries    []any    `json:"entries,omitempty"` // proposals
}

// A SearchIndex is the body of POST /api/v1/index/retrieve.
type SearchIndex struct {
	Email     string          `json:"email,omitempty"`
	Hash      string          `json:"hash,omitempty"`
	Operator  string          `json:"operator,omitempty"` // "or" (default) or "and"
	PublicKey *SearchIndexKey `json:"publicKey,omitempty"`
	Subject   string          `json:"subject,omitempty"`
}

// A SearchIndexKey is the key of an index query.
type SearchIndexKey struct {
	Content []byte `json:"content,omitempty"`
	Format  string `json:"format"`
}

// An EntryID names an entry: tree id and leaf hash.
type EntryID struct {
	TreeID int64 // 0 when only the leaf hash was given
	Hash   merkle.Hash
}

// String returns the 80 digits (tree id in 16, leaf hash in 64), lower case.
func (id EntryID) String() string { return string(id.Append(make([]byte, 0, 80))) }

// ParseEntryID reads 64 hex digits (a leaf hash) or 80 (tree id and leaf hash).
func ParseEntryID(s string) (EntryID, error) {
	var id EntryID
	var err error
	switch len(s) {
	case 64:
		id.Hash, err = merkle.ParseHash(s)
		return id, err
	case 80:
		t, err := hex.DecodeString(s[:16])
		if err != nil {
			return id, fmt.Errorf("parse entry id: %w", err)
		}
		var v uint64
		for _, b := range t {
			v = v<<8 | uint64(b)
		}
		if v == 0 || v>>63 != 0 {
			return id, &TreeIDError{ID: strings.ToLower(s[:16])}
		}
		id.TreeID = int64(v)
		id.Hash, err = merkle.ParseHash(s[16:])
		return id, err
	}
	return id, fmt.Errorf("parse entry id: want 64 or 80 hex digits, have %d characters", len(s))
}

// A TreeIDError is an entry id whose first 16 digits are no tree id.
type TreeIDError struct{ ID string }

func (e *TreeIDError) Error() string { return e.ID + " is not a valid TreeID" }

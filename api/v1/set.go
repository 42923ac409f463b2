package v1

import (
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/merkle"
)

// EntryTimestampMessage returns what a signed entry timestamp signs: the
// canonical JSON (RFC 8785) of an entry without its verification. The body is
// the leaf, the logID lower-case hex, the logIndex counts over all shards.
func EntryTimestampMessage(body []byte, integratedTime int64, logID string, logIndex int64) []byte {
	return appendTimestampMessage(nil, body, integratedTime, logID, logIndex)
}

func appendTimestampMessage(b, body []byte, integratedTime int64, logID string, logIndex int64) []byte {
	const fixed = len(`{"body":"","integratedTime":,"logID":"","logIndex":}`) + 2*20
	b = slices.Grow(b, fixed+base64.StdEncoding.EncodedLen(len(body))+len(logID))
	b = append(b, `{"body":"`...)
	b = base64.StdEncoding.AppendEncode(b, body)
	b = append(b, `","integratedTime":`...)
	b = strconv.AppendInt(b, integratedTime, 10)
	b = append(b, `,"logID":"`...)
	b = append(b, logID...)
	b = append(b, `","logIndex":`...)
	b = strconv.AppendInt(b, logIndex, 10)
	return append(b, '}')
}

// VerifyEntryTimestamp returns nil if the log with this key promised the entry.
func VerifyEntryTimestamp(e *LogEntry, key crypto.PublicKey) error {
	if e.Verification == nil || len(e.Verification.SignedEntryTimestamp) == 0 {
		return errors.New("verify entry timestamp: there is none")
	}
	id, err := checkpoint.KeyID(key)
	if err != nil {
		return fmt.Errorf("verify entry timestamp: %w", err)
	}
	if want := hex.EncodeToString(id[:]); e.LogID != want {
		return fmt.Errorf("verify entry timestamp: entry is of log %q, the key of log %s", e.LogID, want)
	}
	if strings.ContainsAny(e.Body, "\r\n") { // a decoder would skip them
		return errors.New("verify entry timestamp: body: line break in base64")
	}
	body, err := base64.StdEncoding.Strict().DecodeString(e.Body)
	if err != nil {
		return fmt.Errorf("verify entry timestamp: body: %w", err)
	}
	m := EntryTimestampMessage(body, e.IntegratedTime, e.LogID, e.LogIndex)
	if err := checkpoint.VerifyMessage(key, m, e.Verification.SignedEntryTimestamp); err != nil {
		return fmt.Errorf("verify entry timestamp: %w", err)
	}
	return nil
}

// A Signer makes the promises and checkpoints of one tree in the forms of
// Rekor v1. It may be used concurrently if its key may.
type Signer struct {
	key         crypto.Signer
	checkpoints *checkpoint.Signer
	origin      string // of the checkpoint
	logID       string
	messages    sync.Pool // of *[]byte, what entries sign
}

// NewSigner returns a Signer for the tree of that id. The origin is a host
// name or the like, without the tree id.
func NewSigner(key crypto.Signer, origin string, treeID int64) (*Signer, error) {
	if treeID <= 0 {
		return nil, fmt.Errorf("tree id %d is not positive", treeID)
	}
	// The name of the signature line is the origin without the tree id.
	c, err := checkpoint.NewSigner(origin, key)
	if err != nil {
		return nil, fmt.Errorf("origin: %w", err)
	}
	id, err := checkpoint.KeyID(key.Public())
	if err != nil {
		return nil, err
	}
	return &Signer{
		key:         key,
		checkpoints: c,
		origin:      checkpoint.V1Origin(origin, treeID),
		logID:       hex.EncodeToString(id[:]),
		messages:    sync.Pool{New: func() any { return new([]byte) }},
	}, nil
}

// SignTree returns a checkpoint over t with one signature.
func (s *Signer) SignTree(t merkle.Tree) ([]byte, error) {
	return s.checkpoints.Sign(checkpoint.Checkpoint{Origin: s.origin, Tree: t})
}

// SignEntry returns a signed entry timestamp. The time is in Unix seconds.
func (s *Signer) SignEntry(index, time int64, body []byte) ([]byte, error) {
	m := s.messages.Get().(*[]byte)
	defer s.messages.Put(m)
	*m = appendTimestampMessage((*m)[:0], body, time, s.logID, index)
	sig, err := checkpoint.SignMessage(s.key, *m)
	if err != nil {
		return nil, fmt.Errorf("sign entry %d: %w", index, err)
	}
	return sig, nil
}

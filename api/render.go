package api

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"

	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

// appendEntry appends e as v1's LogEntry: an object with one member, named by
// the entry id, whose members are in the order of the alphabet.
func (s *server) appendEntry(b []byte, e *log.ProvenEntry, attachment []byte) []byte {
	b = append(b, `{"`...)
	b = v1.EntryID{TreeID: s.treeID, Hash: e.Hash}.Append(b)
	b = append(b, `":{`...)
	if attachment != nil {
		b = append(b, `"attestation":{"data":"`...)
		b = base64.StdEncoding.AppendEncode(b, attachment)
		b = append(b, `"},`...)
	}
	b = append(b, `"body":"`...)
	b = base64.StdEncoding.AppendEncode(b, e.Body)
	b = append(b, `","integratedTime":`...)
	b = strconv.AppendInt(b, e.Time, 10)
	b = append(b, `,"logID":"`...)
	b = append(b, s.logID...)
	b = append(b, `","logIndex":`...)
	b = strconv.AppendInt(b, e.Index, 10)
	b = append(b, `,"verification":{"inclusionProof":{"checkpoint":`...)
	b = v1.AppendString(b, e.Proof.Checkpoint)
	b = append(b, `,"hashes":`...)
	b = appendHashes(b, e.Proof.Hashes)
	b = append(b, `,"logIndex":`...)
	b = strconv.AppendInt(b, e.Proof.Index, 10)
	b = append(b, `,"rootHash":"`...)
	b = hex.AppendEncode(b, e.Proof.Tree.Root[:])
	b = append(b, `","treeSize":`...)
	b = strconv.AppendInt(b, e.Proof.Tree.Size, 10)
	b = append(b, `},"signedEntryTimestamp":"`...)
	b = base64.StdEncoding.AppendEncode(b, e.Promise)
	return append(b, `"}}}`...)
}

// appendHashes appends an array of hex strings, never null.
func appendHashes(b []byte, hashes []merkle.Hash) []byte {
	b = append(b, '[')
	for i := range hashes {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = hex.AppendEncode(b, hashes[i][:])
		b = append(b, '"')
	}
	return append(b, ']')
}

func keyJSON(pem []byte) []byte { return append(v1.AppendString(nil, pem), '\n') }

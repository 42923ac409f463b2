package witness

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"github.com/cairnlog/cairn/merkle"
)

const (
	// maxProof is how many hashes a request may have: as many as the height
	// of the tallest tree.
	maxProof = 63
	// maxNote bounds a checkpoint with its signatures: some twenty lines of
	// ML-DSA-44, which are the longest.
	maxNote = 64 << 10
	// maxRequest bounds a request as a whole.
	maxRequest = maxNote + 4<<10
)

// A Request asks a witness to cosign a checkpoint.
// https://c2sp.org/tlog-witness
//
//	old 20852014
//	PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
//	jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
//
//	log.example
//	20852163
//	CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//
//	— log.example Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeO…
type Request struct {
	Old   int64         // size of the tree that the witness cosigned last
	Proof []merkle.Hash // that the tree of the checkpoint continues that one
	Note  []byte        // the checkpoint
}

// Body returns the request as it is sent.
func (r Request) Body() []byte {
	b := make([]byte, 0, 32+len(r.Proof)*45+len(r.Note))
	b = append(b, "old "...)
	b = strconv.AppendInt(b, r.Old, 10)
	b = append(b, '\n')
	for _, h := range r.Proof {
		b = base64.StdEncoding.AppendEncode(b, h[:])
		b = append(b, '\n')
	}
	b = append(b, '\n')
	return append(b, r.Note...)
}

// ParseRequest reads a request. The checkpoint in it is not looked at, but
// for its length.
func ParseRequest(body []byte) (Request, error) {
	r, err := parseRequest(body)
	if err != nil {
		return Request{}, fmt.Errorf("parse request: %w", err)
	}
	return r, nil
}

func parseRequest(body []byte) (r Request, err error) {
	if len(body) > maxRequest {
		return r, fmt.Errorf("over %d bytes", maxRequest)
	}
	line, rest, ok := bytes.Cut(body, []byte("\n"))
	old, found := bytes.CutPrefix(line, []byte("old "))
	if !ok || !found {
		return r, errors.New(`the first line is not "old" and a size`)
	}
	if r.Old, err = parseSize(string(old)); err != nil {
		return r, err
	}
	for {
		if line, rest, ok = bytes.Cut(rest, []byte("\n")); !ok {
			return r, errors.New("there is no blank line after the proof")
		}
		if len(line) == 0 {
			break
		}
		if len(r.Proof) == maxProof {
			return r, fmt.Errorf("over %d hashes in the proof", maxProof)
		}
		var h merkle.Hash
		if len(line) != base64.StdEncoding.EncodedLen(len(h)) {
			return r, fmt.Errorf("line %d of the proof is not a hash", len(r.Proof)+1)
		}
		b, err := base64.StdEncoding.Strict().DecodeString(string(line))
		if err != nil || len(b) != len(h) || bytes.ContainsRune(line, '\r') {
			return r, fmt.Errorf("line %d of the proof is not a hash", len(r.Proof)+1)
		}
		r.Proof = append(r.Proof, merkle.Hash(b))
	}
	if len(rest) > maxNote {
		return r, fmt.Errorf("the checkpoint has over %d bytes", maxNote)
	}
	r.Note = rest
	return r, nil
}

// parseSize reads a plain decimal number.
func parseSize(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != s {
		return 0, fmt.Errorf("size %.20q is not a plain decimal number", s)
	}
	return n, nil
}

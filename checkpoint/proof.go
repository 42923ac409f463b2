package checkpoint

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cairnlog/cairn/merkle"
)

// A TLogProof is an inclusion proof with the checkpoint that it leads to, in
// one text that can be verified without the log:
//
//	c2sp.org/tlog-proof@v1
//	extra aGVsbG8=
//	index 1
//	u8Z1nwUYBzMS7YIJV5ES3XJK3OBI4IfMBDxOuuyR1Ao=
//
//	log.example
//	2
//	…
//
// It says nothing about which leaf it is of. https://c2sp.org/tlog-proof
type TLogProof struct {
	Extra      []byte // for the application; nil for none
	Index      int64
	Hashes     []merkle.Hash // leaf to root
	Checkpoint []byte        // a note
}

// TLogProofHeader is the first line of the text of a TLogProof.
const TLogProofHeader = "c2sp.org/tlog-proof@v1\n"

// Bounds on what ParseTLogProof looks at. A leaf of 64 KiB may be the extra data.
const (
	maxExtra       = 1 << 20
	maxProofHashes = 63
)

// Text returns the text of p. It fails if ParseTLogProof would not read it.
func (p TLogProof) Text() ([]byte, error) {
	b := []byte(TLogProofHeader)
	if p.Extra != nil {
		b = append(b, "extra "...)
		b = base64.StdEncoding.AppendEncode(b, p.Extra)
		b = append(b, '\n')
	}
	b = append(b, "index "...)
	b = strconv.AppendInt(b, p.Index, 10)
	b = append(b, '\n')
	for _, h := range p.Hashes {
		b = base64.StdEncoding.AppendEncode(b, h[:])
		b = append(b, '\n')
	}
	b = append(b, '\n')
	b = append(b, p.Checkpoint...)
	if _, err := ParseTLogProof(b); err != nil {
		return nil, err
	}
	return b, nil
}

// ParseTLogProof reads what Text writes. The checkpoint is in the form of a
// note, and its tree has the index; nothing is verified. An extra line without
// data is refused: the same without it says as much.
func ParseTLogProof(text []byte) (TLogProof, error) {
	p, err := parseTLogProof(text)
	if err != nil {
		return TLogProof{}, fmt.Errorf("parse tlog-proof: %w", err)
	}
	return p, nil
}

func parseTLogProof(text []byte) (p TLogProof, err error) {
	if len(text) > maxNote+2*maxExtra {
		return p, fmt.Errorf("over %d bytes", maxNote+2*maxExtra)
	}
	rest, ok := bytes.CutPrefix(text, []byte(TLogProofHeader))
	if !ok {
		return p, fmt.Errorf("the first line is not %q", strings.TrimSpace(TLogProofHeader))
	}
	head, note, ok := bytes.Cut(rest, []byte("\n\n"))
	if !ok {
		return p, errors.New("no blank line between proof and checkpoint")
	}
	lines := strings.Split(string(head), "\n")
	if extra, ok := strings.CutPrefix(lines[0], "extra "); ok {
		if p.Extra, err = decodeLine(extra); err != nil {
			return p, fmt.Errorf("extra: %w", err)
		}
		if len(p.Extra) == 0 || len(p.Extra) > maxExtra {
			return p, fmt.Errorf("extra: %d bytes, not 1 to %d", len(p.Extra), maxExtra)
		}
		lines = lines[1:]
	}
	if len(lines) == 0 {
		return p, errors.New("no index")
	}
	digits, ok := strings.CutPrefix(lines[0], "index ")
	if !ok {
		return p, errors.New("no index where it is due")
	}
	if p.Index, err = strconv.ParseInt(digits, 10, 64); err != nil || p.Index < 0 || strconv.FormatInt(p.Index, 10) != digits {
		return p, errors.New("index is not a plain decimal number")
	}
	lines = lines[1:]
	if len(lines) > maxProofHashes {
		return p, fmt.Errorf("over %d hashes", maxProofHashes)
	}
	for i, line := range lines {
		h, err := decodeLine(line)
		if err != nil {
			return p, fmt.Errorf("hash %d: %w", i, err)
		}
		if len(h) != merkle.HashSize {
			return p, fmt.Errorf("hash %d has %d bytes", i, len(h))
		}
		p.Hashes = append(p.Hashes, merkle.Hash(h))
	}
	c, _, err := parse(note)
	if err != nil {
		return p, fmt.Errorf("checkpoint: %w", err)
	}
	if p.Index >= c.Tree.Size {
		return p, fmt.Errorf("index %d is not in a tree of size %d", p.Index, c.Tree.Size)
	}
	p.Checkpoint = note
	return p, nil
}

// decodeLine decodes base64 of which there is one form only.
func decodeLine(s string) ([]byte, error) {
	if strings.ContainsRune(s, '\r') { // the decoder would skip it
		return nil, errors.New("carriage return in base64")
	}
	return base64.StdEncoding.Strict().DecodeString(s)
}

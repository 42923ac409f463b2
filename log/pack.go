package log

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"sync"
)

// Packing. A body is for the most part base64 of base64: a certificate in
// PEM, in JSON. Four characters of base64 are three bytes, whatever they say,
// so each long enough run of them is written as the bytes it stands for, and
// those are packed once more. A keyless entry shrinks to six tenths. General
// compression needs about the same work to get less far, and could not give
// one entry of a segment alone.
//
// The form is a run of pieces:
//
//	uvarint n, n bytes       as they are
//	uvarint g<<1 | nested    g groups of four characters follow; the end of
//	                         the text needs no group
//	if nested, uvarint m, m bytes: the 3g bytes, packed
//	else 3g bytes
const (
	// packRun is the shortest run of base64 that is worth a piece.
	packRun = 32
	// packDepth is how many layers of base64 are taken off.
	packDepth = 2
	// packNested is how many groups a run has at least whose bytes are packed
	// again; signatures and digests have fewer.
	packNested = 64
)

// inBase64 says for each byte whether it is a character of base64.
var inBase64 = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = true
	}
	return t
}()

// A packer holds the memory that packing needs for a while.
type packer struct {
	out, raw, inner []byte
}

var packers = sync.Pool{New: func() any { return new(packer) }}

// pack returns text in packed form.
func pack(text []byte) []byte {
	p := packers.Get().(*packer)
	defer packers.Put(p)
	p.out = p.layer(p.out[:0], text, packDepth)
	return bytes.Clone(p.out)
}

// layer appends text to dst in packed form, with depth layers of base64 taken off.
func (p *packer) layer(dst, text []byte, depth int) []byte {
	literal := 0 // where what is not written yet begins
	for i := 0; i < len(text); {
		if !inBase64[text[i]] {
			i++
			continue
		}
		start := i
		for i++; i < len(text) && inBase64[text[i]]; i++ {
		}
		groups := (i - start) / 4
		if i-start < packRun {
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(start-literal))
		dst = append(dst, text[literal:start]...)
		literal = start + 4*groups
		if depth > 1 && groups >= packNested {
			p.raw = decode64(p.raw[:0], text[start:literal])
			p.inner = p.layer(p.inner[:0], p.raw, depth-1)
			if len(p.inner) < len(p.raw) {
				dst = binary.AppendUvarint(dst, uint64(groups)<<1|1)
				dst = binary.AppendUvarint(dst, uint64(len(p.inner)))
				dst = append(dst, p.inner...)
				continue
			}
		}
		dst = binary.AppendUvarint(dst, uint64(groups)<<1)
		dst = decode64(dst, text[start:literal])
	}
	if literal < len(text) {
		dst = binary.AppendUvarint(dst, uint64(len(text)-literal))
		dst = append(dst, text[literal:]...)
	}
	return dst
}

// decode64 appends the bytes that whole groups of base64 stand for.
func decode64(dst, text []byte) []byte {
	dst, err := base64.RawStdEncoding.AppendDecode(dst, text)
	if err != nil {
		panic(err) // four characters of the alphabet always decode
	}
	return dst
}

var errPacked = errors.New("packed body is damaged")

// unpack appends the text of packed to dst, and fails if it would be over max
// bytes long. A byte of packed makes at most two of text.
func unpack(dst, packed []byte, max int) ([]byte, error) {
	return unpackLayer(dst, packed, len(dst)+max, packDepth)
}

func unpackLayer(dst, packed []byte, limit, depth int) ([]byte, error) {
	for len(packed) > 0 {
		n, rest, ok := take(packed)
		if !ok || len(dst)+n > limit || n > len(rest) {
			return nil, errPacked
		}
		dst, packed = append(dst, rest[:n]...), rest[n:]
		if len(packed) == 0 {
			break
		}
		g, rest, ok := take(packed)
		groups, nested := g>>1, g&1 != 0
		if !ok || len(dst)+4*groups > limit {
			return nil, errPacked
		}
		if !nested {
			if 3*groups > len(rest) {
				return nil, errPacked
			}
			dst = base64.RawStdEncoding.AppendEncode(dst, rest[:3*groups])
			packed = rest[3*groups:]
			continue
		}
		m, rest, ok := take(rest)
		if !ok || m > len(rest) || depth <= 1 {
			return nil, errPacked
		}
		raw, err := unpackLayer(make([]byte, 0, 3*groups), rest[:m], 3*groups, depth-1)
		if err != nil || len(raw) != 3*groups {
			return nil, errPacked
		}
		dst, packed = base64.RawStdEncoding.AppendEncode(dst, raw), rest[m:]
	}
	return dst, nil
}

// take reads a uvarint that can be a length in a leaf.
func take(b []byte) (int, []byte, bool) {
	v, n := binary.Uvarint(b)
	if n <= 0 || v > 2*MaxLeafSize {
		return 0, nil, false
	}
	return int(v), b[n:], true
}

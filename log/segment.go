package log

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cairnlog/cairn/merkle"
)

// MaxSegment is the largest number of entries in a segment.
const MaxSegment = 16

// segmentBytes is how much data a segment has at most, unless it has one
// entry only. To read an entry is to read its segment, so a segment should not
// be large; this is what a row of Postgres may have and stay in its page of
// 8 KB. It is three entries with the certificate of a workflow, or eight with
// that of a person.
const segmentBytes = 7900

// cut returns how many of the entries make the first segment.
func cut(entries []KeyedEntry, packed [][]byte) int {
	size := segmentHeader
	for i := range min(len(entries), MaxSegment) {
		size += entries[i].encodedSize(packed[i])
		if i > 0 && size > segmentBytes {
			return i
		}
	}
	return min(len(entries), MaxSegment)
}

// encodedSize returns the bytes of an entry in a segment.
func (r *KeyedEntry) encodedSize(packed []byte) int {
	return 1 + 2 + len(r.Promise) + 4 + len(r.Keys)*KeySize + 2 + 4 + len(packed)
}

// A KeyedEntry is an entry as a segment holds it, with all of its search keys.
type KeyedEntry struct {
	Entry
	Keys []Key // LeafKey first
}

// The form of a segment's data, integers big-endian:
//
//	version   1 byte, 1
//	time      8 bytes, Unix seconds, of all entries
//	count     2 bytes
//	and for each entry
//	flags     1 byte
//	promise   2 bytes of length, and the promise
//	keys      4 bytes, how many, and the keys
//	body      2 bytes of its length, 4 bytes of its length packed, and the
//	          body in the form that pack describes
const (
	segmentVersion = 1
	segmentHeader  = 1 + 8 + 2
	flagAttachment = 1
)

// EncodeSegment returns the data of a segment of 1 to MaxSegment entries,
// which share one time.
func EncodeSegment(entries []KeyedEntry) ([]byte, error) {
	packed := make([][]byte, len(entries))
	for i := range entries {
		packed[i] = pack(entries[i].Body)
	}
	return encodeSegment(entries, packed)
}

// encodeSegment is EncodeSegment for bodies that are packed already.
func encodeSegment(entries []KeyedEntry, packed [][]byte) ([]byte, error) {
	if len(entries) == 0 || len(entries) > MaxSegment {
		return nil, fmt.Errorf("encode segment of %d entries", len(entries))
	}
	size := segmentHeader
	for i := range entries {
		r := &entries[i]
		if len(r.Body) > MaxLeafSize || len(r.Promise) > 1<<16-1 {
			return nil, fmt.Errorf("encode entry %d: %w", r.Index, ErrTooLarge)
		}
		size += r.encodedSize(packed[i])
	}
	data := make([]byte, 0, size)
	data = append(data, segmentVersion)
	data = binary.BigEndian.AppendUint64(data, uint64(entries[0].Time))
	data = binary.BigEndian.AppendUint16(data, uint16(len(entries)))
	for i := range entries {
		r := &entries[i]
		var flags byte
		if r.HasAttachment {
			flags |= flagAttachment
		}
		data = append(data, flags)
		data = binary.BigEndian.AppendUint16(data, uint16(len(r.Promise)))
		data = append(data, r.Promise...)
		data = binary.BigEndian.AppendUint32(data, uint32(len(r.Keys)))
		for _, k := range r.Keys {
			data = append(data, k[:]...)
		}
		data = binary.BigEndian.AppendUint16(data, uint16(len(r.Body)))
		data = binary.BigEndian.AppendUint32(data, uint32(len(packed[i])))
		data = append(data, packed[i]...)
	}
	return data, nil
}

// DecodeSegment returns the entries of a segment. Promises are parts of its
// data and must not be changed.
func DecodeSegment(s Segment) ([]KeyedEntry, error) {
	entries := make([]KeyedEntry, 0, max(0, min(s.Count, MaxSegment)))
	err := walk(s, func(r KeyedEntry, p packedEntry) error {
		r.Keys = make([]Key, len(p.keys)/KeySize)
		for i := range r.Keys {
			r.Keys[i] = Key(p.keys[i*KeySize:])
		}
		if err := p.unpack(&r); err != nil {
			return err
		}
		entries = append(entries, r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("decode segment at %d: %w", s.Start, err)
	}
	return entries, nil
}

// decodeEntry returns one entry of a segment.
func decodeEntry(s Segment, index int64) (Entry, error) {
	var found KeyedEntry
	err := walk(s, func(r KeyedEntry, p packedEntry) error {
		if r.Index != index {
			return nil
		}
		found = r
		return p.unpack(&found)
	})
	if err != nil {
		return Entry{}, fmt.Errorf("decode segment at %d: %w", s.Start, err)
	}
	if found.Body == nil {
		return Entry{}, fmt.Errorf("decode segment at %d: it has no entry %d", s.Start, index)
	}
	// The promise is a part of the segment, which need not stay for it.
	found.Promise = bytes.Clone(found.Promise)
	return found.Entry, nil
}

// A packedEntry is what of an entry is not decoded unless asked for.
type packedEntry struct {
	keys []byte
	body []byte
	size int // of the body when unpacked
}

func (p packedEntry) unpack(r *KeyedEntry) error {
	var err error
	if r.Body, err = unpack(make([]byte, 0, p.size), p.body, p.size); err != nil {
		return err
	}
	if len(r.Body) != p.size {
		return errPacked
	}
	r.Hash = merkle.HashLeaf(r.Body)
	return nil
}

var errShort = errors.New("data ends early")

// walk calls visit for each entry of a segment, in order.
func walk(s Segment, visit func(KeyedEntry, packedEntry) error) error {
	d := s.Data
	if len(d) < segmentHeader {
		return errShort
	}
	if d[0] != segmentVersion {
		return fmt.Errorf("unknown version %d", d[0])
	}
	time := int64(binary.BigEndian.Uint64(d[1:]))
	count := int(binary.BigEndian.Uint16(d[9:]))
	if count != s.Count || count == 0 || count > MaxSegment {
		return fmt.Errorf("has %d entries, but %d are due", count, s.Count)
	}
	d = d[segmentHeader:]
	// next cuts n bytes off d; nothing is left of d once it was too short.
	next := func(n uint64) (b []byte) {
		if uint64(len(d)) < n {
			d = nil
			return nil
		}
		b, d = d[:n:n], d[n:]
		return b
	}
	for i := range count {
		r := KeyedEntry{Entry: Entry{Index: s.Start + int64(i), Time: time}}
		var p packedEntry
		head := next(1 + 2)
		if head == nil {
			return errShort
		}
		r.HasAttachment = head[0]&flagAttachment != 0
		r.Promise = next(uint64(binary.BigEndian.Uint16(head[1:])))
		keys := next(4)
		if keys == nil {
			return errShort
		}
		p.keys = next(uint64(binary.BigEndian.Uint32(keys)) * KeySize)
		head = next(2 + 4)
		if head == nil {
			return errShort
		}
		p.size = int(binary.BigEndian.Uint16(head))
		packed := uint64(binary.BigEndian.Uint32(head[2:]))
		if p.body = next(packed); uint64(len(p.body)) != packed {
			return errShort
		}
		if err := visit(r, p); err != nil {
			return err
		}
	}
	if len(d) > 0 {
		return errors.New("data goes on after the last entry")
	}
	return nil
}

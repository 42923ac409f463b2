package log

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/cairnlog/cairn/merkle"
)

// MaxSegment is the largest number of entries in a segment. Reading one entry
// decodes the whole segment, so it is kept small: 16 entries of 2 KB take
// about 40 µs, while a batch still needs few rows.
const MaxSegment = 16

// A Record is an entry as a segment holds it, with all of its search keys.
type Record struct {
	Entry
	Keys []Key // LeafKey first
}

// The form of a segment's data, integers big-endian:
//
//	version   1 byte, 1
//	codec     1 byte, 0 for none, 1 for zstd
//	time      8 bytes, Unix seconds, of all entries
//	count     2 bytes
//	tail      4 bytes, length of the tail
//	tail      for each entry: flags 1 byte, promise length 2 bytes and promise,
//	          number of keys 4 bytes and keys. It does not compress.
//	bodies    for each entry 2 bytes of length and the body: a run of a C2SP
//	          entry bundle, as the codec says
const (
	segmentVersion = 1
	segmentHeader  = 1 + 1 + 8 + 2 + 4

	codecNone = 0
	codecZstd = 1

	flagAttachment = 1
)

// A Codec encodes and decodes segments. It may be used concurrently.
type Codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

// NewCodec returns a Codec. Decoding uses at most the memory of a segment of
// MaxSegment of the largest leaves.
func NewCodec() *Codec {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false),
		zstd.WithWindowSize(128<<10), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // only for options out of range
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(MaxSegment*(2+MaxLeafSize)))
	if err != nil {
		panic(err)
	}
	return &Codec{enc: enc, dec: dec}
}

// Encode returns the data of a segment of 1 to MaxSegment records, which
// share one time.
func (c *Codec) Encode(records []Record) ([]byte, error) {
	if len(records) == 0 || len(records) > MaxSegment {
		return nil, fmt.Errorf("encode segment of %d entries", len(records))
	}
	var tail, bodies []byte
	size := 0
	for i := range records {
		size += 2 + len(records[i].Body)
	}
	bodies = make([]byte, 0, size)
	for i := range records {
		r := &records[i]
		if len(r.Body) > MaxLeafSize || len(r.Promise) > 1<<16-1 {
			return nil, fmt.Errorf("encode entry %d: %w", r.Index, ErrTooLarge)
		}
		var flags byte
		if r.HasAttachment {
			flags |= flagAttachment
		}
		tail = append(tail, flags)
		tail = binary.BigEndian.AppendUint16(tail, uint16(len(r.Promise)))
		tail = append(tail, r.Promise...)
		tail = binary.BigEndian.AppendUint32(tail, uint32(len(r.Keys)))
		for _, k := range r.Keys {
			tail = append(tail, k[:]...)
		}
		bodies = binary.BigEndian.AppendUint16(bodies, uint16(len(r.Body)))
		bodies = append(bodies, r.Body...)
	}
	data := make([]byte, segmentHeader, segmentHeader+len(tail)+len(bodies))
	data[0] = segmentVersion
	data[1] = codecZstd
	binary.BigEndian.PutUint64(data[2:], uint64(records[0].Time))
	binary.BigEndian.PutUint16(data[10:], uint16(len(records)))
	binary.BigEndian.PutUint32(data[12:], uint32(len(tail)))
	data = append(data, tail...)
	raw := len(data)
	data = c.enc.EncodeAll(bodies, data)
	if len(data)-raw >= len(bodies) {
		data[1] = codecNone
		data = append(data[:raw], bodies...)
	}
	return data, nil
}

var errShort = errors.New("data ends early")

// Decode returns the records of a segment. Bodies, promises and keys are
// parts of shared memory and must not be changed.
func (c *Codec) Decode(s Segment) ([]Record, error) {
	records, err := c.decode(s)
	if err != nil {
		return nil, fmt.Errorf("decode segment at %d: %w", s.Start, err)
	}
	return records, nil
}

func (c *Codec) decode(s Segment) ([]Record, error) {
	d := s.Data
	if len(d) < segmentHeader {
		return nil, errShort
	}
	if d[0] != segmentVersion {
		return nil, fmt.Errorf("unknown version %d", d[0])
	}
	time := int64(binary.BigEndian.Uint64(d[2:]))
	count := int(binary.BigEndian.Uint16(d[10:]))
	if count != s.Count || count == 0 || count > MaxSegment {
		return nil, fmt.Errorf("has %d entries, but %d are due", count, s.Count)
	}
	tailLen := uint64(binary.BigEndian.Uint32(d[12:]))
	if uint64(len(d)) < segmentHeader+tailLen {
		return nil, errShort
	}
	tail, bodies := d[segmentHeader:segmentHeader+tailLen], d[segmentHeader+tailLen:]
	switch d[1] {
	case codecNone:
	case codecZstd:
		var err error
		if bodies, err = c.dec.DecodeAll(bodies, nil); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("unknown codec %d", d[1])
	}

	records := make([]Record, count)
	for i := range records {
		r := &records[i]
		r.Index, r.Time = s.Start+int64(i), time
		if len(tail) < 3 {
			return nil, errShort
		}
		r.HasAttachment = tail[0]&flagAttachment != 0
		n := int(binary.BigEndian.Uint16(tail[1:]))
		tail = tail[3:]
		if len(tail) < n+4 {
			return nil, errShort
		}
		r.Promise, tail = tail[:n:n], tail[n:]
		keys := uint64(binary.BigEndian.Uint32(tail))
		tail = tail[4:]
		if uint64(len(tail)) < keys*KeySize {
			return nil, errShort
		}
		r.Keys = make([]Key, keys)
		for j := range r.Keys {
			r.Keys[j], tail = Key(tail[:KeySize]), tail[KeySize:]
		}
		if len(bodies) < 2 {
			return nil, errShort
		}
		n = int(binary.BigEndian.Uint16(bodies))
		bodies = bodies[2:]
		if len(bodies) < n {
			return nil, errShort
		}
		r.Body, bodies = bodies[:n:n], bodies[n:]
		r.Hash = merkle.HashLeaf(r.Body)
	}
	if len(tail) > 0 || len(bodies) > 0 {
		return nil, errors.New("data goes on after the last entry")
	}
	return records, nil
}

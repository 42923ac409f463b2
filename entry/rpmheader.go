package entry

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Parts of an RPM package, https://rpm-software-management.github.io/rpm/manual/format_v4.html:
// a lead, a header with signatures, the header, the payload.
const (
	rpmLead  = 96
	rpmIntro = 16 // magic, reserved, number of tags, size of their data
	rpmIndex = 16 // of one tag: number, type, offset, count

	// maxRPMTags is the most tags of one header, which is rpm's own limit.
	maxRPMTags = 65535
	// maxRPMSingle is the most strings of a tag that is read as one.
	maxRPMSingle = 16
)

// Tags with signatures over the header, and those over header and payload.
var (
	rpmHeaderSignatures  = []int32{267, 268}
	rpmPackageSignatures = []int32{1002, 1005}
)

// rpmSingles are the tags of which the first string is taken: digests of the
// header; name, version, release, architecture; digests of the payload.
var rpmSingles = map[int32]bool{269: true, 273: true, 1000: true, 1001: true, 1002: true, 1022: true, 5092: true}

// An rpmTag is one tag of a header.
type rpmTag struct {
	at       int // of its index in the header
	dataType int32
	content  []byte
}

// walkRPMHeader returns the size of the header that pkg starts with, and the
// tags in wanted. It refuses what would make a parser reach outside of the
// header, read parts of it many times, or make room for what is not there.
func walkRPMHeader(pkg []byte, padded bool, wanted ...[]int32) (int, map[int32]rpmTag, error) {
	if len(pkg) < rpmIntro {
		return 0, nil, errors.New("error reading RPM header: unexpected EOF")
	}
	tags, size := int64(binary.BigEndian.Uint32(pkg[8:])), int64(binary.BigEndian.Uint32(pkg[12:]))
	if padded {
		size = (size + 7) / 8 * 8
	}
	if tags > maxRPMTags {
		return 0, nil, fmt.Errorf("RPM header has %d tags, the limit is %d", tags, maxRPMTags)
	}
	if tags*rpmIndex > int64(len(pkg)-rpmIntro) {
		return 0, nil, errors.New("error reading RPM header table: unexpected EOF")
	}
	start := rpmIntro + int(tags)*rpmIndex
	if size > int64(len(pkg)-start) {
		return 0, nil, errors.New("error reading RPM header data: unexpected EOF")
	}
	end := start + int(size)
	data := pkg[start:end]
	found := map[int32]rpmTag{}
	budget := len(data) // strings do not overlap
	for at := rpmIntro; at < start; at += rpmIndex {
		index := pkg[at : at+rpmIndex]
		number := int32(binary.BigEndian.Uint32(index))
		t := rpmTag{at: at, dataType: int32(binary.BigEndian.Uint32(index[4:]))}
		offset, count := int32(binary.BigEndian.Uint32(index[8:])), int32(binary.BigEndian.Uint32(index[12:]))
		if offset < 0 || count < 0 || int(offset) > len(data) {
			return 0, nil, fmt.Errorf("tag %d of the RPM header lies outside of it", number)
		}
		rest := data[offset:]
		n, ok := t.fixedSize(count)
		if !ok {
			if count == 0 || count > maxRPMSingle && rpmSingles[number] {
				return 0, nil, fmt.Errorf("tag %d of the RPM header has %d strings", number, count)
			}
			for range count {
				i := bytes.IndexByte(rest[n:], 0)
				if i < 0 {
					return 0, nil, fmt.Errorf("tag %d is truncated", number)
				}
				if n += i + 1; n > budget {
					return 0, nil, errors.New("tags of the RPM header overlap")
				}
			}
			budget -= n
		}
		if n > len(rest) {
			return 0, nil, fmt.Errorf("tag %d of the RPM header lies outside of it", number)
		}
		t.content = rest[:n]
		for _, w := range wanted {
			for _, tag := range w {
				if tag != number {
					continue
				}
				if _, ok := found[tag]; ok {
					return 0, nil, fmt.Errorf("tag %d is twice in the RPM header", number)
				}
				found[tag] = t
			}
		}
	}
	return end, found, nil
}

// fixedSize returns the size of so many values, if it does not depend on them.
func (t rpmTag) fixedSize(count int32) (int, bool) {
	switch t.dataType {
	case 0: // nothing
		return 0, true
	case 1, 2, rpmBinary: // characters, small numbers
		return int(count), true
	case 3:
		return 2 * int(count), true
	case 4:
		return 4 * int(count), true
	case 5:
		return 8 * int(count), true
	}
	return 0, false
}

// rpmBinary is the type of tags that hold bytes.
const rpmBinary = 7

package keyindex

import (
	"encoding/binary"
	"math/bits"

	"github.com/cairnlog/cairn/log"
)

// A filter is a Bloom filter in blocks of a cache line: it says of a key that
// it is not in a run, or that it may be. With 12 bits a key about one in 150
// of those that are not there may be.
//
// Keys are hashes already: the first 8 bytes choose the block, 9 bits each of
// the last 8 choose the bits. Who makes keys on purpose that share a block
// spends work to have pages of their own keys read in vain.
type filter []byte

const (
	blockSize  = 64
	bitsPerKey = 12
	probes     = 7 // of 9 bits, from 64
)

func newFilter(keys int64) filter {
	blocks := max((keys*bitsPerKey+8*blockSize-1)/(8*blockSize), 1)
	return make(filter, blocks*blockSize)
}

func (f filter) block(k log.Key) []byte {
	hi, _ := bits.Mul64(binary.BigEndian.Uint64(k[:]), uint64(len(f)/blockSize))
	return f[hi*blockSize:][:blockSize]
}

func (f filter) add(k log.Key) {
	block := f.block(k)
	h := binary.BigEndian.Uint64(k[8:])
	for range probes {
		block[h>>3&63] |= 1 << (h & 7)
		h >>= 9
	}
}

func (f filter) has(k log.Key) bool {
	block := f.block(k)
	h := binary.BigEndian.Uint64(k[8:])
	for range probes {
		if block[h>>3&63]&(1<<(h&7)) == 0 {
			return false
		}
		h >>= 9
	}
	return true
}

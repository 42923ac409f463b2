package merkle

import (
	"fmt"
	"math/bits"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// VerifyInclusion checks that the leaf with the given hash is at index in the
// tree. https://www.rfc-editor.org/rfc/rfc9162#section-2.1.3.2
//
// It runs for every entry that a log gives out, so it is written out here
// without allocations.
func VerifyInclusion(leaf Hash, index int64, t Tree, hashes []Hash) error {
	if index < 0 || index >= t.Size {
		return fmt.Errorf("verify inclusion: index %d is not in a tree of size %d", index, t.Size)
	}
	// Up to the level where the path meets the right edge there is a sibling
	// at each level; above it, only where the path is a right child.
	inner := bits.Len64(uint64(index) ^ uint64(t.Size-1))
	border := bits.OnesCount64(uint64(index) >> inner)
	if len(hashes) != inner+border {
		return fmt.Errorf("verify inclusion of %d in %d: proof has %d hashes, but %d are due", index, t.Size, len(hashes), inner+border)
	}
	h := leaf
	for level, sibling := range hashes[:inner] {
		if index>>level&1 == 0 {
			h = HashChildren(h, sibling)
		} else {
			h = HashChildren(sibling, h)
		}
	}
	for _, sibling := range hashes[inner:] {
		h = HashChildren(sibling, h)
	}
	if h != t.Root {
		return &RootError{Size: t.Size, Want: t.Root, Have: h}
	}
	return nil
}

// VerifyConsistency checks that the older tree is a prefix of the newer one.
// An empty older tree is a prefix of all trees and needs an empty proof.
// https://www.rfc-editor.org/rfc/rfc9162#section-2.1.4.2
func VerifyConsistency(older, newer Tree, hashes []Hash) error {
	if older.Size < 0 || older.Size > newer.Size {
		return fmt.Errorf("verify consistency: size %d is not before %d", older.Size, newer.Size)
	}
	if older.Size == 0 {
		if older.Root != EmptyRoot || len(hashes) > 0 {
			return fmt.Errorf("verify consistency: bad empty tree or proof for it")
		}
		return nil
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(older.Size), uint64(newer.Size), rows(hashes), older.Root[:], newer.Root[:]); err != nil {
		return fmt.Errorf("verify consistency of %d and %d: %w", older.Size, newer.Size, err)
	}
	return nil
}

func rows(hashes []Hash) [][]byte {
	r := make([][]byte, len(hashes))
	for i := range hashes {
		r[i] = hashes[i][:]
	}
	return r
}

package merkle

import (
	"fmt"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// VerifyInclusion checks that the leaf with the given hash is at index in the
// tree. https://www.rfc-editor.org/rfc/rfc9162#section-2.1.3.2
func VerifyInclusion(leaf Hash, index int64, t Tree, hashes []Hash) error {
	if index < 0 || index >= t.Size {
		return fmt.Errorf("verify inclusion: index %d is not in a tree of size %d", index, t.Size)
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(index), uint64(t.Size), leaf[:], rows(hashes), t.Root[:]); err != nil {
		return fmt.Errorf("verify inclusion of %d in %d: %w", index, t.Size, err)
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

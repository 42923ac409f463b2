package log

import (
	"crypto/sha256"
	"strings"

	"github.com/cairnlog/cairn/merkle"
)

// LeafKey is the key under which an entry is found by its leaf hash: the
// hash's first bytes. Whoever looks up must compare the whole hash.
func LeafKey(h merkle.Hash) Key { return Key(h[:KeySize]) }

// termDomain keeps a search term from being made that lands on a leaf hash.
const termDomain = "cairn search term\n"

// TermKey is the key under which entries are found by a search term, which
// is compared in lower case: the first bytes of a SHA-256. Two terms that
// share a key would take 2^64 work to make.
func TermKey(term string) Key {
	var buf [256]byte
	b := append(buf[:0], termDomain...)
	b = append(b, strings.ToLower(term)...)
	h := sha256.Sum256(b)
	return Key(h[:KeySize])
}

// leafKeys returns the distinct keys of a leaf, LeafKey first.
func leafKeys(h merkle.Hash, terms []string) []Key {
	keys := make([]Key, 1, 1+len(terms))
	keys[0] = LeafKey(h)
next:
	for _, t := range terms {
		k := TermKey(t)
		// A statement may have thousands of subjects; most leaves have few terms.
		if len(keys) <= 16 {
			for _, have := range keys {
				if have == k {
					continue next
				}
			}
		}
		keys = append(keys, k)
	}
	if len(keys) > 16 {
		seen := make(map[Key]bool, len(keys))
		distinct := keys[:0]
		for _, k := range keys {
			if !seen[k] {
				seen[k] = true
				distinct = append(distinct, k)
			}
		}
		keys = distinct
	}
	return keys
}

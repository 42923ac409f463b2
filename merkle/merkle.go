// Package merkle is the RFC 6962 tree kept as tiles: what a log, its clients
// and its monitors share to build a tree, prove and verify.
//
// Hashes live in tiles of 256 (C2SP tlog-tiles). Level 0 holds leaf hashes;
// a hash at level L+1 is the root of a full tile at level L, so it covers
// 256^(L+1) leaves. See https://c2sp.org/tlog-tiles.
package merkle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// HashSize is the length of a Hash in bytes.
const HashSize = sha256.Size

// A Hash is a SHA-256 node of the tree.
type Hash [HashSize]byte

// String returns h in lower-case hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseHash reads 64 hex digits of either case.
func ParseHash(s string) (Hash, error) {
	var h Hash
	if len(s) != 2*HashSize {
		return h, fmt.Errorf("parse hash: want %d hex digits, have %d", 2*HashSize, len(s))
	}
	if _, err := hex.Decode(h[:], []byte(s)); err != nil {
		return h, fmt.Errorf("parse hash: %w", err)
	}
	return h, nil
}

// EmptyRoot is the root of a tree without leaves, SHA-256 of nothing.
// https://www.rfc-editor.org/rfc/rfc6962#section-2.1
var EmptyRoot = Hash(sha256.Sum256(nil))

// A Tree is a state of a log: how many leaves and the root over them.
type Tree struct {
	Size int64
	Root Hash
}

// HashLeaf returns SHA-256(0x00 ‖ leaf), the leaf hash of RFC 6962.
func HashLeaf(leaf []byte) Hash {
	d := sha256.New()
	d.Write([]byte{0})
	d.Write(leaf)
	var h Hash
	d.Sum(h[:0])
	return h
}

// HashChildren returns SHA-256(0x01 ‖ left ‖ right), an interior node of RFC 6962.
func HashChildren(left, right Hash) Hash {
	var b [1 + 2*HashSize]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+HashSize:], right[:])
	return sha256.Sum256(b[:])
}

const (
	// TileHeight is the number of tree levels that one tile spans.
	TileHeight = 8
	// TileWidth is the number of hashes of a full tile.
	TileWidth = 1 << TileHeight
)

// A Tile names the first Width hashes of the tile number Index at Level.
// Width is 1 to TileWidth; a tile with fewer than TileWidth hashes is partial.
type Tile struct {
	Level int
	Index int64
	Width int
}

// A TileReader gives tiles of one tree. It is all that proofs need, so a
// server's database, its memory, and another log's HTTP address serve alike.
type TileReader interface {
	// ReadTiles returns, for each tile asked, Width*HashSize bytes: its
	// hashes side by side. If any of them is not to be had it fails.
	// The caller must not change what it gets.
	ReadTiles(ctx context.Context, tiles []Tile) ([][]byte, error)
}

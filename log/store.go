package log

import (
	"context"
	"errors"

	"github.com/cairnlog/cairn/merkle"
)

// MaxLeafSize is the largest leaf in bytes: what the 16-bit length of a C2SP
// entry bundle can say. https://c2sp.org/tlog-tiles
const MaxLeafSize = 1<<16 - 1

// Errors that a Store returns and its callers tell apart.
var (
	// ErrNoLog means that the store holds no log yet.
	ErrNoLog = errors.New("no log in this store")
	// ErrExists means that the store already holds a log.
	ErrExists = errors.New("the store already holds a log")
	// ErrConflict means that a batch was refused because the head was no
	// longer the one it was built on. Nothing of it was written.
	ErrConflict = errors.New("head moved")
	// ErrNotReady means that the store cannot take a batch at the moment and
	// wrote nothing of it.
	ErrNotReady = errors.New("the store is not ready")
	// ErrNotFound means that there is no such tile, entry or attachment.
	ErrNotFound = errors.New("not found")
)

// An Identity says which log a store holds. It is set by Create and never changes.
type Identity struct {
	Origin string   // origin without the tree id, such as "localhost"
	TreeID int64    // positive, random; Rekor v1's tree id
	KeyID  [32]byte // SHA-256 of the public key's PKIX DER; Rekor v1's log id
}

// A Nonce tells one commit from every other. It is how a commit with an
// unknown outcome is recognised afterwards.
type Nonce [16]byte

// A Head is the newest state of a log.
type Head struct {
	Identity   Identity
	Tree       merkle.Tree
	Time       int64  // Unix seconds, integrated time of the newest entry; never decreases
	Nonce      Nonce  // of the batch that made this head
	Checkpoint []byte // signed note over Tree
}

// KeySize is the length of a Key in bytes.
const KeySize = 16

// A Key is a search key hashed to fixed width. Two sorts share one index and
// cannot meet: the first bytes of a leaf hash (LeafKey), and the first bytes
// of a domain-separated SHA-256 of a search term (TermKey).
type Key [KeySize]byte

// A KeyAt says that the entry at Index is to be found by Key.
type KeyAt struct {
	Key   Key
	Index int64
}

// A Segment is a run of entries that were committed together. To a Store its
// Data is opaque; only EncodeSegment and DecodeSegment look inside.
type Segment struct {
	Start int64 // index of the first entry
	Count int   // 1 to MaxSegment
	Nonce Nonce // of the batch
	Data  []byte
}

// Holds says whether the entry at index is in s.
func (s Segment) Holds(index int64) bool { return s.Start <= index && index < s.Start+int64(s.Count) }

// A FullTile is a tile of Width merkle.TileWidth with its hashes.
type FullTile struct {
	Tile merkle.Tile
	Data []byte // merkle.TileWidth*merkle.HashSize bytes
}

// An Attachment is kept beside the entry at Index and is not part of its leaf.
type Attachment struct {
	Index int64
	Data  []byte
}

// A Batch is what one commit adds. Segments are in order, without gaps, from
// Old.Tree.Size up to New.Tree.Size.
type Batch struct {
	Old, New    Head
	Segments    []Segment
	Tiles       []FullTile // those that became full
	Keys        []KeyAt
	Attachments []Attachment
}

// A Reader reads one log. What it returns is shared with others and must not
// be changed. A read that starts after a commit returned sees that commit, on
// whichever replica either happened.
type Reader interface {
	// ReadTiles returns full tiles only. It fails with ErrNotFound when one
	// of them is not in the store.
	merkle.TileReader

	// Head returns the newest head, or ErrNoLog.
	Head(ctx context.Context) (Head, error)

	// SegmentsAt returns the segments that hold the given indexes, each once,
	// in ascending order. It fails with ErrNotFound if one index is past the end.
	SegmentsAt(ctx context.Context, indexes []int64) ([]Segment, error)

	// SegmentsFrom returns at most limit segments in order, the first being
	// the one that holds index start. Past the end it returns none.
	SegmentsFrom(ctx context.Context, start int64, limit int) ([]Segment, error)

	// Find returns for each key the indexes that are greater than after, in
	// ascending order, the first limit of them. The answer has one element a
	// key, in the order of keys; a key that is not there has an empty one.
	Find(ctx context.Context, keys []Key, after int64, limit int) ([][]int64, error)

	// Attachment returns what is kept beside the entry at index, or ErrNotFound.
	Attachment(ctx context.Context, index int64) ([]byte, error)

	// Published returns the size and note of the newest Publish, or
	// ErrNotFound if there was none.
	Published(ctx context.Context) (size int64, note []byte, err error)
}

// A Store keeps one log. Methods may be called concurrently, by several
// processes where the medium allows it; what they wrote is durable when they return.
type Store interface {
	Reader

	// Create writes the head of an empty log. It fails with ErrExists if the
	// store holds a log, so that a typo cannot start a second one.
	Create(ctx context.Context, h Head) error

	// Commit writes all of the batch or nothing. It returns ErrConflict, and
	// wrote nothing, if the head's tree is not b.Old.Tree, or ErrNotReady if
	// it did not try. After any other error the outcome is unknown: the batch may be there, may not, and may
	// still come; the caller finds out by reading the head and the nonce of
	// the segment at b.Old.Tree.Size.
	Commit(ctx context.Context, b *Batch) error

	// Publish keeps a note, a checkpoint over the tree of the given size, for
	// all replicas to serve. It returns ErrConflict, and wrote nothing, if a
	// larger tree was published or the head's is smaller: what is published
	// never goes back. Of the same size the newer note counts. After any
	// other error the outcome is unknown; publishing again is safe.
	Publish(ctx context.Context, size int64, note []byte) error

	Close() error
}

// A Screener is a Store that knows of most keys, without reading anything,
// that no entry has them. It saves the look-up of leaves that are new.
type Screener interface {
	// Absent says for each key whether it is certain that no entry with an
	// index below size has it.
	Absent(keys []Key, size int64) []bool
}

// Package keyindex finds entries by search key, for back ends that are SQL
// databases. It makes the random order of keys cheap to write.
//
// A key is a hash, so each insert into a B-tree lands on another page: five
// keys cost more than the entry that they belong to, in processor time, in
// write-ahead log and on disk. Instead:
//
//   - A commit appends its keys as one row, the tail. That is all that
//     happens before the answer.
//   - Behind the commits, one server at a time (it holds a lease) sorts what
//     came in into a run: pages of rows in the order of keys, never changed.
//     Runs of one level are merged into one of the next when there are enough.
//   - A search looks for a key in each run and in the tail. Each server keeps
//     in memory, for each run, a filter, which says at once that a key is not
//     there, and the first row of each page, so that one page is read; and
//     the whole tail.
//   - A search reads from the database what the log's size is and what was
//     appended since it looked last, by whichever server. So it sees every
//     commit that returned before.
//
// Runs and tail follow each other by index, without a gap: run 1 has the keys
// of the entries before a, run 2 those from a to b, the tail those from b on.
// What a crash leaves half done is in no run that counts, and is deleted later.
package keyindex

import (
	"context"
	"errors"

	"github.com/cairnlog/cairn/log"
)

// A Disk is the part of a database that the index lives in. Its methods may
// be called concurrently.
type Disk interface {
	// Look returns the number of entries of the log and, as of the same
	// moment, the appends that start at from or later, in order; and the data
	// of pages, nil for each that is not there (any more), as of that moment
	// or later.
	Look(ctx context.Context, from int64, pages []PageID) (size int64, fresh []Append, data [][]byte, err error)

	// Runs returns the runs that count, in order of First. Those named in
	// have come without fences and filter.
	Runs(ctx context.Context, have []int64) ([]*Run, error)

	// Claim takes the lease for owner until the given time, if it is free,
	// run out at the time now, already owner's, or goes on for so long that
	// the clock of who took it must be wrong: beyond until by more than from
	// now to until. Times are Unix seconds.
	Claim(ctx context.Context, owner Owner, now, until int64) (bool, error)

	// Apply makes a change in one transaction. It fails with ErrMoved, and
	// changes nothing, if c.Owner does not have the lease, if a run of c.Dead
	// does not count, if c.Pages are of a run that was not started and is not
	// c.Count, or if c.Indexed is set and the runs that count do not end where
	// c.Count begins. After any other error the outcome is unknown.
	Apply(ctx context.Context, c *Change) error

	// Leftover returns for each run that does not count, because it was
	// started and not finished or because it is dead, the page after its last.
	Leftover(ctx context.Context) ([]PageID, error)
}

// ErrMoved means that the index is not what it was: another server keeps it.
var ErrMoved = errors.New("another server keeps the index")

// An id of a run has at most runBits bits and the number of a page at most
// PageBits, so that a Disk may put both into one integer.
const (
	runBits  = 63 - PageBits
	PageBits = 25
)

// An Owner is a random name of one open store.
type Owner [16]byte

// An Append is the keys of one commit: of the entries from Start up to, not
// including, Past.
type Append struct {
	Start, Past int64
	Data        []byte // see EncodeAppend
}

// A PageID names a page of a run.
type PageID struct {
	Run  int64
	Page int32
}

// A Run is sorted keys of the entries from First up to, not including, Past.
type Run struct {
	ID          int64
	Level       int
	First, Past int64
	Rows        int64
	Fences      []byte // first row of each page, see row
	Filter      []byte // see filter
}

// A Change is a step of keeping the index. What is not set does not change.
type Change struct {
	Owner   Owner
	Start   *Run     // this run's pages will come; it does not count yet
	To      PageID   // where Pages begin
	Pages   [][]byte // pages to add
	Count   *Run     // this run counts from here on; it may have been started
	Dead    []int64  // these runs do not count any more
	Indexed int64    // appends that start before this are deleted
	Drop    PageID   // the pages of its run before its page are deleted
	Forget  int64    // this run is deleted; its pages are gone already
}

// Sizes say when the index does something. The zero value is for tests to
// fill in; Default is what is used.
type Sizes struct {
	Flush    int // keys in the tail that are made into a run
	Fanout   int // runs of one level that are merged into one
	Levels   int // runs of the last level are not merged
	PageRows int // rows of a page
	Chunk    int // pages that are read, written or deleted at a time
}

// Default are the sizes in use. A page of 100 rows has 2,000 bytes: four of
// them fill a page of Postgres. The largest runs have 16 million rows.
var Default = Sizes{Flush: 1 << 15, Fanout: 8, Levels: 4, PageRows: 100, Chunk: 256}

// maxTail is how many keys may wait in the tail before commits have to wait
// for the index: some 130 MB of memory.
const maxTail = 1 << 20

// rowSize is the length of a row of a page: a key, and the entry's index less
// the first of the run in 4 bytes, big-endian. Rows sort as bytes.
const rowSize = log.KeySize + 4

// fenceSize is the length of a row in memory: the same with the index in 8 bytes.
const fenceSize = log.KeySize + 8

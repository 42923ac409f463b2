package keyindex

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/cairnlog/cairn/log"
)

// EncodeAppend returns the data of an Append of keys to a log of start
// entries: for each key its 16 bytes, and the index less start in 4 bytes.
func EncodeAppend(start int64, keys []log.KeyAt) []byte {
	data := make([]byte, 0, len(keys)*rowSize)
	for _, k := range keys {
		data = appendRow(data, k, start)
	}
	return data
}

// decode returns the keys of an append.
func (a Append) decode() ([]log.KeyAt, error) {
	if len(a.Data)%rowSize != 0 {
		return nil, fmt.Errorf("keys of entries from %d: %d bytes", a.Start, len(a.Data))
	}
	keys := make([]log.KeyAt, 0, len(a.Data)/rowSize)
	for d := a.Data; len(d) > 0; d = d[rowSize:] {
		k := rowAt(d, a.Start)
		if k.Index >= a.Past {
			return nil, fmt.Errorf("keys of entries from %d to %d: one of entry %d", a.Start, a.Past, k.Index)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func appendRow(b []byte, k log.KeyAt, first int64) []byte {
	b = append(b, k.Key[:]...)
	return binary.BigEndian.AppendUint32(b, uint32(k.Index-first))
}

func rowAt(b []byte, first int64) log.KeyAt {
	return log.KeyAt{Key: log.Key(b[:log.KeySize]), Index: first + int64(binary.BigEndian.Uint32(b[log.KeySize:]))}
}

func compare(a, b log.KeyAt) int {
	// Two words, which is faster than bytes.Compare.
	if x, y := binary.BigEndian.Uint64(a.Key[:]), binary.BigEndian.Uint64(b.Key[:]); x != y {
		return cmp.Compare(x, y)
	}
	if x, y := binary.BigEndian.Uint64(a.Key[8:]), binary.BigEndian.Uint64(b.Key[8:]); x != y {
		return cmp.Compare(x, y)
	}
	return cmp.Compare(a.Index, b.Index)
}

// sorted sorts keys in place and drops those that are there twice.
func sorted(keys []log.KeyAt) []log.KeyAt {
	slices.SortFunc(keys, compare)
	return slices.Compact(keys)
}

// pages returns how many pages r has.
func (r *Run) pages() int { return len(r.Fences) / fenceSize }

// fence returns the first row of page i.
func (r *Run) fence(i int) log.KeyAt {
	f := r.Fences[i*fenceSize:]
	return log.KeyAt{Key: log.Key(f[:log.KeySize]), Index: int64(binary.BigEndian.Uint64(f[log.KeySize:]))}
}

// span returns the pages from first up to, not including, past, that may
// hold rows of key with an index greater than after.
func (r *Run) span(key log.Key, after int64) (first, past int) {
	// The row after which we want to know is on the last page that starts at
	// it or before; the page's other rows are greater.
	n := r.pages()
	from := log.KeyAt{Key: key, Index: after}
	first = max(sort.Search(n, func(i int) bool { return compare(r.fence(i), from) > 0 })-1, 0)
	to := log.KeyAt{Key: key, Index: math.MaxInt64}
	past = first + sort.Search(n-first, func(i int) bool { return compare(r.fence(first+i), to) > 0 })
	return first, past
}

// check says what is wrong with a run as it was read.
func (r *Run) check() error {
	switch {
	case r.First < 0 || r.Past <= r.First || r.Rows < 0 || r.Past-r.First > math.MaxUint32:
		return fmt.Errorf("run %d has %d rows of entries from %d to %d", r.ID, r.Rows, r.First, r.Past)
	case len(r.Fences)%fenceSize != 0 || len(r.Filter)%blockSize != 0 || len(r.Filter) == 0:
		return fmt.Errorf("run %d has %d bytes of fences and %d of filter", r.ID, len(r.Fences), len(r.Filter))
	}
	return nil
}

// scan appends to found the indexes greater than after that key has on a
// page of a run, up to limit in all.
func scan(page []byte, first int64, key log.Key, after int64, limit int, found []int64) ([]int64, error) {
	if len(page)%rowSize != 0 {
		return nil, fmt.Errorf("page of %d bytes", len(page))
	}
	n := len(page) / rowSize
	i := sort.Search(n, func(i int) bool { return bytes.Compare(page[i*rowSize:i*rowSize+log.KeySize], key[:]) >= 0 })
	for ; i < n && len(found) < limit; i++ {
		k := rowAt(page[i*rowSize:], first)
		if k.Key != key {
			break
		}
		if k.Index > after {
			found = append(found, k.Index)
		}
	}
	return found, nil
}

// A builder makes the pages, fences and filter of a run of rows that come in order.
type builder struct {
	run      *Run
	pageRows int
	page     []byte
	full     [][]byte // pages that are done
	last     log.KeyAt
}

// newBuilder returns a builder of a run that will have at most rows rows.
func newBuilder(r *Run, rows int64, pageRows int) *builder {
	r.Filter = newFilter(rows)
	return &builder{run: r, pageRows: pageRows}
}

var errOrder = errors.New("rows of a run are out of order")

func (b *builder) add(k log.KeyAt) error {
	if b.run.Rows > 0 {
		switch c := compare(b.last, k); {
		case c == 0:
			return nil
		case c > 0:
			return errOrder
		}
	}
	if k.Index < b.run.First || k.Index >= b.run.Past {
		return fmt.Errorf("entry %d is in a run of %d to %d", k.Index, b.run.First, b.run.Past)
	}
	if len(b.page) == 0 {
		b.page = make([]byte, 0, b.pageRows*rowSize)
		b.run.Fences = append(b.run.Fences, k.Key[:]...)
		b.run.Fences = binary.BigEndian.AppendUint64(b.run.Fences, uint64(k.Index))
	}
	b.page = appendRow(b.page, k, b.run.First)
	filter(b.run.Filter).add(k.Key)
	b.run.Rows++
	b.last = k
	if len(b.page) == cap(b.page) {
		b.flush()
	}
	return nil
}

// flush ends the page that is being filled.
func (b *builder) flush() {
	if len(b.page) > 0 {
		b.full = append(b.full, b.page)
		b.page = nil
	}
}

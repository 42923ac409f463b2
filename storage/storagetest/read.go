package storagetest

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

func testSegmentsAt(t *testing.T, m Medium) {
	s, h := create(t, m)
	a := batch(h, 10, 4) // segments at 0, 4 and 8
	h = commit(t, s, a)
	b := batch(h, 5, 16) // and at 10
	commit(t, s, b)
	all := append(a.Segments, b.Segments...)
	for name, c := range map[string]struct {
		at   []int64
		want []log.Segment
	}{
		"none":                    {nil, nil},
		"first":                   {[]int64{0}, all[:1]},
		"last of a segment":       {[]int64{3}, all[:1]},
		"short segment":           {[]int64{9}, all[2:3]},
		"last of all":             {[]int64{14}, all[3:]},
		"one segment, many times": {[]int64{2, 0, 1, 2}, all[:1]},
		"in any order":            {[]int64{14, 0, 9, 10}, []log.Segment{all[0], all[2], all[3]}},
		"all":                     {[]int64{0, 4, 8, 10}, all},
	} {
		have, err := s.SegmentsAt(t.Context(), c.at)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		equal(t, name, have, c.want)
	}
	for name, at := range map[string][]int64{
		"past the end":             {15},
		"far past the end":         {math.MaxInt64},
		"negative":                 {-1},
		"one of many past the end": {0, 15, 3},
		"one of many negative":     {0, 3, math.MinInt64},
	} {
		if _, err := s.SegmentsAt(t.Context(), at); !errors.Is(err, log.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", name, err)
		}
	}
}

func testSegmentsFrom(t *testing.T, m Medium) {
	s, h := create(t, m)
	a := batch(h, 10, 4)
	h = commit(t, s, a)
	b := batch(h, 5, 16)
	commit(t, s, b)
	all := append(a.Segments, b.Segments...)
	for name, c := range map[string]struct {
		start int64
		limit int
		want  []log.Segment
	}{
		"all":                  {0, 100, all},
		"limit":                {0, 2, all[:2]},
		"inside a segment":     {5, 2, all[1:3]},
		"last of a segment":    {7, 1, all[1:2]},
		"first of a segment":   {8, 100, all[2:]},
		"last":                 {14, 100, all[3:]},
		"past the end":         {15, 100, nil},
		"far past the end":     {math.MaxInt64, 100, nil},
		"negative":             {-1, 100, nil},
		"limit of none":        {0, 0, nil},
		"limit less than none": {0, -1, nil},
	} {
		have, err := s.SegmentsFrom(t.Context(), c.start, c.limit)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		equal(t, name, have, c.want)
	}
}

func testTiles(t *testing.T, m Medium) {
	s, h := create(t, m)
	b := batch(h, 600, 16) // tiles 0 and 1 of level 0
	b.Tiles = append(b.Tiles, fullTile(1, 0), fullTile(7, 1<<40))
	commit(t, s, b)
	const width = merkle.TileWidth
	have, err := s.ReadTiles(t.Context(), []merkle.Tile{
		{Level: 7, Index: 1 << 40, Width: width},
		{Level: 0, Index: 1, Width: 3}, // the first of a full one
		{Level: 0, Index: 0, Width: width},
		{Level: 1, Index: 0, Width: width},
		{Level: 0, Index: 1, Width: width}, // and again
	})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "tiles", have, [][]byte{
		fullTile(7, 1<<40).Data, fullTile(0, 1).Data[:3*merkle.HashSize], fullTile(0, 0).Data,
		fullTile(1, 0).Data, fullTile(0, 1).Data,
	})
	if have, err := s.ReadTiles(t.Context(), nil); err != nil || len(have) > 0 {
		t.Errorf("no tiles: %v, %v", have, err)
	}
	for name, tile := range map[string]merkle.Tile{
		"not full yet":     {Level: 0, Index: 2, Width: 8},
		"past the end":     {Level: 0, Index: 100, Width: width},
		"negative index":   {Level: 0, Index: -1, Width: width},
		"negative level":   {Level: -1, Index: 0, Width: width},
		"level far off":    {Level: 1 << 20, Index: 0, Width: width},
		"width of nothing": {Level: 0, Index: 0, Width: 0},
		"width too large":  {Level: 0, Index: 0, Width: width + 1},
	} {
		good := merkle.Tile{Level: 0, Index: 0, Width: width}
		if _, err := s.ReadTiles(t.Context(), []merkle.Tile{good, tile}); !errors.Is(err, log.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", name, err)
		}
	}
}

func testFind(t *testing.T, m Medium) {
	s, h := create(t, m)
	for range 4 {
		h = commit(t, s, batch(h, 25, 16))
	}
	shared := []int64{3, 13, 23, 33, 43, 53, 63, 73, 83, 93}
	for name, c := range map[string]struct {
		key   log.Key
		after int64
		limit int
		want  []int64
	}{
		"one":                  {uniqueKey(42), -1, 10, []int64{42}},
		"none":                 {log.Key{1, 2, 3}, -1, 10, nil},
		"all":                  {sharedKey(3), -1, 100, shared},
		"as many as there are": {sharedKey(3), -1, 10, shared},
		"limit":                {sharedKey(3), -1, 4, shared[:4]},
		"after":                {sharedKey(3), 33, 4, shared[4:8]},
		"after one between":    {sharedKey(3), 34, 4, shared[4:8]},
		"last page":            {sharedKey(3), 73, 4, shared[8:]},
		"after the last":       {sharedKey(3), 93, 4, nil},
		"after all":            {sharedKey(3), math.MaxInt64, 4, nil},
		"after less than any":  {sharedKey(3), math.MinInt64, 2, shared[:2]},
		"after index 0":        {sharedKey(0), 0, 1, []int64{10}},
		"index 0":              {sharedKey(0), -1, 1, []int64{0}},
		"limit of none":        {sharedKey(3), -1, 0, nil},
	} {
		have, err := s.Find(t.Context(), []log.Key{c.key}, c.after, c.limit)
		if err != nil || len(have) != 1 {
			t.Errorf("%s: %v, %v", name, have, err)
			continue
		}
		equal(t, name, have[0], c.want)
	}
}

func testFindMany(t *testing.T, m Medium) {
	s, h := create(t, m)
	for range 3 {
		h = commit(t, s, batch(h, 200, 16))
	}
	var keys []log.Key
	var want [][]int64
	for i := range int64(300) {
		switch i % 3 {
		case 0:
			keys, want = append(keys, uniqueKey(2*i)), append(want, []int64{2 * i})
		case 1:
			keys, want = append(keys, log.Key(hash("absent", i))), append(want, nil)
		case 2:
			keys, want = append(keys, sharedKey(i)), append(want, []int64{100 + i%10, 110 + i%10})
		}
	}
	keys, want = append(keys, keys[0]), append(want, want[0]) // one twice
	have, err := s.Find(t.Context(), keys, 99, 2)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if len(want[i]) == 1 && want[i][0] <= 99 {
			want[i] = nil
		}
	}
	equal(t, "found", have, want)
	if have, err := s.Find(t.Context(), nil, -1, 1); err != nil || len(have) > 0 {
		t.Errorf("no keys: %v, %v", have, err)
	}
}

func testAttachments(t *testing.T, m Medium) {
	s, h := create(t, m)
	b := batch(h, 10, 4)
	b.Attachments = []log.Attachment{
		{Index: 1, Data: []byte("one")},
		{Index: 4, Data: []byte{}},
		{Index: 9, Data: bytes.Repeat([]byte{0, 1, 2, 0xff}, 25<<10)},
	}
	commit(t, s, b)
	for _, a := range b.Attachments {
		data, err := s.Attachment(t.Context(), a.Index)
		if err != nil {
			t.Errorf("attachment %d: %v", a.Index, err)
		}
		if data == nil {
			t.Errorf("attachment %d is nil", a.Index)
		}
		equal(t, "attachment", data, a.Data)
	}
	for _, index := range []int64{0, 2, 10, -1, math.MaxInt64} {
		if _, err := s.Attachment(t.Context(), index); !errors.Is(err, log.ErrNotFound) {
			t.Errorf("attachment %d: %v, want ErrNotFound", index, err)
		}
	}
}

// testAbsent has a Screener, if the store is one, say which keys are in no
// entry: never one that is there, whoever wrote it; and most that are not.
func testAbsent(t *testing.T, m Medium) {
	a, head := create(t, m)
	s, ok := a.(log.Screener)
	if !ok {
		return // it is for stores that are told apart by nothing else
	}
	b := m(t)
	here, there := batch(head, 20, 16), (*log.Batch)(nil)
	head = commit(t, a, here)
	absent := func(keys []log.KeyAt, size int64) (n int) {
		t.Helper()
		list := make([]log.Key, len(keys))
		for i, k := range keys {
			list[i] = k.Key
		}
		for _, yes := range s.Absent(list, size) {
			if yes {
				n++
			}
		}
		return n
	}
	if n := absent(here.Keys, head.Tree.Size); n > 0 {
		t.Errorf("%d keys of %d that were committed here are said to be absent", n, len(here.Keys))
	}
	strange := make([]log.KeyAt, 1000)
	for i := range strange {
		strange[i].Key = log.Key(hash("strange", int64(i)))
	}
	// One search, so that the store has loaded what it screens by.
	if _, err := a.Find(t.Context(), []log.Key{strange[0].Key}, -1, 1); err != nil {
		t.Fatal(err)
	}
	if n := absent(strange, head.Tree.Size); n < 900 {
		t.Errorf("only %d keys of 1000 that are nowhere are said to be absent", n)
	}
	if n := absent(strange, head.Tree.Size+1); n > 0 {
		t.Errorf("%d keys are said to be absent from a log larger than the store knows", n)
	}

	there = batch(head, 20, 16)
	head = commit(t, b, there)
	if n := absent(there.Keys, head.Tree.Size); n > 0 {
		t.Errorf("%d keys that another replica committed are said to be absent", n)
	}
	if _, err := a.Find(t.Context(), []log.Key{strange[0].Key}, -1, 1); err != nil {
		t.Fatal(err)
	}
	if n := absent(append(there.Keys, here.Keys...), head.Tree.Size); n > 0 {
		t.Errorf("after a search %d keys that are there are said to be absent", n)
	}
	if n := absent(strange, head.Tree.Size); n < 900 {
		t.Errorf("after a search only %d keys of 1000 that are nowhere are said to be absent", n)
	}
}

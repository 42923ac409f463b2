package storagetest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

const (
	benchEntries = 20_000 // that are there before a read is measured
	benchBytes   = 1300   // of a segment for each entry
	benchKeys    = 5      // of each entry
)

// benchKey returns key number j of the entry at index.
func benchKey(index int64, j int) log.Key {
	r := rand.NewPCG(uint64(index), uint64(j))
	var k log.Key
	for i := range k {
		k[i] = byte(r.Uint64())
	}
	return k
}

// benchBatch is a batch as a log of keyless signatures makes it.
func benchBatch(old log.Head, entries int) *log.Batch {
	b := batch(old, entries, 16)
	noise := rand.NewChaCha8([32]byte{byte(old.Tree.Size), byte(old.Tree.Size >> 8)})
	for i := range b.Segments {
		b.Segments[i].Data = make([]byte, benchBytes*b.Segments[i].Count)
		noise.Read(b.Segments[i].Data)
	}
	b.Keys = b.Keys[:0]
	for i := old.Tree.Size; i < b.New.Tree.Size; i++ {
		for j := range benchKeys {
			b.Keys = append(b.Keys, log.KeyAt{Key: benchKey(i, j), Index: i})
		}
	}
	return b
}

// Bench measures a back end.
func Bench(b *testing.B, fresh func(b testing.TB) Medium) {
	for _, entries := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("Commit/%d", entries), func(b *testing.B) {
			s, h := create(b, fresh(b))
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				batch := benchBatch(h, entries)
				b.StartTimer()
				h = commit(b, s, batch)
			}
			b.ReportMetric(float64(b.N*entries)/b.Elapsed().Seconds(), "entries/s")
		})
	}

	s, h := create(b, fresh(b))
	for h.Tree.Size < benchEntries {
		h = commit(b, s, benchBatch(h, merkle.TileWidth))
	}
	for _, read := range []struct {
		name string
		do   func() error
	}{
		{"Head", func() error {
			_, err := s.Head(b.Context())
			return err
		}},
		{"Find/present", func() error {
			_, err := s.Find(b.Context(), []log.Key{benchKey(rand.Int64N(benchEntries), 3)}, -1, 10)
			return err
		}},
		{"Find/absent", func() error {
			_, err := s.Find(b.Context(), []log.Key{benchKey(rand.Int64N(benchEntries), 99)}, -1, 10)
			return err
		}},
		{"Find/64absent", func() error {
			keys := make([]log.Key, 64)
			for i := range keys {
				keys[i] = benchKey(rand.Int64N(benchEntries), 99)
			}
			_, err := s.Find(b.Context(), keys, -1, 10)
			return err
		}},
		{"SegmentsAt/1", func() error {
			_, err := s.SegmentsAt(b.Context(), []int64{rand.Int64N(benchEntries)})
			return err
		}},
		{"SegmentsAt/32", func() error {
			at := make([]int64, 32)
			for i := range at {
				at[i] = rand.Int64N(benchEntries)
			}
			_, err := s.SegmentsAt(b.Context(), at)
			return err
		}},
		{"ReadTiles/1", func() error {
			_, err := s.ReadTiles(b.Context(), []merkle.Tile{{Index: rand.Int64N(benchEntries / merkle.TileWidth), Width: merkle.TileWidth}})
			return err
		}},
	} {
		b.Run(read.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := read.do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

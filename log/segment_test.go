package log_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

func entries(start int64, n, size int) []log.KeyedEntry {
	rs := make([]log.KeyedEntry, n)
	for i := range rs {
		body := bytes.Repeat(fmt.Appendf(nil, "entry %d ", start+int64(i)), size/8+1)[:size]
		rs[i] = log.KeyedEntry{
			Entry: log.Entry{Index: start + int64(i), Time: 1795379969, Hash: merkle.HashLeaf(body), Body: body,
				Promise: fmt.Appendf(nil, "promise %d", i), HasAttachment: i%3 == 0},
			Keys: []log.Key{log.LeafKey(merkle.HashLeaf(body)), log.TermKey("a"), log.TermKey(fmt.Sprint(i))},
		}
	}
	return rs
}

func TestSegmentRoundTrip(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 3000)
	for i := range noise {
		noise[i] = byte(rand.Int())
	}
	incompressible := entries(0, 1, 1)
	incompressible[0].Body, incompressible[0].Hash = noise, merkle.HashLeaf(noise)
	for name, want := range map[string][]log.KeyedEntry{
		"one":            entries(0, 1, 10),
		"full":           entries(1<<40, log.MaxSegment, 2000),
		"largest bodies": entries(5, log.MaxSegment, log.MaxLeafSize),
		"incompressible": incompressible,
	} {
		data, err := log.EncodeSegment(want)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := log.DecodeSegment(log.Segment{Start: want[0].Index, Count: len(want), Data: data})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

func TestSegmentRefuses(t *testing.T) {
	t.Parallel()
	if _, err := log.EncodeSegment(nil); err == nil {
		t.Error("no entries: no error")
	}
	if _, err := log.EncodeSegment(entries(0, log.MaxSegment+1, 1)); err == nil {
		t.Error("too many entries: no error")
	}
	if _, err := log.EncodeSegment(entries(0, 1, log.MaxLeafSize+1)); err == nil {
		t.Error("large body: no error")
	}
	data, err := log.EncodeSegment(entries(0, 3, 500))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.DecodeSegment(log.Segment{Count: 2, Data: data}); err == nil {
		t.Error("other count: no error")
	}
	for n := range data {
		if _, err := log.DecodeSegment(log.Segment{Count: 3, Data: data[:n]}); err == nil {
			t.Errorf("cut at %d of %d: no error", n, len(data))
		}
	}
	if _, err := log.DecodeSegment(log.Segment{Count: 3, Data: append(bytes.Clone(data), 0)}); err == nil {
		t.Error("something after the end: no error")
	}
}

func FuzzSegmentDecode(f *testing.F) {
	for _, rs := range [][]log.KeyedEntry{entries(0, 1, 10), entries(7, 16, 300)} {
		data, err := log.EncodeSegment(rs)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(len(rs), data)
	}
	f.Fuzz(func(t *testing.T, count int, data []byte) {
		rs, err := log.DecodeSegment(log.Segment{Count: count, Data: data})
		if err == nil && len(rs) != count {
			t.Fatalf("%d entries where %d are due", len(rs), count)
		}
	})
}

func BenchmarkSegment(b *testing.B) {
	rs := entries(0, log.MaxSegment, 2000)
	data, err := log.EncodeSegment(rs)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := log.EncodeSegment(rs); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := log.DecodeSegment(log.Segment{Count: len(rs), Data: data}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestSegmentsAreSmall adds bodies of many sizes at once: reading an entry
// must not read much else.
func TestSegmentsAreSmall(t *testing.T) {
	t.Parallel()
	l, s, _ := fixture(t)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			body := make([]byte, 20+i*i)
			for j := range body {
				body[j] = byte(rand.Int())
			}
			if _, err := l.Add(t.Context(), log.Leaf{Body: body}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	segments, err := s.SegmentsFrom(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	entries, shared := 0, 0
	for _, seg := range segments {
		entries += seg.Count
		if seg.Count > 1 {
			shared++
		}
		if seg.Count > log.MaxSegment || seg.Count > 1 && len(seg.Data) > 7900 {
			t.Errorf("segment at %d has %d entries in %d bytes", seg.Start, seg.Count, len(seg.Data))
		}
	}
	if entries != 200 || shared == 0 {
		t.Errorf("%d entries in segments, %d segments of several", entries, shared)
	}
}

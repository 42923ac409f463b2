package log_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairnlog/cairn/log"
)

// bulk is about what a keyless hashedrekord has: a body of 1.9 KB and four terms.
func bulk(i int64) log.Leaf {
	return log.Leaf{
		Body:  append(fmt.Appendf(nil, "%d ", i), strings.Repeat("0123456789abcdef", 120)...),
		Terms: []string{fmt.Sprint("key", i), fmt.Sprint("sha256:", i), "someone@example.com", "https://github.com/org/repo"},
	}
}

// BenchmarkAdd is the log's share of an upload on a store that costs little,
// with signatures that cost nothing.
func BenchmarkAdd(b *testing.B) {
	for _, clients := range []int{1, 64} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			l, _, _ := fixture(b)
			var n atomic.Int64
			b.SetParallelism((clients + 1) / 2)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := l.Add(context.Background(), bulk(n.Add(1))); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

func BenchmarkRead(b *testing.B) {
	l, s, _ := fixture(b)
	const size = 2000
	var hits []log.Hit
	for i := range int64(size) {
		e, err := l.Add(context.Background(), bulk(i))
		if err != nil {
			b.Fatal(err)
		}
		hits = append(hits, log.Hit{Index: e.Index, Hash: e.Hash})
	}
	l = open(b, s, options(&clock{at: time.Unix(2000, 0)}))
	ctx := context.Background()
	for name, do := range map[string]func(i int) error{
		"entry":  func(i int) error { _, err := l.Entry(ctx, int64(i%size)); return err },
		"lookup": func(i int) error { _, err := l.Lookup(ctx, hits[i%size].Hash); return err },
		"search": func(i int) error {
			_, err := l.Search(ctx, log.Query{Terms: [][]string{{fmt.Sprint("key", i%size)}}, After: -1})
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := do(i); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

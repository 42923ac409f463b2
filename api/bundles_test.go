package api

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

// A shelf makes bundles of 256 entries of a size.
type shelf struct {
	entry int    // bytes
	fixed []byte // what every bundle is, if not nil
	reads atomic.Int64
	fails func(n int64) error // nil never fails
}

func (s *shelf) EntryBundle(_ context.Context, n int64, width int) ([]byte, error) {
	s.reads.Add(1)
	if s.fails != nil {
		if err := s.fails(n); err != nil {
			return nil, err
		}
	}
	if s.fixed != nil {
		return firstEntries(s.fixed, width)
	}
	var b []byte
	for i := range width {
		body := fmt.Appendf(nil, "%d/%d", n, i)
		body = append(body, make([]byte, s.entry-len(body))...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
		b = append(b, body...)
	}
	return b, nil
}

// check wants the bounds to be kept and the sums to be right.
func (c *bundles) check(held map[*blob]int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var size, away int64
	for _, b := range c.kept.Values() {
		size += int64(len(b.data))
		if !b.kept {
			return errors.New("a blob is kept that says it is not")
		}
	}
	for b, holders := range held {
		if b.holders != holders {
			return fmt.Errorf("a blob has %d holders, not %d", b.holders, holders)
		}
		if !b.kept {
			away += int64(len(b.data))
		}
	}
	if size != c.size || away != c.away || size > keptBundles || len(c.flights) > 0 {
		return fmt.Errorf("kept %d bytes, not %d; away %d, not %d; %d flights", c.size, size, c.away, away, len(c.flights))
	}
	return nil
}

// TestBundlesBounds draws readers that come and go.
func TestBundlesBounds(t *testing.T) {
	t.Parallel()
	fixed := make(map[int][]byte)
	for _, entry := range []int{100, 3000, 20_000, 60_000} {
		b, err := (&shelf{entry: entry}).EntryBundle(t.Context(), 0, merkle.TileWidth)
		if err != nil {
			t.Fatal(err)
		}
		fixed[entry] = b
	}
	rapid.Check(t, func(t *rapid.T) {
		c := newBundles(&shelf{fixed: fixed[rapid.SampledFrom([]int{100, 3000, 20_000, 60_000}).Draw(t, "entry")]})
		held := make(map[*blob]int)
		var order []*blob
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			if len(order) > 0 && rapid.Bool().Draw(t, "release") {
				i := rapid.IntRange(0, len(order)-1).Draw(t, "which")
				b := order[i]
				order = append(order[:i], order[i+1:]...)
				if held[b]--; held[b] == 0 {
					delete(held, b)
				}
				c.release(b)
			} else {
				away := c.away
				b, err := c.get(context.Background(), rapid.Int64Range(0, 50).Draw(t, "n"), rapid.SampledFrom([]int{256, 256, 7}).Draw(t, "width"), false)
				if err != nil {
					if away <= awayBundles {
						t.Fatal(err)
					}
					continue
				}
				order = append(order, b)
				held[b]++
			}
			if err := c.check(held); err != nil {
				t.Fatal(err)
			}
		}
		for _, b := range order {
			c.release(b)
		}
		if err := c.check(nil); err != nil {
			t.Fatal(err)
		}
	})
}

// TestBundlesOfSlowReaders holds one bundle after the other: at some point
// there are no more, and the others go on once one is given back.
func TestBundlesOfSlowReaders(t *testing.T) {
	t.Parallel()
	c := newBundles(&shelf{entry: 20_000}) // 5 MB each
	var held []*blob
	for n := int64(0); ; n++ {
		b, err := c.get(t.Context(), n, merkle.TileWidth, false)
		if err != nil {
			var refused *refusal
			if !errors.As(err, &refused) || refused.status != 503 {
				t.Errorf("refused with %v", err)
			}
			break
		}
		if held = append(held, b); len(held) > 20 {
			t.Fatal("100 MB are held")
		}
	}
	if b, err := c.get(t.Context(), int64(len(held)-1), merkle.TileWidth, false); err != nil {
		t.Errorf("one that is kept: %v", err)
	} else {
		c.release(b)
	}
	for _, b := range held {
		c.release(b)
	}
	b, err := c.get(t.Context(), 1000, merkle.TileWidth, false)
	if err != nil {
		t.Fatalf("when all are given back: %v", err)
	}
	c.release(b)
	if err := c.check(nil); err != nil {
		t.Error(err)
	}
}

// TestBundlesAskedForAtOnce asks for many before the first is made, when there
// is room for each: that does not make room for all.
func TestBundlesAskedForAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		c := newBundles(&shelf{entry: 20_000, fails: func(int64) error { <-hold; return nil }})
		var mu sync.Mutex
		var held []*blob
		var wg sync.WaitGroup
		for n := range int64(30) {
			wg.Go(func() {
				b, err := c.get(t.Context(), n, merkle.TileWidth-1, false)
				var refused *refusal
				if err != nil && (!errors.As(err, &refused) || refused.status != 503) {
					t.Errorf("refused with %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					held = append(held, b)
				}
			})
		}
		synctest.Wait()
		close(hold)
		wg.Wait()
		const most = awayBundles/(256*20_000) + 1 + buildsAtOnce
		if len(held) == 0 || len(held) > most {
			t.Errorf("%d bundles of 5 MB are held, want up to %d", len(held), most)
		}
		for _, b := range held {
			c.release(b)
		}
		if err := c.check(nil); err != nil {
			t.Error(err)
		}
	})
}

// TestBundlesOfNobody has those who asked leave before it is the turn of what
// they asked for: it is not made.
func TestBundlesOfNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		s := &shelf{entry: 100, fails: func(int64) error { <-hold; return nil }}
		c := newBundles(s)
		ctx, cancel := context.WithCancel(t.Context())
		for n := range int64(20) {
			go c.get(ctx, n, 7, false) //nolint:errcheck // it leaves
			synctest.Wait()
		}
		cancel()
		synctest.Wait()
		close(hold)
		synctest.Wait()
		if n := s.reads.Load(); n != buildsAtOnce {
			t.Errorf("%d bundles were made for nobody, want those %d that were begun", n, buildsAtOnce)
		}
		if err := c.check(nil); err != nil {
			t.Error(err)
		}
	})
}

// TestBundlesOfReadersWhoLeave cancels all, and some, who wait for a bundle.
func TestBundlesOfReadersWhoLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		s := &shelf{entry: 100, fails: func(int64) error { <-hold; return nil }}
		c := newBundles(s)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				ctx := ctx
				if i%2 == 0 {
					ctx = t.Context()
				}
				b, err := c.get(ctx, 0, 7, false) // a partial one, which is not kept
				if (err == nil) != (i%2 == 0) {
					t.Errorf("reader %d: %v", i, err)
				}
				if err == nil {
					c.release(b)
				}
			})
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(hold)
		wg.Wait()
		if n := s.reads.Load(); n != 1 {
			t.Errorf("read %d times", n)
		}
		if err := c.check(nil); err != nil {
			t.Error(err)
		}
	})
}

func TestBundlesThatFail(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection lost")
	fail := true
	c := newBundles(&shelf{entry: 100, fails: func(n int64) error {
		switch {
		case n == 2:
			panic("out of luck")
		case n == 3:
			return log.ErrNotFound
		case fail:
			return broken
		}
		return nil
	}})
	if _, err := c.get(t.Context(), 1, 256, true); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if _, err := c.get(t.Context(), 2, 256, true); err == nil || !strings.Contains(err.Error(), "out of luck") {
		t.Errorf("a panic: %v", err)
	}
	if _, err := c.get(t.Context(), 3, 256, true); !errors.Is(err, log.ErrNotFound) {
		t.Errorf("%v", err)
	}
	fail = false
	b, err := c.get(t.Context(), 1, 256, true)
	if err != nil {
		t.Fatalf("the failure was kept: %v", err)
	}
	c.release(b)
	if err := c.check(nil); err != nil {
		t.Error(err)
	}
}

// TestBundlesFromOtherForms wants one read for all forms of a bundle.
func TestBundlesFromOtherForms(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]bool{"plain first": false, "compressed first": true} {
		s := &shelf{entry: 1000}
		want, err := s.EntryBundle(t.Context(), 5, 256)
		if err != nil {
			t.Fatal(err)
		}
		s.reads.Store(0)
		c := newBundles(s)
		for _, zip := range []bool{first, !first} {
			for _, width := range []int{256, 1, 255, 256} {
				b, err := c.get(t.Context(), 5, width, zip)
				if err != nil {
					t.Fatal(err)
				}
				if !zip && !bytes.Equal(b.data, want[:1002*width]) {
					t.Errorf("%s: another bundle of %d", name, width)
				}
				c.release(b)
			}
		}
		if n := s.reads.Load(); n != 1 {
			t.Errorf("%s: %d reads", name, n)
		}
	}
}

func TestFirstEntriesOfDamaged(t *testing.T) {
	t.Parallel()
	for _, b := range [][]byte{nil, {0}, {0, 5, 1, 2}, {0, 1, 7, 0}} {
		if got, err := firstEntries(b, 2); err == nil {
			t.Errorf("%x: %x", b, got)
		}
	}
}

func FuzzFirstEntries(f *testing.F) {
	f.Add([]byte{0, 1, 7, 0, 0}, 2)
	f.Fuzz(func(t *testing.T, bundle []byte, n int) {
		n &= 255
		part, err := firstEntries(bundle, n)
		if err == nil && !bytes.HasPrefix(bundle, part) {
			t.Errorf("%x is not how %x begins", part, bundle)
		}
	})
}

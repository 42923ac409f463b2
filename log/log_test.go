package log_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
	"github.com/cairnlog/cairn/storage/memory"
)

// A plainSigner signs with a hash: what is signed can be checked, and the
// tests of this package need no keys.
type plainSigner struct{}

func (plainSigner) SignTree(t merkle.Tree) ([]byte, error) {
	return fmt.Appendf(nil, "tree %d %v", t.Size, t.Root), nil
}

func (plainSigner) SignEntry(index, time int64, body []byte) ([]byte, error) {
	h := sha256.Sum256(body)
	return fmt.Appendf(nil, "entry %d %d %x", index, time, h[:4]), nil
}

var identity = log.Identity{Origin: "log.example", TreeID: 7, KeyID: [32]byte{1}}

// A clock gives a time that the test sets.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) set(unix int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = time.Unix(unix, 0)
}

func options(c *clock) log.Options {
	return log.Options{Identity: identity, Signer: plainSigner{}, Now: c.Now}
}

func create(t testing.TB, s log.Store) {
	t.Helper()
	if err := log.Create(context.Background(), s, identity, plainSigner{}, time.Unix(1000, 0)); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, s log.Store, o log.Options) *log.Log {
	t.Helper()
	l, err := log.Open(context.Background(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// fixture opens a new log in memory.
func fixture(t testing.TB) (*log.Log, log.Store, *clock) {
	t.Helper()
	s := memory.New()
	create(t, s)
	c := &clock{at: time.Unix(2000, 0)}
	return open(t, s, options(c)), s, c
}

func leaf(i int) log.Leaf {
	return log.Leaf{Body: fmt.Appendf(nil, "leaf %d", i), Terms: []string{fmt.Sprintf("Term%d@Example.com", i), "common", fmt.Sprintf("mod%d", i%3)}}
}

func add(t testing.TB, l *log.Log, lf log.Leaf) *log.ProvenEntry {
	t.Helper()
	e, err := l.Add(context.Background(), lf)
	if err != nil {
		t.Fatal(err)
	}
	check(t, e)
	return e
}

// check verifies an entry as a stranger would.
func check(t testing.TB, e *log.ProvenEntry) {
	t.Helper()
	if e.Hash != merkle.HashLeaf(e.Body) {
		t.Errorf("entry %d: hash is not of the body", e.Index)
	}
	if err := merkle.VerifyInclusion(e.Hash, e.Index, e.Proof.Tree, e.Proof.Hashes); err != nil {
		t.Error(err)
	}
	checkpoint, _ := plainSigner{}.SignTree(e.Proof.Tree)
	if string(checkpoint) != string(e.Proof.Checkpoint) {
		t.Errorf("entry %d: checkpoint %q is not of the tree", e.Index, e.Proof.Checkpoint)
	}
	promise, _ := plainSigner{}.SignEntry(e.Index, e.Time, e.Body)
	if string(promise) != string(e.Promise) {
		t.Errorf("entry %d: promise %q is not of the entry", e.Index, e.Promise)
	}
}

func TestAddAndRead(t *testing.T) {
	t.Parallel()
	l, s, _ := fixture(t)
	for i := range 600 {
		lf := leaf(i)
		if i%100 == 0 {
			lf.Attachment = fmt.Appendf(nil, "attachment %d", i)
		}
		if e := add(t, l, lf); e.Index != int64(i) || e.Proof.Tree.Size != int64(i+1) || e.HasAttachment != (i%100 == 0) {
			t.Fatalf("entry %d: %+v", i, e)
		}
	}
	c := &clock{at: time.Unix(2000, 0)}
	for name, l := range map[string]*log.Log{"same": l, "reopened": open(t, s, options(c))} {
		for i := range 600 {
			e, err := l.Entry(t.Context(), int64(i))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			check(t, e)
			if string(e.Body) != string(leaf(i).Body) || e.Index != int64(i) {
				t.Errorf("%s: entry %d is %q at %d", name, i, e.Body, e.Index)
			}
			again, err := l.Lookup(t.Context(), e.Hash)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if diff := cmp.Diff(e, again, cmpopts.IgnoreUnexported(log.Proof{})); diff != "" {
				t.Errorf("%s: lookup of %d: %s", name, i, diff)
			}
		}
		a, err := l.Attachment(t.Context(), 300)
		if err != nil || string(a) != "attachment 300" {
			t.Errorf("%s: attachment is %q, %v", name, a, err)
		}
		if _, err := l.Attachment(t.Context(), 301); !errors.Is(err, log.ErrNotFound) {
			t.Errorf("%s: no attachment: %v", name, err)
		}
	}
}

func TestReadWhatIsNotThere(t *testing.T) {
	t.Parallel()
	l, _, _ := fixture(t)
	for _, index := range []int64{-1, 0, 1 << 62} {
		if _, err := l.Entry(t.Context(), index); !errors.Is(err, log.ErrNotFound) {
			t.Errorf("entry %d: %v", index, err)
		}
	}
	e := add(t, l, leaf(0))
	other := e.Hash
	other[31] ^= 1 // the same key
	if _, err := l.Lookup(t.Context(), other); !errors.Is(err, log.ErrNotFound) {
		t.Errorf("hash with the same key: %v", err)
	}
	if _, err := l.Entry(t.Context(), 1); !errors.Is(err, log.ErrNotFound) {
		t.Errorf("entry at size: %v", err)
	}
}

func TestDuplicates(t *testing.T) {
	t.Parallel()
	l, s, _ := fixture(t)
	first := add(t, l, leaf(1))
	add(t, l, leaf(2))
	c := &clock{at: time.Unix(2000, 0)}
	for name, l := range map[string]*log.Log{"same": l, "reopened": open(t, s, options(c))} {
		_, err := l.Add(t.Context(), leaf(1))
		var d *log.DuplicateError
		if !errors.As(err, &d) || d.Index != 0 || d.Hash != first.Hash {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := l.Entry(t.Context(), d.Index); err != nil {
			t.Errorf("%s: the entry named is not readable: %v", name, err)
		}
	}
	if h, err := l.Head(t.Context()); err != nil || h.Tree.Size != 2 {
		t.Errorf("head is %v, %v", h.Tree, err)
	}
}

// TestOneOfMany adds each leaf from many callers at once: one is told of a
// new entry, the others of that entry, which they can read at once.
func TestOneOfMany(t *testing.T) {
	t.Parallel()
	l, _, _ := fixture(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	added := make(map[int]int)
	for range 8 {
		wg.Go(func() {
			for i := range 100 {
				e, err := l.Add(context.Background(), leaf(i))
				var d *log.DuplicateError
				switch {
				case err == nil:
					check(t, e)
					mu.Lock()
					added[i]++
					mu.Unlock()
				case errors.As(err, &d):
					e, err := l.Entry(context.Background(), d.Index)
					if err != nil || string(e.Body) != string(leaf(i).Body) {
						t.Errorf("leaf %d: duplicate of %d, which is %v, %v", i, d.Index, e, err)
					}
				default:
					t.Errorf("leaf %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	for i := range 100 {
		if added[i] != 1 {
			t.Errorf("leaf %d was added %d times", i, added[i])
		}
	}
	if h, _ := l.Head(t.Context()); h.Tree.Size != 100 {
		t.Errorf("size is %d", h.Tree.Size)
	}
}

func TestTimeNeverGoesBack(t *testing.T) {
	t.Parallel()
	l, s, c := fixture(t)
	var last int64
	for i, now := range []int64{2000, 3000, 2500, 10, 3001} {
		c.set(now)
		e := add(t, l, leaf(i))
		if want := max(last, now); e.Time != want {
			t.Errorf("clock at %d: time is %d, want %d", now, e.Time, want)
		}
		last = e.Time
	}
	old := &clock{at: time.Unix(5, 0)}
	if e := add(t, open(t, s, options(old)), leaf(99)); e.Time != last {
		t.Errorf("after reopening: time is %d, want %d", e.Time, last)
	}
}

func TestLeafLimits(t *testing.T) {
	t.Parallel()
	l, _, _ := fixture(t)
	if _, err := l.Add(t.Context(), log.Leaf{}); err == nil {
		t.Error("empty leaf: no error")
	}
	if _, err := l.Add(t.Context(), log.Leaf{Body: make([]byte, log.MaxLeafSize+1)}); !errors.Is(err, log.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	body := make([]byte, log.MaxLeafSize)
	for i := range 40 { // more than a batch holds by bytes
		binary.BigEndian.PutUint64(body, uint64(i))
		add(t, l, log.Leaf{Body: slices.Clone(body)})
	}
	many := log.Leaf{Body: []byte("many")}
	for i := range 5000 {
		many.Terms = append(many.Terms, fmt.Sprint("subject", i), "again")
	}
	add(t, l, many)
	if hits, err := l.Search(t.Context(), log.Query{Terms: [][]string{{"again"}, {"subject4999"}}, All: true, After: -1}); err != nil || len(hits) != 1 {
		t.Errorf("found %v, %v", hits, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	s := memory.New()
	if _, err := log.Open(t.Context(), s, options(new(clock))); !errors.Is(err, log.ErrNoLog) {
		t.Errorf("empty store: %v", err)
	}
	create(t, s)
	if err := log.Create(t.Context(), s, identity, plainSigner{}, time.Now()); !errors.Is(err, log.ErrExists) {
		t.Errorf("second log: %v", err)
	}
	for field, change := range map[string]func(*log.Identity){
		"origin":  func(id *log.Identity) { id.Origin = "other" },
		"tree id": func(id *log.Identity) { id.TreeID++ },
		"key":     func(id *log.Identity) { id.KeyID[0]++ },
	} {
		o := options(new(clock))
		change(&o.Identity)
		_, err := log.Open(t.Context(), s, o)
		var ie *log.IdentityError
		if !errors.As(err, &ie) || ie.Field != field || !strings.Contains(err.Error(), field) {
			t.Errorf("other %s: %v", field, err)
		}
	}
}

func TestConsistency(t *testing.T) {
	t.Parallel()
	l, _, _ := fixture(t)
	trees := []merkle.Tree{{Root: merkle.EmptyRoot}}
	for i := range 40 {
		trees = append(trees, add(t, l, leaf(i)).Proof.Tree)
	}
	for last := 1; last <= 40; last++ {
		for first := 1; first <= last; first++ {
			hashes, h, err := l.Consistency(t.Context(), int64(first), int64(last))
			if err != nil {
				t.Fatal(err)
			}
			if h.Tree.Size != 40 {
				t.Fatalf("head has size %d", h.Tree.Size)
			}
			if err := merkle.VerifyConsistency(trees[first], trees[last], hashes); err != nil {
				t.Error(err)
			}
		}
	}
	for _, c := range [][2]int64{{0, 1}, {2, 1}, {1, 41}, {41, 41}} {
		if _, _, err := l.Consistency(t.Context(), c[0], c[1]); !errors.Is(err, log.ErrOutOfRange) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	l, _, _ := fixture(t)
	var all, thirds []int64
	for i := range 3000 {
		all = append(all, int64(i))
		if i%3 == 1 {
			thirds = append(thirds, int64(i))
		}
	}
	var wg sync.WaitGroup
	next := make(chan int)
	for range 64 {
		wg.Go(func() {
			for i := range next {
				lf := leaf(i)
				if _, err := l.Add(context.Background(), lf); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 3000 {
		next <- i
	}
	close(next)
	wg.Wait()

	place := make(map[string]int64) // where each leaf went
	for i := range all {
		e, err := l.Entry(t.Context(), int64(i))
		if err != nil {
			t.Fatal(err)
		}
		place[string(e.Body)] = e.Index
	}
	at := func(leaves []int64) (indexes []int64) {
		for _, i := range leaves {
			indexes = append(indexes, place[string(leaf(int(i)).Body)])
		}
		slices.Sort(indexes)
		return indexes
	}
	one := at([]int64{17})
	for name, c := range map[string]struct {
		query log.Query
		want  []int64
	}{
		"nothing":           {log.Query{After: -1}, nil},
		"unknown":           {log.Query{Terms: [][]string{{"nobody"}}, After: -1}, nil},
		"one":               {log.Query{Terms: [][]string{{"term17@example.com"}}, After: -1}, one},
		"case":              {log.Query{Terms: [][]string{{"TERM17@EXAMPLE.COM"}}, After: -1}, one},
		"common":            {log.Query{Terms: [][]string{{"common"}}, After: -1}, all},
		"third":             {log.Query{Terms: [][]string{{"mod1"}}, After: -1}, at(thirds)},
		"and":               {log.Query{Terms: [][]string{{"common"}, {"mod1"}}, All: true, After: -1}, at(thirds)},
		"and, none":         {log.Query{Terms: [][]string{{"mod0"}, {"mod1"}}, All: true, After: -1}, nil},
		"and, unknown":      {log.Query{Terms: [][]string{{"common"}, {"nobody"}}, All: true, After: -1}, nil},
		"and, one":          {log.Query{Terms: [][]string{{"common"}, {"term17@example.com"}}, All: true, After: -1}, one},
		"or":                {log.Query{Terms: [][]string{{"mod1"}, {"common"}}, After: -1}, all},
		"or, unknown":       {log.Query{Terms: [][]string{{"nobody"}, {"mod1"}}, After: -1}, at(thirds)},
		"same twice":        {log.Query{Terms: [][]string{{"mod1"}, {"mod1"}}, All: true, After: -1}, at(thirds)},
		"spellings":         {log.Query{Terms: [][]string{{"nobody", "mod1"}}, All: true, After: -1}, at(thirds)},
		"spellings overlap": {log.Query{Terms: [][]string{{"common", "mod1"}, {"mod1"}}, All: true, After: -1}, at(thirds)},
		"limit":             {log.Query{Terms: [][]string{{"common"}}, After: -1, Limit: 70}, all[:70]},
		"after":             {log.Query{Terms: [][]string{{"common"}}, After: 2989}, all[2990:]},
		"after, limit":      {log.Query{Terms: [][]string{{"common"}}, After: 99, Limit: 3}, all[100:103]},
		"leaf hash":         {log.Query{Terms: [][]string{{merkle.HashLeaf(leaf(1).Body).String()}}, After: -1}, nil},
	} {
		hits, err := l.Search(t.Context(), c.query)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []int64
		for _, h := range hits {
			got = append(got, h.Index)
			e, err := l.Entry(t.Context(), h.Index)
			if err != nil || e.Hash != h.Hash {
				t.Fatalf("%s: hit %v is not entry %v, %v", name, h, e, err)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

// TestReplicas has two logs on one store: each sees at once what the other
// answered for, and both may add at the same time.
func TestReplicas(t *testing.T) {
	t.Parallel()
	a, s, c := fixture(t)
	b := open(t, s, options(c))
	for i := range 50 {
		writer, reader := a, b
		if i%2 == 1 {
			writer, reader = b, a
		}
		e := add(t, writer, leaf(i))
		got, err := reader.Entry(t.Context(), e.Index)
		if err != nil {
			t.Fatal(err)
		}
		check(t, got)
		if h, err := reader.Head(t.Context()); err != nil || h.Tree != e.Proof.Tree {
			t.Fatalf("head of the other is %v, %v", h.Tree, err)
		}
		if hits, err := reader.Search(t.Context(), log.Query{Terms: [][]string{{fmt.Sprintf("term%d@example.com", i)}}, After: -1}); err != nil || len(hits) != 1 {
			t.Fatalf("search on the other found %v, %v", hits, err)
		}
		if _, err := reader.Add(t.Context(), leaf(i)); !errors.As(err, new(*log.DuplicateError)) {
			t.Fatalf("add to the other: %v", err)
		}
	}

	var wg sync.WaitGroup
	for w, l := range []*log.Log{a, b, a, b} {
		wg.Go(func() {
			for i := range 200 {
				add(t, l, leaf(1000*(w+1)+i))
			}
		})
	}
	wg.Wait()
	ha, _ := a.Head(t.Context())
	hb, _ := b.Head(t.Context())
	if ha.Tree != hb.Tree || ha.Tree.Size != 850 {
		t.Errorf("heads are %v and %v", ha.Tree, hb.Tree)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	l, _, _ := fixture(t)
	add(t, l, leaf(0))
	l.Close()
	l.Close()
	if _, err := l.Add(t.Context(), leaf(1)); !errors.Is(err, log.ErrClosed) {
		t.Errorf("add after close: %v", err)
	}
	if err := l.Ready(t.Context()); !errors.Is(err, log.ErrClosed) {
		t.Errorf("ready after close: %v", err)
	}
}

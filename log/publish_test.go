package log_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
	"github.com/cairnlog/cairn/storage/memory"
)

// cosigned returns a note over t with a line of somebody: this package does
// not verify them.
func cosigned(t merkle.Tree, by string) []byte {
	c := checkpoint.Checkpoint{Origin: identity.Origin, Tree: t}
	return []byte(c.Text() + "\n— " + by + " AAAAAAA=\n")
}

// noteSigner signs as cosigned does.
type noteSigner struct{}

func (noteSigner) Checkpoint(t merkle.Tree) ([]byte, error) { return cosigned(t, "log"), nil }

func witnessedOptions(c *clock) log.Options {
	o := options(c)
	o.Checkpointer, o.Witnessed = noteSigner{}, true
	return o
}

// witnessed opens a new log that has witnesses, in memory.
func witnessed(t testing.TB) (*log.Log, *memory.Store, *clock) {
	t.Helper()
	s := memory.New()
	create(t, s)
	c := &clock{at: time.Unix(2000, 0)}
	return open(t, s, witnessedOptions(c)), s, c
}

func published(t testing.TB, l *log.Log, want merkle.Tree, by string, enough bool) {
	t.Helper()
	p, err := l.Published(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p.Tree != want || p.Cosigned != enough || !strings.Contains(string(p.Note), "— "+by+" ") {
		t.Fatalf("published %d, cosigned: %t\n%s\nwant %d by %s, cosigned: %t", p.Tree.Size, p.Cosigned, p.Note, want.Size, by, enough)
	}
}

func TestPublish(t *testing.T) {
	t.Parallel()
	l, s, c := witnessed(t)
	ctx := t.Context()
	empty := merkle.Tree{Root: merkle.EmptyRoot}
	published(t, l, empty, "log", false)
	var trees []merkle.Tree
	for i := range 3 {
		trees = append(trees, add(t, l, leaf(i)).Proof.Tree)
	}
	published(t, l, empty, "log", false) // growth alone shows nothing
	other := open(t, s, witnessedOptions(c))
	published(t, other, trees[2], "log", false) // opened later

	if err := l.Publish(ctx, cosigned(trees[1], "w1")); err != nil {
		t.Fatal(err)
	}
	published(t, l, trees[1], "w1", true)
	published(t, other, trees[2], "log", false) // does not go back
	if err := other.Publish(ctx, cosigned(trees[2], "w2")); err != nil {
		t.Fatal(err)
	}
	published(t, other, trees[2], "w2", true)
	published(t, l, trees[2], "w2", true)
	if err := l.Publish(ctx, cosigned(trees[0], "late")); err != nil {
		t.Fatal(err)
	}
	published(t, l, trees[2], "w2", true)
	if err := l.Publish(ctx, cosigned(trees[2], "more")); err != nil {
		t.Fatal(err)
	}
	published(t, l, trees[2], "more", true)
	published(t, other, trees[2], "more", true)
	published(t, open(t, s, witnessedOptions(c)), trees[2], "more", true)
	published(t, open(t, s, func() log.Options { o := witnessedOptions(c); o.Witnessed = false; return o }()), trees[2], "log", false)

	wrong := trees[1]
	wrong.Root[0]++
	future := trees[2]
	future.Size++
	for name, note := range map[string][]byte{
		"not a note":         []byte("x"),
		"other root":         cosigned(wrong, "w"),
		"future":             cosigned(future, "w"),
		"root of no entries": cosigned(merkle.Tree{}, "w"),
		"other origin":       []byte(strings.Replace(string(cosigned(trees[2], "w")), identity.Origin, "x", 1)),
	} {
		if err := l.Publish(ctx, note); err == nil {
			t.Errorf("%s: published", name)
		}
		published(t, l, trees[2], "more", true)
	}
	if err := l.Ready(ctx); err != nil {
		t.Errorf("after what was refused: %v", err)
	}
	plain, _, _ := fixture(t)
	if err := plain.Publish(ctx, cosigned(empty, "w")); err == nil {
		t.Error("a log without witnesses publishes")
	}
}

// TestPublishedContradicts gives a log a published tree that it never had.
func TestPublishedContradicts(t *testing.T) {
	t.Parallel()
	l, s, c := witnessed(t)
	tree := add(t, l, leaf(0)).Proof.Tree
	tree.Root[5]++
	if err := s.Publish(t.Context(), 1, cosigned(tree, "w")); err != nil {
		t.Fatal(err)
	}
	var back *log.RollbackError
	if _, err := l.Published(t.Context()); !errors.As(err, &back) {
		t.Errorf("Published: %v, want a rollback", err)
	}
	if _, err := l.Add(t.Context(), leaf(1)); !errors.Is(err, log.ErrClosed) {
		t.Errorf("Add: %v, want ErrClosed", err)
	}
	if err := l.Ready(t.Context()); !errors.As(err, &back) {
		t.Errorf("Ready: %v, want the rollback", err)
	}
	if _, err := log.Open(t.Context(), s, witnessedOptions(c)); !errors.As(err, &back) {
		t.Errorf("Open: %v, want a rollback", err)
	}
}

func TestWaitPublished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, s, c := witnessed(t)
		other := open(t, s, witnessedOptions(c))
		defer l.Close()
		defer other.Close()
		ctx := t.Context()
		var trees []merkle.Tree
		for i := range 3 {
			trees = append(trees, add(t, l, leaf(i)).Proof.Tree)
		}
		if _, err := l.WaitPublished(ctx, 3); !errors.Is(err, log.ErrNotFound) {
			t.Errorf("past the end: %v, want ErrNotFound", err)
		}
		var wg sync.WaitGroup
		wait := func(l *log.Log, index int64, want merkle.Tree) {
			wg.Go(func() {
				p, err := l.WaitPublished(ctx, index)
				if err != nil || p.Tree != want || !p.Cosigned {
					t.Errorf("waited for %d: %d, cosigned: %t, %v; want %d", index, p.Tree.Size, p.Cosigned, err, want.Size)
				}
			})
		}
		for range 100 {
			wait(l, 0, trees[0])
			wait(other, 0, trees[0])
			wait(l, 2, trees[2])
			wait(other, 1, trees[2])
		}
		short, cancel := context.WithTimeout(ctx, time.Minute)
		if _, err := l.WaitPublished(short, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody publishes: %v", err)
		}
		cancel()
		if err := l.Publish(ctx, cosigned(trees[0], "w")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := other.Publish(ctx, cosigned(trees[2], "w")); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if p, err := l.WaitPublished(ctx, 2); err != nil || p.Tree != trees[2] {
			t.Errorf("at once: %d, %v", p.Tree.Size, err)
		}
	})
}

func TestWaitPublishedEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*log.Log){
		"closed":  func(l *log.Log) { l.Close() },
		"stopped": func(l *log.Log) { l.Fail(errors.New("a witness has seen more")) },
	} {
		synctest.Test(t, func(t *testing.T) {
			l, _, _ := witnessed(t)
			defer l.Close()
			add(t, l, leaf(0))
			const most = 4096
			errs := make(chan error, most+10)
			for range most + 10 {
				go func() {
					_, err := l.WaitPublished(t.Context(), 0)
					errs <- err
				}()
			}
			synctest.Wait()
			if n := len(errs); n != 10 {
				t.Errorf("%s: %d of %d do not wait, want 10", name, n, most+10)
			}
			for range len(errs) {
				if err := <-errs; !errors.Is(err, log.ErrWaiting) {
					t.Errorf("%s: %v, want ErrWaiting", name, err)
				}
			}
			end(l)
			for range most {
				if err := <-errs; !errors.Is(err, log.ErrClosed) {
					t.Fatalf("%s: %v, want ErrClosed", name, err)
				}
			}
			if _, err := l.Add(t.Context(), leaf(1)); !errors.Is(err, log.ErrClosed) {
				t.Errorf("%s: add: %v, want ErrClosed", name, err)
			}
		})
	}
}

// TestPublishRace publishes through replicas that know nothing of each other.
func TestPublishRace(t *testing.T) {
	t.Parallel()
	l, s, c := witnessed(t)
	var trees []merkle.Tree
	for i := range 40 {
		trees = append(trees, add(t, l, leaf(i)).Proof.Tree)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		r := open(t, s, witnessedOptions(c))
		wg.Go(func() {
			last := int64(-1)
			for j := range len(trees) {
				tree := trees[(j*7+i)%len(trees)]
				if err := r.Publish(t.Context(), cosigned(tree, fmt.Sprint("w", i))); err != nil {
					t.Error(err)
				}
				p, err := r.Published(t.Context())
				if err != nil || p.Tree.Size < last || p.Tree.Size < tree.Size {
					t.Errorf("published %d after %d and %d, %v", p.Tree.Size, last, tree.Size, err)
				}
				last = p.Tree.Size
			}
		})
	}
	wg.Wait()
}

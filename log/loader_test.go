package log

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"
)

// A gate is a load that waits for the test.
type gate struct {
	mu    sync.Mutex
	loads [][]int
	enter chan struct{}
	leave chan struct{}
}

func newGate(maxKeys, atOnce int) (*gate, *loader[int, int]) {
	g := &gate{enter: make(chan struct{}, 100), leave: make(chan struct{})}
	return g, &loader[int, int]{maxKeys: maxKeys, atOnce: atOnce, timeout: time.Minute,
		load: func(_ context.Context, keys []int) ([]int, error) {
			g.mu.Lock()
			g.loads = append(g.loads, slices.Clone(keys))
			g.mu.Unlock()
			g.enter <- struct{}{}
			<-g.leave
			values := make([]int, len(keys))
			for i, k := range keys {
				if k < 0 {
					return nil, errors.New("negative")
				}
				values[i] = 10 * k
			}
			return values, nil
		}}
}

func (g *gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.loads)
}

// waitingFor blocks until so many callers are in groups that have not started.
func waitingFor[K comparable, V any](l *loader[K, V], callers int) {
	for {
		n := 0
		l.mu.Lock()
		for _, g := range l.waiting {
			n += g.waiters
		}
		l.mu.Unlock()
		if n == callers {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func TestLoaderShares(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ maxKeys, keys, loads int }{
		"one key for all":     {1, 1, 2},
		"one key a load":      {1, 50, 51},
		"all keys in a load":  {64, 50, 2},
		"keys of three loads": {20, 50, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, l := newGate(c.maxKeys, 1)
			var wg sync.WaitGroup
			ask := func(k int) {
				wg.Go(func() {
					if v, err := l.one(t.Context(), k); err != nil || v != 10*k {
						t.Errorf("key %d: have %d, %v", k, v, err)
					}
				})
			}
			ask(0)
			<-g.enter // a load that started before the others were asked for
			for i := range 50 {
				ask(i % c.keys)
			}
			waitingFor(l, 50)
			close(g.leave)
			wg.Wait()
			if g.count() != c.loads {
				t.Errorf("%d loads: %v", g.count(), g.loads)
			}
		})
	}
}

// TestLoaderForgetsWhoLeft has callers give up: what nobody waits for any
// more is not loaded, and the next caller does not stand behind it.
func TestLoaderForgetsWhoLeft(t *testing.T) {
	t.Parallel()
	g, l := newGate(1, 1)
	first := make(chan error)
	go func() { _, err := l.one(t.Context(), 0); first <- err }()
	<-g.enter
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if _, err := l.one(ctx, i); !errors.Is(err, context.Canceled) {
				t.Errorf("caller who left: %v", err)
			}
		})
	}
	waitingFor(l, 50)
	cancel()
	wg.Wait()
	second := make(chan error)
	go func() { _, err := l.one(t.Context(), 100); second <- err }()
	waitingFor(l, 1)
	close(g.leave)
	if err := errors.Join(<-first, <-second); err != nil {
		t.Error(err)
	}
	if g.count() != 2 {
		t.Errorf("%d loads: %v", g.count(), g.loads)
	}
}

func TestLoaderMany(t *testing.T) {
	t.Parallel()
	g, l := newGate(3, 2)
	close(g.leave)
	got, err := l.many(t.Context(), []int{5, 1, 5, 2, 9, 7})
	if err != nil || !slices.Equal(got, []int{50, 10, 50, 20, 90, 70}) {
		t.Errorf("have %v, %v", got, err)
	}
	if _, err := l.many(t.Context(), []int{1, -1, 2, 3, 4}); err == nil {
		t.Error("a load failed: no error")
	}
}

package log

import (
	"context"
	"sync"
	"time"
)

// A loader gathers loads of single keys into loads of many. There is no
// timer: while as many loads run as may, what is asked for waits together
// and goes as the next one. So a lone caller waits for nothing, and under
// load the cost of a round trip is shared.
//
// A call is only ever answered by a load that started after the call.
type loader[K comparable, V any] struct {
	load    func(ctx context.Context, keys []K) ([]V, error)
	maxKeys int           // in one load
	atOnce  int           // loads that may run at the same time
	timeout time.Duration // of one load

	mu      sync.Mutex
	running int
	waiting []*group[K, V] // not started; all but the last are full
}

type group[K comparable, V any] struct {
	keys   []K
	place  map[K]int
	done   chan struct{}
	values []V
	err    error
}

// one returns the value of a key.
func (l *loader[K, V]) one(ctx context.Context, key K) (V, error) {
	l.mu.Lock()
	var g *group[K, V]
	if n := len(l.waiting); n > 0 && len(l.waiting[n-1].keys) < l.maxKeys {
		g = l.waiting[n-1]
	} else {
		g = &group[K, V]{place: make(map[K]int), done: make(chan struct{})}
		l.waiting = append(l.waiting, g)
	}
	i, ok := g.place[key]
	if !ok {
		i = len(g.keys)
		g.place[key] = i
		g.keys = append(g.keys, key)
	}
	start := l.running < l.atOnce
	if start {
		l.running++
	}
	l.mu.Unlock()
	if start {
		go l.run()
	}

	select {
	case <-g.done:
	case <-ctx.Done():
		var zero V
		return zero, ctx.Err()
	}
	if g.err != nil {
		var zero V
		return zero, g.err
	}
	return g.values[i], nil
}

// run loads one group after the other until none waits.
func (l *loader[K, V]) run() {
	for {
		l.mu.Lock()
		if len(l.waiting) == 0 {
			l.running--
			l.mu.Unlock()
			return
		}
		g := l.waiting[0]
		l.waiting = l.waiting[1:]
		l.mu.Unlock()

		// Not the context of a caller: others wait for the same load.
		ctx, cancel := context.WithTimeout(context.Background(), l.timeout)
		g.values, g.err = l.load(ctx, g.keys)
		cancel()
		close(g.done)
	}
}

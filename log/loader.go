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
	maxKeys int             // in one load
	atOnce  int             // loads that may run at the same time
	timeout time.Duration   // of one load
	stop    <-chan struct{} // closed when goroutines that rest should end

	mu      sync.Mutex
	running int            // goroutines, with those that rest
	resting int            // that wait for a token in wake
	wake    chan struct{}  // made when first needed
	waiting []*group[K, V] // not started; all but the last are full
}

type group[K comparable, V any] struct {
	keys    []K
	place   map[K]int
	waiters int // callers who have not gone
	done    chan struct{}
	values  []V
	err     error
}

// one returns the value of a key.
func (l *loader[K, V]) one(ctx context.Context, key K) (V, error) {
	return l.join(key).wait(ctx, l)
}

// many returns the values of keys.
func (l *loader[K, V]) many(ctx context.Context, keys []K) ([]V, error) {
	seats := make([]seat[K, V], len(keys))
	for i, k := range keys {
		seats[i] = l.join(k)
	}
	values := make([]V, len(keys))
	var err error
	for i, s := range seats {
		var e error
		if values[i], e = s.wait(ctx, l); e != nil && err == nil {
			err = e // go on: each seat must be left
		}
	}
	if err != nil {
		return nil, err
	}
	return values, nil
}

// A seat is a key's place in a group.
type seat[K comparable, V any] struct {
	group *group[K, V]
	index int
}

// join puts a key into the last group that waits, if it has room or has the
// key, or into a new one.
func (l *loader[K, V]) join(key K) seat[K, V] {
	l.mu.Lock()
	defer l.mu.Unlock()
	var g *group[K, V]
	i, ok := 0, false
	if n := len(l.waiting); n > 0 {
		g = l.waiting[n-1]
		if i, ok = g.place[key]; !ok && len(g.keys) >= l.maxKeys {
			g = nil
		}
	}
	if g == nil {
		g = &group[K, V]{place: make(map[K]int), done: make(chan struct{})}
		l.waiting = append(l.waiting, g)
	}
	if !ok {
		i = len(g.keys)
		g.place[key] = i
		g.keys = append(g.keys, key)
	}
	g.waiters++
	switch {
	case l.resting > 0:
		l.resting--
		l.wake <- struct{}{}
	case l.running < l.atOnce:
		l.running++
		go l.run()
	}
	return seat[K, V]{g, i}
}

func (s seat[K, V]) wait(ctx context.Context, l *loader[K, V]) (V, error) {
	var zero V
	select {
	case <-s.group.done:
	case <-ctx.Done():
		l.mu.Lock()
		s.group.waiters--
		l.mu.Unlock()
		return zero, ctx.Err()
	}
	if s.group.err != nil {
		return zero, s.group.err
	}
	return s.group.values[s.index], nil
}

// run loads one group after the other. When none waits it rests: a database
// needs a deep stack, which a new goroutine would have to grow each time.
func (l *loader[K, V]) run() {
	for {
		g := l.next()
		if g == nil {
			select {
			case <-l.wake:
				continue
			case <-l.stop:
			}
			l.mu.Lock()
			if l.resting > 0 {
				l.resting--
				l.running--
				l.mu.Unlock()
				return
			}
			l.mu.Unlock()
			<-l.wake // somebody counts on this goroutine
			continue
		}
		// Not the context of a caller: others wait for the same load.
		ctx, cancel := context.WithTimeout(context.Background(), l.timeout)
		g.values, g.err = l.load(ctx, g.keys)
		cancel()
		close(g.done)
	}
}

// next takes the oldest group that somebody waits for. When there is none, the
// goroutine that asks must rest.
func (l *loader[K, V]) next() *group[K, V] {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.waiting) > 0 {
		g := l.waiting[0]
		l.waiting = l.waiting[1:]
		if g.waiters > 0 {
			return g
		}
	}
	l.waiting = nil
	l.resting++
	if l.wake == nil {
		l.wake = make(chan struct{}, l.atOnce) // room for all, so that a token never blocks
	}
	return nil
}

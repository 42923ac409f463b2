package main

import (
	"context"
	"math/bits"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// A traffic is requests to a server, from a number of clients that each wait for
// an answer before they send again.
type traffic struct {
	addr     string
	clients  int
	rate     float64       // requests a second; 0 sends as fast as answers come
	count    int64         // how many at most
	duration time.Duration // how long at most; 0 is no limit
	timeout  time.Duration // of one request
	request  func(i int64) []byte
	accept   int // the status that counts
	sample   int // how many answers are kept
}

// A tally is what a load did.
type tally struct {
	elapsed  time.Duration
	accepted int64
	latency  histogram // of the accepted
	statuses map[int]int64
	network  map[string]int64 // errors that are no answers
	sent     int64            // bytes
	received int64            // bytes of bodies
	samples  []exchange       // of the accepted
}

// An exchange is a request with its answer.
type exchange struct{ request, answer []byte }

// failedLimit is how many requests in a row may fail on one connection before
// its client gives up: the server is gone.
const failedLimit = 20

// run sends the requests. With a rate, request i is due i/rate after the
// start, and its latency counts from then even if no client was free: a slow
// server cannot hide by slowing its clients down.
func (l *traffic) run(ctx context.Context) (*tally, error) {
	conns := make([]httpConn, l.clients)
	for i := range conns {
		conns[i].addr = l.addr
		defer conns[i].hangUp()
		if err := conns[i].dial(ctx); err != nil {
			return nil, err
		}
	}
	start := time.Now()
	stop := start.Add(1000 * time.Hour)
	if l.duration > 0 {
		stop = start.Add(l.duration)
	}
	due := func(i int64) time.Time {
		return start.Add(time.Duration(float64(i) / l.rate * float64(time.Second)))
	}
	next := l.counter(stop)
	if l.rate > 0 {
		paced, cancel := context.WithCancel(ctx)
		defer cancel()
		next = l.pacer(paced, due, stop)
	}

	tallies := make([]tally, l.clients)
	var wg sync.WaitGroup
	for c := range conns {
		wg.Go(func() {
			t := &tallies[c]
			t.statuses, t.network = map[int]int64{}, map[string]int64{}
			seen, failed := 0, 0
			for ctx.Err() == nil && failed < failedLimit {
				i, ok := next()
				if !ok {
					return
				}
				request := l.request(i)
				from := time.Now()
				if l.rate > 0 {
					from = due(i)
				}
				a, err := conns[c].do(ctx, request, l.timeout)
				took := time.Since(from)
				if err != nil {
					failed++
					t.network[err.Error()]++
					time.Sleep(10 * time.Millisecond) // the server may be starting again
					continue
				}
				failed = 0
				t.sent += int64(len(request))
				t.received += int64(len(a.body))
				t.statuses[a.status]++
				if a.status != l.accept {
					continue
				}
				t.accepted++
				t.latency.add(took)
				// Keep a fair sample of all: the n-th takes a place with probability places/n.
				seen++
				places := (l.sample + l.clients - 1) / l.clients
				if len(t.samples) < places {
					t.samples = append(t.samples, exchange{request, append([]byte(nil), a.body...)})
				} else if p := rand.IntN(seen); p < places {
					t.samples[p] = exchange{request, append(t.samples[p].answer[:0], a.body...)}
				}
			}
		})
	}
	wg.Wait()
	all := &tally{elapsed: time.Since(start), statuses: map[int]int64{}, network: map[string]int64{}}
	for i := range tallies {
		all.add(&tallies[i])
	}
	return all, ctx.Err()
}

// counter hands out 0, 1, … until the load is done.
func (l *traffic) counter(stop time.Time) func() (int64, bool) {
	var n atomic.Int64
	return func() (int64, bool) {
		i := n.Add(1) - 1
		return i, i < l.count && time.Now().Before(stop)
	}
}

// pacer hands out 0, 1, …, each not before it is due.
func (l *traffic) pacer(ctx context.Context, due func(int64) time.Time, stop time.Time) func() (int64, bool) {
	ready := make(chan int64)
	go func() {
		defer close(ready)
		for i := int64(0); i < l.count; i++ {
			at := due(i)
			if !at.Before(stop) {
				return
			}
			for ctx.Err() == nil {
				d := time.Until(at)
				if d <= 0 {
					break
				}
				sleep(min(d, 100*time.Millisecond))
			}
			select {
			case ready <- i:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() (int64, bool) {
		i, ok := <-ready
		return i, ok
	}
}

// add adds the tally of one client.
func (t *tally) add(o *tally) {
	t.accepted += o.accepted
	t.sent += o.sent
	t.received += o.received
	t.latency.merge(&o.latency)
	t.samples = append(t.samples, o.samples...)
	for k, n := range o.statuses {
		t.statuses[k] += n
	}
	for k, n := range o.network {
		t.network[k] += n
	}
}

// A histogram holds durations in buckets that are at most 1/128 of the value
// wide, so its memory does not grow with the run. The zero value is empty.
type histogram struct {
	count   int64
	max     time.Duration
	buckets []uint32 // nil when empty
}

const (
	subBits    = 7 // 128 buckets to a power of two
	allBuckets = (64 - subBits) << subBits
)

func bucket(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < 1<<subBits {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return shift<<subBits + int(v>>shift)
}

// bucketTop returns the largest duration that falls into bucket b.
func bucketTop(b int) time.Duration {
	if b < 1<<(subBits+1) {
		return time.Duration(b)
	}
	shift := b>>subBits - 1
	return time.Duration((uint64(b-shift<<subBits)+1)<<shift - 1)
}

func (h *histogram) add(d time.Duration) {
	if h.buckets == nil {
		h.buckets = make([]uint32, allBuckets)
	}
	h.count++
	h.max = max(h.max, d)
	h.buckets[bucket(d)]++
}

func (h *histogram) merge(o *histogram) {
	if o.count == 0 {
		return
	}
	if h.buckets == nil {
		h.buckets = make([]uint32, allBuckets)
	}
	for i, n := range o.buckets {
		h.buckets[i] += n
	}
	h.count += o.count
	h.max = max(h.max, o.max)
}

// quantile returns the smallest bucket's top that at least the share q of all
// durations does not exceed, 0 if there are none.
func (h *histogram) quantile(q float64) time.Duration {
	if h.count == 0 {
		return 0
	}
	// The rank of the nearest-rank definition, from 1.
	rank := min(max(int64(q*float64(h.count)+0.9999999), 1), h.count)
	var sum int64
	for i, n := range h.buckets {
		if sum += int64(n); sum >= rank {
			return min(bucketTop(i), h.max)
		}
	}
	return h.max
}

package api

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/klauspost/compress/gzip"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

const (
	// keptBundles is how many bytes of full bundles stay in memory. One of
	// keyless entries has 800 KB, and half of that compressed.
	keptBundles = 24 << 20
	// awayBundles is how many bytes of bundles that are not kept may be on
	// their way to clients, before more are refused: slow readers of many
	// different ones must not fill the memory.
	awayBundles = 16 << 20
	// buildsAtOnce is how many bundles are put together at the same time, each
	// of up to 16 MiB if all of its entries are as large as can be.
	buildsAtOnce = 2
	// buildTimeout bounds the making of one, for which several may wait.
	buildTimeout = 20 * time.Second
)

// A bundleReader is what bundles needs of a log.
type bundleReader interface {
	EntryBundle(ctx context.Context, n int64, width int) ([]byte, error)
}

// A bundles gives entry bundles, plain and compressed, from a cache of full
// ones. What several ask for at once is made once.
type bundles struct {
	log    bundleReader
	builds chan struct{} // a token for each build that runs

	mu      sync.Mutex
	kept    *simplelru.LRU[bundleKey, *blob]
	size    int64 // bytes of what is kept
	away    int64 // bytes of what is held and not kept
	flights map[bundleKey]*flight
}

type bundleKey struct {
	n     int64
	width int
	zip   bool
}

// A blob is a bundle in memory. Whoever got it gives it back with release.
type blob struct {
	data    []byte
	holders int
	kept    bool
}

// A flight is the making of a blob that some wait for.
type flight struct {
	waiting int           // not yet served, not gone
	done    chan struct{} // closed when the rest is set
	blob    *blob         // held once for each who waited then
	err     error
}

func newBundles(l bundleReader) *bundles {
	kept, err := simplelru.NewLRU[bundleKey, *blob](math.MaxInt, nil)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &bundles{log: l, builds: make(chan struct{}, buildsAtOnce), kept: kept, flights: make(map[bundleKey]*flight)}
}

// get returns the first width entries of bundle n, compressed if zip is set.
// The caller releases the blob when it is sent.
func (c *bundles) get(ctx context.Context, n int64, width int, zip bool) (*blob, error) {
	k := bundleKey{n, width, zip}
	c.mu.Lock()
	if b, ok := c.kept.Get(k); ok {
		b.holders++
		c.mu.Unlock()
		return b, nil
	}
	f := c.flights[k]
	if f == nil {
		if c.away > awayBundles {
			c.mu.Unlock()
			return nil, noMemory()
		}
		f = &flight{done: make(chan struct{})}
		c.flights[k] = f
		go c.fly(k, f)
	}
	f.waiting++
	c.mu.Unlock()

	select {
	case <-f.done:
		return f.blob, f.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f.waiting--
	if f.blob != nil { // it was made after all, and held for us
		c.drop(f.blob)
	}
	return nil, ctx.Err()
}

// release gives a blob back.
func (c *bundles) release(b *blob) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(b)
}

// drop is release with the lock held.
func (c *bundles) drop(b *blob) {
	b.holders--
	if b.holders == 0 && !b.kept {
		c.away -= int64(len(b.data))
	}
}

// fly makes what a flight is about and hands it to all who wait.
func (c *bundles) fly(k bundleKey, f *flight) {
	// Not the context of a caller: others wait for the same.
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	data, err := c.build(ctx, k, f)

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flights[k] == f {
		delete(c.flights, k)
	}
	defer close(f.done)
	if err != nil {
		f.err = err
		return
	}
	f.blob = &blob{data: data, holders: f.waiting}
	size := int64(len(data))
	if f.blob.kept = k.width == merkle.TileWidth && size <= keptBundles; !f.blob.kept {
		if f.waiting > 0 {
			c.away += size
		}
		return
	}
	c.kept.Add(k, f.blob)
	for c.size += size; c.size > keptBundles; {
		_, old, _ := c.kept.RemoveOldest()
		c.size -= int64(len(old.data))
		if old.kept = false; old.holders > 0 {
			c.away += int64(len(old.data))
		}
	}
}

// wanted says whether a flight whose turn has come is still worth it, and that
// there is room: there was when it was asked for, but others were before it.
func (c *bundles) wanted(k bundleKey, f *flight) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case f.waiting == 0:
		delete(c.flights, k) // who comes now gets another one
		return context.Canceled
	case c.away > awayBundles:
		return noMemory()
	}
	return nil
}

// build makes a bundle, from its other forms if one of them is kept.
func (c *bundles) build(ctx context.Context, k bundleKey, f *flight) (data []byte, err error) {
	defer func() {
		if v := recover(); v != nil { // in a goroutine of its own it would end the process
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	select {
	case c.builds <- struct{}{}:
		defer func() { <-c.builds }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := c.wanted(k, f); err != nil {
		return nil, err
	}
	plain, err := c.plain(ctx, k)
	if err != nil {
		return nil, err
	}
	if !k.zip {
		if cap(plain) > len(plain)+len(plain)/8 {
			plain = bytes.Clone(plain) // and not hold what is behind it
		}
		return plain, nil
	}
	level := gzip.DefaultCompression
	if k.width < merkle.TileWidth {
		level = gzip.BestSpeed // it will be wanted a few times only
	}
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, level)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return bytes.Clone(out.Bytes()), nil
}

func (c *bundles) plain(ctx context.Context, k bundleKey) ([]byte, error) {
	c.mu.Lock()
	whole, _ := c.kept.Peek(bundleKey{k.n, merkle.TileWidth, false})
	zipped, _ := c.kept.Peek(bundleKey{k.n, merkle.TileWidth, true})
	c.mu.Unlock()
	switch {
	case whole != nil:
		return firstEntries(whole.data, k.width)
	case zipped != nil:
		r, err := gzip.NewReader(bytes.NewReader(zipped.data))
		if err != nil {
			return nil, fmt.Errorf("unpack entry bundle: %w", err)
		}
		b, err := io.ReadAll(io.LimitReader(r, merkle.TileWidth*(2+log.MaxLeafSize)))
		if err != nil {
			return nil, fmt.Errorf("unpack entry bundle: %w", err)
		}
		return firstEntries(b, k.width)
	}
	return c.log.EntryBundle(ctx, k.n, k.width)
}

// firstEntries returns the beginning of a bundle, with its first n entries.
func firstEntries(bundle []byte, n int) ([]byte, error) {
	rest := bundle
	for range n {
		if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
			return nil, errors.New("entry bundle ends early")
		}
		rest = rest[2+int(binary.BigEndian.Uint16(rest)):]
	}
	return bundle[:len(bundle)-len(rest)], nil
}

// Package memory keeps a log in memory: for tests, and for trying things out.
package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

// A Store is a log.Store whose log is gone with the process. The zero value
// is an empty store.
type Store struct {
	mu          sync.RWMutex
	head        *log.Head
	segments    []log.Segment // ascending, without gaps
	tiles       map[place][]byte
	keys        map[log.Key][]int64 // ascending
	attachments map[int64][]byte
	published   []byte // nil for none
	size        int64  // of the tree that was published
	witnessed   map[string][]byte
}

// A place is a tile without its width: only full ones are kept.
type place struct {
	level int
	index int64
}

// New returns an empty store.
func New() *Store { return new(Store) }

// Create implements log.Store.
func (s *Store) Create(ctx context.Context, h log.Head) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("create log: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.head != nil {
		return log.ErrExists
	}
	h.Checkpoint = slices.Clone(h.Checkpoint)
	s.head = &h
	s.tiles = make(map[place][]byte)
	s.keys = make(map[log.Key][]int64)
	s.attachments = make(map[int64][]byte)
	return nil
}

// Commit implements log.Store.
func (s *Store) Commit(ctx context.Context, b *log.Batch) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("commit batch at %d: %w", b.Old.Tree.Size, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.head == nil || s.head.Tree != b.Old.Tree {
		return log.ErrConflict
	}
	size := b.Old.Tree.Size
	for _, seg := range b.Segments {
		if seg.Start != size {
			return fmt.Errorf("commit batch at %d: a segment starts at %d, not %d", b.Old.Tree.Size, seg.Start, size)
		}
		size += int64(seg.Count)
	}
	for _, t := range b.Tiles {
		if s.tiles[place{t.Tile.Level, t.Tile.Index}] != nil {
			return fmt.Errorf("commit batch at %d: tile %v is there already", b.Old.Tree.Size, t.Tile)
		}
	}
	h := *s.head // the identity stays
	h.Tree, h.Time, h.Nonce, h.Checkpoint = b.New.Tree, b.New.Time, b.New.Nonce, slices.Clone(b.New.Checkpoint)
	s.head = &h
	for _, seg := range b.Segments {
		seg.Data = slices.Clone(seg.Data)
		s.segments = append(s.segments, seg)
	}
	for _, t := range b.Tiles {
		s.tiles[place{t.Tile.Level, t.Tile.Index}] = slices.Clone(t.Data)
	}
	for _, k := range b.Keys {
		at := s.keys[k.Key]
		if i, found := slices.BinarySearch(at, k.Index); !found {
			s.keys[k.Key] = slices.Insert(at, i, k.Index)
		}
	}
	for _, a := range b.Attachments {
		s.attachments[a.Index] = slices.Clone(a.Data)
	}
	return nil
}

// Publish implements log.Store.
func (s *Store) Publish(ctx context.Context, size int64, note []byte) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("publish checkpoint of %d: %w", size, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.head == nil || size > s.head.Tree.Size || s.published != nil && size < s.size {
		return log.ErrConflict
	}
	s.published, s.size = append([]byte{}, note...), size
	return nil
}

// Close implements log.Store. The log stays readable.
func (s *Store) Close() error { return nil }

// Head implements log.Reader.
func (s *Store) Head(ctx context.Context) (log.Head, error) {
	if err := ctx.Err(); err != nil {
		return log.Head{}, fmt.Errorf("read head: %w", err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.head == nil {
		return log.Head{}, log.ErrNoLog
	}
	return *s.head, nil
}

// ReadTiles implements merkle.TileReader.
func (s *Store) ReadTiles(ctx context.Context, tiles []merkle.Tile) ([][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read tiles: %w", err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	rows := make([][]byte, len(tiles))
	for i, t := range tiles {
		row, ok := s.tiles[place{t.Level, t.Index}]
		if !ok || t.Width < 1 || t.Width > merkle.TileWidth {
			return nil, fmt.Errorf("read tile %v: %w", t, log.ErrNotFound)
		}
		rows[i] = row[:t.Width*merkle.HashSize]
	}
	return rows, nil
}

// SegmentsAt implements log.Reader.
func (s *Store) SegmentsAt(ctx context.Context, indexes []int64) ([]log.Segment, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read segments: %w", err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	at := make(map[int]bool, len(indexes))
	for _, index := range indexes {
		i, ok := s.holder(index)
		if !ok {
			return nil, fmt.Errorf("read segment of entry %d: %w", index, log.ErrNotFound)
		}
		at[i] = true
	}
	var segments []log.Segment
	for _, i := range slices.Sorted(maps.Keys(at)) {
		segments = append(segments, s.segments[i])
	}
	return segments, nil
}

// SegmentsFrom implements log.Reader.
func (s *Store) SegmentsFrom(ctx context.Context, start int64, limit int) ([]log.Segment, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read segments: %w", err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	i, ok := s.holder(start)
	if !ok || limit <= 0 {
		return nil, nil
	}
	return slices.Clone(s.segments[i:min(i+limit, len(s.segments))]), nil
}

// holder returns the position of the segment that holds the entry at index.
func (s *Store) holder(index int64) (int, bool) {
	i, exact := slices.BinarySearchFunc(s.segments, index, func(seg log.Segment, index int64) int {
		return cmp.Compare(seg.Start, index)
	})
	if !exact {
		i-- // the last one that starts before index
	}
	if i < 0 || index >= s.segments[i].Start+int64(s.segments[i].Count) {
		return 0, false
	}
	return i, true
}

// Find implements log.Reader.
func (s *Store) Find(ctx context.Context, keys []log.Key, after int64, limit int) ([][]int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("find keys: %w", err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	found := make([][]int64, len(keys))
	for i, key := range keys {
		at := s.keys[key]
		from, exact := slices.BinarySearch(at, after)
		if exact {
			from++
		}
		found[i] = slices.Clone(at[from:min(from+max(limit, 0), len(at))])
	}
	return found, nil
}

// Attachment implements log.Reader.
func (s *Store) Attachment(ctx context.Context, index int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read attachment: %w", err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	data, ok := s.attachments[index]
	if !ok {
		return nil, fmt.Errorf("read attachment of entry %d: %w", index, log.ErrNotFound)
	}
	return data, nil
}

// Published implements log.Reader.
func (s *Store) Published(ctx context.Context) (int64, []byte, error) {
	if err := ctx.Err(); err != nil {
		return 0, nil, fmt.Errorf("read published checkpoint: %w", err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.published == nil {
		return 0, nil, fmt.Errorf("read published checkpoint: %w", log.ErrNotFound)
	}
	return s.size, s.published, nil
}

// Package storagetest is what every back end must pass, and what tests need
// of stores: a fresh Postgres schema, a store with faults, a check of a whole log.
package storagetest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

// A Medium is a place for one log, empty at first. Each call opens it anew;
// t closes what was opened, if the test did not.
type Medium func(t testing.TB) log.Store

// Run runs the conformance suite. Each case asks fresh for a medium of its own.
func Run(t *testing.T, fresh func(t testing.TB) Medium) {
	for name, test := range map[string]func(*testing.T, Medium){
		"Create":            testCreate,
		"CreateRace":        testCreateRace,
		"NoLog":             testNoLog,
		"Commit":            testCommit,
		"EmptyBatch":        testEmptyBatch,
		"BigBatch":          testBigBatch,
		"Conflict":          testConflict,
		"CommitRace":        testCommitRace,
		"Atomic":            testAtomic,
		"RepeatedKeys":      testRepeatedKeys,
		"SegmentsAt":        testSegmentsAt,
		"SegmentsFrom":      testSegmentsFrom,
		"Tiles":             testTiles,
		"Find":              testFind,
		"FindMany":          testFindMany,
		"Absent":            testAbsent,
		"Attachments":       testAttachments,
		"Canceled":          testCanceled,
		"Publish":           testPublish,
		"PublishRace":       testPublishRace,
		"PublishFaults":     testPublishFaults,
		"Witness":           testWitness,
		"WitnessRace":       testWitnessRace,
		"Reopen":            testReopen,
		"ReadYourWrites":    testReadYourWrites,
		"Concurrent":        testConcurrent,
		"FaultMatrix":       testFaultMatrix,
		"Replicas":          testReplicas,
		"CheckFindsMistake": testCheckFindsMistake,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, fresh(t))
		})
	}
	t.Run("RandomOperations", func(t *testing.T) {
		t.Parallel()
		testRandomOperations(t, fresh)
	})
}

// identity of the logs that the suite makes.
var identity = log.Identity{Origin: "log.example", TreeID: 4242, KeyID: sha256.Sum256([]byte("key"))}

func emptyHead() log.Head {
	return log.Head{
		Identity:   identity,
		Tree:       merkle.Tree{Root: merkle.EmptyRoot},
		Time:       1700000000,
		Nonce:      log.Nonce{1},
		Checkpoint: []byte("checkpoint of the empty tree\n"),
	}
}

// create makes a log in a new handle of m.
func create(t testing.TB, m Medium) (log.Store, log.Head) {
	t.Helper()
	s, h := m(t), emptyHead()
	if err := s.Create(t.Context(), h); err != nil {
		t.Fatalf("Create: %v", err)
	}
	return s, h
}

// batch returns a batch of the given number of entries on old, in segments of
// at most width entries. Its root is made up; each entry has keys of its own,
// uniqueKey(index), and one that all entries with the same index mod 10 share.
func batch(old log.Head, entries, width int) *log.Batch {
	start := old.Tree.Size
	head := log.Head{
		Identity: old.Identity,
		Tree: merkle.Tree{
			Size: start + int64(entries),
			Root: sha256.Sum256(fmt.Appendf(nil, "root %d %d %x", start, entries, old.Tree.Root)),
		},
		Time:       old.Time + 1,
		Nonce:      log.Nonce(hash("nonce", start+int64(entries))),
		Checkpoint: fmt.Appendf(nil, "checkpoint of %d\n", start+int64(entries)),
	}
	b := &log.Batch{Old: old, New: head}
	for at := start; at < head.Tree.Size; at += int64(width) {
		n := min(int64(width), head.Tree.Size-at)
		b.Segments = append(b.Segments, log.Segment{Start: at, Count: int(n), Nonce: head.Nonce,
			Data: fmt.Appendf(nil, "segment %d +%d\x00\xff", at, n)})
	}
	for i := start; i < head.Tree.Size; i++ {
		b.Keys = append(b.Keys, log.KeyAt{Key: uniqueKey(i), Index: i}, log.KeyAt{Key: sharedKey(i), Index: i})
		if (i+1)%merkle.TileWidth == 0 {
			b.Tiles = append(b.Tiles, fullTile(0, i/merkle.TileWidth))
		}
	}
	return b
}

func uniqueKey(i int64) log.Key { return log.Key(hash("unique", i)) }
func sharedKey(i int64) log.Key { return log.Key(hash("shared", i%10)) }

// hash returns bytes that depend on what and n alone.
func hash(what string, n int64) []byte {
	h := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(what), uint64(n)))
	return h[:log.KeySize]
}

func fullTile(level int, index int64) log.FullTile {
	data := make([]byte, merkle.TileWidth*merkle.HashSize)
	for i := range merkle.TileWidth {
		h := sha256.Sum256(fmt.Appendf(nil, "tile %d %d %d", level, index, i))
		copy(data[i*merkle.HashSize:], h[:])
	}
	return log.FullTile{Tile: merkle.Tile{Level: level, Index: index, Width: merkle.TileWidth}, Data: data}
}

// commit commits b and returns its head.
func commit(t testing.TB, s log.Store, b *log.Batch) log.Head {
	t.Helper()
	if err := s.Commit(t.Context(), b); err != nil {
		t.Fatalf("Commit at %d: %v", b.Old.Tree.Size, err)
	}
	return b.New
}

// holds checks that a store gives back all of a batch.
func holds(t testing.TB, s log.Store, b *log.Batch) {
	t.Helper()
	ctx := t.Context()
	var indexes []int64
	for i := b.Old.Tree.Size; i < b.New.Tree.Size; i++ {
		indexes = append(indexes, i)
	}
	segments, err := s.SegmentsAt(ctx, indexes)
	if err != nil {
		t.Fatalf("SegmentsAt: %v", err)
	}
	equal(t, "segments", segments, b.Segments)
	var tiles []merkle.Tile
	var rows [][]byte
	for _, f := range b.Tiles {
		tiles = append(tiles, f.Tile)
		rows = append(rows, f.Data)
	}
	got, err := s.ReadTiles(ctx, tiles)
	if err != nil {
		t.Fatalf("ReadTiles: %v", err)
	}
	equal(t, "tiles", got, rows)
	var keys []log.Key
	var want [][]int64
	for _, k := range b.Keys {
		keys = append(keys, k.Key)
		want = append(want, []int64{k.Index})
	}
	found, err := s.Find(ctx, keys, b.Old.Tree.Size-1, 1)
	if err != nil {
		t.Fatalf("Find: %v", err)
	}
	for i := range found {
		// A key that entries share is found at the first of them in the batch.
		if len(found[i]) != 1 || found[i][0] > want[i][0] {
			t.Fatalf("Find %x = %v, want %v or less", keys[i], found[i], want[i])
		}
	}
	for _, a := range b.Attachments {
		data, err := s.Attachment(ctx, a.Index)
		if err != nil {
			t.Fatalf("Attachment %d: %v", a.Index, err)
		}
		equal(t, "attachment", data, a.Data)
	}
}

// headIs checks the head of a store.
func headIs(t testing.TB, s log.Store, want log.Head) {
	t.Helper()
	have, err := s.Head(t.Context())
	if err != nil {
		t.Fatalf("Head: %v", err)
	}
	equal(t, "head", have, want)
}

func equal(t testing.TB, what string, have, want any) {
	t.Helper()
	if reflect.DeepEqual(have, want) {
		return // cmp takes seconds for megabytes
	}
	if d := cmp.Diff(want, have, cmpopts.EquateEmpty()); d != "" {
		t.Fatalf("%s: (-want +have)\n%s", what, d)
	}
}

// canceled returns a context that is over.
func canceled(t testing.TB) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

package log

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/cairnlog/cairn/merkle"
)

// A Query asks for entries by search terms.
type Query struct {
	// Terms are what to look for. Each element is one term in all of its
	// spellings; it matches an entry that has any of them.
	Terms [][]string
	All   bool  // every element must match, not just one
	After int64 // only indexes above it; -1 for all
	Limit int   // at most so many hits; 0 for no limit
}

// A Hit is an entry that a query found.
type Hit struct {
	Index int64
	Hash  merkle.Hash
}

// searchPage is how many indexes of one term are read at a time.
const searchPage = 1024

// Search returns the entries that match, in ascending order. It sees every
// entry that any replica had answered for when Search was called.
func (l *Log) Search(ctx context.Context, q Query) ([]Hit, error) {
	if err := l.fault.Load(); err != nil {
		return nil, *err
	}
	var keys []Key
	term := make([]int, 0, len(q.Terms)) // of each key, the element of Terms
	for i, spellings := range q.Terms {
		for _, s := range spellings {
			keys = append(keys, TermKey(s))
			term = append(term, i)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}

	var indexes []int64
	for after := q.After; after < math.MaxInt64; {
		// 1. A page of each key. Up to bound all of them are complete.
		found, limit, err := l.find(ctx, keys, after)
		if err != nil {
			return nil, err
		}
		bound := int64(math.MaxInt64)
		for _, f := range found {
			if len(f) == limit {
				bound = min(bound, f[limit-1])
			}
		}

		// 2. Join them, by term.
		terms := make([][]int64, len(q.Terms))
		for i, f := range found {
			terms[term[i]] = append(terms[term[i]], f...)
		}
		count := make(map[int64]int)
		for _, t := range terms {
			slices.Sort(t)
			for _, index := range slices.Compact(t) {
				if index <= bound {
					count[index]++
				}
			}
		}
		var page []int64
		for index, n := range count {
			if !q.All || n == len(q.Terms) {
				page = append(page, index)
			}
		}
		slices.Sort(page)
		indexes = append(indexes, page...)
		if q.Limit > 0 && len(indexes) >= q.Limit {
			indexes = indexes[:q.Limit]
			break
		}
		after = bound
	}
	if len(indexes) == 0 {
		return nil, nil
	}

	st, err := l.covering(ctx, indexes[len(indexes)-1])
	if err != nil {
		return nil, err
	}
	hashes, err := l.prover.LeafHashes(ctx, st.edge, indexes)
	if err != nil {
		return nil, err
	}
	hits := make([]Hit, len(indexes))
	for i := range hits {
		hits[i] = Hit{Index: indexes[i], Hash: hashes[i]}
	}
	return hits, nil
}

// find returns the first indexes of each key after after, and how many it
// asked for at most.
func (l *Log) find(ctx context.Context, keys []Key, after int64) ([][]int64, int, error) {
	if after >= 0 {
		found, err := l.store.Find(ctx, keys, after, searchPage)
		if err != nil {
			return nil, 0, fmt.Errorf("search: %w", err)
		}
		return found, searchPage, nil
	}
	// The first page is shared with other searches.
	found := make([][]int64, len(keys))
	for i, k := range keys {
		f, err := l.places.one(ctx, k)
		if err != nil {
			return nil, 0, fmt.Errorf("search: %w", err)
		}
		found[i] = f
	}
	return found, placesLimit, nil
}

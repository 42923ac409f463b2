package keyindex

import (
	"slices"

	"github.com/cairnlog/cairn/log"
)

// A tail is the keys that are in no run yet: of the entries from start up to,
// not including, past.
type tail struct {
	start, past int64
	keys        []log.KeyAt // in the order of commits
	at          map[log.Key][]int64
	commits     []mark
}

// A mark says where the keys of a commit end.
type mark struct {
	past int64
	keys int
}

func newTail(start int64) *tail {
	return &tail{start: start, past: start, at: make(map[log.Key][]int64)}
}

// add adds the keys of a commit of the entries up to past.
func (t *tail) add(past int64, keys []log.KeyAt) {
	t.keys = append(t.keys, keys...)
	for _, k := range keys {
		at := t.at[k.Key]
		if n := len(at); n == 0 || at[n-1] < k.Index {
			t.at[k.Key] = append(at, k.Index)
		} else if i, found := slices.BinarySearch(at, k.Index); !found {
			t.at[k.Key] = slices.Insert(at, i, k.Index)
		}
	}
	t.past = past
	t.commits = append(t.commits, mark{past, len(t.keys)})
}

// find returns the indexes of key that are greater than after, the first
// limit of them, ascending.
func (t *tail) find(key log.Key, after int64, limit int) []int64 {
	at := t.at[key]
	if len(at) == 0 {
		return nil
	}
	i, found := slices.BinarySearch(at, after)
	if found {
		i++
	}
	return slices.Clone(at[i:min(i+limit, len(at))])
}

// oldest returns the keys of the first commits, as many as have at least n
// keys in all, and the end of their entries.
func (t *tail) oldest(n int) (keys []log.KeyAt, past int64) {
	past = t.start
	for _, c := range t.commits {
		keys, past = t.keys[:c.keys], c.past
		if c.keys >= n {
			break
		}
	}
	return slices.Clone(keys), past
}

// from returns what is left of the tail when the entries up to start are in a run.
func (t *tail) from(start int64) *tail {
	rest := newTail(start)
	rest.follow(t)
	return rest
}

// follow adds the commits of other that come after those of t.
func (t *tail) follow(other *tail) {
	keys := 0
	for _, c := range other.commits {
		if c.past > t.past {
			t.add(c.past, other.keys[keys:c.keys])
		}
		keys = c.keys
	}
}

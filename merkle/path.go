package merkle

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Entries stands in the place of a Tile's level for the entries themselves:
// the tile is then an entry bundle, with the leaves of the tile at level 0.
const Entries = -1

// maxLevel is the highest level that a path can name. No tree of ours has
// more than eight.
const maxLevel = 63

// Path returns the path by which C2SP clients ask for a tile or a bundle:
//
//	tile/0/x001/x234/067
//	tile/1/000.p/8
//	tile/entries/x004/123
//
// https://c2sp.org/tlog-tiles
func (t Tile) Path() string {
	b := append(make([]byte, 0, 64), "tile/"...)
	if t.Level == Entries {
		b = append(b, "entries"...)
	} else {
		b = strconv.AppendInt(b, int64(t.Level), 10)
	}
	b = append(b, '/')
	digits := strconv.FormatInt(t.Index, 10)
	digits = "00"[:(3-len(digits)%3)%3] + digits
	for ; len(digits) > 3; digits = digits[3:] {
		b = append(b, 'x')
		b = append(b, digits[:3]...)
		b = append(b, '/')
	}
	b = append(b, digits...)
	if t.Width != TileWidth {
		b = append(b, ".p/"...)
		b = strconv.AppendInt(b, int64(t.Width), 10)
	}
	return string(b)
}

// String returns the path, for people.
func (t Tile) String() string { return t.Path() }

// ParseTile reads what Path returns, and nothing else: there is one path to a tile.
func ParseTile(path string) (Tile, error) {
	t, err := parseTile(path)
	if err != nil {
		return Tile{}, fmt.Errorf("parse tile path: %w", err)
	}
	return t, nil
}

func parseTile(path string) (Tile, error) {
	t := Tile{Width: TileWidth}
	rest, ok := strings.CutPrefix(path, "tile/")
	if !ok {
		return t, errors.New(`does not start with "tile/"`)
	}
	level, rest, ok := strings.Cut(rest, "/")
	if !ok {
		return t, errors.New("has no number of a tile")
	}
	if level == "entries" {
		t.Level = Entries
	} else if n, ok := decimal(level, maxLevel); ok {
		t.Level = int(n)
	} else {
		return t, fmt.Errorf("level is not a plain number from 0 to %d", maxLevel)
	}
	if number, width, ok := strings.Cut(rest, ".p/"); ok {
		n, ok := decimal(width, TileWidth-1)
		if !ok || n == 0 {
			return t, fmt.Errorf("width is not a plain number from 1 to %d", TileWidth-1)
		}
		t.Width, rest = int(n), number
	}
	// Groups of three digits, no group of zeros in front of others.
	const groups = 7 // that an int64 can have
	if strings.Count(rest, "/") >= groups {
		return t, errors.New("number of the tile is too large")
	}
	for first := true; ; first = false {
		group, more, last := rest, "", true
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			group, more, last = rest[:i], rest[i+1:], false
		}
		if !last {
			if group, ok = strings.CutPrefix(group, "x"); !ok {
				return t, errors.New("number of the tile: only its last three digits are without an x")
			}
		}
		n, ok := threeDigits(group)
		if !ok {
			return t, errors.New("number of the tile is not in groups of three digits")
		}
		if first && !last && n == 0 {
			return t, errors.New("number of the tile has zeros in front")
		}
		if t.Index > (1<<63-1-n)/1000 {
			return t, errors.New("number of the tile is too large")
		}
		t.Index = t.Index*1000 + n
		if last {
			return t, nil
		}
		rest = more
	}
}

// decimal reads a number up to limit without sign or zeros in front.
func decimal(s string, limit int64) (int64, bool) {
	if s == "" || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		if n = n*10 + int64(s[i]-'0'); n > limit {
			return 0, false
		}
	}
	return n, true
}

func threeDigits(s string) (int64, bool) {
	if len(s) != 3 {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}

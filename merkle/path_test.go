package merkle_test

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairnlog/cairn/merkle"
)

func TestTilePaths(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]merkle.Tile{
		"tile/0/000":                               {Level: 0, Index: 0, Width: 256},
		"tile/0/999.p/1":                           {Level: 0, Index: 999, Width: 1},
		"tile/1/x001/000":                          {Level: 1, Index: 1000, Width: 256},
		"tile/63/x001/x234/067.p/255":              {Level: 63, Index: 1234067, Width: 255},
		"tile/entries/x004/123":                    {Level: merkle.Entries, Index: 4123, Width: 256},
		"tile/entries/000.p/7":                     {Level: merkle.Entries, Index: 0, Width: 7},
		"tile/0/x009/x223/x372/x036/x854/x775/807": {Level: 0, Index: math.MaxInt64, Width: 256},
	} {
		got, err := merkle.ParseTile(path)
		if err != nil || got != want {
			t.Errorf("ParseTile(%q) = %+v, %v", path, got, err)
		}
		if p := want.Path(); p != path {
			t.Errorf("path of %+v is %q, not %q", want, p, path)
		}
	}
}

func TestMalformedTilePaths(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{
		"empty":                     "",
		"no tile":                   "tile",
		"no level":                  "tile//000",
		"no number":                 "tile/0",
		"empty number":              "tile/0/",
		"slash in front":            "/tile/0/000",
		"slash at the end":          "tile/0/000/",
		"level with a zero":         "tile/00/000",
		"level with a sign":         "tile/+1/000",
		"negative level":            "tile/-1/000",
		"level 64":                  "tile/64/000",
		"huge level":                "tile/18446744073709551616/000",
		"level in hex":              "tile/a/000",
		"data, as the Go database":  "tile/data/000",
		"with the height, as there": "tile/8/0/000",
		"one digit":                 "tile/0/0",
		"two digits":                "tile/0/00",
		"four digits":               "tile/0/1000",
		"x at the last group":       "tile/0/x000",
		"no x at the first group":   "tile/0/001/000",
		"no x at a middle group":    "tile/0/x001/002/003",
		"zeros in front":            "tile/0/x000/001",
		"capital X":                 "tile/0/X001/000",
		"empty group":               "tile/0/x001//000",
		"two slashes":               "tile//0/000",
		"over int64":                "tile/0/x009/x223/x372/x036/x854/x775/808",
		"eight groups":              "tile/0/x001/x000/x000/x000/x000/x000/x000/000",
		"empty width":               "tile/0/000.p/",
		"no width":                  "tile/0/000.p",
		"width 0":                   "tile/0/000.p/0",
		"width with a zero":         "tile/0/000.p/01",
		"width 256":                 "tile/0/000.p/256",
		"huge width":                "tile/0/000.p/99999999999999999999",
		"negative width":            "tile/0/000.p/-1",
		"width twice":               "tile/0/000.p/1.p/1",
		"width in the middle":       "tile/0/x001.p/1/000",
		"other digits":              "tile/0/٠٠٠",
		"space":                     "tile/0/000 ",
		"line break":                "tile/0/000\n",
		"escape":                    "tile/0/%30%30%30",
		"entries of a level":        "tile/entries/0/000",
		"capital entries":           "tile/Entries/000",
		"long":                      "tile/0/" + strings.Repeat("x001/", 1<<16) + "000",
	} {
		if got, err := merkle.ParseTile(path); err == nil {
			t.Errorf("%s: ParseTile(%.60q) = %+v", name, path, got)
		}
	}
}

// TestTilePathsComeBack draws tiles: path and tile are one to one.
func TestTilePathsComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := merkle.Tile{
			Level: rapid.IntRange(merkle.Entries, 63).Draw(t, "level"),
			Index: rapid.Int64Range(0, math.MaxInt64).Draw(t, "index"),
			Width: rapid.IntRange(1, 256).Draw(t, "width"),
		}
		got, err := merkle.ParseTile(want.Path())
		if err != nil || got != want {
			t.Fatalf("%+v comes back as %+v, %v", want, got, err)
		}
	})
}

func FuzzParseTile(f *testing.F) {
	f.Add("tile/0/x001/x234/067.p/8")
	f.Add("tile/entries/000")
	f.Fuzz(func(t *testing.T, path string) {
		tile, err := merkle.ParseTile(path)
		if err != nil {
			return
		}
		if tile.Path() != path {
			t.Errorf("%q is read as %+v, whose path is %q", path, tile, tile.Path())
		}
	})
}

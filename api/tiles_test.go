package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/api/apitest"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

// fetch sends a request with headers, given as name and value in turn. Unlike
// a client of Go it does not unpack what is compressed.
func fetch(t testing.TB, s *apitest.Server, method, path string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, b
}

// tiled starts a server on a log of n entries.
func tiled(t testing.TB, n int) (*apitest.Server, *log.Log) {
	t.Helper()
	key := apitest.NewKey(t)
	l := apitest.NewLog(t, key, nil)
	grow(t, l, n)
	return apitest.ServeKey(t, key, api.Options{Log: l}), l
}

// A sumdbReader reads tiles as the Go checksum database's client does, whose
// paths name the height as well.
type sumdbReader struct {
	t      testing.TB
	server *apitest.Server
	prefix string
}

func (r sumdbReader) Height() int { return merkle.TileHeight }

func (r sumdbReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	rows := make([][]byte, len(tiles))
	for i, t := range tiles {
		path := strings.Replace(t.Path(), "tile/8/", r.prefix+"/tile/", 1)
		res, b := fetch(r.t, r.server, http.MethodGet, path)
		if res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s: %s", path, res.Status)
		}
		rows[i] = b
	}
	return rows, nil
}

func (sumdbReader) SaveTiles([]tlog.Tile, [][]byte) {}

// TestTilesRebuildTheLog reads a whole log as a C2SP client does and verifies
// every entry by the tree client of x/mod.
func TestTilesRebuildTheLog(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"", "/api/v2"} {
		t.Run("below "+prefix, func(t *testing.T) {
			t.Parallel()
			const size = 2*256 + 77
			s, _ := tiled(t, size)
			vkey, err := checkpoint.VKey(apitest.Origin, apitest.CheckpointKey().Public())
			if err != nil {
				t.Fatal(err)
			}
			v, err := note.NewVerifier(vkey)
			if err != nil {
				t.Fatal(err)
			}
			res, b := fetch(t, s, http.MethodGet, prefix+"/checkpoint")
			if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Fatalf("checkpoint: %s %v", res.Status, res.Header)
			}
			c, _, err := checkpoint.OpenNote(b, apitest.Origin, v)
			if err != nil || c.Tree.Size != size {
				t.Fatalf("checkpoint %+v: %v", c, err)
			}

			tree := tlog.Tree{N: c.Tree.Size, Hash: tlog.Hash(c.Tree.Root)}
			hashes := tlog.TileHashReader(tree, sumdbReader{t, s, prefix})
			for n := int64(0); n*256 < size; n++ {
				width := int(min(256, size-n*256))
				path := merkle.Tile{Level: merkle.Entries, Index: n, Width: width}.Path()
				res, bundle := fetch(t, s, http.MethodGet, prefix+"/"+path)
				if res.StatusCode != http.StatusOK {
					t.Fatalf("%s: %s", path, res.Status)
				}
				for i := range width {
					length := int(binary.BigEndian.Uint16(bundle))
					leaf := bundle[2 : 2+length]
					bundle = bundle[2+length:]
					index := n*256 + int64(i)
					have, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
					if err != nil {
						t.Fatal(err)
					}
					if have[0] != tlog.RecordHash(leaf) {
						t.Fatalf("entry %d is not in the tree", index)
					}
				}
				if len(bundle) > 0 {
					t.Errorf("%s: %d bytes behind the last entry", path, len(bundle))
				}
			}
		})
	}
}

// TestPartialTiles wants every width there ever was, of what is full as well.
func TestPartialTiles(t *testing.T) {
	t.Parallel()
	const size = 256 + 40
	s, _ := tiled(t, size)
	for _, kind := range []string{"0", "entries"} {
		for number, most := range map[string]int{"000": 256, "001": 40} {
			path := "/tile/" + kind + "/" + number
			var whole []byte
			for width := most; width > 0; width-- {
				p := path
				if width < 256 {
					p += fmt.Sprintf(".p/%d", width)
				}
				res, b := fetch(t, s, http.MethodGet, p)
				if res.StatusCode != http.StatusOK {
					t.Fatalf("%s: %s", p, res.Status)
				}
				if whole == nil {
					whole = b
				}
				if !bytes.HasPrefix(whole, b) || kind == "0" && len(b) != 32*width {
					t.Fatalf("%s has %d bytes, and is not the beginning of %s", p, len(b), path)
				}
			}
			if res, _ := fetch(t, s, http.MethodGet, fmt.Sprintf("%s.p/%d", path, most%256+1)); most < 256 && res.StatusCode != http.StatusNotFound {
				t.Errorf("%s is wider than the tree: %s", path, res.Status)
			}
		}
	}
	if res, _ := fetch(t, s, http.MethodGet, "/tile/1/000.p/1"); res.StatusCode != http.StatusOK {
		t.Errorf("the tile above: %s", res.Status)
	}
}

func TestTilePathsRefused(t *testing.T) {
	t.Parallel()
	s, _ := tiled(t, 300)
	for name, tt := range map[string]struct {
		path   string
		status int
	}{
		"no tile":                 {"/tile", 404},
		"slash only":              {"/tile/", 404},
		"no number":               {"/tile/0", 400},
		"level with a zero":       {"/tile/00/000", 400},
		"level 64":                {"/tile/64/000", 400},
		"negative level":          {"/tile/-1/000", 400},
		"data":                    {"/tile/data/000", 400},
		"with the height":         {"/tile/8/0/000", 400},
		"one digit":               {"/tile/0/0", 400},
		"no x":                    {"/tile/0/001/000", 400},
		"x at the last group":     {"/tile/0/x000", 400},
		"zeros in front":          {"/tile/0/x000/000", 400},
		"width 0":                 {"/tile/0/000.p/0", 400},
		"width 256":               {"/tile/0/000.p/256", 400},
		"width with a zero":       {"/tile/0/000.p/08", 400},
		"width of nothing":        {"/tile/entries/000.p/", 404},
		"slash at the end":        {"/tile/0/000/", 404},
		"doubled slash":           {"/tile//0/000", 404},
		"doubled slash in front":  {"//tile/0/000", 404},
		"escaped digits":          {"/tile/0/%30%30%30", 404},
		"escaped slash":           {"/tile/0%2F000", 404},
		"dots":                    {"/tile/0/../0/000", 400},
		"past the tree":           {"/tile/0/002", 404},
		"too wide":                {"/tile/0/001.p/45", 404},
		"not full yet":            {"/tile/0/001", 404},
		"bundle not full yet":     {"/tile/entries/001", 404},
		"bundle past the tree":    {"/tile/entries/x001/000.p/1", 404},
		"level above the tree":    {"/tile/2/000.p/1", 404},
		"highest level":           {"/tile/63/000.p/255", 404},
		"highest number":          {"/tile/0/x009/x223/x372/x036/x854/x775/807", 404},
		"over the highest number": {"/tile/0/x009/x223/x372/x036/x854/x775/808", 400},
		"checkpoint with a slash": {"/checkpoint/", 404},
		"checkpoint with more":    {"/checkpoint/0", 404},
		"checkpoint of nothing":   {"/api/v2/log/checkpoint", 404},
		"capitals":                {"/Tile/0/000", 404},
		"long":                    {"/tile/0/" + strings.Repeat("x001/", 5000) + "000", 400},
	} {
		for _, prefix := range []string{"", "/api/v2"} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				res, b := fetch(t, s, method, prefix+tt.path)
				if res.StatusCode != tt.status {
					t.Errorf("%s: %s %s%.60s: %s %s, want %d", name, method, prefix, tt.path, res.Status, b, tt.status)
				}
				if c := res.Header.Get("Cache-Control"); strings.Contains(c, "max-age") || res.Header.Get("Etag") != "" {
					t.Errorf("%s: a refusal with Cache-Control %q", name, c)
				}
			}
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		if res, _ := fetch(t, s, method, "/api/v2/tile/0/000"); res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET" {
			t.Errorf("%s: %s, Allow %q", method, res.Status, res.Header.Get("Allow"))
		}
	}
}

// TestNoCheckpoints is a log that signs none.
func TestNoCheckpoints(t *testing.T) {
	t.Parallel()
	key := apitest.NewKey(t)
	s := apitest.ServeKey(t, key, api.Options{Log: &unsignedLog{apitest.NewLog(t, key, nil)}})
	if res, _ := fetch(t, s, http.MethodGet, "/checkpoint"); res.StatusCode != http.StatusNotFound {
		t.Errorf("%s", res.Status)
	}
}

type unsignedLog struct{ *log.Log }

func (*unsignedLog) Published(context.Context) (log.Published, error) {
	return log.Published{}, log.ErrNoNote
}

// TestTileCaching is what proxies and clients go by.
func TestTileCaching(t *testing.T) {
	t.Parallel()
	s, l := tiled(t, 300)
	tags := make(map[string]string) // paths by tag
	for _, prefix := range []string{"", "/api/v2"} {
		for _, tt := range []struct{ path, accept, cache string }{
			{"/checkpoint", "identity", "no-cache"},
			{"/tile/0/000", "identity", "public, max-age=31536000, immutable"},
			{"/tile/0/000.p/17", "identity", "public, max-age=31536000, immutable"},
			{"/tile/0/001.p/17", "gzip", "public, max-age=31536000, immutable"},
			{"/tile/1/000.p/1", "identity", "public, max-age=31536000, immutable"},
			{"/tile/entries/000", "identity", "public, max-age=31536000, immutable"},
			{"/tile/entries/000", "gzip", "public, max-age=31536000, immutable"},
			{"/tile/entries/000.p/255", "identity", "public, max-age=31536000, immutable"},
			{"/tile/entries/001.p/44", "gzip", "public, max-age=31536000, immutable"},
		} {
			name := tt.accept + " " + tt.path
			res, body := fetch(t, s, http.MethodGet, prefix+tt.path, "Accept-Encoding", tt.accept)
			tag := res.Header.Get("Etag")
			if res.StatusCode != http.StatusOK || res.Header.Get("Cache-Control") != tt.cache {
				t.Errorf("%s: %s, Cache-Control %q", name, res.Status, res.Header.Get("Cache-Control"))
			}
			if other, ok := tags[tag]; ok && other != name {
				t.Errorf("%s and %s have one tag", name, other)
			}
			tags[tag] = name
			bundle := strings.Contains(tt.path, "entries")
			if zipped := res.Header.Get("Content-Encoding") == "gzip"; zipped != (bundle && tt.accept == "gzip") {
				t.Errorf("%s: compressed: %t", name, zipped)
			}
			if varies := strings.Contains(strings.Join(res.Header.Values("Vary"), ", "), "Accept-Encoding"); varies != bundle {
				t.Errorf("%s: Vary %q", name, res.Header.Values("Vary"))
			}
			if res.ContentLength != int64(len(body)) {
				t.Errorf("%s: Content-Length %d of %d bytes", name, res.ContentLength, len(body))
			}

			head, none := fetch(t, s, http.MethodHead, prefix+tt.path, "Accept-Encoding", tt.accept)
			if head.StatusCode != http.StatusOK || head.Header.Get("Etag") != tag || head.ContentLength != int64(len(body)) || len(none) > 0 {
				t.Errorf("%s: HEAD: %s %v", name, head.Status, head.Header)
			}
			for _, have := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
				res, body := fetch(t, s, http.MethodGet, prefix+tt.path, "Accept-Encoding", tt.accept, "If-None-Match", have)
				if res.StatusCode != http.StatusNotModified || len(body) > 0 || res.Header.Get("Etag") != tag || res.Header.Get("Cache-Control") != tt.cache {
					t.Errorf("%s: If-None-Match %s: %s %v", name, have, res.Status, res.Header)
				}
			}
			if res, _ := fetch(t, s, http.MethodGet, prefix+tt.path, "Accept-Encoding", tt.accept, "If-None-Match", `"x"`); res.StatusCode != http.StatusOK {
				t.Errorf("%s: another tag: %s", name, res.Status)
			}
		}
	}
	// Nothing that is not there is unchanged.
	for _, path := range []string{"/tile/0/002", "/tile/entries/001"} {
		if res, _ := fetch(t, s, http.MethodGet, path, "If-None-Match", "*"); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
	// The checkpoint of another tree has another tag; its tiles have not.
	before, _ := fetch(t, s, http.MethodGet, "/checkpoint")
	tile, _ := fetch(t, s, http.MethodGet, "/tile/0/001.p/44")
	if _, err := l.Add(t.Context(), log.Leaf{Body: []byte("one more")}); err != nil {
		t.Fatal(err)
	}
	if after, _ := fetch(t, s, http.MethodGet, "/checkpoint", "If-None-Match", before.Header.Get("Etag")); after.StatusCode != http.StatusOK {
		t.Errorf("the next checkpoint: %s", after.Status)
	}
	if after, _ := fetch(t, s, http.MethodGet, "/tile/0/001.p/44", "If-None-Match", tile.Header.Get("Etag")); after.StatusCode != http.StatusNotModified {
		t.Errorf("a tile after an upload: %s", after.Status)
	}
}

func TestGzipWhereAccepted(t *testing.T) {
	t.Parallel()
	s, _ := tiled(t, 256)
	_, want := fetch(t, s, http.MethodGet, "/tile/entries/000")
	for accept, zipped := range map[string]bool{
		"":                             false,
		"identity":                     false,
		"br":                           false,
		"gzip":                         true,
		"GZIP":                         true,
		"x-gzip":                       true,
		"deflate, gzip;q=1.0, *;q=0.5": true,
		"br, gzip":                     true,
		"*":                            true,
		"gzip;q=0":                     false,
		"gzip; q=0.000":                false,
		"*, gzip;q=0":                  false,
		"*;q=0":                        false,
		"gzipped":                      false,
	} {
		res, b := fetch(t, s, http.MethodGet, "/tile/entries/000", "Accept-Encoding", accept)
		if got := res.Header.Get("Content-Encoding") == "gzip"; got != zipped {
			t.Errorf("Accept-Encoding %q: compressed: %t", accept, got)
			continue
		}
		if zipped {
			r, err := gzip.NewReader(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if b, err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(b, want) {
			t.Errorf("Accept-Encoding %q: another bundle", accept)
		}
	}
}

// A countingLog counts the bundles that are read from it.
type countingLog struct {
	*log.Log
	reads   atomic.Int64
	started chan struct{} // gets a token for each read
	hold    chan struct{} // closed when reads may go on
}

func (l *countingLog) EntryBundle(ctx context.Context, n int64, width int) ([]byte, error) {
	l.reads.Add(1)
	l.started <- struct{}{}
	<-l.hold
	return l.Log.EntryBundle(ctx, n, width)
}

// TestBundleHerd has many ask for the same bundles at the same time, and again
// in other forms: each is read once.
func TestBundleHerd(t *testing.T) {
	t.Parallel()
	key := apitest.NewKey(t)
	l := &countingLog{Log: apitest.NewLog(t, key, nil), started: make(chan struct{}, 100), hold: make(chan struct{})}
	grow(t, l.Log, 512)
	s := apitest.ServeKey(t, key, api.Options{Log: l})
	var wg sync.WaitGroup
	ask := func(path, accept string) {
		wg.Go(func() {
			if res, b := fetch(t, s, http.MethodGet, path, "Accept-Encoding", accept); res.StatusCode != http.StatusOK || len(b) == 0 {
				t.Errorf("%s: %s", path, res.Status)
			}
		})
	}
	for range 20 {
		ask("/tile/entries/000", "gzip")
		ask("/tile/entries/001", "gzip")
	}
	<-l.started
	<-l.started
	close(l.hold)
	wg.Wait()
	for range 5 {
		ask("/tile/entries/000", "identity")
		ask("/tile/entries/001", "gzip")
		ask("/tile/entries/001.p/9", "identity")
		ask("/tile/entries/000.p/255", "gzip")
	}
	wg.Wait()
	if n := l.reads.Load(); n != 2 {
		t.Errorf("two bundles were read %d times", n)
	}
}

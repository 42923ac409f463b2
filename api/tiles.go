package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

// The read interface of C2SP's tlog-tiles, which Rekor v2 has below /api/v2
// and which here is at the root as well. A tile never changes, so caches may
// keep it for good; whoever has many readers puts one in front.
// https://c2sp.org/tlog-tiles

const (
	pathV2         = "/api/v2"
	pathCheckpoint = "/checkpoint"
	pathTile       = "/tile/*"

	varyForEncoding = "Accept-Encoding"
)

// Headers as net/http has them, so that an answer allocates none.
var (
	noteHeader = []string{"text/plain; charset=utf-8"}
	tileHeader = []string{"application/octet-stream"}
	revalidate = []string{"no-cache"}
	noStore    = []string{"no-store"}
	immutable  = []string{"public, max-age=31536000, immutable"}
	gzipHeader = []string{"gzip"}
)

// checkpoint serves the newest checkpoint that is published.
func (s *server) checkpoint(ctx context.Context, x *exchange, r *http.Request) error {
	p, err := s.log.Published(ctx)
	if errors.Is(err, log.ErrNoNote) {
		return notFound(x.path)
	}
	if err != nil {
		return fmt.Errorf("read published checkpoint: %w", err)
	}
	sum := sha256.Sum256(p.Note)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	h := x.Header()
	h["Cache-Control"] = revalidate
	h["Etag"] = []string{tag}
	if matches(r, tag) {
		x.WriteHeader(http.StatusNotModified)
		return nil
	}
	h["Content-Type"] = noteHeader
	x.sendBytes(p.Note)
	return nil
}

// tile serves a tile or an entry bundle, full or partial.
func (s *server) tile(ctx context.Context, x *exchange, r *http.Request) error {
	path := strings.TrimPrefix(x.path, pathV2)[1:]
	t, err := merkle.ParseTile(path)
	if err != nil {
		return badRequest("%v", err)
	}
	tag := s.tileTag + path[len("tile/"):]
	if t.Level == merkle.Entries {
		return s.bundle(ctx, x, r, t, tag)
	}
	row, err := s.log.Tile(ctx, t)
	if err != nil {
		return refuseTile(t, err)
	}
	tag += `"`
	h := x.Header()
	h["Cache-Control"] = immutable
	h["Etag"] = []string{tag}
	if matches(r, tag) {
		x.WriteHeader(http.StatusNotModified)
		return nil
	}
	h["Content-Type"] = tileHeader
	x.sendBytes(row)
	return nil
}

// bundle serves an entry bundle. Entries are text that shrinks to the half,
// hashes are not, so only bundles are compressed. tag is the entity tag as far
// as it does not depend on that.
func (s *server) bundle(ctx context.Context, x *exchange, r *http.Request, t merkle.Tile, tag string) error {
	zip := acceptsGzip(r.Header["Accept-Encoding"])
	if zip {
		tag += "+gzip"
	}
	tag += `"`
	b, known := (*blob)(nil), matches(r, tag)
	var err error
	if known {
		// That there is such a bundle is all there is to find out.
		_, err = s.log.Tile(ctx, merkle.Tile{Level: 0, Index: t.Index, Width: t.Width})
	} else if b, err = s.bundles.get(ctx, t.Index, t.Width, zip); err == nil {
		defer s.bundles.release(b)
	}
	if err != nil {
		return refuseTile(t, err)
	}
	h := x.Header()
	h["Cache-Control"] = immutable
	h["Etag"] = []string{tag}
	h.Add("Vary", varyForEncoding)
	if known {
		x.WriteHeader(http.StatusNotModified)
		return nil
	}
	h["Content-Type"] = tileHeader
	if zip {
		h["Content-Encoding"] = gzipHeader
	}
	x.sendBytes(b.data)
	return nil
}

// tileTag returns how the entity tags of a log's tiles begin. What follows is
// the tile's name, for its content is decided by that and by which log it is.
func tileTag(id log.Identity) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d\n%x\n", id.Origin, id.TreeID, id.KeyID))
	return `"` + hex.EncodeToString(sum[:6]) + "/"
}

// matches says that the client has what the tag is of.
// https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
func matches(r *http.Request, tag string) bool {
	for _, header := range r.Header["If-None-Match"] {
		for have := range strings.SplitSeq(header, ",") {
			have = strings.TrimSpace(have)
			if have == "*" || strings.TrimPrefix(have, "W/") == tag {
				return true
			}
		}
	}
	return false
}

// acceptsGzip says that an answer may be compressed.
// https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3
func acceptsGzip(accept []string) bool {
	named, others := -1.0, 0.0
	for _, header := range accept {
		if header == "gzip" {
			return true
		}
		for spec := range strings.SplitSeq(header, ",") {
			coding, params, _ := strings.Cut(spec, ";")
			switch strings.ToLower(strings.TrimSpace(coding)) {
			case "gzip", "x-gzip":
				named = max(named, quality(params))
			case "*":
				others = quality(params)
			}
		}
	}
	return named > 0 || named < 0 && others > 0
}

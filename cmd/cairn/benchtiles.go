package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

// tileReads makes requests for at most n different full tiles or entry
// bundles, drawn from all of a log. Bundles are asked for as most clients do,
// compressed.
func (v *verifier) tileReads(kind string, size int64, n int) ([][]byte, error) {
	full := size / merkle.TileWidth
	if full == 0 {
		return nil, usage("the log has no full tile: that takes %d entries", merkle.TileWidth)
	}
	t := merkle.Tile{Width: merkle.TileWidth}
	more := ""
	if kind == "bundle" {
		t.Level, more = merkle.Entries, "Accept-Encoding: gzip\r\n"
	}
	var requests [][]byte
	for _, t.Index = range draw(full, n) {
		requests = append(requests, fmt.Appendf(nil, "GET /%s HTTP/1.1\r\nHost: %s\r\n%s\r\n", t.Path(), v.host, more))
	}
	return requests, nil
}

// tile verifies an answer to one of these requests: that the entries have the
// hashes of the tile, and that one of those is proven by a signed tree.
func (v *verifier) tile(ctx context.Context, x exchange) error {
	line, _, _ := bytes.Cut(x.request, []byte(" HTTP/1.1\r\n"))
	path := string(bytes.TrimPrefix(line, []byte("GET /")))
	t, err := merkle.ParseTile(path)
	if err != nil {
		return err
	}
	row := x.answer
	if t.Level == merkle.Entries {
		t.Level = 0
		if row, err = v.ask(ctx, "GET", "/"+t.Path(), nil); err != nil {
			return err
		}
		row = bytes.Clone(row)
	}
	if len(row) != merkle.TileWidth*merkle.HashSize {
		return faultf("%v has %d bytes", t, len(row))
	}
	if path != t.Path() {
		if err := holdsBundle(x.answer, row); err != nil {
			return faultf("%s: %w", path, err)
		}
	}
	at := rand.IntN(merkle.TileWidth)
	index := t.Index*merkle.TileWidth + int64(at)
	answer, err := v.ask(ctx, "GET", fmt.Sprintf("/api/v1/log/entries?logIndex=%d", index), nil)
	if err != nil {
		return err
	}
	id, e, err := v.entry(answer)
	if err != nil {
		return err
	}
	if e.Verification.InclusionProof.LogIndex != index || id.Hash != merkle.Hash(row[at*merkle.HashSize:]) {
		return faultf("%v has another hash than entry %d", t, index)
	}
	return nil
}

// holdsBundle checks the entries of a compressed bundle against their hashes.
func holdsBundle(zipped, row []byte) error {
	r, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return err
	}
	bundle, err := io.ReadAll(io.LimitReader(r, merkle.TileWidth*(2+log.MaxLeafSize)))
	if err != nil {
		return err
	}
	for i := range merkle.TileWidth {
		if len(bundle) < 2 || len(bundle)-2 < int(binary.BigEndian.Uint16(bundle)) {
			return fmt.Errorf("it ends in entry %d", i)
		}
		leaf := bundle[2 : 2+int(binary.BigEndian.Uint16(bundle))]
		bundle = bundle[2+len(leaf):]
		if merkle.HashLeaf(leaf) != merkle.Hash(row[i*merkle.HashSize:]) {
			return fmt.Errorf("entry %d does not have the hash of the tile", i)
		}
	}
	if len(bundle) > 0 {
		return fmt.Errorf("%d bytes behind the last entry", len(bundle))
	}
	return nil
}

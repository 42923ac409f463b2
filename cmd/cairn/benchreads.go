package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	v1 "github.com/cairnlog/cairn/api/v1"
	v2 "github.com/cairnlog/cairn/api/v2"
)

// reads makes requests for at most n different entries of a log, drawn from
// all of it, in random order.
func (v *verifier) reads(ctx context.Context, kind string, size int64, n int) ([][]byte, error) {
	if size == 0 {
		return nil, usage("the log is empty: nothing can be read from it")
	}
	if kind == "tile" || kind == "bundle" {
		return v.tileReads(kind, size, n)
	}
	indexes := draw(size, n)
	var requests [][]byte
	if kind == "index" {
		for _, i := range indexes {
			path := fmt.Sprintf("/api/v1/log/entries?logIndex=%d", i)
			requests = append(requests, appendRequest(nil, "GET", path, v.host, nil))
		}
		return requests, nil
	}
	const most = 10 // that a request for entries may name
	for part := range slices.Chunk(indexes, most) {
		body, err := json.Marshal(v1.SearchLogQuery{LogIndexes: part})
		if err != nil {
			return nil, err
		}
		b, err := v.ask(ctx, "POST", "/api/v1/log/entries/retrieve", body)
		if err != nil {
			return nil, err
		}
		var found []map[string]struct{ Body []byte }
		if err := json.Unmarshal(b, &found); err != nil {
			return nil, faultf("entries: %w", err)
		}
		for _, one := range found {
			for id, e := range one {
				if kind == "uuid" {
					requests = append(requests, appendRequest(nil, "GET", "/api/v1/log/entries/"+id, v.host, nil))
					continue
				}
				var h hashedRekord
				if json.Unmarshal(e.Body, &h) != nil || h.Spec.Data.Hash.Algorithm != "sha256" {
					continue // another kind, which has its digest elsewhere
				}
				body := fmt.Appendf(nil, `{"hash":"sha256:%s"}`, h.Spec.Data.Hash.Value)
				requests = append(requests, appendRequest(nil, "POST", "/api/v1/index/retrieve", v.host, body))
			}
		}
	}
	if len(requests) == 0 {
		return nil, usage("there is nothing in the log that bench could search for")
	}
	return requests, nil
}

// draw returns min(size, n) different numbers below size in random order.
func draw(size int64, n int) []int64 {
	if size <= 2*int64(n) {
		all := make([]int64, size)
		for i := range all {
			all[i] = int64(i)
		}
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		return all[:min(size, int64(n))]
	}
	seen := make(map[int64]bool, n)
	drawn := make([]int64, 0, n)
	for len(drawn) < n {
		if i := rand.Int64N(size); !seen[i] {
			seen[i] = true
			drawn = append(drawn, i)
		}
	}
	return drawn
}

// read verifies the answer to a read, and that it is an answer to what was asked.
func (v *verifier) read(kind string, x exchange) error {
	line, _, _ := bytes.Cut(x.request, []byte(" HTTP/1.1\r\n"))
	if kind == "search" {
		var ids []string
		if err := json.Unmarshal(x.answer, &ids); err != nil {
			return faultf("search: %w", err)
		}
		if len(ids) == 0 {
			return faultf("search does not find an entry with %s", requestBody(x.request))
		}
		for _, id := range ids {
			if _, err := v1.ParseEntryID(id); err != nil {
				return faultf("search: %w", err)
			}
		}
		return nil
	}
	id, e, err := v.entry(x.answer)
	if err != nil {
		return err
	}
	if kind == "index" && !bytes.HasSuffix(line, fmt.Appendf(nil, "logIndex=%d", e.LogIndex)) ||
		kind == "uuid" && !bytes.HasSuffix(line, []byte("/"+id.String())) {
		return faultf("%s returns entry %s at index %d", line, id, e.LogIndex)
	}
	return nil
}

// bodySize returns the length of the canonical body in an answer that is one
// entry, 0 for another answer.
func bodySize(answer []byte) int {
	if e, err := v2.ParseEntry(answer); err == nil {
		return len(e.Body)
	}
	var w map[string]struct{ Body string }
	if json.Unmarshal(answer, &w) != nil {
		return 0
	}
	for _, e := range w {
		b, err := base64.StdEncoding.DecodeString(e.Body)
		if err == nil {
			return len(b)
		}
	}
	return 0
}

var errNoAnswer = errors.New("no answer to compare with")

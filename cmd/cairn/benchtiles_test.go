package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestBenchTiles(t *testing.T) {
	t.Parallel()
	url := newBenchLog(t, nil)
	if _, err := bench(t, url, loadCmd{}); err != nil {
		t.Fatal(err)
	}
	if _, err := bench(t, url, loadCmd{Reads: "tile"}); exitCode(err) != exitUsage {
		t.Errorf("tiles of a log that has no full one: %v", err)
	}
	if _, err := bench(t, url, loadCmd{Count: 500}); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"tile", "bundle"} {
		r, err := bench(t, url, loadCmd{Reads: kind, Count: 100, Bare: true})
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if r.Accepted != 100 || r.Keys != 2 || r.Sampled < 10 || r.BarePerSecond <= 0 || kind == "tile" && r.BodyBytes != 8192 {
			t.Errorf("%s: %+v", kind, r)
		}
	}
}

func TestBenchCatchesWrongTiles(t *testing.T) {
	t.Parallel()
	flip := func(b []byte) []byte { // each hash, in its first byte
		b = bytes.Clone(b)
		for i := 0; i < len(b); i += 32 {
			b[i] ^= 1
		}
		return b
	}
	for name, tt := range map[string]struct {
		kind, path string
		change     func([]byte) []byte
		text       string
	}{
		"other hashes":  {"tile", "/tile/0/", flip, "another hash than entry"},
		"half a tile":   {"tile", "/tile/0/", func(b []byte) []byte { return b[:4096] }, "has 4096 bytes"},
		"no gzip":       {"bundle", "/tile/entries/", func([]byte) []byte { return make([]byte, 100) }, "gzip"},
		"other entries": {"bundle", "/tile/0/", flip, "does not have the hash of the tile"},
		"half a bundle": {"bundle", "/tile/entries/", func(b []byte) []byte { return b[:len(b)/2] }, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := newBenchLog(t, alter("GET", tt.path, 200, tt.change))
			if _, err := bench(t, url, loadCmd{Count: 260}); err != nil {
				t.Fatal(err)
			}
			r, err := bench(t, url, loadCmd{Reads: tt.kind})
			if err == nil || exitCode(err) != exitUnverified || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%+v, %v; want %q", r, err, tt.text)
			}
		})
	}
}

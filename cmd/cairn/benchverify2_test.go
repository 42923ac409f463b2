package main

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	v2 "github.com/cairnlog/cairn/api/v2"
)

func TestBenchV2(t *testing.T) {
	t.Parallel()
	url := newBenchLog(t, nil)
	r, err := bench(t, url, loadCmd{API: "v2"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Workload != "upload v2" || r.Accepted != 40 || r.Sampled < 10 || r.LogSize != 40 || r.BodyBytes < 500 {
		t.Errorf("%+v", r)
	}
	// What v2 has uploaded can be read by v1.
	if r, err = bench(t, url, loadCmd{Reads: "uuid", Count: 100}); err != nil || r.Accepted != 100 {
		t.Errorf("reads: %v, %+v", err, r)
	}
}

func TestBenchV2CatchesALiar(t *testing.T) {
	t.Parallel()
	entry := func(f func(e *v2.Entry)) func(http.Handler) http.Handler {
		return alter("POST", v2.PathEntries, 201, func(b []byte) []byte {
			e, err := v2.ParseEntry(b)
			if err != nil {
				panic(err)
			}
			f(e)
			return e.Append(nil)
		})
	}
	var mu sync.Mutex
	var kept []byte
	for name, tt := range map[string]struct {
		wrap func(http.Handler) http.Handler
		text string
	}{
		"no entry":            {alter("POST", v2.PathEntries, 201, func([]byte) []byte { return []byte("{}") }), "no inclusion proof"},
		"another place":       {entry(func(e *v2.Entry) { e.Index++ }), ""},
		"another root":        {entry(func(e *v2.Entry) { e.Tree.Root[0]++ }), "size or root"},
		"another log":         {entry(func(e *v2.Entry) { e.LogID[0]++ }), "log id"},
		"log id that is cut":  {entry(func(e *v2.Entry) { e.LogID = e.LogID[:4] }), "log id"},
		"unsigned checkpoint": {entry(func(e *v2.Entry) { e.Checkpoint = bytes.Replace(e.Checkpoint, []byte("\n\n"), []byte("\nmore\n\n"), 1) }), "open checkpoint"},
		"another kind":        {entry(func(e *v2.Entry) { e.Kind = "dsse" }), "is not what was sent"},
		"one answer for all": {alter("POST", v2.PathEntries, 201, func(b []byte) []byte {
			mu.Lock()
			defer mu.Unlock()
			if kept == nil {
				kept = bytes.Clone(b)
			}
			return kept
		}), "is not what was sent"},
		"not searchable": {alter("POST", "/api/v1/index/retrieve", 200, func([]byte) []byte { return []byte("[]\n") }), "is not found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := bench(t, newBenchLog(t, tt.wrap), loadCmd{API: "v2"})
			var f *fault
			if !errors.As(err, &f) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v, want a fault about %q", err, tt.text)
			}
		})
	}
	for name, wrap := range map[string]func(http.Handler) http.Handler{
		"no keys":       alter("GET", "/.well-known/log.vkey", 200, func([]byte) []byte { return nil }),
		"keys are none": alter("GET", "/.well-known/log.vkey", 200, func([]byte) []byte { return []byte("x\n") }),
	} {
		if _, err := bench(t, newBenchLog(t, wrap), loadCmd{API: "v2"}); !errors.As(err, new(*fault)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

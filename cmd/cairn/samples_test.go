package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// sample is the command "sample kind vector artifact [key]": it takes an
// artifact, and the key that signed it, out of a vector of package entry.
func sample(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: sample kind vector artifact [key]")
	}
	text, err := os.ReadFile(filepath.Join(ts.Value(moduleKey{}).(string), "entry", "testdata", args[0]+"-0.0.1.json"))
	ts.Check(err)
	type vector struct {
		Name     string
		Proposed json.RawMessage
	}
	var vectors []vector
	ts.Check(json.Unmarshal(text, &vectors))
	i := slices.IndexFunc(vectors, func(v vector) bool { return v.Name == args[1] })
	if i < 0 {
		ts.Fatalf("%s has no vector %s", args[0], args[1])
	}
	type blob struct{ Content json.RawMessage }
	var proposed struct {
		Spec struct {
			Package, Archive, TSR, Metadata, Root blob
			Chart                                 struct{ Provenance blob }
			Message, PublicKey                    json.RawMessage
		}
	}
	ts.Check(json.Unmarshal(vectors[i].Proposed, &proposed))
	s := proposed.Spec
	for _, part := range []json.RawMessage{s.Package.Content, s.Archive.Content, s.TSR.Content, s.Metadata.Content, s.Chart.Provenance.Content, s.Message} {
		if part != nil {
			ts.Check(os.WriteFile(ts.MkAbs(args[2]), bytesOf(part), 0o600))
		}
	}
	if len(args) < 4 {
		return
	}
	key := s.Root.Content
	if key == nil {
		key = s.PublicKey
		var b blob
		if json.Unmarshal(key, &b) == nil {
			key = b.Content
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[3]), bytesOf(key), 0o600))
}

// bytesOf decodes base64; what is no string is JSON itself.
func bytesOf(raw json.RawMessage) []byte {
	var b []byte
	if json.Unmarshal(raw, &b) != nil {
		return raw
	}
	return b
}

type moduleKey struct{}

// serveWeb serves the files of a story to $WEB and $TLSWEB, and some that are
// meant ill.
func serveWeb(e *testscript.Env) error {
	module, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	e.Values[moduleKey{}] = module
	done := make(chan struct{})
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(e.WorkDir)))
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for block := make([]byte, 1<<20); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
		http.NewResponseController(w).Flush()
		select {
		case <-done:
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/packed/", func(w http.ResponseWriter, r *http.Request) {
		b, err := os.ReadFile(filepath.Join(e.WorkDir, filepath.Base(r.URL.Path)))
		if err == nil && slices.ContainsFunc(r.Header.Values("Accept-Encoding"), func(s string) bool { return strings.Contains(s, "gzip") }) {
			var packed bytes.Buffer
			z := gzip.NewWriter(&packed)
			z.Write(b)
			z.Close()
			b = packed.Bytes()
			w.Header().Set("Content-Encoding", "gzip")
		}
		w.Write(b)
	})
	mux.Handle("/loop", http.RedirectHandler("/loop", http.StatusFound))
	mux.Handle("/moved/", http.StripPrefix("/moved", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path, http.StatusFound)
	})))
	web := httptest.NewServer(mux)
	secure := http.NewServeMux()
	secure.Handle("/down/", http.StripPrefix("/down", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, web.URL+r.URL.Path, http.StatusFound)
	})))
	secure.Handle("/", mux)
	tls := httptest.NewTLSServer(secure)
	e.Defer(func() {
		close(done)
		web.Close()
		tls.Close()
	})
	e.Setenv("WEB", web.URL)
	e.Setenv("TLSWEB", tls.URL)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw})
	return os.WriteFile(filepath.Join(e.WorkDir, "web.crt"), cert, 0o600)
}

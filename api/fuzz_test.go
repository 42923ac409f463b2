package api_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/api/apitest"
	v1 "github.com/cairnlog/cairn/api/v1"
)

// FuzzServer wants that no request makes the server fail, and that every
// answer is one that openapi.yaml describes.
func FuzzServer(f *testing.F) {
	key := apitest.NewKey(f)
	l := apitest.NewLog(f, key, nil)
	grow(f, l, 3)
	h, err := api.New(api.Options{Log: l, PublicKey: key.Public(), MaxBody: 10_000})
	if err != nil {
		f.Fatal(err)
	}
	checker, err := apitest.NewChecker()
	if err != nil {
		f.Fatal(err)
	}
	var exchanges []recorded
	load(f, "http-unsharded.json", &exchanges)
	for _, x := range exchanges {
		f.Add(x.Request.Method, x.Request.Path, x.Request.Body)
	}
	f.Add(http.MethodPost, v1.PathRetrieve, `{"entries":[{"kind":"dsse","apiVersion":"0.0.1","spec":{"envelopeHash":{}}}]}`)
	f.Add(http.MethodPost, v1.PathEntries, strings.Repeat("[", 5000))
	f.Add(http.MethodPost, v1.PathIndex, `{"publicKey":`+strings.Repeat("[", 5000))
	for _, path := range []string{"/checkpoint", "/tile/0/000.p/3", "/api/v2/tile/entries/000.p/3", "/tile/1/x001/000"} {
		f.Add(http.MethodGet, path, "")
	}
	f.Fuzz(func(t *testing.T, method, path, body string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || u.Path == "" || u.Path[0] != '/' || !isToken(method) {
			return // net/http would not let it through
		}
		r := httptest.NewRequest(http.MethodGet, "/", strings.NewReader(body))
		r.Method, r.URL = method, u
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
		res := w.Result()
		answer, _ := io.ReadAll(res.Body)
		if method == http.MethodHead {
			answer = nil // net/http would not send it
		}
		if err := checker.Check(apitest.Exchange{
			Method: method, URL: u, Header: r.Header, Body: []byte(body),
			Status: w.Code, ResponseHeader: res.Header, ResponseBody: answer,
		}, false); err != nil {
			t.Fatal(err)
		}
	})
}

// isToken says that s can be a method.
func isToken(s string) bool {
	for _, c := range s {
		if !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", c) {
			return false
		}
	}
	return s != ""
}

// FuzzTileHeaders wants that whatever a client says of what it has and takes,
// it gets the bundle, or hears that it has it.
func FuzzTileHeaders(f *testing.F) {
	key := apitest.NewKey(f)
	l := apitest.NewLog(f, key, nil)
	grow(f, l, 3)
	h, err := api.New(api.Options{Log: l, PublicKey: key.Public()})
	if err != nil {
		f.Fatal(err)
	}
	want, err := l.EntryBundle(f.Context(), 0, 3)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("gzip, *;q=0.5", `W/"x", *`)
	f.Add("gzip;q=1e-9", `"`)
	f.Fuzz(func(t *testing.T, accept, have string) {
		r := httptest.NewRequest(http.MethodGet, "/tile/entries/000.p/3", nil)
		r.Header.Set("Accept-Encoding", accept)
		r.Header.Set("If-None-Match", have)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		tag := w.Header().Get("Etag")
		switch got := w.Body.Bytes(); {
		case w.Code == http.StatusNotModified:
			if len(got) > 0 || !strings.Contains(have, tag) && !strings.Contains(have, "*") {
				t.Fatalf("who has %q has %s", have, tag)
			}
		case w.Code != http.StatusOK:
			t.Fatalf("%d %s", w.Code, got)
		case w.Header().Get("Content-Encoding") == "gzip":
			z, err := gzip.NewReader(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			if got, err = io.ReadAll(z); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%q, %v", got, err)
			}
		case !bytes.Equal(got, want):
			t.Fatalf("%q", got)
		}
	})
}

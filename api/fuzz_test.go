package api_test

import (
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

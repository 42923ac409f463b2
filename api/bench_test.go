package api_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/api/apitest"
	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
)

// benchLeaf is the size of a hashedrekord with a short-lived certificate.
const benchLeaf = 1500

// grow adds n leaves to l and returns their hashes.
func grow(t testing.TB, l *log.Log, n int) []merkle.Hash {
	t.Helper()
	hashes := make([]merkle.Hash, n)
	errs := make(chan error, n)
	for i := range n {
		body := fmt.Appendf(nil, "%0*d", benchLeaf, i)
		hashes[i] = merkle.HashLeaf(body)
		leaf := log.Leaf{Body: body, Terms: []string{"sha256:" + hashes[i].String(), "user@example.com"}}
		go func() {
			_, err := l.Add(t.Context(), leaf)
			errs <- err
		}()
		if i%1000 == 999 || i == n-1 {
			for range i%1000 + 1 {
				if err := <-errs; err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return hashes
}

// BenchmarkReads compares reads with a bare handler that returns the bytes of
// the same answer, over TCP, in one run.
func BenchmarkReads(b *testing.B) {
	key := apitest.NewKey(b)
	l := apitest.NewLog(b, key, nil)
	const size = 5000
	hashes := grow(b, l, size)
	h, err := api.New(api.Options{Log: l, PublicKey: key.Public()})
	if err != nil {
		b.Fatal(err)
	}
	requests := []struct {
		name string
		make func(i int) *http.Request
	}{
		{"index", func(i int) *http.Request {
			return httptest.NewRequest(http.MethodGet, v1.PathEntries+"?logIndex="+strconv.Itoa(i%size), nil)
		}},
		{"uuid", func(i int) *http.Request {
			return httptest.NewRequest(http.MethodGet, v1.PathEntries+"/"+hashes[i%size].String(), nil)
		}},
		{"search", func(i int) *http.Request {
			return post(v1.PathIndex, `{"hash":"sha256:`+hashes[i%size].String()+`"}`)
		}},
		{"checkpoint", func(int) *http.Request { return httptest.NewRequest(http.MethodGet, "/checkpoint", nil) }},
		{"tile", func(i int) *http.Request {
			return httptest.NewRequest(http.MethodGet, fmt.Sprintf("/tile/0/%03d", i%(size/256)), nil)
		}},
		{"bundle", func(i int) *http.Request {
			r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("/tile/entries/%03d", i%(size/256)), nil)
			r.Header.Set("Accept-Encoding", "gzip")
			return r
		}},
		{"info", func(int) *http.Request { return httptest.NewRequest(http.MethodGet, v1.PathLog, nil) }},
	}
	for _, r := range requests {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r.make(0))
		if answer.Code != http.StatusOK {
			b.Fatalf("%s: %d %s", r.name, answer.Code, answer.Body)
		}
		body := answer.Body.Bytes()
		bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			w.Write(body)
		})
		b.Run(r.name+"/cairn", func(b *testing.B) { overTCP(b, h, r.make) })
		b.Run(r.name+"/bare", func(b *testing.B) { overTCP(b, bare, r.make) })
		b.Run(r.name+"/handler", func(b *testing.B) {
			req := r.make(0)
			var sent []byte
			if req.Body != nil {
				sent, _ = io.ReadAll(req.Body)
			}
			reader := bytes.NewReader(nil)
			w := &discard{header: make(http.Header)}
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(sent)
				req.Body = io.NopCloser(reader)
				clear(w.header)
				h.ServeHTTP(w, req)
			}
		})
	}
}

func post(path, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

// overTCP sends requests from 32 clients.
func overTCP(b *testing.B, h http.Handler, request func(i int) *http.Request) {
	s := httptest.NewServer(h)
	defer s.Close()
	client := s.Client()
	client.Transport.(*http.Transport).MaxIdleConnsPerHost = 64
	b.SetParallelism(16)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			in := request(i)
			out, err := http.NewRequest(in.Method, s.URL+in.URL.RequestURI(), in.Body)
			if err != nil {
				b.Error(err)
				return
			}
			out.Header = in.Header
			out.ContentLength = in.ContentLength
			res, err := client.Do(out)
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	})
}

// discard is a ResponseWriter that keeps nothing.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }

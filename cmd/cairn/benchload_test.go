package main

import (
	"bufio"
	"bytes"
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestHistogram(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.SliceOfN(rapid.Int64Range(0, math.MaxInt64), 1, 300).Draw(t, "ns")
		parts := make([]histogram, 3)
		for i, n := range ns {
			parts[i%len(parts)].add(time.Duration(n))
		}
		var h histogram
		for i := range parts {
			h.merge(&parts[i])
		}
		slices.Sort(ns)
		for _, q := range []float64{0, 0.5, 0.9, 0.99, 1} {
			rank := max(int(math.Ceil(q*float64(len(ns)))), 1)
			want := float64(ns[rank-1])
			got := float64(h.quantile(q))
			if got < want || got > want*(1+1.0/128)+1 {
				t.Fatalf("quantile %v of %v: %v, want %v or at most 1/128 more", q, ns, got, want)
			}
		}
		if h.max != time.Duration(ns[len(ns)-1]) || h.count != int64(len(ns)) {
			t.Fatalf("max %v, count %d of %v", h.max, h.count, ns)
		}
	})
	var empty histogram
	if q := empty.quantile(0.5); q != 0 {
		t.Errorf("quantile of nothing: %v", q)
	}
}

// serverAddr starts a server for a handler.
func serverAddr(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func constant(request []byte) func(int64) []byte { return func(int64) []byte { return request } }

// A server that stands still for a while must show in the latencies of all
// requests that fell due meanwhile.
func TestOpenLoopCountsFromWhenDue(t *testing.T) {
	t.Parallel()
	const stall = 300 * time.Millisecond
	var n atomic.Int64
	addr := serverAddr(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 1 {
			time.Sleep(stall)
		}
	})
	l := &traffic{
		addr: addr, clients: 1, rate: 100, count: 20, timeout: 10 * time.Second,
		accept: http.StatusOK, request: constant(appendRequest(nil, "GET", "/", addr, nil)),
	}
	r, err := l.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.accepted != 20 {
		t.Fatalf("accepted %d of 20: %v %v", r.accepted, r.statuses, r.network)
	}
	// Request i is due after 10i ms and answered after the stall at the
	// earliest, so half of them waited for at least 200 ms.
	if p50 := r.latency.quantile(0.5); p50 < stall-100*time.Millisecond {
		t.Errorf("p50 is %v: the clients waited for the server", p50)
	}
	// And none is sent before it is due.
	if r.elapsed < 190*time.Millisecond {
		t.Errorf("20 requests at 100 a second took %v", r.elapsed)
	}
}

func TestLoadCountsAnswers(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	addr := serverAddr(t, func(w http.ResponseWriter, r *http.Request) {
		switch n.Add(1) % 5 {
		case 0:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 1:
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(http.StatusCreated)
			w.Write([]byte("ok"))
		}
	})
	l := &traffic{
		addr: addr, clients: 3, count: 100, timeout: 10 * time.Second, accept: http.StatusCreated, sample: 9,
		request: constant(appendRequest(nil, "POST", "/", addr, []byte("{}"))),
	}
	r, err := l.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[int]int64{201: 60, 503: 20}, r.statuses); diff != "" {
		t.Error(diff)
	}
	var broken int64
	for _, n := range r.network {
		broken += n
	}
	if r.accepted != 60 || broken != 20 || r.latency.count != 60 || r.received != 120 || len(r.samples) != 9 {
		t.Errorf("accepted %d, broken %d, latencies %d, received %d, samples %d", r.accepted, broken, r.latency.count, r.received, len(r.samples))
	}
}

// A server that is gone ends a load, however many requests are left.
func TestLoadEndsWithTheServer(t *testing.T) {
	t.Parallel()
	var s *httptest.Server
	var n atomic.Int64
	s = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 3 {
			s.Listener.Close()
		}
		w.Header().Set("Connection", "close")
	}))
	s.Start()
	defer s.Close()
	addr := strings.TrimPrefix(s.URL, "http://")
	l := &traffic{addr: addr, clients: 2, count: 1e9, timeout: time.Second, accept: 200, request: constant(appendRequest(nil, "GET", "/", addr, nil))}
	r, err := l.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.accepted < 1 || r.accepted > 4 {
		t.Errorf("accepted %d", r.accepted)
	}
}

func TestLoadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	addr := serverAddr(t, func(w http.ResponseWriter, r *http.Request) {})
	for _, rate := range []float64{0, 50} {
		ctx, cancel := context.WithCancel(t.Context())
		var n atomic.Int64
		l := &traffic{addr: addr, clients: 2, rate: rate, count: 1e9, timeout: time.Second, accept: 200, request: func(i int64) []byte {
			if n.Add(1) == 5 {
				cancel()
			}
			return appendRequest(nil, "GET", "/", addr, nil)
		}}
		if _, err := l.run(ctx); err != context.Canceled {
			t.Errorf("rate %v: %v", rate, err)
		}
	}
}

func TestReadAnswer(t *testing.T) {
	t.Parallel()
	type want struct {
		Status int
		Body   string
		Close  bool
	}
	for name, tt := range map[string]struct {
		in   string
		want *want // nil for an error
	}{
		"length":                {"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 ", &want{201, "abc", false}},
		"other case":            {"HTTP/1.1 200 OK\r\ncontent-LENGTH:  3 \r\n\r\nabc", &want{200, "abc", false}},
		"no reason":             {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", &want{200, "", false}},
		"bare newlines":         {"HTTP/1.1 200 OK\nContent-Length: 1\n\nx", &want{200, "x", false}},
		"chunks":                {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: x\r\n\r\n", &want{200, "abc0123456789", false}},
		"interim":               {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", &want{200, "x", false}},
		"no content":            {"HTTP/1.1 204 No Content\r\n\r\nHTTP", &want{204, "", false}},
		"close":                 {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", &want{200, "x", true}},
		"until the end":         {"HTTP/1.1 200 OK\r\n\r\nabc", &want{200, "abc", true}},
		"HTTP/1.0":              {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", &want{200, "x", true}},
		"nothing":               {"", nil},
		"cut in the header":     {"HTTP/1.1 200 OK\r\nContent-", nil},
		"cut in the body":       {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", nil},
		"cut in a chunk":        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", nil},
		"no end of a chunk":     {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", nil},
		"other protocol":        {"SSH-2.0-OpenSSH_9.2p1\r\n", nil},
		"status of letters":     {"HTTP/1.1 2xx OK\r\n\r\n", nil},
		"status of four":        {"HTTP/1.1 2000 OK\r\n\r\n", nil},
		"status below 100":      {"HTTP/1.1 099 OK\r\n\r\n", nil},
		"switch of protocols":   {"HTTP/1.1 101 Switching Protocols\r\n\r\n", nil},
		"no colon":              {"HTTP/1.1 200 OK\r\nContent-Length 3\r\n\r\nabc", nil},
		"negative length":       {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", nil},
		"two lengths":           {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", nil},
		"length over the limit": {"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n", nil},
		"chunk over the limit":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n", nil},
		"other encoding":        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", nil},
		"endless line":          {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20), nil},
		"endless header":        {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 1<<20), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, err := readAnswer(bufio.NewReader(strings.NewReader(tt.in)), []byte("old"))
			if tt.want == nil {
				if err == nil {
					t.Fatalf("accepted: %d %.100q", a.status, a.body)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(*tt.want, want{a.status, string(a.body), a.close}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nabc"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\nabc"))
	f.Fuzz(func(t *testing.T, in []byte) {
		a, err := readAnswer(bufio.NewReader(bytes.NewReader(in)), nil)
		if len(a.body) > len(in) {
			t.Fatalf("%d bytes of body from %d", len(a.body), len(in))
		}
		// How it arrives makes no difference.
		b, err2 := readAnswer(bufio.NewReader(iotest.OneByteReader(bytes.NewReader(in))), nil)
		if (err == nil) != (err2 == nil) || a.status != b.status || !bytes.Equal(a.body, b.body) || a.close != b.close {
			t.Fatalf("at once: %d %q %v; byte by byte: %d %q %v", a.status, a.body, err, b.status, b.body, err2)
		}
		if err == nil && (a.status < 200 || a.status > 999) {
			t.Fatalf("status %d", a.status)
		}
	})
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"http://127.0.0.1:3000":   "127.0.0.1:3000",
		"http://127.8.9.1:80/x":   "127.8.9.1:80",
		"http://[::1]:3000":       "[::1]:3000",
		"http://127.0.0.1":        "127.0.0.1:80",
		"http://192.0.2.1:3000":   "",
		"http://10.0.0.1":         "",
		"http://[2001:db8::1]":    "",
		"http://0.0.0.0:3000":     "",
		"https://127.0.0.1:3000":  "",
		"unix:/run/cairn":         "",
		"http://":                 "",
		"http://169.254.169.254/": "",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		got, err := loopback(t.Context(), u, false)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", in, got, err)
		}
		if err != nil && exitCode(err) != exitUsage {
			t.Errorf("%s: exit code %d", in, exitCode(err))
		}
	}
	u := &url.URL{Scheme: "http", Host: "192.0.2.1:3000"}
	if got, err := loopback(t.Context(), u, true); got != "192.0.2.1:3000" || err != nil {
		t.Errorf("own server: %q, %v", got, err)
	}
}

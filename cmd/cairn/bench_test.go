package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/api/apitest"
	"github.com/cairnlog/cairn/entry"
	"github.com/cairnlog/cairn/storage/storagetest"
)

// Everything that a forge makes is what a log takes, and each is another.
func TestForge(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]struct {
		size    int // of a certificate, at least
		subject string
	}{
		"ci":    {1600, `^https://github\.com/example-organization/bench-\d{4}/\.github/workflows/release\.yml@refs/heads/main$`},
		"email": {650, `^bench-\d{4}@people\.example\.com$`},
	} {
		f, err := newForge(kind, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for range 50 {
			e, err := f.forge()
			if err != nil {
				t.Fatal(err)
			}
			cert, err := x509.ParseCertificate(e.cert)
			if err != nil {
				t.Fatal(err)
			}
			if len(e.cert) < want.size {
				t.Errorf("%s: certificate of %d bytes", kind, len(e.cert))
			}
			digest := sha256.Sum256(cert.RawTBSCertificate)
			if !ecdsa.VerifyASN1(&f.ca.PublicKey, digest[:], cert.Signature) {
				t.Errorf("%s: the certificate is not by the authority", kind)
			}
			p, err := entry.ParseProposal(e.appendProposal(nil))
			if err != nil {
				t.Fatal(err)
			}
			c, err := entry.Check(p, entry.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if want := "sha256:" + hex.EncodeToString(e.digest[:]); c.Artifact != want {
				t.Errorf("%s: artifact %s, want %s", kind, c.Artifact, want)
			}
			subject := regexp.MustCompile(want.subject)
			if !slices.ContainsFunc(c.Terms, subject.MatchString) {
				t.Errorf("%s: nobody will find it by its signer: %q", kind, c.Terms)
			}
			for _, unique := range []string{string(c.Body), cert.SerialNumber.String(), c.Artifact, string(cert.RawSubjectPublicKeyInfo), string(cert.SubjectKeyId)} {
				if seen[unique] {
					t.Fatalf("%s: %q twice", kind, unique)
				}
				seen[unique] = true
			}
		}
	}
	if _, err := newForge("gpg", time.Now()); err == nil {
		t.Error("made a forge of an unknown kind")
	}
}

// newBenchLog serves an empty log through wrap.
func newBenchLog(t *testing.T, wrap func(http.Handler) http.Handler) string {
	t.Helper()
	key := apitest.NewKey(t)
	h, err := api.New(api.Options{Log: apitest.NewLog(t, key, nil), PublicKey: key.Public(), Author: apitest.NewAuthor(t)})
	if err != nil {
		t.Fatal(err)
	}
	if wrap != nil {
		h = wrap(h)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// bench runs a load of a few requests.
func bench(t *testing.T, url string, c loadCmd) (*report, error) {
	t.Helper()
	c.Clients, c.Duration, c.Certificate = 4, 10*time.Second, "email"
	if c.Count == 0 {
		c.Count = 40
	}
	c.Sample, c.Keys, c.pause = 40, 30, 10*time.Millisecond
	return c.measure(t.Context(), url, nil, 10*time.Second, t.Logf)
}

func TestBench(t *testing.T) {
	t.Parallel()
	url := newBenchLog(t, nil)
	pid := []int{os.Getpid()}
	r, err := bench(t, url, loadCmd{Pid: pid})
	if err != nil {
		t.Fatal(err)
	}
	if r.Accepted != 40 || r.Sampled < 10 || r.LogSize != 40 || r.Requests != 40 || r.Statuses[201] != 40 {
		t.Errorf("upload: %+v", r)
	}
	if r.Yardstick.Parse <= 0 || r.Yardstick.Verify <= 0 || r.Yardstick.Sign <= 0 || r.P50 <= 0 || r.Max < r.P99 {
		t.Errorf("upload: %+v", r)
	}
	for _, kind := range []string{"index", "uuid", "search"} {
		r, err := bench(t, url, loadCmd{Reads: kind, Count: 100, Bare: true, Pid: pid})
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if r.Accepted != 100 || r.Keys != 30 || r.Sampled < 10 || r.LogSize != 40 || r.BarePerSecond <= 0 {
			t.Errorf("%s: %+v", kind, r)
		}
		var b bytes.Buffer
		if err := r.print(&b); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"read by " + kind + ", 4 clients", "30 different entries of 40", "answers    200: 100\n", "bare "} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: no %q in\n%s", kind, want, &b)
			}
		}
	}
	r, err = bench(t, url, loadCmd{Rate: 200, Count: 30})
	if err != nil || r.Accepted != 30 || r.LogSize != 70 || r.Seconds < 0.14 {
		t.Errorf("open loop: %v %+v", err, r)
	}
}

func TestBenchRefuses(t *testing.T) {
	t.Parallel()
	url := newBenchLog(t, nil)
	for name, c := range map[string]loadCmd{
		"no clients":           {Clients: 0, Duration: time.Second, Keys: 1},
		"too many clients":     {Clients: maxClients + 1, Duration: time.Second, Keys: 1},
		"no time":              {Clients: 1, Keys: 1},
		"too long":             {Clients: 1, Duration: 2 * maxDuration, Keys: 1},
		"too many uploads":     {Clients: 1, Duration: time.Second, Count: maxUploads + 1, Keys: 1},
		"too fast":             {Clients: 1, Duration: time.Second, Rate: maxRate + 1, Keys: 1},
		"negative rate":        {Clients: 1, Duration: time.Second, Rate: -1, Keys: 1},
		"no keys":              {Clients: 1, Duration: time.Second},
		"reads by v2":          {Clients: 1, Duration: time.Second, Keys: 1, Reads: "index", API: "v2"},
		"bare uploads":         {Clients: 1, Duration: time.Second, Keys: 1, Bare: true},
		"reads of nothing":     {Clients: 1, Duration: time.Second, Keys: 1, Reads: "index", Certificate: "ci"},
		"process that is gone": {Clients: 1, Duration: time.Second, Keys: 1, Count: 1, Certificate: "ci", Pid: []int{1 << 30}},
	} {
		if _, err := c.measure(t.Context(), url, nil, time.Second, t.Logf); exitCode(err) != exitUsage {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := loadCmd{Clients: 1, Duration: time.Second, Keys: 1}
	if _, err := c.measure(t.Context(), "http://192.0.2.1:3000", nil, time.Second, t.Logf); exitCode(err) != exitUsage {
		t.Errorf("load on somebody else's server: %v", err)
	}
}

// An altered answer is one that a server changes before it leaves.
type altered struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (a *altered) WriteHeader(status int)      { a.status = status }
func (a *altered) Write(b []byte) (int, error) { return a.body.Write(b) }

// alter returns a wrapper that changes answers with a status to requests with
// a method and a path.
func alter(method, path string, status int, change func([]byte) []byte) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a := &altered{ResponseWriter: w, status: http.StatusOK}
			h.ServeHTTP(a, r)
			b := a.body.Bytes()
			if a.status == status && r.Method == method && strings.HasPrefix(r.RequestURI, path) {
				b = change(b)
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			w.WriteHeader(a.status)
			w.Write(b)
		})
	}
}

// change returns a function that changes a member of an answer that is an entry.
func change(f func(e map[string]any)) func([]byte) []byte {
	return func(b []byte) []byte {
		var w map[string]map[string]any
		if err := json.Unmarshal(b, &w); err != nil {
			panic(err)
		}
		for _, e := range w {
			f(e)
		}
		b, err := json.Marshal(w)
		if err != nil {
			panic(err)
		}
		return b
	}
}

func proofOf(e map[string]any) map[string]any {
	return e["verification"].(map[string]any)["inclusionProof"].(map[string]any)
}

func TestBenchCatchesALiar(t *testing.T) {
	t.Parallel()
	const entries = "/api/v1/log/entries"
	first := func() func([]byte) []byte { // answers everything as it did the first time
		var mu sync.Mutex
		var kept []byte
		return func(b []byte) []byte {
			mu.Lock()
			defer mu.Unlock()
			if kept == nil {
				kept = bytes.Clone(b)
			}
			return kept
		}
	}
	for name, tt := range map[string]struct {
		wrap func(http.Handler) http.Handler
		text string
	}{
		"time that was not promised": {
			alter("POST", entries, 201, change(func(e map[string]any) { e["integratedTime"] = e["integratedTime"].(float64) + 1 })),
			"entry timestamp",
		},
		"no promise": {
			alter("POST", entries, 201, change(func(e map[string]any) { e["verification"].(map[string]any)["signedEntryTimestamp"] = "" })),
			"entry timestamp",
		},
		"no proof": {
			alter("POST", entries, 201, change(func(e map[string]any) { delete(e["verification"].(map[string]any), "inclusionProof") })),
			"no proof",
		},
		"wrong hash in the proof": {
			alter("POST", entries, 201, change(func(e map[string]any) {
				p := proofOf(e)
				p["hashes"] = append(p["hashes"].([]any), strings.Repeat("00", 32))
			})),
			"verify inclusion",
		},
		"another root beside the checkpoint": {
			alter("POST", entries, 201, change(func(e map[string]any) { proofOf(e)["rootHash"] = strings.Repeat("00", 32) })),
			"size or root",
		},
		"checkpoint that is not signed": {
			alter("POST", entries, 201, change(func(e map[string]any) {
				p := proofOf(e)
				p["checkpoint"] = strings.Replace(p["checkpoint"].(string), "\n\n", "\nmore\n\n", 1)
			})),
			"checkpoint",
		},
		"one answer for all": {alter("POST", entries, 201, first()), "is not what was sent"},
		"another entry by id": {
			alter("GET", entries+"/", 200, first()), "returns another entry",
		},
		"another entry by index": {
			alter("GET", entries+"?", 200, first()), "returns another entry",
		},
		"not searchable": {
			alter("POST", "/api/v1/index/retrieve", 200, func([]byte) []byte { return []byte("[]\n") }), "is not found",
		},
		"a tree that did not grow": {
			alter("GET", "/api/v1/log", 200, func() func([]byte) []byte {
				f := first()
				return func(b []byte) []byte {
					if !bytes.Contains(b, []byte("treeSize")) || bytes.Contains(b, []byte("verification")) {
						return b
					}
					return f(b)
				}
			}()),
			"now has 0",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := bench(t, newBenchLog(t, tt.wrap), loadCmd{})
			var f *fault
			if !errors.As(err, &f) || !strings.Contains(err.Error(), tt.text) || exitCode(err) != exitUnverified {
				t.Errorf("%v (exit code %d), want a fault about %q", err, exitCode(err), tt.text)
			}
			if r == nil || r.Accepted != 40 {
				t.Errorf("no report: %+v", r)
			}
		})
	}
	for kind, path := range map[string]string{"index": entries + "?", "uuid": entries + "/"} {
		t.Run("another entry in reads by "+kind, func(t *testing.T) {
			t.Parallel()
			url := newBenchLog(t, alter("GET", path, 200, first()))
			if _, err := bench(t, url, loadCmd{Count: 20}); !errors.As(err, new(*fault)) {
				t.Errorf("uploads: %v", err)
			}
			if _, err := bench(t, url, loadCmd{Reads: kind}); !errors.As(err, new(*fault)) {
				t.Errorf("reads: %v", err)
			}
		})
	}
}

func TestBenchOfAServerThatRefuses(t *testing.T) {
	t.Parallel()
	url := newBenchLog(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "POST" {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	r, err := bench(t, url, loadCmd{})
	if exitCode(err) != exitTrouble || r == nil || r.Statuses[503] != 40 {
		t.Errorf("%v, %+v", err, r)
	}
}

func TestBare(t *testing.T) {
	t.Parallel()
	in, feed := io.Pipe()
	out, say := io.Pipe()
	done := make(chan error, 1)
	go func() {
		c := bareCmd{Size: 5}
		done <- c.Run(&Globals{Context: t.Context(), Stdin: in, Stdout: say})
	}()
	if _, err := feed.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	addr := make([]byte, 64)
	n, err := out.Read(addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/api/v1/log"} {
		if got := fetch(t, "http://"+strings.TrimSpace(string(addr[:n]))+path); got != "hello" {
			t.Errorf("%s: %q", path, got)
		}
	}
	feed.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestParseProc(t *testing.T) {
	t.Parallel()
	got, err := parseProc([]byte("4242 (odd) name (x)) S 17 4242 4242 0 -1 4194560 1 2 3 4 150 50 7 3 20 0 8 0 100 0 0\n"))
	want := procStat{command: "odd) name (x)", parent: 17, cpu: 2100 * time.Millisecond}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(procStat{})); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	for _, bad := range []string{"", "1 (x", "1 ) x (", "1 (x) S 1", "1 (x) S y 1 1 0 -1 0 0 0 0 0 0 0 0 0 0 0", "1 (x) S 1 1 1 0 -1 0 0 0 0 0 a 0 0 0 0 0"} {
		if s, err := parseProc([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, s)
		}
	}
}

func TestDraw(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		size int64
		n    int
		want int
	}{{1, 5, 1}, {5, 5, 5}, {9, 5, 5}, {1e12, 500, 500}} {
		got := draw(tt.size, tt.n)
		slices.Sort(got)
		if len(slices.Compact(slices.Clone(got))) != tt.want || got[0] < 0 || got[len(got)-1] >= tt.size {
			t.Errorf("%d of %d: %v", tt.n, tt.size, got)
		}
	}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	errOut := new(buffer) // the suite's servers write to it, too
	code := run(t.Context(), []string{"cairn", "bench", "suite", "--dir", t.TempDir(), "--postgres", storagetest.Postgres(t), "--clients", "3",
		"--duration", "100ms", "--small", "100", "--large", "300", "--certificate", "email"}, strings.NewReader(""), &out, errOut)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, errOut)
	}
	for _, want := range []string{
		`(?m)^\| Postgres \| 0 \| 3 \| \d+ \|.*\| 0 \|$`,
		`(?m)^\| Postgres \| 300 \| uuid \| `,
		`(?m)^\| Postgres \| \d+ \| \d+ \| \d+ \| \*\*\d+\.\d\d\*\* \|$`,
		`(?m)^\| SQLite \| 0 \| 3 \| \d+ \|.*\| 0 \|$`,
		`(?m)^\| SQLite \| 300 \| 64 \| `,
		`(?m)^\| SQLite \| 100 \| index \| `,
		`(?m)^\| SQLite \| 300 \| search \| `,
		`(?m)^\| SQLite \| 300 \| bundle \| `,
		`(?m)^\| SQLite \| \d+ \| \d+ \| \d+ \| \*\*\d+\.\d\d\*\* \|$`,
	} {
		if !regexp.MustCompile(want).Match(out.Bytes()) {
			t.Errorf("nothing like %s in\n%s", want, &out)
		}
	}
}

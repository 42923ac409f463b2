package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cairnlog/cairn/client"
)

// A script answers the first request with its first step, and so on; the last
// step is repeated. It is a http.RoundTripper, so that time can stand still.
type script struct {
	steps []any // http.Handler or error
	seen  []string
	when  []time.Time
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	text := r.Method + " " + r.URL.Path
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		text += " " + string(b)
	}
	step := s.steps[min(len(s.seen), len(s.steps)-1)]
	s.seen = append(s.seen, text)
	s.when = append(s.when, time.Now())
	if err, ok := step.(error); ok {
		return nil, err
	}
	rec := httptest.NewRecorder()
	step.(http.Handler).ServeHTTP(rec, r)
	return rec.Result(), nil
}

func busy(status int, after string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		w.WriteHeader(status)
	})
}

func TestRetries(t *testing.T) {
	t.Parallel()
	none := answer(200, "application/json", "[]")
	reset := errors.New("connection reset by peer")
	for _, c := range []struct {
		name    string
		steps   []any
		retries int
		timeout time.Duration
		want    string
		tries   int
		min     time.Duration // that it all takes
		max     time.Duration
	}{
		{"at once", []any{none}, 3, 0, "ok", 1, 0, 0},
		{"no retries", []any{reset}, 0, 0, "network", 1, 0, 0},
		{"connection comes back", []any{reset, none}, 3, 0, "ok", 2, 100 * time.Millisecond, 200 * time.Millisecond},
		{"connection stays away", []any{reset}, 3, 0, "network", 4, 700 * time.Millisecond, 1400 * time.Millisecond},
		{"busy server", []any{busy(503, ""), busy(502, ""), busy(500, ""), none}, 3, 0, "ok", 4, 700 * time.Millisecond, 1400 * time.Millisecond},
		{"too many requests", []any{busy(429, ""), none}, 3, 0, "ok", 2, 0, time.Second},
		{"request timeout", []any{busy(408, ""), none}, 3, 0, "ok", 2, 0, time.Second},
		{"the server says when", []any{busy(503, "7"), none}, 3, 0, "ok", 2, 7 * time.Second, 7 * time.Second},
		{"the server says when, by date", []any{busy(503, time.Date(2000, 1, 1, 0, 0, 9, 0, time.UTC).Format(http.TimeFormat)), none}, 3, 0, "ok", 2, 9 * time.Second, 9 * time.Second},
		{"the server says a date that has passed", []any{busy(503, "Fri, 31 Dec 1999 00:00:00 GMT"), none}, 3, 0, "ok", 2, 0, time.Second},
		{"the server says nonsense", []any{busy(503, "soon"), none}, 3, 0, "ok", 2, 0, time.Second},
		{"the server says later than there is time", []any{busy(503, "3600"), none}, 3, time.Minute, "status", 1, 0, 0},
		{"time runs out", []any{busy(503, "")}, 1000, 30 * time.Second, "status", 0, 15 * time.Second, 30 * time.Second},
		{"refused", []any{busy(400, ""), none}, 3, 0, "status", 1, 0, 0},
		{"not there", []any{busy(404, ""), none}, 3, 0, "not found", 1, 0, 0},
		{"turned off", []any{busy(501, ""), none}, 3, 0, "status", 1, 0, 0},
		{"redirected", []any{busy(302, ""), none}, 3, 0, "network", 1, 0, 0},
		{"a web page", []any{answer(200, "text/html", ""), none}, 3, 0, "network", 1, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: c.steps}
				l, err := client.New(client.Options{URL: "http://log.test/sub", HTTP: &http.Client{Transport: s}, Retries: c.retries, Timeout: c.timeout})
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				_, err = l.Search(t.Context(), client.Query{Email: "a@b.test"})
				if verdict(err) != c.want {
					t.Errorf("%v, want %s", err, c.want)
				}
				if c.tries > 0 && len(s.seen) != c.tries {
					t.Errorf("%d requests, want %d", len(s.seen), c.tries)
				}
				if took := time.Since(start); took < c.min || took > c.max {
					t.Errorf("took %v, want %v to %v", took, c.min, c.max)
				}
				for _, r := range s.seen {
					if r != `POST /sub/api/v1/index/retrieve {"email":"a@b.test"}` {
						t.Errorf("sent %s", r)
					}
				}
				if c.tries > 1 && err != nil && !strings.Contains(err.Error(), "attempts") {
					t.Errorf("%v does not say how often it was tried", err)
				}
			})
		})
	}
}

func TestInterrupt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		s := &script{steps: []any{busy(503, "60")}}
		l, err := client.New(client.Options{URL: "http://log.test", HTTP: &http.Client{Transport: s}, Retries: 5})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err = l.Search(ctx, client.Query{Email: "a@b.test"}); err == nil || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	var got http.Header
	s := &script{steps: []any{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		answer(200, "application/json", "[]").ServeHTTP(w, r)
	})}}
	l, err := client.New(client.Options{URL: "http://log.test", HTTP: &http.Client{Transport: s}, UserAgent: "cairn/1 (linux; amd64)"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Search(t.Context(), client.Query{Email: "a@b.test"}); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{"User-Agent": "cairn/1 (linux; amd64)", "Accept": "application/json", "Content-Type": "application/json"} {
		if got.Get(k) != want {
			t.Errorf("%s: %q, want %q", k, got.Get(k), want)
		}
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                    "",
		"hello — wörld ✓":     "hello — wörld ✓",
		"a\nb":                `a\u000ab`,
		"\x1b[31m":            `\u001b[31m`,
		"a\u202eb\u2066c":     `a\u202eb\u2066c`,
		"bad \xff utf-8":      `bad \xff utf-8`,
		"replacement \ufffd":  "replacement \ufffd",
		"del \x7f c1 \u0085":  `del \u007f c1 \u0085`,
		"tag \U000e0041":      `tag \U000e0041`,
		"zero width \u200b\r": `zero width \u200b\u000d`,
	} {
		if got := client.Printable(in, ""); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
	if got := client.Printable("a\nb\tc\x00", "\n\t"); got != "a\nb\tc\\u0000" {
		t.Errorf("%q", got)
	}
}

package api

import (
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNegotiate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		accept []string
		want   string
	}{
		{nil, typePEM},
		{[]string{""}, typePEM},
		{[]string{" , "}, typePEM},
		{[]string{"*/*"}, typePEM},
		{[]string{"application/*"}, typePEM},
		{[]string{"application/json"}, typeJSON},
		{[]string{"Application/JSON"}, typeJSON},
		{[]string{"application/json; charset=utf-8"}, typeJSON},
		{[]string{"*/*, application/json"}, typeJSON},
		{[]string{"application/json;q=0.5, application/x-pem-file;q=0.9"}, typePEM},
		{[]string{"application/json;q=0.5", "*/*;q=0.1"}, typeJSON},
		{[]string{"application/x-pem-file;q=0"}, ""},
		{[]string{"text/html, image/png"}, ""},
		{[]string{"text/*"}, ""},
		{[]string{"garbage"}, ""},
		{[]string{"application/json;q=nonsense"}, typeJSON},
	} {
		if got := negotiate(tt.accept, typePEM, typeJSON); got != tt.want {
			t.Errorf("negotiate(%q) = %q, want %q", tt.accept, got, tt.want)
		}
	}
}

func FuzzNegotiate(f *testing.F) {
	f.Add("application/json;q=0.5, */*")
	f.Add("a/*;;;q=,/*")
	f.Fuzz(func(t *testing.T, accept string) {
		offers := []string{typePEM, typeJSON}
		if got := negotiate([]string{accept}, offers...); got != "" && !slices.Contains(offers, got) {
			t.Errorf("negotiate(%q) = %q", accept, got)
		}
	})
}

func TestIsJSON(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]int{
		"application/json":                 0,
		"application/json; charset=latin1": 0,
		"APPLICATION/JSON":                 0,
		"application/json; broken":         0,
		"":                                 415,
		"text/json":                        415,
		"application/jsonx":                415,
		"garbage":                          400,
		"/":                                400,
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header.Set("Content-Type", header)
		status := 0
		if err := isJSON(r); err != nil {
			status = err.(*refusal).status
		}
		if status != want {
			t.Errorf("%q: %d, want %d", header, status, want)
		}
	}
}

// The short cut of lastValue must not differ from the long way.
func TestLastValue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.StringMatching(`(n|nn|x|n=)(=[0-9a-z%&+;=]{0,6}|)(&n=[0-9%+]{0,3})?`).Draw(t, "raw")
		want := ""
		if q, _ := url.ParseQuery(raw); len(q["n"]) > 0 {
			want = q["n"][len(q["n"])-1]
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = raw
		if got := lastValue(r, "n"); got != want {
			t.Fatalf("lastValue(%q) = %q, want %q", raw, got, want)
		}
	})
}

func TestPlainPath(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"/":                       "/",
		"//":                      "/",
		"/api/v1/log":             "/api/v1/log",
		"/api/v1/log/":            "/api/v1/log",
		"//api///v1/log//":        "/api/v1/log",
		"/api/v1/log/entries/%61": "/api/v1/log/entries/a",
		"/api/v1%2flog":           "/api/v1/log",
	} {
		u, err := url.Parse("http://h" + in)
		if err != nil {
			t.Fatal(err)
		}
		got, plain := plainPath(u)
		if got != want || plain && in != want && !strings.Contains(in, "%61") {
			t.Errorf("plainPath(%q) = %q, %v, want %q", in, got, plain, want)
		}
	}
}

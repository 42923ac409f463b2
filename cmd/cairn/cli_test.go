package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/cairnlog/cairn/client"
	"github.com/cairnlog/cairn/entry"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	status := func(n int) error { return &client.StatusError{Status: n} }
	refused := func(r entry.Reason) error { return &entry.Error{Reason: r} }
	for name, c := range map[string]struct {
		err  error
		code int
	}{
		"done":                       {nil, 0},
		"alarm":                      {&client.AlarmError{Discord: client.OtherRoot}, 1},
		"does not verify":            {&client.VerifyError{What: "x", Err: errors.New("y")}, 1},
		"not found, not verified":    {&client.VerifyError{What: "x", Err: status(404)}, 1},
		"damaged state":              {&client.StateError{Err: os.ErrPermission}, 1},
		"no key":                     {client.ErrNoKey, 1},
		"bad signature":              {refused(entry.Invalid), 1},
		"stored form":                {refused(entry.NotInsertable), 1},
		"something else":             {errors.New("x"), 1},
		"wrongly called":             {usage("x"), 2},
		"malformed proposal":         {refused(entry.Malformed), 2},
		"unknown kind":               {refused(entry.UnknownKind), 2},
		"network":                    {&client.NetworkError{Err: errors.New("x")}, 3},
		"time is up":                 {&client.NetworkError{Err: context.DeadlineExceeded}, 3},
		"server trouble":             {status(500), 3},
		"bad gateway":                {status(502), 3},
		"busy":                       {status(503), 3},
		"too many requests":          {status(429), 3},
		"not found":                  {status(404), 4},
		"refused":                    {status(400), 5},
		"forbidden":                  {status(403), 5},
		"too large":                  {status(413), 5},
		"turned off":                 {status(501), 5},
		"algorithm not allowed":      {refused(entry.NotAllowed), 5},
		"leaf too large":             {refused(entry.TooLarge), 5},
		"interrupted":                {&client.NetworkError{Err: context.Canceled}, 130},
		"code of its own":            {&ExitError{4, errors.New("x")}, 4},
		"code of its own, decides":   {&ExitError{5, status(404)}, 5},
		"wrapped, as upload does it": {fmt.Errorf("file: %w", status(404)), 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := exitCode(c.err); got != c.code {
				t.Errorf("%v: %d, want %d", c.err, got, c.code)
			}
		})
	}
}

func TestWorst(t *testing.T) {
	t.Parallel()
	alarm := &client.AlarmError{}
	verify := &client.VerifyError{What: "x", Err: errors.New("y")}
	trouble := &client.NetworkError{Err: errors.New("x")}
	for _, c := range []struct {
		name string
		errs []error
		code int
	}{
		{"one", []error{trouble}, 3},
		{"usage before trouble", []error{trouble, usage("x"), trouble}, 2},
		{"verification before usage", []error{usage("x"), verify}, 1},
		{"refused before not found", []error{&client.StatusError{Status: 404}, &client.StatusError{Status: 400}}, 5},
		{"alarm before all", []error{verify, alarm, usage("x")}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := worst(c.errs)
			if got := exitCode(err); got != c.code {
				t.Errorf("%d, want %d", got, c.code)
			}
			if c.name == "alarm before all" && !errors.Is(err, error(alarm)) {
				t.Errorf("%v is not the alarm", err)
			}
		})
	}
}

func TestParseHash(t *testing.T) {
	t.Parallel()
	const h40, h64 = "f572d396fae9206628714fb2ce00f72e94f2258f", "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
	for in, want := range map[string]string{
		h40: "sha1", h64: "sha256", "sha256:" + h64: "sha256", h64 + h64: "sha512", h64 + h64[:32]: "sha384",
		"sha1:" + h64: "", "sha512:" + h64: "", "md5:" + h64: "", "SHA256:" + h64: "", h64 + " ": "", "": "", "zz": "",
	} {
		if algorithm, _, err := parseHash(in); algorithm != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", in, algorithm, err, want)
		}
	}
}

func TestParseName(t *testing.T) {
	t.Parallel()
	const id = "362f8ecba72f4326f2852e26740ec16c7fde29232f369edc6f52b90f4d7d526f2c51355b0325f32c"
	for in, want := range map[string]bool{
		id: true, id[16:]: true, "0": true, "17": true,
		"http://h/api/v1/log/entries/" + id:        true,
		"https://h/api/v1/log/entries/" + id + "/": true,
		"https://h/?logIndex=3":                    false,
		"-1":                                       false, "": false, "hello.txt": false, id + "0": false, "0x10": false,
	} {
		if n := parseName(in); (n != nil) != want {
			t.Errorf("%q: %v", in, n)
		}
	}
}

func TestEscapeJSON(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"a":"b\n"}`:              `{"a":"b\n"}`,
		"{\n  \"a\": \"wörld\"\n}": "{\n  \"a\": \"wörld\"\n}",
		"\"\u202e\"":               `"\u202e"`,
		"\"\x7f\u0085\"":           `"\u007f\u0085"`,
		"\"\U000e0041\"":           `"\udb40\udc41"`,
	} {
		if got := string(escapeJSON([]byte(in))); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

package apitest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/cairnlog/cairn"
	"github.com/cairnlog/cairn/api"
	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/storage/memory"
)

// Origin and TreeID are those of the logs that NewLog makes.
const (
	Origin = "rekor.test"
	TreeID = 3904496407287907110
)

// NewKey returns a new P-256 key.
func NewKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// CheckpointKey returns the key that signs the C2SP checkpoints of the logs
// that NewLog makes.
func CheckpointKey() crypto.Signer { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) }

// NewAuthor returns who signs with that key.
func NewAuthor(t testing.TB) *checkpoint.Author {
	t.Helper()
	a, err := checkpoint.NewAuthor(Origin, CheckpointKey())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// NewLog opens an empty log in s, or one in memory if s is nil. It is closed
// at the end of the test; s is not.
func NewLog(t testing.TB, key crypto.Signer, s log.Store) *log.Log {
	t.Helper()
	if s == nil {
		s = memory.New()
	}
	keyID, err := checkpoint.KeyID(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := v1.NewSigner(key, Origin, TreeID)
	if err != nil {
		t.Fatal(err)
	}
	id := log.Identity{Origin: Origin, TreeID: TreeID, KeyID: keyID}
	if err := log.Create(t.Context(), s, id, signer, time.Now()); err != nil {
		t.Fatal(err)
	}
	l, err := log.Open(t.Context(), s, log.Options{Identity: id, Signer: signer, Checkpointer: NewAuthor(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close log: %v", err)
		}
	})
	return l
}

// A Server serves a log to a test.
type Server struct {
	*httptest.Server
	Key     crypto.Signer
	Checker *Checker
}

// Serve starts a server with o. What o leaves open is made: a key, a log in
// memory, the description. The exchanges of Client are checked.
func Serve(t testing.TB, o api.Options) *Server {
	t.Helper()
	return ServeKey(t, NewKey(t), o)
}

// ServeKey is Serve with a key of the caller's.
func ServeKey(t testing.TB, key crypto.Signer, o api.Options) *Server {
	t.Helper()
	if o.Log == nil {
		o.Log = NewLog(t, key, nil)
	}
	o.PublicKey = key.Public()
	if o.Author == nil {
		o.Author = NewAuthor(t)
	}
	if o.URL == "" {
		o.URL = "https://" + Origin
	}
	if o.OpenAPI == nil {
		o.OpenAPI = cairn.OpenAPI
	}
	h, err := api.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return ServeHandler(t, key, h)
}

// ServeHandler is Serve of a handler that is there already.
func ServeHandler(t testing.TB, key crypto.Signer, h http.Handler) *Server {
	t.Helper()
	c, err := NewChecker()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Server: httptest.NewServer(h), Key: key, Checker: c}
	t.Cleanup(s.Close)
	s.Client().Transport = c.Transport(t, s.Client().Transport, true)
	return s
}

// Transport sends requests by next and fails the test for each exchange that
// openapi.yaml does not describe. Without strict it does not mind requests
// that the server forgave.
func (c *Checker) Transport(t testing.TB, next http.RoundTripper, strict bool) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		var sent []byte
		if r.Body != nil {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			sent = b
			r = r.Clone(r.Context())
			r.Body = io.NopCloser(bytes.NewReader(b))
		}
		res, err := next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		got, err := io.ReadAll(res.Body)
		if err != nil {
			return nil, err
		}
		res.Body.Close()
		res.Body = io.NopCloser(bytes.NewReader(got))
		x := Exchange{
			Method: r.Method, URL: r.URL, Header: r.Header, Body: sent,
			Status: res.StatusCode, ResponseHeader: res.Header, ResponseBody: got,
		}
		if err := c.Check(x, strict); err != nil {
			t.Errorf("not as openapi.yaml has it: %v", err)
		}
		return res, nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

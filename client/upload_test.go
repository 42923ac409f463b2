package client_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/cairnlog/cairn/client"
	"github.com/cairnlog/cairn/entry"
	"github.com/cairnlog/cairn/sign"
)

// proposal returns a signature by a fresh key over a text.
func proposal(t *testing.T, text string) entry.Proposal {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(text))
	sig, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := sign.PublicPEM(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return entry.NewHashedRekord("sha256", hex.EncodeToString(sum[:]), sig, pem)
}

func TestUpload(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	s := newStage(t, newLog(t, key, testTree, "main", 3).handler)
	c := newClient(t, s, client.Options{Key: key.Public(), HTTP: checked(t)})
	p := proposal(t, "a")
	first, err := c.Upload(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if first.Existed || first.Index != 3 || first.Kind != "hashedrekord" {
		t.Errorf("%+v", first)
	}
	again, err := c.Upload(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if !again.Existed || again.ID != first.ID || !bytes.Equal(again.Body, first.Body) {
		t.Errorf("%+v", again)
	}
	q := p
	q.Spec = bytes.Replace(p.Spec, []byte(`"sha256"`), []byte(`"sha512"`), 1)
	before := s.count("POST /api/v1/log/entries")
	if _, err := c.Upload(t.Context(), q); !errors.As(err, new(*entry.Error)) {
		t.Errorf("a bad proposal: %v", err)
	}
	if s.count("POST /api/v1/log/entries") != before {
		t.Error("a bad proposal was sent")
	}
}

// TestUploadMany has checkpoints arrive in any order.
func TestUploadMany(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	s := newStage(t, newLog(t, key, testTree, "main", 0).handler)
	state := new(client.Memory)
	c := newClient(t, s, client.Options{Key: key.Public(), State: state})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				if r, err := c.Upload(t.Context(), proposal(t, "a")); err != nil || r.Older {
					t.Errorf("%+v, %v", r, err)
				}
			}
		})
	}
	wg.Wait()
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	k, err := state.Load(t.Context())
	if err != nil || !strings.Contains(string(k.Checkpoint), "\n80\n") {
		t.Errorf("remembered %s, %v", k.Checkpoint, err)
	}
}

func TestUploadLies(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	honest := newLog(t, key, testTree, "main", 3)
	otherID, _ := only(fetchJSON(t, honest.handler, "/api/v1/log/entries?logIndex=1"))
	post := func(h func(w http.ResponseWriter, r *http.Request)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				h(w, r)
				return
			}
			honest.handler.ServeHTTP(w, r)
		})
	}
	conflict := func(location string) http.Handler {
		return post(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", location)
			answer(409, "application/json", `{"code":409,"message":"there"}`).ServeHTTP(w, nil)
		})
	}
	for _, c := range []struct {
		name string
		show http.Handler
		want string
		text string
	}{
		{"another entry is answered", post(func(w http.ResponseWriter, _ *http.Request) {
			rec := newRecorder(honest.handler, "/api/v1/log/entries?logIndex=1")
			answer(201, "application/json", rec.Body.String()).ServeHTTP(w, nil)
		}), "verify", "another body"},
		{"another entry is named a duplicate", conflict("/api/v1/log/entries/" + otherID), "verify", "which has another body"},
		{"a duplicate that is not there", conflict(""), "not found", ""},
		{"a duplicate with a location that is none", conflict("http://evil.test/%1b[31m"), "not found", ""},
		{"accepted and nothing there", post(func(w http.ResponseWriter, _ *http.Request) {
			answer(201, "application/json", "{}").ServeHTTP(w, nil)
		}), "verify", "0 entries"},
		{"refused", post(func(w http.ResponseWriter, _ *http.Request) {
			answer(400, "application/json", `{"code":400,"message":"no \u001b[31m"}`).ServeHTTP(w, nil)
		}), "status", `no \u001b[31m`},
		{"too large", post(func(w http.ResponseWriter, _ *http.Request) { answer(413, "text/html", "<html>").ServeHTTP(w, nil) }), "status", "413"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newClient(t, newStage(t, c.show), client.Options{Key: key.Public()})
			_, err := l.Upload(t.Context(), proposal(t, "a"))
			if got := verdict(err); got != c.want || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s (%v), want %s with %q", got, err, c.want, c.text)
			}
		})
	}
}

// TestUploadLostAnswer has an upload whose first answer does not arrive: the
// second attempt finds the entry there.
func TestUploadLostAnswer(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	l := newLog(t, key, testTree, "main", 3)
	var once sync.Once
	s := newStage(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lost := false
		if r.Method == http.MethodPost {
			once.Do(func() { lost = true })
		}
		if lost {
			l.handler.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		l.handler.ServeHTTP(w, r)
	}))
	c := newClient(t, s, client.Options{Key: key.Public(), Retries: 2})
	r, err := c.Upload(t.Context(), proposal(t, "a"))
	if err != nil || r.Index != 3 || !r.Existed {
		t.Errorf("%+v, %v", r, err)
	}
}

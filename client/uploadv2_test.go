package client_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/api/apitest"
	v2 "github.com/cairnlog/cairn/api/v2"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/client"
	"github.com/cairnlog/cairn/entry"
)

func requestV2(t *testing.T) *v2.Request {
	t.Helper()
	key := apitest.NewKey(t)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(t.Name()))
	sig, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return &v2.Request{HashedRekord: &entry.HashedRekord002{
		Digest:    digest[:],
		Signature: &entry.Signature{Content: sig, Verifier: &entry.Verifier{PublicKey: der, KeyDetails: "PKIX_ECDSA_P256_SHA_256"}},
	}}
}

// newLogV2 returns a log with C2SP checkpoints, and its vkey.
func newLogV2(t *testing.T) (http.Handler, string) {
	t.Helper()
	key := apitest.NewKey(t)
	author := apitest.NewAuthor(t)
	h, err := api.New(api.Options{Log: apitest.NewLog(t, key, nil), PublicKey: key.Public(), Author: author})
	if err != nil {
		t.Fatal(err)
	}
	return h, author.VKeys()[0]
}

func TestUploadV2(t *testing.T) {
	t.Parallel()
	h, vkey := newLogV2(t)
	s := newStage(t, h)
	other, err := checkpoint.VKey(apitest.Origin, apitest.NewKey(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, s, client.Options{VKeys: []string{other, vkey}, HTTP: checked(t)})
	r := requestV2(t)
	first, err := c.UploadV2(t.Context(), r, false)
	if err != nil {
		t.Fatal(err)
	}
	if first.Kind != "hashedrekord" || first.APIVersion != "0.0.2" || first.Proof.Index != 0 || len(first.Lines) != 0 {
		t.Errorf("%+v", first)
	}
	again, err := c.UploadV2(t.Context(), r, true)
	if err != nil {
		t.Fatal(err)
	}
	if again.Proof.Index != 0 || !bytes.Equal(again.Body, first.Body) {
		t.Errorf("%+v", again)
	}
	d := &v2.Request{DSSE: &entry.DSSE002{Envelope: &entry.Envelope002{}}}
	if _, err := c.UploadV2(t.Context(), d, false); !errors.As(err, new(*entry.Error)) || s.count("POST "+v2.PathEntries) != 2 {
		t.Errorf("an envelope without signatures: %v", err)
	}
	if _, err := c.UploadV2(t.Context(), &v2.Request{}, false); err == nil {
		t.Error("nothing was uploaded")
	}
}

func TestUploadV2NeedsAKey(t *testing.T) {
	t.Parallel()
	h, _ := newLogV2(t)
	s := newStage(t, h)
	if _, err := newClient(t, s, client.Options{}).UploadV2(t.Context(), requestV2(t), false); !errors.Is(err, client.ErrNoVKey) {
		t.Errorf("no vkey: %v", err)
	}
	if _, err := newClient(t, s, client.Options{VKeys: []string{"x"}}).UploadV2(t.Context(), requestV2(t), false); err == nil {
		t.Error("a vkey that is none was taken")
	}
	if s.count("POST "+v2.PathEntries) != 0 {
		t.Error("something was sent")
	}
}

// TestUploadV2Lies has a log that answers wrongly, in every way.
func TestUploadV2Lies(t *testing.T) {
	t.Parallel()
	h, vkey := newLogV2(t)
	another, err := newClient(t, newStage(t, h), client.Options{VKeys: []string{vkey}}).UploadV2(t.Context(), requestV2(t), false)
	if err != nil {
		t.Fatal(err)
	}
	ec := apitest.NewKey(t)
	foreign, err := checkpoint.NewAuthor(apitest.Origin, ec)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := checkpoint.NewAuthor("elsewhere.test", apitest.CheckpointKey())
	if err != nil {
		t.Fatal(err)
	}
	resign := func(e *v2.Entry, a *checkpoint.Author) {
		note, err := a.Checkpoint(e.Tree)
		if err != nil {
			t.Error(err)
		}
		e.Checkpoint = note
	}
	for _, tt := range []struct {
		name string
		lie  func(e *v2.Entry)
		text string
	}{
		{"another entry", func(e *v2.Entry) { e.Body = another.Body }, "has another entry"},
		{"another kind", func(e *v2.Entry) { e.Kind = "dsse" }, "has another entry"},
		{"another version", func(e *v2.Entry) { e.Version = "0.0.1" }, "has another entry"},
		{"another place", func(e *v2.Entry) { e.Index++ }, "inclusion proof"},
		{"a hash too many", func(e *v2.Entry) { e.Hashes = append(e.Hashes, e.Tree.Root) }, "inclusion proof"},
		{"another root", func(e *v2.Entry) { e.Tree.Root[0]++ }, "size or root"},
		{"another size", func(e *v2.Entry) { e.Tree.Size++ }, "size or root"},
		{"another key", func(e *v2.Entry) { resign(e, foreign) }, "no signature is by a known key"},
		{"another name", func(e *v2.Entry) { resign(e, elsewhere) }, "checkpoint"},
		{"another log id", func(e *v2.Entry) { e.LogID[31]++ }, "is not that of a key"},
		{"log id that is cut", func(e *v2.Entry) { e.LogID = e.LogID[:4] }, "is not that of a key"},
		{"no log id", func(e *v2.Entry) { e.LogID = nil }, "is not that of a key"},
		{"no checkpoint", func(e *v2.Entry) { e.Checkpoint = nil }, "checkpoint"},
		{"extended checkpoint", func(e *v2.Entry) { e.Checkpoint = bytes.Replace(e.Checkpoint, []byte("\n\n"), []byte("\nmore\n\n"), 1) }, "does not verify"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, lyingV2(t, h, tt.lie))
			_, err := newClient(t, s, client.Options{VKeys: []string{vkey}}).UploadV2(t.Context(), requestV2(t), false)
			if !errors.As(err, new(*client.VerifyError)) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v, want %q", err, tt.text)
			}
		})
	}
	for name, text := range map[string]string{"no JSON": "x", "no proof": "{}"} {
		s := newStage(t, answer(http.StatusCreated, "application/json", text))
		if _, err := newClient(t, s, client.Options{VKeys: []string{vkey}}).UploadV2(t.Context(), requestV2(t), false); verdict(err) != "verify" {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := newStage(t, answer(http.StatusBadRequest, "application/json", `{"code":3,"message":"invalid hashedrekord request","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"x","description":"digest is \u001b[31mwrong"}]}]}`))
	if _, err := newClient(t, s, client.Options{VKeys: []string{vkey}}).UploadV2(t.Context(), requestV2(t), false); verdict(err) != "status" || !strings.Contains(err.Error(), `invalid hashedrekord request: digest is \u001b[31mwrong`) {
		t.Errorf("400: %v", err)
	}
	s = newStage(t, answer(http.StatusConflict, "application/json", `{"code":6,"message":"there already","details":[]}`))
	if _, err := newClient(t, s, client.Options{VKeys: []string{vkey}}).UploadV2(t.Context(), requestV2(t), false); verdict(err) != "status" || !strings.Contains(err.Error(), "there already") {
		t.Errorf("409: %v", err)
	}
}

// lyingV2 passes what h answers to uploads through a lie.
func lyingV2(t *testing.T, h http.Handler, lie func(*v2.Entry)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		e, err := v2.ParseEntry(rec.Body.Bytes())
		if err != nil {
			t.Errorf("%s: %v", rec.Body, err)
			return
		}
		lie(e)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(rec.Code)
		w.Write(e.Append(nil))
	})
}

func TestUploadAsV2(t *testing.T) {
	t.Parallel()
	key := apitest.NewKey(t)
	h, err := api.New(api.Options{Log: apitest.NewLog(t, key, nil), PublicKey: key.Public(), Author: apitest.NewAuthor(t)})
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t, h)
	c := newClient(t, s, client.Options{Key: key.Public(), HTTP: checked(t)})
	p := proposal(t, "a")
	for _, existed := range []bool{false, true} {
		u, err := c.UploadAsV2(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if u.Existed != existed || u.Index != 0 || u.Kind != "hashedrekord" || u.APIVersion != "0.0.2" {
			t.Errorf("%+v", u)
		}
	}
	if _, err := c.UploadAsV2(t.Context(), entry.NewDSSE([]byte("{}"), nil)); !errors.As(err, new(*entry.Error)) {
		t.Errorf("an envelope: %v", err)
	}
	// A log that has taken in something else, or nothing.
	s.set(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			answer(http.StatusCreated, "application/json", "{}").ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(w, r)
	}))
	deceived := newClient(t, s, client.Options{Key: key.Public()})
	if _, err := deceived.UploadAsV2(t.Context(), proposal(t, "b")); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("an entry that is not there: %v", err)
	}
	other := newClient(t, newStage(t, h), client.Options{Key: apitest.NewKey(t).Public()})
	if _, err := other.UploadAsV2(t.Context(), proposal(t, "c")); verdict(err) != "verify" {
		t.Errorf("another key: %v", err)
	}
}

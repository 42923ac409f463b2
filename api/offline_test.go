package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/api/apitest"
	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/bundle"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
	"github.com/cairnlog/cairn/trust"
)

// trusted returns what the server's own documents make a verifier trust.
func trusted(t *testing.T, s *apitest.Server) *bundle.Trust {
	t.Helper()
	_, text := fetch(t, s, http.MethodGet, "/.well-known/trusted_root.json")
	root, err := trust.ParseRoot(text)
	if err != nil {
		t.Fatal(err)
	}
	_, text = fetch(t, s, http.MethodGet, "/.well-known/log.vkey")
	v, err := checkpoint.ParseVKey(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return &bundle.Trust{Root: *root, Verifiers: []note.Verifier{v}}
}

// TestOffline logs what is known of each kind that can be signed by a key or
// certificate, and verifies each format by what the server says whom to trust.
func TestOffline(t *testing.T) {
	t.Parallel()
	for kind, sigstore := range map[string]bool{ // makes a Sigstore bundle by itself
		"hashedrekord-0.0.1": true, "hashedrekord-0.0.2": true, "intoto-0.0.2": true,
		"dsse-0.0.1": false, "dsse-0.0.2": false, "rekord-0.0.1": false, "intoto-0.0.1": false, "tuf-0.0.1": false,
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var vectors []struct {
				Name        string
				Accept      bool
				Canonical   []byte `json:"canonical_b64"`
				Attestation []byte `json:"attestation_b64"`
			}
			load(t, "../../entry/testdata/"+kind+".json", &vectors)
			key := apitest.NewKey(t)
			l := apitest.NewLog(t, key, nil)
			s := apitest.ServeKey(t, key, api.Options{Log: l})
			root := trusted(t, s)
			made := 0
			for _, v := range vectors {
				if !v.Accept {
					continue
				}
				e, err := l.Add(t.Context(), log.Leaf{Body: v.Canonical, Attachment: v.Attestation})
				if errors.As(err, new(*log.DuplicateError)) {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				path := v1.PathEntries + "/" + fmt.Sprint(e.Index) + "/bundle?format="
				for _, format := range []bundle.Format{bundle.Sigstore, bundle.TLE, bundle.TLogProof} {
					res, text := fetch(t, s, http.MethodGet, path+string(format))
					if res.StatusCode == http.StatusUnprocessableEntity && format == bundle.Sigstore {
						continue // for a reason, that the kinds where it may be are known is said below
					}
					b, err := bundle.Parse(text)
					if err != nil || res.StatusCode != http.StatusOK {
						t.Fatalf("%s as %s: %d, %v\n%s", v.Name, format, res.StatusCode, err, text)
					}
					if b.Format != format || string(b.Entries[0].Body) != string(v.Canonical) {
						t.Errorf("%s as %s: %s of another body", v.Name, format, b.Format)
					}
					if _, err := b.Verify(root, bundle.Policy{LogOnly: true}); err != nil {
						t.Errorf("%s as %s: %v", v.Name, format, err)
					}
					if format == bundle.Sigstore {
						made++
					}
				}
			}
			if sigstore != (made > 0) {
				t.Errorf("%d Sigstore bundles", made)
			}
		})
	}
}

// logOne adds an entry and returns its id.
func logOne(t *testing.T, s *apitest.Server) string {
	t.Helper()
	res, _ := ask(t, s, http.MethodPost, v1.PathEntries, proposal(t))
	if res.StatusCode != http.StatusCreated {
		t.Fatal(res.Status)
	}
	return res.Header.Get("Etag")
}

func TestOfflineByAccept(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t, api.Options{})
	id := logOne(t, s)
	for accept, want := range map[string]string{
		"*/*":                                "application/vnd.dev.sigstore.bundle.v0.3+json",
		"application/json":                   "application/json",
		"text/plain":                         "text/plain; charset=utf-8",
		"text/plain;q=0.1, application/json": "application/json",
	} {
		res, _ := fetch(t, s, http.MethodGet, v1.PathEntries+"/"+id+"/bundle", "Accept", accept)
		if got := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || got != want {
			t.Errorf("%s: %d %s, want %s", accept, res.StatusCode, got, want)
		}
	}
	_, byHash := fetch(t, s, http.MethodGet, v1.PathEntries+"/"+id[16:]+"/bundle")
	_, byIndex := fetch(t, s, http.MethodGet, v1.PathEntries+"/0/bundle")
	if len(byHash) == 0 || string(byHash) != string(byIndex) {
		t.Errorf("the bundle differs by name of the entry:\n%s\n%s", byHash, byIndex)
	}
}

func TestOfflineRefuses(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t, api.Options{})
	id := logOne(t, s)
	for path, c := range map[string]struct {
		status int
		text   string
	}{
		"/1/bundle":                   {404, ""},
		"/9223372036854775808/bundle": {422, "should match"},
		"/-1/bundle":                  {422, "should match"},
		"/x/bundle":                   {422, "should match"},
		"/" + strings.Repeat("0", 64) + "/bundle":           {404, ""},
		"/" + strings.Repeat("f", 16) + id[16:] + "/bundle": {400, "not a valid TreeID"},
		"/0000000000000001" + id[16:] + "/bundle":           {404, ""},
		"/0/bundle?format=zip":                              {422, "should be one of"},
		"/0/bundle?checkpoint=signed":                       {422, "should be one of"},
		"/0/bundle?checkpoint=cosigned":                     {422, "v1 checkpoint"},
		"/0/bundle?checkpoint=cosigned&format=tle":          {422, "no witnesses"},
	} {
		res, e := ask(t, s, http.MethodGet, v1.PathEntries+path, "")
		if res.StatusCode != c.status || !strings.Contains(e.Message, c.text) {
			t.Errorf("%s: %d %q", path, res.StatusCode, e.Message)
		}
	}
	res, _ := fetch(t, s, http.MethodGet, v1.PathEntries+"/0/bundle", "Accept", "image/png")
	if res.StatusCode != http.StatusNotAcceptable {
		t.Errorf("image/png: %d", res.StatusCode)
	}
}

// A publisher shows a checkpoint of its own making.
type publisher struct {
	*log.Log
	published log.Published
}

func (p *publisher) Published(context.Context) (log.Published, error) { return p.published, nil }

// TestOfflineCosigned asks for a proof to the tree that witnesses have signed,
// which is older than the newest.
func TestOfflineCosigned(t *testing.T) {
	t.Parallel()
	key := apitest.NewKey(t)
	l := apitest.NewLog(t, key, nil)
	add := func(from, to int) {
		for i := from; i < to; i++ {
			body := fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"note","spec":{"number":%d}}`, i)
			if _, err := l.Add(t.Context(), log.Leaf{Body: body}); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(0, 5)
	h, err := l.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := &publisher{Log: l, published: log.Published{Tree: h.Tree, Cosigned: true}}
	author, err := checkpoint.NewAuthor(apitest.Origin, apitest.CheckpointKey())
	if err != nil {
		t.Fatal(err)
	}
	if p.published.Note, err = author.Checkpoint(h.Tree); err != nil {
		t.Fatal(err)
	}
	add(5, 8)
	s := apitest.ServeKey(t, key, api.Options{Log: p})
	id := logOne(t, s)
	root := trusted(t, s)

	_, text := fetch(t, s, http.MethodGet, v1.PathEntries+"/2/bundle?format=tle&checkpoint=cosigned")
	b, err := bundle.Parse(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if got := b.Entries[0].Proof.Tree; got != h.Tree {
		t.Errorf("proof to the tree of size %d, want %d", got.Size, h.Tree.Size)
	}
	if _, err := b.Verify(root, bundle.Policy{LogOnly: true}); err != nil {
		t.Error(err)
	}
	res, e := ask(t, s, http.MethodGet, v1.PathEntries+"/"+id+"/bundle?format=tle&checkpoint=cosigned", "")
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("an entry that no witness has seen: %d %s", res.StatusCode, e.Message)
	}
	if _, text = fetch(t, s, http.MethodGet, v1.PathEntries+"/"+id+"/bundle?format=tlog-proof"); len(text) == 0 {
		t.Error("no proof of an entry that no witness has seen")
	}
	if b, err = bundle.Parse(text); err != nil || b.Entries[0].Proof.Tree.Size != 9 {
		t.Errorf("proof of an entry that no witness has seen: %v\n%s", err, text)
	}
}

func TestTrustDocuments(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t, api.Options{URL: "https://log.example/"})
	res, index := fetch(t, s, http.MethodGet, "/.well-known/")
	if res.StatusCode != http.StatusOK || strings.Count(string(index), "\n") != 4 {
		t.Fatalf("%d %s", res.StatusCode, index)
	}
	for line := range strings.Lines(string(index)) {
		path, _, _ := strings.Cut(line, " ")
		res, text := fetch(t, s, http.MethodGet, path)
		if res.StatusCode != http.StatusOK || res.Header.Get("Cache-Control") == "" {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
		switch {
		case strings.HasSuffix(path, ".json"):
			var v struct{ MediaType string }
			if err := json.Unmarshal(text, &v); err != nil || v.MediaType == "" || !strings.Contains(string(text), `"https://log.example"`) {
				t.Errorf("%s: %v\n%s", path, err, text)
			}
		case strings.HasSuffix(path, "policy"):
			p, err := checkpoint.ParsePolicy(text)
			if err != nil {
				t.Fatal(err)
			}
			author, err := checkpoint.NewAuthor(apitest.Origin, apitest.CheckpointKey())
			if err != nil {
				t.Fatal(err)
			}
			n, err := author.Checkpoint(merkle.Tree{Root: merkle.EmptyRoot})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Check(n); err != nil {
				t.Errorf("the log's checkpoint does not satisfy its own policy: %v", err)
			}
		}
	}
	if res, _ := fetch(t, s, http.MethodGet, "/.well-known/more"); res.StatusCode != http.StatusNotFound {
		t.Errorf("a document that there is not: %d", res.StatusCode)
	}
}

// TestTrustDocumentsKnowTheirAddress is about what a request says: it is in
// no document.
func TestTrustDocumentsKnowTheirAddress(t *testing.T) {
	t.Parallel()
	key := apitest.NewKey(t)
	for _, bad := range []string{"log.example", "https://me:secret@log.example", "https://log.example?x"} {
		_, err := api.New(api.Options{Log: apitest.NewLog(t, key, nil), PublicKey: key.Public(), URL: bad})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	s := apitest.Serve(t, api.Options{})
	for _, doc := range []string{"trusted_root.json", "signing_config.json"} {
		_, text := fetch(t, s, http.MethodGet, "/.well-known/"+doc, "Host", "evil.test", "X-Forwarded-Host", "evil.test")
		if strings.Contains(string(text), "evil") || strings.Contains(string(text), "127.0.0.1") {
			t.Errorf("%s has an address from the request:\n%s", doc, text)
		}
	}
}

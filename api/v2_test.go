package api_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/api/apitest"
	v1 "github.com/cairnlog/cairn/api/v1"
	v2 "github.com/cairnlog/cairn/api/v2"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/entry"
	"github.com/cairnlog/cairn/merkle"
)

// request2 returns a new request of the v2 API, and the digest and the key in it.
func request2(t testing.TB) (body string, digest [32]byte, keyPEM []byte) {
	t.Helper()
	key := apitest.NewKey(t)
	rand.Read(digest[:])
	sig, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	r := v2.Request{HashedRekord: &entry.HashedRekord002{
		Digest:    digest[:],
		Signature: &entry.Signature{Content: sig, Verifier: &entry.Verifier{PublicKey: der, KeyDetails: "PKIX_ECDSA_P256_SHA_256"}},
	}}
	return string(r.Append(nil)), digest, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// An answer2 is an answer of the v2 API: an entry or a status.
type answer2 struct {
	*http.Response
	status v2.Status
	entry  *v2.Entry
	raw    []byte
}

// post2 sends a request with headers, given as names and values in turn.
func post2(t *testing.T, s *apitest.Server, query, body string, headers ...string) answer2 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+v2.PathEntries+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	return send2(t, s, req)
}

func send2(t *testing.T, s *apitest.Server, req *http.Request) answer2 {
	t.Helper()
	res, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	a := answer2{Response: res}
	if a.raw, err = io.ReadAll(res.Body); err != nil {
		t.Fatal(err)
	}
	if ct := res.Header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("content type %q", ct)
	}
	if res.StatusCode >= 300 {
		if err := json.Unmarshal(a.raw, &a.status); err != nil {
			t.Errorf("%s: %v", a.raw, err)
		}
		return a
	}
	if a.entry, err = v2.ParseEntry(a.raw); err != nil {
		t.Fatalf("%s: %v", a.raw, err)
	}
	if err := verifyEntry2(a.entry); err != nil {
		t.Errorf("%s: %v", a.raw, err)
	}
	return a
}

// verifyEntry2 verifies an answered entry as a client would.
func verifyEntry2(e *v2.Entry) error {
	id, err := checkpoint.NoteKeyID(apitest.Origin, apitest.CheckpointKey().Public())
	if err != nil {
		return err
	}
	if !bytes.Equal(e.LogID, id[:]) {
		return fmt.Errorf("log id is %x, want %x", e.LogID, id)
	}
	vkey, err := checkpoint.VKey(apitest.Origin, apitest.CheckpointKey().Public())
	if err != nil {
		return err
	}
	v, err := checkpoint.ParseVKey(vkey)
	if err != nil {
		return err
	}
	c, _, err := checkpoint.OpenNote(e.Checkpoint, apitest.Origin, v)
	if err != nil {
		return err
	}
	if c.Tree != e.Tree {
		return fmt.Errorf("checkpoint is of %v, proof of %v", c.Tree, e.Tree)
	}
	return merkle.VerifyInclusion(merkle.HashLeaf(e.Body), e.Index, e.Tree, e.Hashes)
}

// TestVerdictsV2 uploads every request that is known with Rekor's answer.
func TestVerdictsV2(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"hashedrekord", "dsse"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile("../entry/testdata/" + kind + "-0.0.2.json")
			if err != nil {
				t.Fatal(err)
			}
			var vectors []struct {
				Name       string
				Proposed   json.RawMessage
				RequestB64 []byte `json:"request_b64"`
				Status     int    `json:"http_status"`
				Stage      string `json:"reject_stage"`
				Canonical  []byte `json:"canonical_b64"`
			}
			if err := json.Unmarshal(text, &vectors); err != nil {
				t.Fatal(err)
			}
			s := apitest.Serve(t, api.Options{})
			s.Client().Transport = s.Checker.Transport(t, http.DefaultTransport, false)
			seen := map[string]bool{}
			for _, v := range vectors {
				body := v.RequestB64
				if body == nil {
					body = v.Proposed
				}
				a := post2(t, s, "", string(body))
				want := v.Status
				if seen[string(v.Canonical)] {
					want = http.StatusConflict
				}
				if a.StatusCode != want {
					t.Errorf("%s: status %d %s, want %d", v.Name, a.StatusCode, a.raw, want)
					continue
				}
				switch {
				case want == http.StatusCreated:
					seen[string(v.Canonical)] = true
					if !bytes.Equal(a.entry.Body, v.Canonical) || a.entry.Kind != kind || a.entry.Version != "0.0.2" {
						t.Errorf("%s: entry %s", v.Name, a.raw)
					}
				case want == http.StatusBadRequest:
					if a.status.Code != v2.CodeInvalidArgument {
						t.Errorf("%s: code %d", v.Name, a.status.Code)
					}
					if strings.HasPrefix(a.status.Message, "invalid "+kind+" request") != (v.Stage == kind) {
						t.Errorf("%s: message %q, refused by Rekor at stage %s", v.Name, a.status.Message, v.Stage)
					}
				}
			}
		})
	}
}

// TestOneLog reads with each protocol what the other has written.
func TestOneLog(t *testing.T) {
	t.Parallel()
	key := apitest.NewKey(t)
	l := apitest.NewLog(t, key, nil)
	s := apitest.ServeKey(t, key, api.Options{Log: l})

	// 1. One entry by each.
	if res, e := ask(t, s, http.MethodPost, v1.PathEntries, proposal(t)); res.StatusCode != http.StatusCreated {
		t.Fatalf("v1 upload: %d %s", res.StatusCode, e.Message)
	}
	body, digest, keyPEM := request2(t)
	up := post2(t, s, "", body)
	if up.StatusCode != http.StatusCreated || up.entry.Index != 1 || up.entry.Tree.Size != 2 {
		t.Fatalf("v2 upload: %d %s", up.StatusCode, up.raw)
	}
	if up.Header.Get(v2.HeaderIndex) != "" {
		t.Error("a new entry is marked as a duplicate")
	}

	// 2. v1 reads the v2 entry by its index, its id, and as the location says;
	// the promise that the upload did without is there.
	leaf := merkle.HashLeaf(up.entry.Body)
	id := v1.EntryID{TreeID: apitest.TreeID, Hash: leaf}.String()
	for _, path := range []string{v1.PathEntries + "?logIndex=1", v1.PathEntries + "/" + id, v1.PathEntries + "/" + leaf.String(), up.Header.Get("Location")} {
		e := readV1(t, s, path, id)
		if err := verifyEntry(id, e, s); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	// 3. v1 finds it by artifact and key.
	for name, query := range map[string]any{
		"hash": v1.SearchIndex{Hash: fmt.Sprintf("sha256:%x", digest)},
		"key":  v1.SearchIndex{PublicKey: &v1.SearchIndexKey{Format: "x509", Content: keyPEM}},
	} {
		if ids := searchV1(t, s, query); !slices.Equal(ids, []string{id}) {
			t.Errorf("by %s: %q, want %s", name, ids, id)
		}
	}
	// 4. v1 refuses it as a proposal, as Rekor v1 does.
	res, e := ask(t, s, http.MethodPost, v1.PathEntries, string(up.entry.Body))
	if want := "error processing entry: hashedrekord implementation for version '0.0.2' not found: unable to locate entry for version 0.0.2"; res.StatusCode != http.StatusBadRequest || e.Message != want {
		t.Errorf("v1 upload of the stored form: %d %s", res.StatusCode, e.Message)
	}
	// 5. v2 readers get both in one bundle of entries, under the hashes that v1
	// names them by.
	rest := readV2(t, s, "/api/v2/tile/entries/000.p/2")
	var leaves []merkle.Hash
	for len(rest) > 2 {
		n := 2 + int(rest[0])<<8 + int(rest[1])
		leaves = append(leaves, merkle.HashLeaf(rest[2:n]))
		rest = rest[n:]
	}
	if len(leaves) != 2 || leaves[1] != leaf {
		t.Fatalf("leaves of the entry bundle: %v", leaves)
	}
	first := v1.EntryID{TreeID: apitest.TreeID, Hash: leaves[0]}.String()
	if e := readV1(t, s, v1.PathEntries+"?logIndex=0", first); e.LogIndex != 0 {
		t.Errorf("entry 0 is %+v", e)
	}
	if hashes := readV2(t, s, "/api/v2/tile/0/000.p/2"); !bytes.Equal(hashes, append(leaves[0][:], leaves[1][:]...)) {
		t.Errorf("tile is %x", hashes)
	}
	// 6. Both protocols' checkpoints are of one tree.
	head, err := l.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := checkpoint.OpenNote(readV2(t, s, "/api/v2/checkpoint"), apitest.Origin, apitest.NewAuthor(t).Verifiers()...)
	if err != nil || c.Tree != head.Tree || head.Tree != up.entry.Tree {
		t.Errorf("v1 has %v, v2 %v and, in its answer, %v, %v", head.Tree, c.Tree, up.entry.Tree, err)
	}
}

// TestCertificateV2 finds the entry of a certificate by the name in it.
func TestCertificateV2(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../entry/testdata/hashedrekord-0.0.2.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name     string
		Proposed json.RawMessage
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	s := apitest.Serve(t, api.Options{})
	for _, v := range vectors {
		if v.Name != "valid certificate PKIX_ECDSA_P256_SHA_256" {
			continue
		}
		a := post2(t, s, "", string(v.Proposed))
		id := v1.EntryID{TreeID: apitest.TreeID, Hash: merkle.HashLeaf(a.entry.Body)}.String()
		if ids := searchV1(t, s, v1.SearchIndex{Email: "Alice@example.com"}); !slices.Equal(ids, []string{id}) {
			t.Errorf("by e-mail: %q, want %s", ids, id)
		}
		return
	}
	t.Error("no such vector")
}

func readV1(t *testing.T, s *apitest.Server, path, id string) *v1.LogEntry {
	t.Helper()
	res, err := s.Client().Get(s.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var entries map[string]*v1.LogEntry
	if err := json.NewDecoder(res.Body).Decode(&entries); err != nil || entries[id] == nil {
		t.Fatalf("GET %s: %d, %v, %v", path, res.StatusCode, entries, err)
	}
	return entries[id]
}

func readV2(t *testing.T, s *apitest.Server, path string) []byte {
	t.Helper()
	res, err := s.Client().Get(s.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %d %s, %v", path, res.StatusCode, b, err)
	}
	return b
}

func searchV1(t *testing.T, s *apitest.Server, query any) []string {
	t.Helper()
	b, err := json.Marshal(query)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.Client().Post(s.URL+v1.PathIndex, "application/json", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var ids []string
	if err := json.NewDecoder(res.Body).Decode(&ids); err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestDuplicateV2(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t, api.Options{})
	first, _, _ := request2(t)
	other, _, _ := request2(t)
	a := post2(t, s, "", first)
	if b := post2(t, s, "", other); a.StatusCode != 201 || b.StatusCode != 201 {
		t.Fatalf("uploads: %d, %d", a.StatusCode, b.StatusCode)
	}
	for _, tt := range []struct {
		name   string
		prefer []string
		whole  bool
	}{
		{"nothing preferred", nil, false},
		{"minimal", []string{"return=minimal"}, false},
		{"another preference", []string{"respond-async, wait=10"}, false},
		{"empty", []string{""}, false},
		{"minimal first", []string{"return=minimal, return=representation"}, false},
		{"representation", []string{"return=representation"}, true},
		{"in quotes", []string{`return="representation"`}, true},
		{"with parameters and space", []string{"handling=lenient", " Return = representation ; x=y , wait=1"}, true},
		{"representation first", []string{"return=representation", "return=minimal"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var headers []string
			for _, p := range tt.prefer {
				headers = append(headers, "Prefer", p)
			}
			d := post2(t, s, "", first, headers...)
			if got := d.Header.Get(v2.HeaderIndex); got != strconv.FormatInt(a.entry.Index, 10) {
				t.Errorf("index %q, want %d", got, a.entry.Index)
			}
			if got := d.Header.Get("Location"); got != a.Header.Get("Location") || got == "" {
				t.Errorf("location %q, want %q", got, a.Header.Get("Location"))
			}
			if !tt.whole {
				want := "an equivalent entry already exists in the transparency log with index " + strconv.FormatInt(a.entry.Index, 10)
				if d.StatusCode != 409 || d.status.Code != v2.CodeAlreadyExists || d.status.Message != want || len(d.status.Details) > 0 {
					t.Errorf("%d %s", d.StatusCode, d.raw)
				}
				return
			}
			if d.StatusCode != 201 || d.Header.Get("Preference-Applied") != "return=representation" {
				t.Fatalf("%d, %q applied", d.StatusCode, d.Header.Get("Preference-Applied"))
			}
			if !bytes.Equal(d.entry.Body, a.entry.Body) || d.entry.Index != a.entry.Index || d.entry.Kind != a.entry.Kind {
				t.Errorf("entry %s, want %s", d.raw, a.raw)
			}
		})
	}
	if size := post2(t, s, "", first, "Prefer", "return=representation").entry.Tree.Size; size != 2 {
		t.Errorf("duplicates made the tree grow to %d", size)
	}
}

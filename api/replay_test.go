package api_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/api/apitest"
	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/merkle"
)

// A recorded exchange with Rekor.
type recorded struct {
	Name    string
	Request struct {
		Method  string
		Path    string
		Headers map[string]string
		Body    string
		BodyB64 []byte `json:"body_b64"`
		BodyLen int    `json:"body_len"` // of a body too long to keep
	}
	Response struct {
		Status  int
		Headers map[string]string
		Body    string
	}
}

// A difference from the recording that is meant.
type difference struct {
	Name   string
	Parts  []string // of the answer: "status", "body", or the name of a header
	Reason string
}

// comparedHeaders are those in which an answer must be as recorded, present
// or absent.
var comparedHeaders = []string{
	"Content-Type", "Location", "Etag", "Allow", "Vary",
	"Cache-Control", "Expires", "Pragma", "X-Accel-Expires",
	"Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers",
}

func load(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// TestReplay sends what was sent to Rekor and wants what Rekor answered, but
// for the differences listed, each of which must be there.
func TestReplay(t *testing.T) {
	t.Parallel()
	var exchanges []recorded
	load(t, "http-unsharded.json", &exchanges)
	var differences []difference
	load(t, "differences.json", &differences)
	meant := make(map[string]difference)
	for _, d := range differences {
		if _, twice := meant[d.Name]; twice || d.Reason == "" || len(d.Parts) == 0 {
			t.Errorf("differences.json: %s is listed twice or says too little", d.Name)
		}
		meant[d.Name] = d
	}

	r := &replayer{
		Server: apitest.Serve(t, api.Options{MaxBody: 1_000_000}),
		pem:    make(map[string]bool),
	}
	r.plain = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	t.Cleanup(r.plain.CloseIdleConnections)
	for _, x := range exchanges {
		d, listed := meant[x.Name]
		delete(meant, x.Name)
		got := r.exchange(t, x)
		if listed {
			slices.Sort(d.Parts)
			if diff := cmp.Diff(d.Parts, slices.Sorted(maps.Keys(got))); diff != "" {
				t.Errorf("%s: parts that differ, listed (-) and found (+):\n%s", x.Name, diff)
			}
			continue
		}
		for _, part := range slices.Sorted(maps.Keys(got)) {
			t.Errorf("%s: %s: recorded (-), answered (+):\n%s", x.Name, part, got[part])
		}
	}
	for name := range meant {
		t.Errorf("differences.json: %s was not recorded", name)
	}
}

type replayer struct {
	*apitest.Server
	plain *http.Client // sends without checking; the replayer checks itself
	pem   map[string]bool
}

// exchange sends one request and returns the parts of the answer that differ,
// with how.
func (r *replayer) exchange(t *testing.T, x recorded) map[string]string {
	body := []byte(x.Request.Body)
	switch {
	case x.Request.BodyB64 != nil:
		body = x.Request.BodyB64
	case x.Request.BodyLen > 0 && strings.HasSuffix(x.Name, "-not-json"):
		body = bytes.Repeat([]byte("a"), x.Request.BodyLen)
	case x.Request.BodyLen > 0:
		const start, end = `{"kind":"hashedrekord","filler":"`, `"}`
		body = fmt.Appendf(nil, "%s%s%s", start, strings.Repeat("a", x.Request.BodyLen-len(start+end)), end)
	}
	req, err := http.NewRequestWithContext(t.Context(), x.Request.Method, r.URL+x.Request.Path, bytes.NewReader(body))
	if err != nil {
		t.Fatalf("%s: %v", x.Name, err)
	}
	for k, v := range x.Request.Headers {
		if v == "" {
			req.Header[k] = nil
		} else {
			req.Header.Set(k, v)
		}
	}
	res, err := r.plain.Do(req)
	if err != nil {
		t.Fatalf("%s: %v", x.Name, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s: %v", x.Name, err)
	}
	if err := r.Checker.Check(apitest.Exchange{
		Method: req.Method, URL: req.URL, Header: req.Header, Body: body,
		Status: res.StatusCode, ResponseHeader: res.Header, ResponseBody: answer,
	}, true); err != nil {
		t.Errorf("%s: not as openapi.yaml has it: %v", x.Name, err)
	}

	parts := make(map[string]string)
	if res.StatusCode != x.Response.Status {
		parts["status"] = fmt.Sprintf("- %d\n+ %d %s", x.Response.Status, res.StatusCode, answer)
	}
	for _, name := range comparedHeaders {
		want, wanted := x.Response.Headers[name]
		have, ok := res.Header[name]
		if wanted != ok || wanted && want != strings.Join(have, ", ") {
			parts[name] = fmt.Sprintf("- %v %q\n+ %v %q", wanted, want, ok, have)
		}
	}
	if diff := cmp.Diff(r.normal(t, x.Name, []byte(x.Response.Body), false), r.normal(t, x.Name, answer, true)); diff != "" {
		parts["body"] = diff
	}
	return parts
}

// normal returns a body in a form that can be compared: what varies from log
// to log is verified, if the body is ours, and left out.
func (r *replayer) normal(t *testing.T, name string, body []byte, ours bool) any {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return r.normalKey(string(body), ours)
	}
	switch v := v.(type) {
	case string:
		return r.normalKey(v, ours)
	case []any:
		var ids []string
		for _, e := range v {
			switch e := e.(type) {
			case string:
				ids = append(ids, e)
			case map[string]any:
				r.normalEntry(t, name, e, ours)
			}
		}
		if ids != nil {
			slices.Sort(ids) // index/retrieve has no order
			return ids
		}
	case map[string]any:
		if note, ok := v["signedTreeHead"].(string); ok {
			v["signedTreeHead"] = r.normalCheckpoint(t, name, note, ours)
		}
		r.normalEntry(t, name, v, ours)
	}
	return v
}

// normalKey replaces a log's key.
func (r *replayer) normalKey(s string, ours bool) string {
	if !strings.HasPrefix(s, "-----BEGIN PUBLIC KEY-----\n") {
		return s
	}
	r.pem[s] = ours
	if ours {
		for other, o := range r.pem {
			if o && other != s {
				return "a second key: " + s
			}
		}
	}
	return "the key"
}

// normalEntry verifies the entry in m, if it is a LogEntry of ours.
func (r *replayer) normalEntry(t *testing.T, name string, m map[string]any, ours bool) {
	if len(m) != 1 {
		return
	}
	for id, e := range m {
		e, ok := e.(map[string]any)
		if !ok {
			return
		}
		if ours {
			r.verify(t, name, id, e)
		}
		delete(e, "integratedTime")
		delete(e, "logID")
		verification := e["verification"].(map[string]any)
		delete(verification, "signedEntryTimestamp")
		proof := verification["inclusionProof"].(map[string]any)
		proof["checkpoint"] = r.normalCheckpoint(t, name, proof["checkpoint"].(string), ours)
	}
}

// verify checks all that an entry claims.
func (r *replayer) verify(t *testing.T, name, id string, raw map[string]any) {
	b, err := json.Marshal(raw)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var e v1.LogEntry
	if err := json.Unmarshal(b, &e); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if err := verifyEntry(id, &e, r.Server); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// verifyEntry verifies an answered entry as a client would.
func verifyEntry(id string, e *v1.LogEntry, s *apitest.Server) error {
	if err := v1.VerifyEntryTimestamp(e, s.Key.Public()); err != nil {
		return err
	}
	body, err := base64.StdEncoding.DecodeString(e.Body)
	if err != nil {
		return err
	}
	leaf := merkle.HashLeaf(body)
	if want := (v1.EntryID{TreeID: apitest.TreeID, Hash: leaf}).String(); id != want {
		return fmt.Errorf("the body is that of %s, not of %s", want, id)
	}
	proof := e.Verification.InclusionProof
	c, err := checkpoint.Open([]byte(proof.Checkpoint), checkpoint.V1Origin(apitest.Origin, apitest.TreeID), s.Key.Public())
	if err != nil {
		return err
	}
	if c.Tree.Size != proof.TreeSize || c.Tree.Root.String() != proof.RootHash {
		return fmt.Errorf("the checkpoint is over %v, the proof over %d, %s", c.Tree, proof.TreeSize, proof.RootHash)
	}
	hashes := make([]merkle.Hash, len(proof.Hashes))
	for i, h := range proof.Hashes {
		if hashes[i], err = merkle.ParseHash(h); err != nil {
			return err
		}
	}
	return merkle.VerifyInclusion(leaf, proof.LogIndex, c.Tree, hashes)
}

// normalCheckpoint returns the signed text of a checkpoint.
func (r *replayer) normalCheckpoint(t *testing.T, name, note string, ours bool) string {
	if ours {
		if _, err := checkpoint.Open([]byte(note), checkpoint.V1Origin(apitest.Origin, apitest.TreeID), r.Key.Public()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	text, _, _ := strings.Cut(note, "\n\n")
	return text
}

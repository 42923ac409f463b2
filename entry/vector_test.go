package entry

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/transparency-dev/merkle/rfc6962"
)

// A vector is what Rekor makes of a proposal. The files in testdata say how
// they came about.
type vector struct {
	Name        string          `json:"name"`
	Proposed    json.RawMessage `json:"proposed"`
	Request     []byte          `json:"request_b64"` // where JSON can't express it
	Accept      bool            `json:"accept"`
	Status      int             `json:"http_status"`
	Error       string          `json:"error"`
	Canonical   []byte          `json:"canonical_b64"`
	LeafHash    string          `json:"leaf_hash_hex"`
	Terms       []string        `json:"index_keys"`
	TermsError  string          `json:"index_keys_error"`
	Artifact    string          `json:"artifact_hash"`
	Subjects    []string        `json:"verifier_subjects"`
	Identities  []identityJSON  `json:"verifier_identities"`
	Attestation []byte          `json:"attestation_b64"`
	// ClockPatched means that it was 2021 for Rekor; today the answer is Status.
	ClockPatched bool `json:"clock_patched"`
	FromLog      struct {
		OK    bool     `json:"reparse_ok"`
		Terms []string `json:"index_keys"`
	} `json:"from_log"`
}

type identityJSON struct {
	Type        string `json:"type"`
	Fingerprint string `json:"fingerprint"`
	Raw         []byte `json:"raw_b64"`
}

func (v vector) body() []byte {
	if v.Request != nil {
		return v.Request
	}
	return v.Proposed
}

var (
	// needContent are the kinds that only a proposal with the content finds.
	needContent = []string{"alpine", "cose", "helm", "jar", "rekord", "rpm"}
	// storedAsProposed are the kinds whose stored form is a proposal.
	storedAsProposed = []string{"hashedrekord", "rfc3161", "tuf"}
)

// proposable are the types that the v1 API takes. What belongs to the v2 API is
// compared in rekor2_test.go.
func proposable() []Type {
	return slices.DeleteFunc(Kinds(), func(k Type) bool { return k.API != 1 })
}

func readJSON(t testing.TB, name string, v any) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func vectors(t testing.TB, k Type) []vector {
	t.Helper()
	var vs []vector
	readJSON(t, k.Kind+"-"+k.Version+".json", &vs)
	if len(vs) < 10 {
		t.Fatalf("%s %s has %d vectors", k.Kind, k.Version, len(vs))
	}
	return vs
}

// A difference is a vector that Cairn means to answer in another way.
type difference struct {
	What   []string `json:"what"` // the fields that differ
	Reason string   `json:"reason"`
}

// status is what the v1 API answers.
func status(err error) int {
	var e *Error
	switch {
	case err == nil:
		return 201
	case !errors.As(err, &e):
		return 500
	case e.Reason == Required || e.Reason == Pattern || e.Reason == UnknownKind:
		return 422
	}
	return 400
}

func create(body []byte, o Options) (*Checked, error) {
	p, err := ParseProposal(body)
	if err != nil {
		return nil, err
	}
	return Check(p, o)
}

// TestVectors compares everything with Rekor's answers. The differences are
// listed in a file, and the list is exact: one that is none any more is an
// error as well.
func TestVectors(t *testing.T) {
	t.Parallel()
	var listed map[string]map[string]difference
	readJSON(t, "differences.json", &listed)
	for _, k := range proposable() {
		name := k.Kind + " " + k.Version
		list := map[string]difference{}
		maps.Copy(list, listed["every kind"])
		maps.Copy(list, listed[name])
		seen := map[string]bool{}
		for _, v := range vectors(t, k) {
			seen[v.Name] = true
			t.Run(name+" "+v.Name, func(t *testing.T) {
				t.Parallel()
				got := compare(t, v)
				want := list[v.Name]
				if d := cmp.Diff(want.What, got.names, cmpopts.EquateEmpty()); d != "" {
					t.Errorf("differences (-listed +found):\n%s%s", d, strings.Join(got.texts, "\n"))
				}
				if len(want.What) > 0 && want.Reason == "" {
					t.Error("no reason")
				}
			})
		}
		for n := range list {
			if !seen[n] {
				t.Errorf("%s: difference %q is about no vector", name, n)
			}
		}
	}
	for name := range listed {
		if kind, version, _ := strings.Cut(name, " "); name != "every kind" && !slices.ContainsFunc(kinds, func(k Type) bool { return k.Kind == kind && k.Version == version }) {
			t.Errorf("differences of unknown type %q", name)
		}
	}
}

// A finding collects what differs from a vector.
type finding struct{ names, texts []string }

func (f *finding) diff(name string, want, got any) {
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		f.names = append(f.names, name)
		f.texts = append(f.texts, name+" (-want +got):\n"+d)
	}
}

// set is a set of terms as storage compares them.
func set(terms []string) []string {
	var out []string
	for _, s := range terms {
		out = append(out, strings.ToLower(s))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func compare(t *testing.T, v vector) finding {
	var f finding
	var o Options
	if v.ClockPatched {
		if _, err := create(v.body(), o); status(err) != v.Status {
			f.diff("status today", v.Status, status(err))
		}
		o.Now, v.Status = time.Date(2021, 6, 1, 0, 0, 0, 0, time.UTC), 201
	}
	c, err := create(v.body(), o)
	f.diff("status", v.Status, status(err))
	if v.Accept != (err == nil) {
		f.names = append(f.names, "verdict")
		f.texts = append(f.texts, "error is "+errText(err))
	}
	if err != nil {
		if !v.Accept && !strings.Contains(err.Error(), refText(v.Error)) {
			f.names = append(f.names, "error")
			f.texts = append(f.texts, "error is  "+err.Error()+"\nRekor has "+v.Error)
		}
		return f
	}
	if !v.Accept {
		return f
	}
	f.diff("canonical", string(v.Canonical), string(c.Body))
	f.diff("leaf hash", v.LeafHash, hex.EncodeToString(rfc6962.DefaultHasher.HashLeaf(c.Body)))
	f.diff("terms", set(v.Terms), set(c.Terms))
	if c.Kind == "cose" { // Rekor has the artifact's hash only once the entry is in the log
		v = fromLogCOSE(t, v)
	}
	if c.Kind == "helm" { // Rekor looks for what is not in the log
		v = fromLogHelm(t, v)
	}
	if c.Kind == "tuf" { // Rekor lists a root's keys in random order
		slices.SortFunc(v.Identities, func(a, b identityJSON) int { return strings.Compare(a.Fingerprint, b.Fingerprint) })
	}
	f.diff("artifact", v.Artifact, c.Artifact)
	f.diff("attestation", v.Attestation, c.Attachment)
	f.diff("identities", v.Identities, identitiesJSON(c))
	f.diff("subjects", set(v.Subjects), set(subjects(c)))

	// The same questions asked of the leaf.
	leaf, err := Read(c.Body)
	f.diff("from log ok", v.FromLog.OK, err == nil)
	if err != nil {
		f.texts = append(f.texts, "error is "+err.Error())
		return f
	}
	f.diff("from log terms", set(v.FromLog.Terms), set(leaf.Terms))
	f.diff("from log body", string(v.Canonical), string(leaf.Body))
	f.diff("from log identities", v.Identities, identitiesJSON(leaf))
	f.diff("from log artifact", v.Artifact, leaf.Artifact)
	if leaf.Attachment != nil {
		t.Error("a leaf has an attestation")
	}

	// A retrieve query with the stored form, where the kind allows it.
	p, err := ParseProposal(c.Body)
	if err != nil {
		t.Fatal(err)
	}
	o.Stored = true
	q, err := Check(p, o)
	if slices.Contains(needContent, p.Kind) {
		if err == nil {
			t.Errorf("a %s is found by its stored form", p.Kind)
		}
		return f
	}
	if err != nil {
		t.Errorf("query with the stored form: %v", err)
		return f
	}
	f.diff("query body", string(c.Body), string(q.Body))
	if !slices.Contains(storedAsProposed, p.Kind) {
		var e *Error
		if _, err := Check(p, Options{}); !errors.As(err, &e) || e.Reason != NotInsertable {
			t.Errorf("create with the stored form: %v", err)
		}
	}
	return f
}

// refText is the part of Rekor's error text that is ours to give.
func refText(s string) string {
	s, _, _ = strings.Cut(s, " || http:")
	s = strings.TrimPrefix(s, "error processing entry: ")
	if rest, ok := strings.CutPrefix(s, "validation failure list:\n"); ok && !strings.Contains(rest, "\n") {
		return rest
	}
	return s
}

func errText(err error) string {
	if err == nil {
		return "nil"
	}
	return err.Error()
}

func identitiesJSON(c *Checked) []identityJSON {
	var out []identityJSON
	for _, id := range c.Identities {
		if id.Raw == nil {
			continue
		}
		out = append(out, identityJSON{id.Type, id.Fingerprint, id.Raw})
	}
	if c.Kind == "tuf" {
		slices.SortFunc(out, func(a, b identityJSON) int { return strings.Compare(a.Fingerprint, b.Fingerprint) })
	}
	return out
}

func subjects(c *Checked) []string {
	var out []string
	for _, id := range c.Identities {
		out = append(out, id.Subjects...)
	}
	return out
}

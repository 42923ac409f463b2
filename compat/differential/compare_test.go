package differential

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/cairnlog/cairn/entry"
)

var (
	inputs = flag.Int("inputs", 6000, "compare so many `proposals`, as many of each kind")
	seed   = flag.Uint64("seed", 1, "change them in the way of this `number`")
)

// fields are what is compared of a verdict.
var fields = []string{"verdict", "leaf", "keys", "artifact", "attestation", "reading"}

// A finding is one field that differs.
type finding struct {
	field       string
	ours, rekor string // error texts, "" for none, or what is in the field
}

// compare asks both about one body.
//
// Rekor throws dice for some: which file of a chart it takes, in which order
// it writes the user IDs of a key. Then Cairn's answer has to be one of its.
func (r *reference) compare(body []byte, stored bool) (accepted bool, found []finding) {
	got := checkOurs(body, stored)
	want := r.check(body, stored)
	agree := func() bool {
		if want.err != nil || got.err != nil {
			return (want.err == nil) == (got.err == nil)
		}
		return bytes.Equal(got.leaf, want.leaf) && (want.keysErr != nil || slices.Equal(set(want.keys), set(got.keys)))
	}
	for range 300 {
		if agree() {
			break
		}
		if next := r.check(body, stored); next.err == nil || want.err != nil {
			want = next
		}
	}
	differ := func(field, ours, rekor string) {
		found = append(found, finding{field, ours, rekor})
	}
	switch {
	case want.err != nil && got.err != nil:
		return false, nil
	case want.err != nil || got.err != nil:
		differ("verdict", errText(got.err), errText(want.err))
		return false, found
	}
	if !bytes.Equal(got.leaf, want.leaf) {
		differ("leaf", string(got.leaf), string(want.leaf))
		return true, found
	}
	switch {
	case want.keysErr != nil && !stored: // what is asked for is not indexed
		differ("keys", fmt.Sprint(set(got.keys)), want.keysErr.Error())
	case !agree():
		differ("keys", fmt.Sprint(set(got.keys)), fmt.Sprint(set(want.keys)))
	}
	if want.artifact != got.artifact {
		differ("artifact", got.artifact, want.artifact)
	}
	if !stored && !bytes.Equal(want.attestation, got.attestation) {
		differ("attestation", string(got.attestation), string(want.attestation))
	}
	if (want.readErr == nil) != (got.readErr == nil) {
		differ("reading", errText(got.readErr), errText(want.readErr))
	}
	return true, found
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return cmp.Or(err.Error(), "(no text)")
}

// set is a set of keys as the index compares them.
func set(keys []string) []string {
	var out []string
	for _, s := range keys {
		out = append(out, strings.ToLower(s))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// vectors returns the recorded proposals of a kind, and what became of them.
func vectors(t testing.TB, k entry.Type) (seeds []map[string]any) {
	t.Helper()
	text, err := os.ReadFile("../../entry/testdata/" + k.Kind + "-" + k.Version + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded []struct {
		Proposed json.RawMessage `json:"proposed"`
		Request  []byte          `json:"request_b64"`
		Accept   bool            `json:"accept"`
		Leaf     []byte          `json:"canonical_b64"`
	}
	if err := json.Unmarshal(text, &recorded); err != nil {
		t.Fatal(err)
	}
	for i, v := range recorded {
		request := []byte(v.Proposed)
		if v.Request != nil {
			request = v.Request
		}
		for _, b := range [][]byte{request, request, v.Leaf} { // more proposals than leaves
			if v.Accept || i%3 == 0 {
				if p, _ := decode(b); isKind(p, k) {
					seeds = append(seeds, p.(map[string]any))
				}
			}
		}
	}
	if len(seeds) < 10 {
		t.Fatalf("%s %s has %d vectors", k.Kind, k.Version, len(seeds))
	}
	return seeds
}

// rekorKinds are the kinds that Rekor v1 has.
func rekorKinds() []entry.Type {
	return slices.DeleteFunc(entry.Kinds(), func(k entry.Type) bool { return k.API != 1 })
}

func isKind(p any, k entry.Type) bool {
	m, _ := p.(map[string]any)
	return m["kind"] == k.Kind && m["apiVersion"] == k.Version && m["spec"] != nil
}

func newMutator(t testing.TB, k entry.Type, source rand.Source, keys *keys) *mutator {
	m := &mutator{Rand: rand.New(source), seeds: vectors(t, k), keys: keys}
	var collect func(v any)
	collect = func(v any) {
		m.pool = append(m.pool, v)
		switch v := v.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				collect(v[name])
			}
		case []any:
			for _, e := range v {
				collect(e)
			}
		case string:
			if b, ok := unbase64(v); ok && bytes.Contains(b, []byte("-----BEGIN")) {
				m.pems = append(m.pems, string(b))
			}
		}
	}
	for _, s := range m.seeds {
		if text := encode(s["spec"]); len(text) < 50_000 {
			collect(s["spec"])
		}
	}
	return m
}

// next returns the next body: a vector or a proposal made for the purpose, with
// some changes or none.
func (m *mutator) next(k entry.Type) (body []byte, stored bool) {
	spec := clone(pick(m, m.seeds)["spec"])
	changes := m.IntN(4)
	if maker := makers[k.Kind]; maker != nil && m.oneIn(2) {
		spec = maker(m, k.Version)
		if changes > 1 {
			changes = 0
		}
	}
	for range changes {
		spec = m.change(spec, pick(m, m.seeds)["spec"])
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"apiVersion":%q,"kind":%q,"spec":`, k.Version, k.Kind)
	m.write(&b, spec)
	b.WriteByte('}')
	return b.Bytes(), m.oneIn(5)
}

// A tally counts what came out for a kind.
type tally struct {
	inputs, accepted int
	fields           map[string]int // findings
	names            map[string]int // the differences they are
}

// TestDifferential compares verdicts, leaves, search keys, artifacts,
// attestations and whether a leaf can be read back, and wants every difference
// to be in the table of differences.
func TestDifferential(t *testing.T) {
	r, err := newReference()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := newKeys()
	if err != nil {
		t.Fatal(err)
	}
	kinds := rekorKinds()
	tallies := make([]tally, len(kinds))
	t.Cleanup(func() { t.Log("\n" + table(kinds, tallies)) })
	for i, k := range kinds {
		t.Run(k.Kind+"-"+k.Version, func(t *testing.T) {
			t.Parallel()
			n := tally{fields: map[string]int{}, names: map[string]int{}}
			m := newMutator(t, k, rand.NewPCG(*seed, uint64(i)), keys)
			unexplained := 0
			for n.inputs < (*inputs+len(kinds)-1)/len(kinds) {
				body, stored := m.next(k)
				n.inputs++
				accepted, found := r.compare(body, stored)
				if accepted {
					n.accepted++
				}
				for _, f := range found {
					n.fields[f.field]++
					if name := explain(k.Kind, f); name != "" {
						n.names[name]++
					} else if unexplained++; unexplained <= 5 {
						t.Errorf("%s (query: %t): ours is %.2000q, Rekor's %.2000q\nfor %.30000q", f.field, stored, f.ours, f.rekor, body)
					}
				}
			}
			if unexplained > 0 {
				t.Errorf("%d differences are not explained", unexplained)
			}
			tallies[i] = n
		})
	}
}

// table prints the tallies: first of the fields, then of the differences.
func table(kinds []entry.Type, tallies []tally) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| kind\t| inputs\t| accepted by both\t| differing: "+strings.Join(fields, "\t| ")+"\t|")
	fmt.Fprintln(w, "|---\t"+strings.Repeat("|---\t", len(fields)+2)+"|")
	names := map[string]int{}
	for i, k := range kinds {
		n := tallies[i]
		if n.inputs == 0 {
			continue
		}
		fmt.Fprintf(w, "| %s %s\t| %d\t| %d\t", k.Kind, k.Version, n.inputs, n.accepted)
		for _, f := range fields {
			fmt.Fprintf(w, "| %d\t", n.fields[f])
		}
		fmt.Fprintln(w, "|")
		for name, c := range n.names {
			names[name] += c
		}
	}
	w.Flush()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		fmt.Fprintf(&b, "%6d %s\n", names[name], name)
	}
	return b.String()
}

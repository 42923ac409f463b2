package entry

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestKinds insists on what every kind must have: golden vectors, a fuzz
// target, and a schema.
func TestKinds(t *testing.T) {
	t.Parallel()
	var source strings.Builder
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(text)
	}
	api, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Kinds() {
		accepted := slices.ContainsFunc(vectors(t, k), func(v vector) bool { return v.Accept })
		refused := slices.ContainsFunc(vectors(t, k), func(v vector) bool { return !v.Accept })
		if !accepted || !refused {
			t.Errorf("%s %s: vectors that are accepted: %t, refused: %t", k.Kind, k.Version, accepted, refused)
		}
		if !strings.Contains(source.String(), "\nfunc Fuzz"+k.Schema+"(f *testing.F)") {
			t.Errorf("%s %s: no fuzz target Fuzz%s", k.Kind, k.Version, k.Schema)
		}
		if !regexp.MustCompile(`(?m)^    ` + k.Schema + `:`).Match(api) {
			t.Errorf("%s %s: no schema %s in openapi.yaml", k.Kind, k.Version, k.Schema)
		}
		if got, ok := Lookup(k.Kind, k.Version); !ok || got.Object != k.Object || k.Object == "" {
			t.Errorf("Lookup(%s, %s) = %+v, %t", k.Kind, k.Version, got, ok)
		}
		if k.API != 1 && k.API != 2 {
			t.Errorf("%s %s: there is no Rekor API of version %d", k.Kind, k.Version, k.API)
		}
		if !slices.Contains(protocolKinds, k.Kind) {
			t.Errorf("%s is no kind of the protocol", k.Kind)
		}
	}
	if !slices.IsSortedFunc(Kinds(), func(a, b Type) int { return strings.Compare(a.Kind+a.Version, b.Kind+b.Version) }) {
		t.Error("the table is not sorted")
	}
}

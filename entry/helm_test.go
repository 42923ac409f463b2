package entry

import (
	"encoding/json"
	"testing"
)

func FuzzHelmV001(f *testing.F) { fuzzKind(f, "helm", "0.0.1") }

// fromLogHelm returns v with what Rekor could say of the entry: the hash of the
// chart is in the leaf, but it looks for it in the provenance file, which is not,
// and so has no artifact and finds no term.
func fromLogHelm(t *testing.T, v vector) vector {
	t.Helper()
	var body struct {
		Spec struct {
			Chart struct {
				Hash struct{ Algorithm, Value string }
			}
		}
	}
	if err := json.Unmarshal(v.Canonical, &body); err != nil {
		t.Fatal(err)
	}
	v.Artifact = body.Spec.Chart.Hash.Algorithm + ":" + body.Spec.Chart.Hash.Value
	v.FromLog.Terms = v.Terms
	return v
}

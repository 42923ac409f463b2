package entry

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// fromLogCOSE returns v with what Rekor could say of the entry. It knows the
// artifact only of an entry that was read back from the log, and then indexes
// the hash of nothing instead of the message's.
func fromLogCOSE(t *testing.T, v vector) vector {
	t.Helper()
	var body struct {
		Spec struct {
			Data struct{ PayloadHash, EnvelopeHash struct{ Value string } }
		}
	}
	if err := json.Unmarshal(v.Canonical, &body); err != nil {
		t.Fatal(err)
	}
	payload := "sha256:" + body.Spec.Data.PayloadHash.Value
	if v.Artifact == "" {
		v.Artifact = payload
	}
	v.FromLog.Terms = slices.DeleteFunc(slices.Clone(v.FromLog.Terms), func(s string) bool { return strings.HasPrefix(s, "sha256:") })
	v.FromLog.Terms = append(v.FromLog.Terms, payload, "sha256:"+body.Spec.Data.EnvelopeHash.Value)
	return v
}

package client

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/cairnlog/cairn/api/v1"
)

// TestAttestation holds what a log keeps beside an entry against the hash in
// the body: a COSE message is kept whole, of an envelope the payload.
func TestAttestation(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"cose-0.0.1", "intoto-0.0.1", "intoto-0.0.2"} {
		text, err := os.ReadFile(filepath.Join("..", "entry", "testdata", kind+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var vectors []struct {
			Name        string
			Body        []byte `json:"canonical_b64"`
			Attestation []byte `json:"attestation_b64"`
		}
		if err := json.Unmarshal(text, &vectors); err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, v := range vectors {
			if len(v.Attestation) == 0 {
				continue
			}
			seen++
			e := &Entry{Body: v.Body}
			if err := e.describe(&v1.Attestation{Data: v.Attestation}); err != nil || string(e.Attestation) != string(v.Attestation) {
				t.Errorf("%s: %s: %v", kind, v.Name, err)
			}
			other := &Entry{Body: v.Body}
			err := other.describe(&v1.Attestation{Data: append(v.Attestation, 'x')})
			if !errors.As(err, new(*VerifyError)) || other.Attestation != nil {
				t.Errorf("%s: %s: another attestation: %v", kind, v.Name, err)
			}
		}
		if seen == 0 {
			t.Errorf("%s has no attestation", kind)
		}
	}
}

package api_test

import (
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"testing"

	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/api/apitest"
	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/entry"
)

// TestVerdicts uploads every proposal that is known with Rekor's answer and
// wants the same status, but 400 where Rekor fails with 500, and the other
// verdict where package entry lists one.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../entry/testdata/differences.json")
	if err != nil {
		t.Fatal(err)
	}
	var differences map[string]map[string]struct{ What []string }
	if err := json.Unmarshal(b, &differences); err != nil {
		t.Fatal(err)
	}
	for _, k := range entry.Kinds() {
		if k.API != 1 {
			continue // no v1 proposal has this type
		}
		name := k.Kind + "-" + k.Version
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile("../entry/testdata/" + name + ".json")
			if err != nil {
				t.Fatal(err)
			}
			var vectors []struct {
				Name       string
				Proposed   json.RawMessage
				RequestB64 []byte `json:"request_b64"`
				HTTPStatus int    `json:"http_status"`
				HTTPCode   int    `json:"http_body_code"`
				Leaf       string `json:"leaf_hash_hex"`
			}
			if err := json.Unmarshal(b, &vectors); err != nil {
				t.Fatal(err)
			}
			s := apitest.Serve(t, api.Options{})
			s.Client().Transport = s.Checker.Transport(t, http.DefaultTransport, false)
			for _, v := range vectors {
				body := v.RequestB64
				if body == nil {
					body = v.Proposed
				}
				res, e := ask(t, s, http.MethodPost, v1.PathEntries, string(body))
				want, code := v.HTTPStatus, v.HTTPCode
				if want == http.StatusInternalServerError {
					want, code = http.StatusBadRequest, http.StatusBadRequest
				}
				if slices.Contains(differences[k.Kind+" "+k.Version][v.Name].What, "verdict") {
					if (res.StatusCode == http.StatusCreated) == (want == http.StatusCreated) {
						t.Errorf("%s: status %d %s is what Rekor has", v.Name, res.StatusCode, e.Message)
					}
					continue
				}
				if res.StatusCode != want && !(want == http.StatusCreated && res.StatusCode == http.StatusConflict) {
					t.Errorf("%s: status %d %s, want %d", v.Name, res.StatusCode, e.Message, want)
					continue
				}
				if want >= 400 {
					if e.Code != code {
						t.Errorf("%s: code %d %s, want %d", v.Name, e.Code, e.Message, code)
					}
					continue
				}
				// What was answered can be read at once, also after a 409.
				at := res.Header.Get("Location")
				if at[len(at)-64:] != v.Leaf {
					t.Errorf("%s: leaf %s, want %s", v.Name, at, v.Leaf)
				}
				if res, _ := ask(t, s, http.MethodGet, at, ""); res.StatusCode != http.StatusOK {
					t.Errorf("%s: GET %s: %d", v.Name, at, res.StatusCode)
				}
			}
		})
	}
}

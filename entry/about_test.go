package entry

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAbout(t *testing.T) {
	t.Parallel()
	want := map[string][]Fact{
		"alpine/valid-checkout-test-apk": {
			{"package", "apache2-ctl"}, {"version", "2.4.43-r0"}, {"architecture", "x86_64"},
			{"file", "sha256:a8ccb330c68d349b76378fad43cb6a1f6433b3418a7577fb02d9577ac0c49047"},
		},
		"rpm/valid-checkout-test-rpm": {
			{"package", "test-package"}, {"version", "1.0-1"}, {"architecture", "noarch"},
			{"file", "sha256:f5214798b9d78fac428fad6d70cffce0eee6512c27a9faee9112a68e9b5519c6"},
		},
		"rpm/valid-generated-epoch": {
			{"package", "vector"}, {"version", "7:1.2-3"}, {"architecture", "x86_64"},
			{"file", "sha256:7617c49760795ce39c96ce881da8f647467dfe83b46878882ffc6cf2e750daf9"},
		},
		"cose/valid-es256": {
			{"message", "sha256:e2cd63f997cbeb9208f85ebac3a7b6e40e406b020f2f309afc3445f5b0e06622"},
			{"payload", "sha256:1ca2f9eaf3ad48581a1c33b8237ffbb7774201428d0c89dbdc9f1393265eb769"},
		},
		"helm/valid-checkout-prov":    {{"chart", "sha256:6dec7ea21e655d5796c1e214cfb75b73428b2abfa2e66c8f7bc64ff4a7b3b29f"}},
		"jar/valid-checkout-test-jar": {{"file", "sha256:4a9d0ab4e10597497ed6c4617c983c35fa9e964e75cdd6f9fae3a0da1929acc6"}},
		"rfc3161/valid-checkout-tsr": {
			{"time", "2021-05-27T18:00:54Z"},
			{"artifact", "sha256:1fbc02de3d979c27aff8fc39671d4e07541a475bb49312049a17e05aeed57021"},
			{"authority", "O=Rekor Test,POSTALCODE=94016,STREET=Golden Gate Bridge,L=San Francisco,ST=,C=US"},
			{"authority's issuer", "O=Root CA Test,POSTALCODE=94016,STREET=Golden Gate Bridge,L=San Francisco,ST=,C=US"},
			{"policy", "1.2.3.4.1"}, {"serial number", "3e666226a7dd097f61a76385"},
		},
		"tuf/valid-generated": {
			{"role", "timestamp"}, {"version", "1"}, {"expires", "2090-01-01T00:00:00Z"},
			{"root version", "1"}, {"root expires", "2090-01-01T00:00:00Z"}, {"specification", "1.0.31"},
		},
	}
	for _, s := range samples(t) {
		w, ok := want[s.kind+"/"+s.vector]
		if !ok {
			continue
		}
		delete(want, s.kind+"/"+s.vector)
		if d := cmp.Diff(w, About(s.body, nil)); d != "" {
			t.Errorf("%s/%s (-want +got):\n%s", s.kind, s.vector, d)
		}
	}
	if len(want) > 0 {
		t.Errorf("not seen: %v", want)
	}
}

// TestAboutAttachment looks into what is kept beside an entry.
func TestAboutAttachment(t *testing.T) {
	t.Parallel()
	subjects := make([]string, maxSubjects+2)
	for i := range subjects {
		subjects[i] = fmt.Sprintf(`{"name":"file %d","digest":{"sha256":"%02x","md5":"ff"}}`, i, i)
	}
	statement := []byte(`{"predicateType":"https://example.test/p","subject":[` + strings.Join(subjects, ",") + `]}`)
	key := newECDSA(t)
	for version, payloadType := range map[string]string{"0.0.1": "", "0.0.2": inTotoType} {
		p, err := NewIntoto(version, seal(t, inTotoType, statement, key).json(t), [][]byte{key.pem})
		if err != nil {
			t.Fatal(err)
		}
		c, err := Check(p, Options{})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]string{}
		for _, f := range About(c.Body, c.Attachment) {
			got[f.Name] = append(got[f.Name], f.Value)
		}
		if d := cmp.Diff(strings.Join(got["payload type"], ""), payloadType); d != "" {
			t.Errorf("%s: payload type:\n%s", version, d)
		}
		if got["predicate type"][0] != "https://example.test/p" || got["payload"][0] != c.Artifact || len(got["envelope"]) != 1 {
			t.Errorf("%s: %q", version, got)
		}
		s := got["subject"]
		if len(s) != maxSubjects+1 || s[0] != "file 0 sha256:00" || s[maxSubjects] != "and 2 more" {
			t.Errorf("%s: subjects %q", version, s)
		}
	}
	v := find(t, "cose", "0.0.1", "valid-checkout-with-aad")
	var kinds []string
	for _, f := range About(v.Canonical, v.Attestation) {
		kinds = append(kinds, f.Name)
	}
	if d := cmp.Diff([]string{"message", "payload"}, kinds); d != "" {
		t.Errorf("cose (-want +got):\n%s", d)
	}
}

// TestAboutNothing gives it what no log should have, but another one might.
func TestAboutNothing(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"no JSON":       "x",
		"no kind":       `{"apiVersion":"0.0.1","spec":{}}`,
		"other kind":    `{"apiVersion":"0.0.1","kind":"other","spec":{"data":{"hash":{"algorithm":"sha256","value":"00"}}}}`,
		"no spec":       `{"apiVersion":"0.0.1","kind":"rpm","spec":{}}`,
		"wrong types":   `{"apiVersion":"0.0.1","kind":"rpm","spec":{"package":7}}`,
		"no base64":     `{"apiVersion":"0.0.1","kind":"tuf","spec":{"metadata":{"content":"é"},"root":{"content":"e"}}}`,
		"no document":   `{"apiVersion":"0.0.1","kind":"tuf","spec":{"metadata":{"content":"MQ=="},"root":{}}}`,
		"no timestamp":  `{"apiVersion":"0.0.1","kind":"rfc3161","spec":{"tsr":{"content":"MAA="}}}`,
		"empty content": `{"apiVersion":"0.0.1","kind":"rfc3161","spec":{"tsr":{"content":""}}}`,
	} {
		if got := About([]byte(body), []byte("x")); len(got) != 0 {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, k := range Kinds() {
		if k.API != 2 {
			continue
		}
		v := vectors(t, k)
		i := slices.IndexFunc(v, func(v vector) bool { return v.Accept })
		c, err := Read(v[i].Canonical)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]Fact{{"artifact", c.Artifact}}, About(c.Body, nil)); d != "" || c.Artifact == "" {
			t.Errorf("%s %s (-want +got):\n%s", k.Kind, k.Version, d)
		}
	}
	partly := `{"apiVersion":"0.0.1","kind":"rpm","spec":{"package":{"hash":{"algorithm":"sha256","value":7},"headers":{"Name":"n","Version":1}}}}`
	if d := cmp.Diff([]Fact{{"package", "n"}}, About([]byte(partly), nil)); d != "" {
		t.Errorf("partly of the wrong type (-want +got):\n%s", d)
	}
}

func FuzzAbout(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.body, s.artifact)
	}
	f.Fuzz(func(t *testing.T, body, attachment []byte) {
		for _, fact := range About(body, attachment) {
			if fact.Name == "" || fact.Value == "" {
				t.Errorf("an empty fact: %q", fact)
			}
		}
	})
}

package entry

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Keys that take long are tried on fewer signatures than those that do not.
func TestEnvelopeBudget(t *testing.T) {
	t.Parallel()
	p384 := make([]signer, maxSigners)
	for i := range p384 {
		key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		p384[i] = newSigner(t, key, err)
	}
	ed25519 := make([]signer, maxSigners)
	for i := range ed25519 {
		ed25519[i] = newEd25519(t)
	}
	const text = "too many signatures for keys of this type"
	for name, tt := range map[string]struct {
		payload string
		signers []signer
		refuse  bool
	}{
		"P-384":           {"x", p384, true},
		"ten P-384":       {"x", p384[:10], false},
		"Ed25519":         {"x", ed25519, false},
		"Ed25519 of much": {strings.Repeat("x", 1<<20), ed25519, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var keys [][]byte
			e := &envelope{PayloadType: "text/plain", Payload: string(encode([]byte(tt.payload)).text)}
			for _, s := range tt.signers {
				keys = append(keys, s.pem)
				message := preAuthEncoding(e.PayloadType, []byte(tt.payload))
				sig := s.signature(t, message)
				if key, ok := s.Public().(*ecdsa.PublicKey); ok && key.Curve == elliptic.P384() {
					h := crypto.SHA256.New()
					h.Write(message)
					var err error
					if sig, err = s.Sign(rand.Reader, h.Sum(nil), crypto.SHA256); err != nil {
						t.Fatal(err)
					}
				}
				e.Signatures = append(e.Signatures, envelopeSignature{Sig: string(encode(sig).text)})
			}
			for range 2 { // in both orders
				if tt.refuse {
					refused(t, NewDSSE(e.json(t), keys), Options{}, Invalid, text)
				} else if _, err := Check(NewDSSE(e.json(t), keys), Options{}); err != nil {
					t.Error(err)
				}
				slices.Reverse(keys)
			}
		})
	}
}

// Signatures are counted before there is room for them, and otherwise read as
// encoding/json does.
func TestEnvelopeSignatures(t *testing.T) {
	t.Parallel()
	type plain struct {
		Signatures []envelopeSignature `json:"signatures"`
	}
	for _, text := range []string{
		`{}`, `{"signatures":null}`, `{"signatures":[]}`, `{"signatures":[{}]}`, `{"signatures":[null,{"SIG":"x"}]}`,
		`{"signatures":[{"sig":"a","keyid":"b"}],"Signatures":[{"sig":"c"}]}`, `{"signatures":[{"sig":"a"}],"signatures":null}`,
		`{"signatures":5}`, `{"signatures":"x"}`, `{"signatures":{}}`, `{"signatures":[5]}`, `{"signatures":[{"sig":5}]}`, `{"signatures":[`,
	} {
		var want plain
		wantErr := json.Unmarshal([]byte(text), &want)
		got, err := parseEnvelope([]byte(text))
		if (err == nil) != (wantErr == nil) {
			t.Errorf("%s: error %v, want %v", text, err, wantErr)
		}
		if err == nil && fmt.Sprint(got.Signatures) != fmt.Sprint(want.Signatures) {
			t.Errorf("%s: %v, want %v", text, got.Signatures, want.Signatures)
		}
	}
	_, err := parseEnvelope([]byte(`{"signatures":[` + strings.Repeat(`{},`, maxSigners) + `{}]}`))
	if err == nil || !strings.Contains(err.Error(), "more than 32 signatures") {
		t.Errorf("33 signatures: %v", err)
	}
	_, err = parseEnvelope([]byte(`{"signatures":[{"sig":5}]}`))
	if err == nil || !strings.Contains(err.Error(), "member signatures.sig cannot be a JSON number") {
		t.Errorf("a number: %v", err)
	}
}

func TestStatementDigests(t *testing.T) {
	t.Parallel()
	list := func(n int) string { return strings.Repeat(`{"digest":{"a":"b"}},`, n/2) + `{}` }
	var many strings.Builder
	for i := range maxDigests {
		fmt.Fprintf(&many, `"%d":"",`, i)
	}
	const text = "more than 10000 subjects, materials and digests"
	for name, tt := range map[string]struct {
		statement string
		refuse    bool
	}{
		"as many subjects as may be":   {`{"subject":[` + list(maxDigests-1) + `]}`, false},
		"subjects":                     {`{"subject":[` + list(maxDigests) + `]}`, true},
		"subjects twice":               {`{"subject":[` + list(maxDigests/2) + `],"SUBJECT":[` + list(maxDigests/2) + `]}`, true},
		"subjects with another s":      {`{"ſubject":[` + list(maxDigests) + `]}`, true},
		"digests":                      {`{"subject":[{"digest":{` + many.String() + `"x":""}}]}`, true},
		"materials":                    {`{"predicate":{"materials":[` + list(maxDigests) + `]}}`, true},
		"digests of a source":          {`{"predicate":{"invocation":{"configSource":{"digest":{` + many.String() + `"x":""}}}}}`, true},
		"elsewhere":                    {`{"other":[` + list(maxDigests) + `],"predicate":{"other":[` + list(maxDigests) + `]}}`, false},
		"no statement":                 {`[` + list(maxDigests) + `]`, false},
		"not JSON":                     {`{"subject":[` + list(10) + `}`, false},
		"subjects that are no objects": {`{"subject":[` + strings.Repeat("1,", maxDigests) + `1]}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newECDSA(t)
			env := seal(t, inTotoType, []byte(tt.statement), s).json(t)
			proposals := []Proposal{NewDSSE(env, [][]byte{s.pem})}
			for _, version := range []string{"0.0.1", "0.0.2"} {
				p, err := NewIntoto(version, env, [][]byte{s.pem})
				if err != nil {
					t.Fatal(err)
				}
				proposals = append(proposals, p)
			}
			for _, p := range proposals {
				if tt.refuse {
					refused(t, p, Options{}, Invalid, text)
				} else if _, err := Check(p, Options{}); err != nil {
					t.Errorf("%s: %v", p.Kind, err)
				}
			}
		})
	}
}

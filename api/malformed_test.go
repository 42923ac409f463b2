package api_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/api/apitest"
	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/entry"
)

func TestMalformed(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t, api.Options{})
	zero := strings.Repeat("0", 64)
	for _, tt := range []struct {
		name, path, body string
		status, code     int
	}{
		{"create: nothing", v1.PathEntries, "", 422, 602},
		{"create: cut off", v1.PathEntries, `{"kind":"hashedrekord","spec":{`, 400, 400},
		{"create: not JSON", v1.PathEntries, `kind: hashedrekord`, 400, 400},
		{"create: byte order mark", v1.PathEntries, "\ufeff{}", 400, 400},
		{"create: array", v1.PathEntries, `[]`, 400, 400},
		{"create: kind is a number", v1.PathEntries, `{"kind":1}`, 400, 400},
		{"create: too deep", v1.PathEntries, `{"kind":` + strings.Repeat("[", 20_000), 400, 400},
		{"create: too deep and ignored", v1.PathEntries, `{"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`, 400, 400},
		{"create: kind missing", v1.PathEntries, `{}`, 422, 602},
		{"create: kind unknown", v1.PathEntries, `{"kind":"x"}`, 422, 422},
		{"create: version missing", v1.PathEntries, `{"kind":"dsse"}`, 422, 602},
		{"create: version is none", v1.PathEntries, `{"kind":"dsse","apiVersion":"1","spec":{}}`, 422, 605},
		{"create: version unknown", v1.PathEntries, `{"kind":"dsse","apiVersion":"7.0.0","spec":{}}`, 400, 400},
		{"create: spec missing", v1.PathEntries, `{"kind":"dsse","apiVersion":"0.0.1"}`, 422, 602},
		{"create: spec is a string", v1.PathEntries, `{"kind":"dsse","apiVersion":"0.0.1","spec":"x"}`, 400, 400},
		{"create: spec is empty", v1.PathEntries, `{"kind":"dsse","apiVersion":"0.0.1","spec":{}}`, 400, 400},

		{"retrieve: nothing", v1.PathRetrieve, " \n", 422, 602},
		{"retrieve: cut off", v1.PathRetrieve, `{"logIndexes":[`, 400, 400},
		{"retrieve: too deep", v1.PathRetrieve, `{"entries":` + strings.Repeat("[", 20_000), 400, 400},
		{"retrieve: deep proposal", v1.PathRetrieve, `{"entries":[{"kind":` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + `}]}`, 400, 400},
		{"retrieve: index is a string", v1.PathRetrieve, `{"logIndexes":["1"]}`, 400, 400},
		{"retrieve: index too large", v1.PathRetrieve, `{"logIndexes":[9223372036854775808]}`, 400, 400},
		{"retrieve: index negative", v1.PathRetrieve, `{"logIndexes":[-1]}`, 422, 609},
		{"retrieve: id is null", v1.PathRetrieve, `{"entryUUIDs":[null]}`, 422, 605},
		{"retrieve: tree id of 0", v1.PathRetrieve, `{"entryUUIDs":["0000000000000000` + zero + `"]}`, 400, 400},
		{"retrieve: eleven", v1.PathRetrieve, `{"logIndexes":[1,1,1,1,1,1],"entryUUIDs":["` + strings.Repeat(zero+`","`, 4) + zero + `"]}`, 422, 422},
		{"retrieve: version is none", v1.PathRetrieve, `{"entries":[{"kind":"dsse","apiVersion":"1","spec":{}}]}`, 422, 605},
		{"retrieve: spec is empty", v1.PathRetrieve, `{"entries":[{"kind":"dsse","apiVersion":"0.0.1","spec":{}}]}`, 400, 400},

		{"index: nothing", v1.PathIndex, "", 422, 602},
		{"index: a string", v1.PathIndex, `"x"`, 400, 400},
		{"index: too deep", v1.PathIndex, `{"x":` + strings.Repeat("[", 20_000), 400, 400},
		{"index: key is no base64", v1.PathIndex, `{"publicKey":{"format":"x509","content":"-"}}`, 400, 400},
		{"index: key is an array", v1.PathIndex, `{"publicKey":{"format":"x509","content":[1]}}`, 400, 400},
		{"index: e-mail too long", v1.PathIndex, `{"email":"` + strings.Repeat("a", 2000) + `@example.com"}`, 422, 601},
		{"index: subject too long", v1.PathIndex, `{"subject":"` + strings.Repeat("é", 513) + `"}`, 422, 603},
		{"index: hash of SHA-224", v1.PathIndex, `{"hash":"` + strings.Repeat("0", 56) + `"}`, 422, 605},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			res, e := ask(t, s, http.MethodPost, tt.path, tt.body)
			if res.StatusCode != tt.status || e.Code != tt.code || e.Message == "" {
				t.Errorf("%d %+v, want %d with code %d", res.StatusCode, e, tt.status, tt.code)
			}
			if len(e.Message) > 5000 {
				t.Errorf("a message of %d bytes", len(e.Message))
			}
		})
	}
}

// A leaf has to fit into an entry bundle.
func TestLeafTooLarge(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t, api.Options{})
	for _, tt := range []struct {
		size, status int
	}{{40_000, 201}, {66_000, 413}} {
		res, e := ask(t, s, http.MethodPost, v1.PathEntries, envelope(t, strings.Repeat("t", tt.size)))
		if res.StatusCode != tt.status {
			t.Errorf("payload type of %d bytes: %d %s", tt.size, res.StatusCode, e.Message)
		}
		if tt.status != 201 && !strings.Contains(e.Message, "65535") {
			t.Errorf("the refusal does not name the limit: %s", e.Message)
		}
	}
}

// envelope returns a proposal with a signed envelope of that payload type,
// which is part of the leaf.
func envelope(t *testing.T, payloadType string) string {
	t.Helper()
	key := apitest.NewKey(t)
	const payload = "payload"
	digest := sha256.Sum256(fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload))
	sig, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	type signature struct {
		Sig []byte `json:"sig"`
	}
	env, err := json.Marshal(struct {
		PayloadType string      `json:"payloadType"`
		Payload     []byte      `json:"payload"`
		Signatures  []signature `json:"signatures"`
	}{payloadType, []byte(payload), []signature{{sig}}})
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	p, err := entry.NewIntoto("0.0.2", env, [][]byte{pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

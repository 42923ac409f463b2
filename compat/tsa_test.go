package compat

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/sigstore/sigstore-go/pkg/root"
)

// A tsa is a timestamp authority: the v2 API has no times of its own.
type tsa struct {
	*httptest.Server
	authority, signer *signer
}

// newTSA starts a timestamp authority, which answers both DER and the JSON of
// Sigstore's.
func newTSA(t *testing.T) *tsa {
	t.Helper()
	a := new(tsa)
	var err error
	if a.authority, err = newSigner("p256"); err != nil {
		t.Fatal(err)
	}
	if err := a.authority.certifyCA(); err != nil {
		t.Fatal(err)
	}
	if a.signer, err = newSigner("p256"); err != nil {
		t.Fatal(err)
	}
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}}) // timestamping, and that alone
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:    big.NewInt(2),
		Subject:         pkix.Name{CommonName: "compat timestamps", Organization: []string{"compat"}},
		NotBefore:       time.Now().Add(-time.Hour),
		NotAfter:        time.Now().Add(24 * time.Hour),
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	}
	if err := a.signer.issue(template, a.authority.chain[0], a.authority.key, a.authority); err != nil {
		t.Fatal(err)
	}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := a.answer(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/timestamp-reply")
		w.WriteHeader(http.StatusCreated)
		w.Write(answer) //nolint:errcheck // the client is gone
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *tsa) answer(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	stamp := &timestamp.Timestamp{
		HashAlgorithm:     crypto.SHA256,
		Time:              time.Now(),
		Policy:            asn1.ObjectIdentifier{1, 2, 3, 4},
		AddTSACertificate: true,
	}
	if r.Header.Get("Content-Type") == "application/json" {
		var q struct {
			ArtifactHash []byte `json:"artifactHash"`
		}
		if err := json.Unmarshal(body, &q); err != nil {
			return nil, err
		}
		stamp.HashedMessage = q.ArtifactHash
	} else {
		q, err := timestamp.ParseRequest(body)
		if err != nil {
			return nil, err
		}
		stamp.HashAlgorithm, stamp.HashedMessage, stamp.Nonce = q.HashAlgorithm, q.HashedMessage, q.Nonce
	}
	return stamp.CreateResponseWithOpts(a.signer.chain[0], a.signer.key, crypto.SHA256)
}

// trusted returns the authority as verifiers know it.
func (a *tsa) trusted() root.TimestampingAuthority {
	return &root.SigstoreTimestampingAuthority{
		Root:                a.authority.chain[0],
		Leaf:                a.signer.chain[0],
		ValidityPeriodStart: time.Now().Add(-time.Hour),
		URI:                 a.URL,
	}
}

package api_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairnlog/cairn/api"
	"github.com/cairnlog/cairn/api/apitest"
	v1 "github.com/cairnlog/cairn/api/v1"
	v2 "github.com/cairnlog/cairn/api/v2"
	"github.com/cairnlog/cairn/entry"
	"github.com/cairnlog/cairn/log"
)

// unpromised adds every leaf without a promise.
type unpromised struct{ *log.Log }

func (l unpromised) Add(ctx context.Context, leaf log.Leaf) (*log.ProvenEntry, error) {
	leaf.NoPromise = true
	return l.Log.Add(ctx, leaf)
}

// BenchmarkUploads is the same signatures through both APIs, up to a log in
// memory. With -cpu 1 the time is what an upload costs the processor.
func BenchmarkUploads(b *testing.B) {
	for _, bb := range []struct {
		name    string
		version int
		promise bool
	}{{"v1", 1, true}, {"v1 without promise", 1, false}, {"v2", 2, false}} {
		b.Run(bb.name, func(b *testing.B) {
			key := apitest.NewKey(b)
			l := apitest.NewLog(b, key, nil)
			o := api.Options{Log: l, PublicKey: key.Public(), Author: apitest.NewAuthor(b)}
			if !bb.promise {
				o.Log = unpromised{l}
			}
			h, err := api.New(o)
			if err != nil {
				b.Fatal(err)
			}
			path, bodies := v1.PathEntries, make([][]byte, b.N)
			if bb.version == 2 {
				path = v2.PathEntries
			}
			signed := newSigned(b)
			for i := range bodies {
				bodies[i] = signed.body(b, bb.version)
			}
			var next atomic.Int64
			b.SetParallelism(64)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				req := httptest.NewRequest(http.MethodPost, path, nil)
				req.Header.Set("Content-Type", "application/json")
				w := &counted{discard: discard{header: make(http.Header)}}
				for pb.Next() {
					body := bodies[next.Add(1)-1]
					req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
					clear(w.header)
					h.ServeHTTP(w, req)
					if w.status != http.StatusCreated {
						b.Errorf("status %d", w.status)
						return
					}
				}
			})
		})
	}
}

type counted struct {
	discard
	status int
}

func (c *counted) WriteHeader(status int) { c.status = status }

// signed makes signatures by one key, whose certificate has the length of
// those for keyless signing.
type signed struct {
	key  crypto.Signer
	cert []byte
}

func newSigned(b *testing.B) signed {
	b.Helper()
	s := signed{key: apitest.NewKey(b)}
	claims := make([]byte, 1200)
	var err error
	s.cert, err = x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(10 * time.Minute),
		EmailAddresses:  []string{"alice@example.com"},
		ExtraExtensions: []pkix.Extension{{Id: []int{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: claims}},
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "example"}}, s.key.Public(), apitest.NewKey(b))
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// body returns a new request.
func (s signed) body(b *testing.B, version int) []byte {
	b.Helper()
	var digest [sha256.Size]byte
	rand.Read(digest[:])
	sig, err := s.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		b.Fatal(err)
	}
	if version == 2 {
		r := v2.Request{HashedRekord: &entry.HashedRekord002{
			Digest:    digest[:],
			Signature: &entry.Signature{Content: sig, Verifier: &entry.Verifier{Certificate: s.cert, KeyDetails: "PKIX_ECDSA_P256_SHA_256"}},
		}}
		return r.Append(nil)
	}
	text, err := json.Marshal(entry.NewHashedRekord("sha256", hex.EncodeToString(digest[:]), sig,
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert})))
	if err != nil {
		b.Fatal(err)
	}
	return text
}

package entry

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// A keyless is a signature as keyless signing makes it: by a key that lives
// for ten minutes and has a certificate with an e-mail address or a URI.
type keyless struct {
	key    *ecdsa.PrivateKey
	cert   []byte // DER
	digest [sha256.Size]byte
	sig    []byte
}

func newKeyless(t testing.TB) keyless {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	ca, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	issuer, err := asn1.Marshal("https://oauth2.example.com/auth")
	must(err)
	id, err := url.Parse("https://github.com/owner/repo/.github/workflows/build.yml@refs/heads/main")
	must(err)
	now := time.Now()
	cert, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1 << 60),
		NotBefore:    now, NotAfter: now.Add(10 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		EmailAddresses:  []string{"alice@example.com"},
		URIs:            []*url.URL{id},
		SubjectKeyId:    make([]byte, 20),
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: issuer}},
	}, &x509.Certificate{
		Subject:      pkix.Name{Organization: []string{"example.dev"}, CommonName: "example-intermediate"},
		SubjectKeyId: make([]byte, 20),
	}, key.Public(), ca)
	must(err)
	k := keyless{key: key, cert: cert, digest: sha256.Sum256([]byte("artifact"))}
	k.sig, err = ecdsa.SignASN1(rand.Reader, key, k.digest[:])
	must(err)
	return k
}

func (k keyless) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.cert})
}

// BenchmarkCheck is what a server does with an upload before it is given to
// the log. Unavoidable is what no implementation can leave out.
func BenchmarkCheck(b *testing.B) {
	k := newKeyless(b)
	body, err := json.Marshal(NewHashedRekord("sha256", hex.EncodeToString(k.digest[:]), k.sig, k.pem()))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("unavoidable", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c, err := x509.ParseCertificate(k.cert)
			if err != nil {
				b.Fatal(err)
			}
			if !ecdsa.VerifyASN1(c.PublicKey.(*ecdsa.PublicKey), k.digest[:], k.sig) {
				b.Fatal("signature is wrong")
			}
		}
	})
	b.Run("hashedrekord", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			p, err := ParseProposal(body)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := Check(p, Options{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("dsse", func(b *testing.B) {
		payload := []byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a","digest":{"sha256":"` +
			hex.EncodeToString(k.digest[:]) + `"}}],"predicateType":"https://example.com/p","predicate":{}}`)
		sum := sha256.Sum256(preAuthEncoding(inTotoType, payload))
		sig, err := ecdsa.SignASN1(rand.Reader, k.key, sum[:])
		if err != nil {
			b.Fatal(err)
		}
		env, err := json.Marshal(map[string]any{
			"payloadType": inTotoType, "payload": payload, "signatures": []any{map[string]any{"sig": sig}},
		})
		if err != nil {
			b.Fatal(err)
		}
		body, err := json.Marshal(NewDSSE(env, [][]byte{k.pem()}))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			p, err := ParseProposal(body)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := Check(p, Options{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkKinds is the same for one ordinary proposal of each kind, out of
// the vectors.
func BenchmarkKinds(b *testing.B) {
	for _, name := range []string{
		"alpine/valid-rsa2048", "cose/valid-es256", "dsse/valid-intoto-slsa02-p256", "hashedrekord/valid-p256-sha256", "helm/valid-generated",
		"intoto/valid-slsa02", "jar/valid-jarsigner-rsa", "rekord/valid-x509-p256", "rekord/pgp-rsa-generated", "rekord/pgp-ecdsa-p256",
		"rekord/minisign-full-key", "rekord/ssh-ed25519-sha512", "rfc3161/valid-checkout-tsr", "rpm/valid-generated", "tuf/valid-generated-base64",
	} {
		b.Run(name, func(b *testing.B) {
			kind, vector, _ := strings.Cut(name, "/")
			body := namedVector(b, kind, vector)
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, err := create(body, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// namedVector returns the request of the newest version of a kind.
func namedVector(t testing.TB, kind, name string) []byte {
	t.Helper()
	for _, k := range slices.Backward(Kinds()) {
		if k.Kind != kind || k.API != 1 {
			continue
		}
		for _, v := range vectors(t, k) {
			if v.Name == name && v.Accept {
				return v.body()
			}
		}
	}
	t.Fatalf("no vector %s of %s that is accepted", name, kind)
	return nil
}

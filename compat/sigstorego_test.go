package compat

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	rekortiles "github.com/sigstore/rekor-tiles/v2/pkg/client/write"
	"github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
)

// TestSigstoreGo makes bundles with sigstore-go and verifies them with it:
// signed by a bare key and by a certificate of an authority that the trusted
// root names, over a blob and over an attestation, through both APIs of one
// log.
func TestSigstoreGo(t *testing.T) {
	onEach(t, func(t *testing.T, s *server) {
		for _, version := range []uint32{1, 2} {
			t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) { sigstoreGo(t, s, version) })
		}
	})
}

func sigstoreGo(t *testing.T, s *server, version uint32) {
	stamps := newTSA(t)
	for _, keyType := range []string{"p256", "p384", "rsa2048"} {
		authority, err := newSigner("p256")
		if err != nil {
			t.Fatal(err)
		}
		if err := authority.certifyCA(); err != nil {
			t.Fatal(err)
		}
		signer, err := newSigner(keyType)
		if err != nil {
			t.Fatal(err)
		}
		if err := signer.certify(authority, "builder@example.com"); err != nil {
			t.Fatal(err)
		}
		trusted := root.TrustedMaterialCollection{trustedRoot(t, s, authority, stamps), bareKey(t, signer)}
		for _, certified := range []bool{false, true} {
			blob := fmt.Appendf(nil, "%s certified=%v v%d", keyType, certified, version)
			contents := map[string]sign.Content{"blob": &sign.PlainData{Data: blob}}
			if signer.hash == crypto.SHA256 || version == 2 { // a dsse entry of v1 has no other hash
				contents["attestation"] = &sign.DSSEData{Data: statement(blob), PayloadType: inToto}
			}
			for name, content := range contents {
				t.Run(fmt.Sprintf("%s-%s-certified=%v", name, keyType, certified), func(t *testing.T) {
					b := signBundle(t, s, stamps, version, signer, content, certified, false)
					if keyType == "rsa2048" { // the same signature again: the entry is there
						b = signBundle(t, s, stamps, version, signer, content, certified, true)
					}
					policy := verify.WithKey()
					if certified {
						id, err := verify.NewShortCertificateIdentity("", ".*", "builder@example.com", "")
						if err != nil {
							t.Fatal(err)
						}
						policy = verify.WithCertificateIdentity(id)
					}
					when := verify.WithIntegratedTimestamps(1)
					if version == 2 { // v2 has no times
						when = verify.WithSignedTimestamps(1)
					}
					v, err := verify.NewVerifier(trusted, verify.WithTransparencyLog(1), when)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := v.Verify(b, verify.NewPolicy(verify.WithArtifact(bytes.NewReader(blob)), policy)); err != nil {
						t.Errorf("verify: %v", err)
					}
					if _, err := v.Verify(b, verify.NewPolicy(verify.WithArtifact(bytes.NewReader([]byte("another"))), policy)); err == nil {
						t.Error("another artifact was verified")
					}
				})
			}
		}
	}
}

// signBundle signs by a signing config that names the log with that version of
// its API.
func signBundle(t *testing.T, s *server, stamps *tsa, version uint32, signer *signer, content sign.Content, certified, again bool) *bundle.Bundle {
	t.Helper()
	config, err := root.NewSigningConfig(root.SigningConfigMediaType02, nil, nil,
		[]root.Service{{URL: s.url, MajorAPIVersion: version, ValidityPeriodStart: time.Now().Add(-time.Hour)}},
		root.ServiceConfiguration{Selector: prototrustroot.ServiceSelector_ANY}, nil, root.ServiceConfiguration{})
	if err != nil {
		t.Fatal(err)
	}
	service, err := root.SelectService(config.RekorLogURLs(), sign.RekorAPIVersions, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	rekor := &sign.RekorOptions{BaseURL: service.URL, Version: service.MajorAPIVersion}
	if version == 2 && again {
		// sigstore-go takes no 409 for an answer, and sends no preference by itself.
		rekor.ClientV2 = preferring{t, s.url}
	}
	o := sign.BundleOptions{
		Context:          t.Context(),
		TransparencyLogs: []sign.Transparency{sign.NewRekor(rekor)},
	}
	if version == 2 {
		o.TimestampAuthorities = []*sign.TimestampAuthority{sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: stamps.URL})}
	}
	if certified {
		o.CertificateProvider = issued{signer}
	}
	p, err := sign.Bundle(content, keypair{signer}, o)
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	if n := len(p.VerificationMaterial.TlogEntries); n != 1 {
		t.Fatalf("%d entries in the bundle", n)
	}
	// Once more through JSON, as bundles travel.
	b, err := bundle.NewBundle(p)
	if err != nil {
		t.Fatal(err)
	}
	data, err := b.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	b = &bundle.Bundle{Bundle: new(protobundle.Bundle)}
	if err := b.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	return b
}

// preferring is the client of rekor-tiles behind a proxy that adds to every
// request the preference for the whole entry: what an operator can do for
// clients that upload again.
type preferring struct {
	t   *testing.T
	url string
}

func (p preferring) Add(ctx context.Context, entry any) (*protorekor.TransparencyLogEntry, error) {
	to, err := url.Parse(p.url)
	if err != nil {
		return nil, err
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Header.Set("Prefer", "return=representation")
	}})
	defer proxy.Close()
	w, err := rekortiles.NewWriter(proxy.URL)
	if err != nil {
		return nil, err
	}
	return w.Add(ctx, entry)
}

// trustedRoot trusts the log, by both of its keys, the authority, and the
// timestamp authority.
func trustedRoot(t *testing.T, s *server, authority *signer, stamps *tsa) *root.TrustedRoot {
	t.Helper()
	l, err := openRekor(s.url)
	if err != nil {
		t.Fatal(err)
	}
	key, err := l.verifier.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now().Add(-time.Hour)
	v1 := &root.TransparencyLog{
		BaseURL:             "https://" + origin, // sigstore-js looks for the name in it
		ID:                  digest(der, crypto.SHA256),
		ValidityPeriodStart: start,
		HashFunc:            crypto.SHA256,
		PublicKey:           key,
		SignatureHashFunc:   crypto.SHA256,
	}
	v2, err := checkpointLog(s)
	if err != nil {
		t.Fatal(err)
	}
	ca := &root.FulcioCertificateAuthority{
		Root:                authority.chain[0],
		ValidityPeriodStart: start,
		URI:                 "https://ca.example",
	}
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01, []root.CertificateAuthority{ca}, nil, []root.TimestampingAuthority{stamps.trusted()},
		map[string]*root.TransparencyLog{fmt.Sprintf("%x", v1.ID): v1, fmt.Sprintf("%x", v2.ID): v2})
	if err != nil {
		t.Fatal(err)
	}
	return trusted
}

// bareKey trusts the signer's bare key.
func bareKey(t *testing.T, signer *signer) root.TrustedMaterial {
	t.Helper()
	v, err := signature.LoadDefaultVerifier(signer.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
		return root.NewExpiringKey(v, time.Now().Add(-time.Hour), time.Time{}), nil
	})
}

// checkpointLog is the log as verifiers of the v2 API know it: by the key of
// its C2SP checkpoints, under the name in them.
func checkpointLog(s *server) (*root.TransparencyLog, error) {
	text, err := os.ReadFile(filepath.Join(s.data, "checkpoint-key.pem"))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("checkpoint key is not in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	public := key.(crypto.Signer).Public()
	_, id, err := note.KeyHash(origin, public)
	if err != nil {
		return nil, err
	}
	return &root.TransparencyLog{
		BaseURL:             "https://" + origin,
		ID:                  id,
		ValidityPeriodStart: time.Now().Add(-time.Hour),
		HashFunc:            crypto.SHA256,
		PublicKey:           public,
		SignatureHashFunc:   crypto.SHA512,
	}, nil
}

// A keypair is a signer as sigstore-go wants it.
type keypair struct{ *signer }

func (k keypair) GetHashAlgorithm() protocommon.HashAlgorithm {
	switch k.hash {
	case crypto.SHA384:
		return protocommon.HashAlgorithm_SHA2_384
	case crypto.SHA512:
		return protocommon.HashAlgorithm_SHA2_512
	}
	return protocommon.HashAlgorithm_SHA2_256
}

func (k keypair) GetSigningAlgorithm() protocommon.PublicKeyDetails {
	switch k.GetKeyAlgorithm() + k.hash.String() {
	case "ECDSASHA-256":
		return protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256
	case "ECDSASHA-384":
		return protocommon.PublicKeyDetails_PKIX_ECDSA_P384_SHA_384
	}
	return protocommon.PublicKeyDetails_PKIX_RSA_PKCS1V15_2048_SHA256
}

func (k keypair) GetHint() []byte {
	der, err := x509.MarshalPKIXPublicKey(k.key.Public())
	if err != nil {
		panic(err) // the key was made here
	}
	return []byte(base64.StdEncoding.EncodeToString(digest(der, crypto.SHA256)))
}

func (k keypair) GetKeyAlgorithm() string {
	if k.keyType[0] == 'p' {
		return "ECDSA"
	}
	return "RSA"
}

func (k keypair) GetPublicKey() crypto.PublicKey { return k.key.Public() }

func (k keypair) GetPublicKeyPem() (string, error) {
	pem, err := k.publicPEM()
	return string(pem), err
}

func (k keypair) SignData(_ context.Context, data []byte) (sig, hashed []byte, err error) {
	sig, err = k.sign(data, k.hash)
	return sig, digest(data, k.hash), err
}

// An issued certificate is there before anybody asks for one.
type issued struct{ *signer }

func (c issued) GetCertificate(context.Context, sign.Keypair, *sign.CertificateProviderOptions) ([]byte, error) {
	return c.chain[0].Raw, nil
}

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	v1 "github.com/cairnlog/cairn/api/v1"
	v2 "github.com/cairnlog/cairn/api/v2"
	"github.com/cairnlog/cairn/entry"
)

// A forge makes hashedrekord proposals as keyless signing makes them: each
// with a key, a short-lived certificate and an artifact digest of its own.
// They are valid throughout, and of a certificate authority that nobody knows.
//
// It makes one certificate with package x509 and then replaces in its bytes
// what differs, which takes a third of the time. A forge does not change
// after newForge.
type forge struct {
	ca  *ecdsa.PrivateKey
	tbs []byte // TBSCertificate of the pattern
	alg []byte // AlgorithmIdentifier that follows it

	// Where in tbs the parts are that differ.
	serial, point, keyID, number, commit, run, sct []int
}

// A forged is one signed artifact.
type forged struct {
	digest    [sha256.Size]byte
	signature []byte // ASN.1, over digest
	cert      []byte // DER
	key       *ecdsa.PrivateKey
}

// identities is how many signers there are. A busy log sees each of them many times.
const identities = 1000

// What is replaced in the pattern. Each is found by its text, so none may be
// part of another.
const (
	patternNumber = "bench-0000"
	patternCommit = "c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0"
	patternRun    = "90909090909"
	serialLen     = 20 // RFC 5280 allows no more
	pointLen      = 65 // 4 and two coordinates of P-256
	sctLen        = 121
)

// newForge makes a forge for certificates of kind "ci", for a workflow as
// GitHub's are, or "email", for a person.
func newForge(kind string, now time.Time) (*forge, error) {
	f := new(forge)
	var err error
	if f.ca, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	serial := randomBytes(serialLen)
	serial[0] = serial[0]&0x3f | 0x40 // positive, and of full length
	keyID, sct := randomBytes(20), randomBytes(sctLen)
	t := &x509.Certificate{
		SerialNumber:   new(big.Int).SetBytes(serial),
		NotBefore:      now.Add(-time.Minute),
		NotAfter:       now.Add(9 * time.Minute),
		KeyUsage:       x509.KeyUsageDigitalSignature,
		ExtKeyUsage:    []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		SubjectKeyId:   keyID,
		AuthorityKeyId: randomBytes(20),
	}
	switch kind {
	case "ci":
		err = workflow(t)
	case "email":
		err = person(t)
	default:
		err = fmt.Errorf("unknown kind of certificate %q", kind)
	}
	if err != nil {
		return nil, err
	}
	if err := extend(t, asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, sct); err != nil {
		return nil, err
	}
	issuer := &x509.Certificate{Subject: pkix.Name{Organization: []string{"cairn bench"}, CommonName: "cairn bench intermediate"}}
	der, err := x509.CreateCertificate(rand.Reader, t, issuer, &key.PublicKey, f.ca)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	var cert, tbs, alg cryptobyte.String
	in := cryptobyte.String(der)
	if !in.ReadASN1(&cert, cbasn1.SEQUENCE) || !cert.ReadASN1Element(&tbs, cbasn1.SEQUENCE) || !cert.ReadASN1Element(&alg, cbasn1.SEQUENCE) {
		return nil, errors.New("make certificate: unexpected form")
	}
	f.tbs, f.alg = tbs, alg
	for _, p := range []struct {
		at   *[]int
		what []byte
		must bool
	}{
		{&f.serial, serial, true},
		{&f.point, point, true},
		{&f.keyID, keyID, true},
		{&f.sct, sct, true},
		{&f.number, []byte(patternNumber), true},
		{&f.commit, []byte(patternCommit), kind == "ci"},
		{&f.run, []byte(patternRun), kind == "ci"},
	} {
		if *p.at = places(f.tbs, p.what); len(*p.at) == 0 && p.must {
			return nil, fmt.Errorf("make certificate: %x is not in it", p.what)
		}
	}
	return f, nil
}

// fulcio is the arc of Fulcio's extensions.
// https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md
func fulcio(n int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, n}
}

// workflow fills in what Fulcio certifies about a run of GitHub Actions.
func workflow(t *x509.Certificate) error {
	const (
		repository = "example-organization/" + patternNumber
		host       = "https://github.com/"
		ref        = "refs/heads/main"
		file       = host + repository + "/.github/workflows/release.yml@" + ref
		issuer     = "https://token.actions.githubusercontent.com"
	)
	u, err := url.Parse(file)
	if err != nil {
		return err
	}
	t.URIs = []*url.URL{u}
	for i, s := range []string{issuer, "push", patternCommit, "Release", repository, ref} {
		t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: fulcio(i + 1), Value: []byte(s)})
	}
	for i, s := range []string{
		issuer, file, patternCommit, "github-hosted", host + repository, patternCommit, ref, "123456789",
		host + "example-organization", "98765432", file, patternCommit, "push",
		host + repository + "/actions/runs/" + patternRun + "/attempts/1", "public",
	} {
		if err := utf8Extension(t, fulcio(i+8), s); err != nil {
			return err
		}
	}
	return nil
}

// person fills in what Fulcio certifies about somebody who logged in.
func person(t *x509.Certificate) error {
	const issuer = "https://accounts.google.com"
	t.EmailAddresses = []string{patternNumber + "@people.example.com"}
	t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: fulcio(1), Value: []byte(issuer)})
	return utf8Extension(t, fulcio(8), issuer)
}

func utf8Extension(t *x509.Certificate, id asn1.ObjectIdentifier, s string) error {
	v, err := asn1.MarshalWithParams(s, "utf8")
	t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: id, Value: v})
	return err
}

func extend(t *x509.Certificate, id asn1.ObjectIdentifier, b []byte) error {
	v, err := asn1.Marshal(b)
	t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: id, Value: v})
	return err
}

// places returns where what occurs in b.
func places(b, what []byte) (at []int) {
	for i := 0; ; i += len(what) {
		j := bytes.Index(b[i:], what)
		if j < 0 {
			return at
		}
		i += j
		at = append(at, i)
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}

// forge makes one signed artifact.
func (f *forge) forge() (forged, error) {
	var e forged
	var err error
	if e.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return e, err
	}
	point, err := e.key.PublicKey.Bytes()
	if err != nil {
		return e, err
	}
	tbs := bytes.Clone(f.tbs)
	put := func(at []int, b []byte) {
		for _, i := range at {
			copy(tbs[i:], b)
		}
	}
	random := randomBytes(sha256.Size + serialLen + sctLen + 20 + 16)
	take := func(n int) (b []byte) { b, random = random[:n], random[n:]; return b }
	copy(e.digest[:], take(sha256.Size))
	serial := take(serialLen)
	serial[0] = serial[0]&0x3f | 0x40
	put(f.serial, serial)
	put(f.sct, take(sctLen))
	put(f.commit, hex.AppendEncode(nil, take(20)))
	put(f.point, point)
	keyID := sha256.Sum256(point)
	put(f.keyID, keyID[:20])
	n := binary.BigEndian.Uint64(take(8))
	put(f.number, fmt.Appendf(nil, "bench-%04d", n%identities))
	n = binary.BigEndian.Uint64(take(8))
	put(f.run, strconv.AppendUint(nil, 1e10+n%9e10, 10))

	digest := sha256.Sum256(tbs)
	signature, err := ecdsa.SignASN1(rand.Reader, f.ca, digest[:])
	if err != nil {
		return e, err
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(f.alg)
		b.AddASN1BitString(signature)
	})
	if e.cert, err = b.Bytes(); err != nil {
		return e, err
	}
	e.signature, err = ecdsa.SignASN1(rand.Reader, e.key, e.digest[:])
	return e, err
}

// appendProposal appends the proposal as signing tools send it.
func (e *forged) appendProposal(b []byte) []byte {
	b = append(b, `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":"`...)
	b = hex.AppendEncode(b, e.digest[:])
	b = append(b, `"}},"signature":{"content":"`...)
	b = base64.StdEncoding.AppendEncode(b, e.signature)
	b = append(b, `","publicKey":{"content":"`...)
	b = base64.StdEncoding.AppendEncode(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.cert}))
	return append(b, `"}}}}`...)
}

// appendRequest2 appends the same for the v2 API.
func (e *forged) appendRequest2(b []byte) []byte {
	r := v2.Request{HashedRekord: &entry.HashedRekord002{
		Digest: e.digest[:],
		Signature: &entry.Signature{
			Content:  e.signature,
			Verifier: &entry.Verifier{Certificate: e.cert, KeyDetails: "PKIX_ECDSA_P256_SHA_256"},
		},
	}}
	return r.Append(b)
}

// A stock is what a run uploads: whole HTTP requests, made before it starts.
type stock struct {
	requests [][]byte // parts of a few large pieces of memory
	samples  []forged // a few of them, for the yardstick
	certSize int      // of one certificate in bytes, DER
	bodySize int      // of one proposal
}

// yardstickSamples is how many certificates the yardstick goes round.
const yardstickSamples = 256

// newStock makes n uploads to host, on all processors, for the v1 or the v2 API.
func newStock(ctx context.Context, f *forge, host string, n int, api2 bool) (*stock, error) {
	path, appendBody := v1.PathEntries, (*forged).appendProposal
	if api2 {
		path, appendBody = v2.PathEntries, (*forged).appendRequest2
	}
	s := &stock{requests: make([][]byte, n), samples: make([]forged, min(n, yardstickSamples))}
	workers := runtime.GOMAXPROCS(0)
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			var body, memory []byte
			for i := w; i < n && errs[w] == nil && ctx.Err() == nil; i += workers {
				e, err := f.forge()
				if err != nil {
					errs[w] = fmt.Errorf("make proposal: %w", err)
					return
				}
				body = appendBody(&e, body[:0])
				if i < len(s.samples) {
					s.samples[i] = e
				}
				if cap(memory)-len(memory) < len(body)+512 {
					memory = make([]byte, 0, max(4<<20, len(body)+512))
				}
				start := len(memory)
				memory = appendRequest(memory, "POST", path, host, body)
				s.requests[i] = memory[start:len(memory):len(memory)]
			}
		})
	}
	wg.Wait()
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return nil, err
	}
	if n > 0 {
		s.certSize = len(s.samples[0].cert)
		s.bodySize = len(requestBody(s.requests[0]))
	}
	return s, nil
}

// appendRequest appends an HTTP/1.1 request. A nil body means none.
func appendRequest(b []byte, method, path, host string, body []byte) []byte {
	b = fmt.Appendf(b, "%s %s HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\n", method, path, host)
	if body != nil {
		b = fmt.Appendf(b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	b = append(b, "\r\n"...)
	return append(b, body...)
}

// requestBody returns the body of what appendRequest made.
func requestBody(request []byte) []byte {
	_, body, _ := bytes.Cut(request, []byte("\r\n\r\n"))
	return body
}

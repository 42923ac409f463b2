//go:build unix

package entry

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
)

// uploadSize is the largest request that a server takes by default.
const uploadSize = 10 << 20

// A hostileUpload is a request that is made to cost.
type hostileUpload struct {
	name string
	body []byte
}

// hostileUploads returns the worst of all kinds that we can think of.
func hostileUploads(t testing.TB) []hostileUpload {
	t.Helper()
	var all []hostileUpload
	add := func(name string, body []byte) {
		if len(body) > uploadSize {
			t.Fatalf("%s has %d bytes", name, len(body))
		}
		all = append(all, hostileUpload{name, body})
	}
	propose := func(name string, p Proposal) {
		body, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		add(p.Kind+" "+p.APIVersion+"/"+name, body)
	}

	s, pgp := newECDSA(t), newPGPSigner(t)
	for name, h := range hostileAPKs(t, s) {
		propose(name, NewAlpine(h.pkg, s.pem))
	}
	for name, h := range hostileJARs(t) {
		add("jar 0.0.1/"+name, proposeJAR(h.archive))
	}
	for name, h := range hostileSign1() {
		add("cose 0.0.1/"+name, proposeSign1(s, h.message))
	}
	for _, h := range hostileProvenances(t, pgp) {
		propose(h.name, NewHelm(h.pkg, pgp.public))
	}
	for _, h := range hostileRPMs(t, pgp) {
		propose(h.name, NewRPM(h.pkg, pgp.public))
	}
	for name, spec := range hostileSpecs() {
		for _, k := range Kinds() {
			if k.API != 1 {
				continue // never proposed by a spec
			}
			if name == "deep" || k.Kind == "hashedrekord" || k.Kind == "tuf" || k.Kind == "dsse" {
				propose(name, Proposal{k.Kind, k.Version, spec})
			}
		}
	}
	hostileEnvelopes(t, propose)
	hostileX509(t, propose)
	hostileDocuments(t, pgp, propose)
	return all
}

// hostileSpecs are specs of any kind: what costs is to read them.
func hostileSpecs() map[string][]byte {
	fill := func(before, one, after string) []byte {
		n := (uploadSize - 100 - len(before) - len(after)) / len(one)
		return []byte(before + strings.Repeat(one, n) + after)
	}
	const deepest = 9_000
	return map[string][]byte{
		"deep": []byte(strings.Repeat(`{"data":`, deepest) + "1" + strings.Repeat("}", deepest)),
		"deep signed": []byte(`{"root":{"content":` + strings.Repeat(`{"signed":`, deepest) + "1" + strings.Repeat("}", deepest) + `},"metadata":{"content":` +
			strings.Repeat(`[`, deepest) + strings.Repeat("]", deepest) + `}}`),
		"members":       fill(`{`, `"signature":{},`, `"a":1}`),
		"array":         fill(`{"data":[`, `{},`, `{}]}`),
		"escapes":       fill(`{"signature":{"content":"`, `\u0041`, `"}}`),
		"escaped names": fill(`{`, `"\u0064ata":{"hash":{"value":"x"}},`, `"a":1}`),
		"numbers":       fill(`{"root":{"content":{"signed":[`, `1e9,`, `1]}}}`),
		"objects":       fill(`{"root":{"content":{"signed":{"a":[`, `{"b":0},`, `1]}}},"metadata":{"content":{}}}`),
		"verifiers":     fill(`{"proposedContent":{"envelope":"{}","verifiers":[`, `"",`, `""]}}`),
		"envelope":      fill(`{"proposedContent":{"envelope":"{\"signatures\":[`, `{},`, `{}]}","verifiers":["eA=="]}}`),
		"base64 lines":  fill(`{"signature":{"content":"`, `\n`, `"}}`),
	}
}

// slowRSA is a key of the largest size, with the exponent that takes longest.
var slowRSA = sync.OnceValue(func() *rsa.PrivateKey {
	k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: big.NewInt(1), E: 1<<31 - 1}}
	one, phi := big.NewInt(1), big.NewInt(1)
	const primes = 8 // that many are found quickly
	for range primes {
		p, err := rand.Prime(rand.Reader, 8192/primes)
		if err != nil {
			panic(err)
		}
		k.Primes = append(k.Primes, p)
		k.N.Mul(k.N, p)
		phi.Mul(phi, new(big.Int).Sub(p, one))
	}
	k.D = new(big.Int).ModInverse(big.NewInt(int64(k.E)), phi)
	k.Precompute()
	return k
})

// hostileEnvelopes are envelopes of many signers: every key is tried on every
// signature.
func hostileEnvelopes(t testing.TB, add func(string, Proposal)) {
	large := make([]byte, 3_500_000)
	signers := func(key func() (crypto.Signer, error)) (all []signer) {
		for range maxSigners {
			k, err := key()
			all = append(all, newSigner(t, k, err))
		}
		return all
	}
	for _, tt := range []struct {
		name    string
		payload []byte
		signers []signer
	}{
		{"P-521", []byte("x"), signers(func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P521(), rand.Reader) })},
		{"Ed25519 of much", large, signers(func() (crypto.Signer, error) { return newEd25519(t).Signer, nil })},
		{"P-256 of much", large, signers(func() (crypto.Signer, error) { return newECDSA(t).Signer, nil })},
		{"RSA", []byte("x"), signers(func() (crypto.Signer, error) { return slowRSA(), nil })},
	} {
		e := &envelope{PayloadType: inTotoType, Payload: base64.StdEncoding.EncodeToString(tt.payload)}
		var keys [][]byte
		var signatures []map[string]any
		for i := range tt.signers {
			// The last key's signature comes first, so that each is tried on all before its own.
			s, k := tt.signers[len(tt.signers)-1-i], tt.signers[i]
			sig := []byte(fmt.Sprintf("%0128d", i))
			if i > 0 && tt.name != "RSA" {
				message := preAuthEncoding(inTotoType, tt.payload)
				if ec, ok := s.Public().(*ecdsa.PublicKey); ok && ec.Curve != elliptic.P256() {
					sig = signSHA256(t, s, message)
				} else {
					sig = s.signature(t, message)
				}
			}
			e.Signatures = append(e.Signatures, envelopeSignature{Sig: base64.StdEncoding.EncodeToString(sig)})
			signatures = append(signatures, map[string]any{"sig": []byte(e.Signatures[i].Sig), "publicKey": k.pem})
			keys = append(keys, k.pem)
		}
		add(tt.name, NewDSSE(e.json(t), keys))
		add(tt.name, propose("intoto", "0.0.2", map[string]any{"content": map[string]any{
			"envelope": map[string]any{"payload": []byte(e.Payload), "payloadType": e.PayloadType, "signatures": signatures},
			"hash":     map[string]any{"algorithm": "sha256", "value": "00"},
		}}))
		add(tt.name, propose("intoto", "0.0.1", map[string]any{"content": map[string]any{"envelope": string(e.json(t))}, "publicKey": keys[0]}))
	}
	s := newECDSA(t)
	for name, statement := range map[string]string{
		"subjects": `{"subject":[` + strings.Repeat(`{"digest":{"sha256":"00"}},`, 150_000) + `{}]}`,
		"digests":  `{"subject":[{"digest":{` + manyMembers(200_000) + `}}]}`,
		"deep":     `{"predicate":` + strings.Repeat(`[`, 9_000) + strings.Repeat(`]`, 9_000) + `}`,
		"nested":   `{"subject":` + strings.Repeat(`{"a":`, 9_000) + `1` + strings.Repeat(`}`, 9_000) + `}`,
		"materials": `{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://slsa.dev/provenance/v0.2","predicate":{"materials":[` +
			strings.Repeat(`{"digest":{"sha1":"0"}},`, 150_000) + `{}]}}`,
	} {
		e := seal(t, inTotoType, []byte(statement), s)
		add(name, NewDSSE(e.json(t), [][]byte{s.pem}))
		for _, version := range []string{"0.0.1", "0.0.2"} {
			p, err := NewIntoto(version, e.json(t), [][]byte{s.pem})
			if err != nil {
				t.Fatal(err)
			}
			add(name, p)
		}
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"%x":"0",`, i)
	}
	return b.String() + `"x":"0"`
}

// signSHA256 signs as envelopes are signed, whatever the curve.
func signSHA256(t testing.TB, s signer, message []byte) []byte {
	h := crypto.SHA256.New()
	h.Write(message)
	sig, err := s.Sign(rand.Reader, h.Sum(nil), crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// hostileX509 are certificates and chains, in hashedrekord and rekord, which
// check chains.
func hostileX509(t testing.TB, add func(string, Proposal)) {
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	artifact := []byte("artifact")
	s := newECDSA(t)
	keys := map[string][]byte{
		"10 MiB of text": bytes.Repeat([]byte("-----BEGIN \n"), 7_000_000/12),
		"many blocks":    bytes.Repeat(s.pem, 7_000_000/len(s.pem)),
		"one block":      pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: bytes.Repeat([]byte{0x30, 0x80}, 2_400_000)}),
		"headers":        []byte("-----BEGIN CERTIFICATE-----\n" + strings.Repeat("a: b\n", 1_300_000) + "\n-----END CERTIFICATE-----\n"),
	}
	certificate := func(name string, template *x509.Certificate) {
		template.SerialNumber = big.NewInt(1)
		der, err := x509.CreateCertificate(rand.Reader, template, template, s.Public(), s.Signer)
		must(err)
		keys[name] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	certificate("huge extension", &x509.Certificate{ExtraExtensions: []pkix.Extension{{Id: []int{1, 2, 3}, Value: make([]byte, 5_000_000)}}})
	certificate("many names", &x509.Certificate{DNSNames: strings.Fields(strings.Repeat("a.example ", 400_000))})
	certificate("many addresses", &x509.Certificate{EmailAddresses: strings.Fields(strings.Repeat("a@b.example ", 350_000))})
	certificate("many policies", &x509.Certificate{PolicyIdentifiers: slices.Repeat([]asn1.ObjectIdentifier{{1, 2, 3, 4}}, 500_000)})
	certificate("many subject names", &x509.Certificate{Subject: pkix.Name{Organization: strings.Fields(strings.Repeat("a ", 230_000))}})

	chain := func(name string, key crypto.Signer, constraints, names int) {
		now := time.Now()
		ca := &x509.Certificate{
			Subject: pkix.Name{CommonName: "same"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
		for i := range constraints {
			ca.PermittedDNSDomains = append(ca.PermittedDNSDomains, fmt.Sprintf("x%d.example", i))
		}
		var text []byte
		issue := func(serial int64, template *x509.Certificate) {
			template.SerialNumber = big.NewInt(serial)
			der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), key)
			must(err)
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
		}
		leaf := &x509.Certificate{NotBefore: now, NotAfter: now.Add(time.Minute)}
		for i := range names {
			leaf.DNSNames = append(leaf.DNSNames, fmt.Sprintf("%d.example", i))
		}
		issue(1, leaf)
		for i := range 8 {
			issue(int64(2+i), ca)
		}
		ca.Subject.CommonName, leaf.Subject.CommonName = "another", "another" // the root that nothing leads to
		der, err := x509.CreateCertificate(rand.Reader, ca, ca, s.Public(), s.Signer)
		must(err)
		keys[name] = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	must(err)
	chain("chain of P-521", p521, 0, 0)
	chain("chain of RSA", slowRSA(), 0, 0)
	chain("constraints", s.Signer, 5_000, 2_000)
	chain("many constraints", s.Signer, 30_000, 10)

	sum := crypto.SHA256.New()
	sum.Write(artifact)
	hash := fmt.Sprintf("%x", sum.Sum(nil))
	for name, key := range keys {
		sig := s.signature(t, artifact)
		switch name {
		case "chain of RSA":
			sig, err = slowRSA().Sign(nil, sum.Sum(nil), crypto.SHA256)
		case "chain of P-521":
			sig, err = p521.Sign(rand.Reader, sum.Sum(nil), crypto.SHA256)
		}
		must(err)
		add(name, NewHashedRekord("sha256", hash, sig, key))
		add(name, NewRekord(artifact, sig, key, "x509"))
		add(name, NewDSSE(seal(t, "x", artifact, s).json(t), [][]byte{key}))
		add(name, NewAlpine(newAPK("a = 1\n").build(t, s), key))
	}
}

// hostileDocuments are key rings, signatures and documents.
func hostileDocuments(t testing.TB, s pgpSigner, add func(string, Proposal)) {
	var ring bytes.Buffer
	if err := s.Serialize(&ring); err != nil {
		t.Fatal(err)
	}
	packets := func(one []byte, n int) []byte { return append(bytes.Clone(ring.Bytes()), bytes.Repeat(one, n)...) }
	large := make([]byte, 7_500_000)
	lines := bytes.Repeat([]byte("\n"), 7_500_000)
	sig := s.detached(t, large)
	for name, key := range map[string][]byte{
		"thousands of packets":  packets([]byte{0xc0 | 63, 0}, 100_000),
		"thousands of user IDs": packets([]byte{0xc0 | 13, 1, 'x'}, 3_900),
		"rings":                 bytes.Repeat(ring.Bytes(), 7_000_000/ring.Len()),
		"few rings":             bytes.Repeat(ring.Bytes(), 250_000/ring.Len()),
		"armor":                 bytes.Repeat([]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n"), 190_000),
	} {
		add(name, NewRekord([]byte("x"), sig, key, "pgp"))
		add(name, NewRPM(newRPM(t, s).build(), key))
		add(name, NewHelm(s.provenance(t, "files: {a: 'sha256:ab'}"), key))
	}
	add("large artifact", NewRekord(large, sig, s.public, "pgp"))
	add("text of lines", NewRekord(lines, textSignature(t, s, lines), s.public, "pgp"))
	add("many signatures", NewRekord(large, bytes.Repeat(sig, 32), s.public, "pgp"))
	add("10 MiB of signatures", NewRekord([]byte("x"), bytes.Repeat(sig, 7_000_000/len(sig)), s.public, "pgp"))
	ed := newEd25519(t)
	for _, format := range []string{"minisign", "ssh", "x509", "pgp", "pkcs7", "tuf"} {
		add("nothing "+format, NewRekord(large, large[:64], []byte("x"), format))
		add("lines "+format, NewRekord([]byte("x"), lines, ed.pem, format))
		add("key of lines "+format, NewRekord([]byte("x"), []byte("x"), lines, format))
	}
	der := append([]byte{0x30, 0x83, 0x70, 0, 0}, bytes.Repeat([]byte{0x30, 0x80}, 3_600_000)...)
	add("nested DER", propose("rfc3161", "0.0.1", map[string]any{"tsr": map[string]any{"content": der}}))
	document := func(n int) json.RawMessage {
		keys := map[string]any{}
		for i := range n {
			keys[fmt.Sprint(i)] = map[string]any{"keytype": "ed25519", "scheme": "ed25519", "keyval": map[string]any{"public": fmt.Sprintf("%064x", i)}}
		}
		b, err := json.Marshal(map[string]any{"signed": map[string]any{"_type": "root", "version": 1, "expires": "2040-01-01T00:00:00Z", "spec_version": "1.0", "keys": keys,
			"roles": map[string]any{"root": map[string]any{"keyids": []string{"0"}, "threshold": 1}}}, "signatures": []any{map[string]any{"keyid": "0", "sig": "00"}}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, n := range []int{60, 400, 25_000} {
		doc := document(n)
		add(fmt.Sprintf("root of %d keys", n), propose("tuf", "0.0.1", map[string]any{"root": map[string]any{"content": doc}, "metadata": map[string]any{"content": doc}}))
		add(fmt.Sprintf("encoded root of %d keys", n), propose("tuf", "0.0.1", map[string]any{"root": map[string]any{"content": []byte(doc)}, "metadata": map[string]any{"content": []byte(doc)}}))
	}
	directory := make([]byte, 46)
	binary.LittleEndian.PutUint32(directory, 0x02014b50)
	add("zip of directories", Proposal{"jar", "0.0.1", []byte(`{"archive":{"content":"` + base64.StdEncoding.EncodeToString(bytes.Repeat(directory, 160_000)) + `"}}`)})
}

// textSignature signs text, which is hashed line by line.
func textSignature(t testing.TB, s pgpSigner, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := openpgp.DetachSignText(&b, s.Entity, bytes.NewReader(text), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A cost is what one check took.
type cost struct {
	cpu   time.Duration // of all threads, the collector's too
	alloc uint64        // bytes, all together
	peak  uint64        // bytes of the heap, beyond what was there
}

// measure checks an upload as a server does.
func measure(body []byte) (c cost) {
	runtime.GC()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	base := sample[0].Value.Uint64()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
			metrics.Read(s)
			if now := s[0].Value.Uint64(); now > base {
				c.peak = max(c.peak, now-base)
			}
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := processorTime()
	_, _ = create(body, Options{}) // most are refused
	c.cpu = processorTime() - start
	runtime.ReadMemStats(&after)
	close(done)
	wg.Wait()
	c.alloc = after.TotalAlloc - before.TotalAlloc
	return c
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkHostile shows what an upload of at most 10 MiB can cost: the goal is
// 200 ms of processor time and 64 MiB.
func BenchmarkHostile(b *testing.B) {
	for _, u := range hostileUploads(b) {
		b.Run(u.name, func(b *testing.B) { benchmarkHostile(b, u.body) })
	}
	for _, k := range Kinds() {
		if k.API != 1 {
			continue
		}
		b.Run("corpus/"+k.Kind+" "+k.Version, func(b *testing.B) { benchmarkHostile(b, corpus(b, k)...) })
	}
}

// benchmarkHostile reports the dearest of some uploads: of the processor time
// the least that each has taken, because the machine has other things to do.
func benchmarkHostile(b *testing.B, bodies ...[]byte) {
	worst := make([]cost, len(bodies))
	for b.Loop() {
		for i, body := range bodies {
			c, w := measure(body), &worst[i]
			if w.cpu == 0 || c.cpu < w.cpu {
				w.cpu = c.cpu
			}
			w.alloc, w.peak = max(w.alloc, c.alloc), max(w.peak, c.peak)
		}
	}
	var all cost
	for _, w := range worst {
		all = cost{max(all.cpu, w.cpu), max(all.alloc, w.alloc), max(all.peak, w.peak)}
	}
	b.ReportMetric(float64(all.cpu.Microseconds())/1000, "cpu-ms")
	b.ReportMetric(float64(all.alloc)/(1<<20), "alloc-MiB")
	b.ReportMetric(float64(all.peak)/(1<<20), "peak-MiB")
}

// corpus returns the vectors of a kind, and what fuzzing found on this machine.
func corpus(t testing.TB, k Type) (bodies [][]byte) {
	for _, v := range vectors(t, k) {
		bodies = append(bodies, v.body())
	}
	cache := os.Getenv("GOCACHE")
	if dir, err := os.UserCacheDir(); cache == "" && err == nil {
		cache = filepath.Join(dir, "go-build")
	}
	files, err := filepath.Glob(filepath.Join(cache, "fuzz", "github.com", "cairnlog", "cairn", "entry", "Fuzz"+k.Schema, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if quoted, ok := strings.CutPrefix(line, "[]byte("); ok {
				if spec, err := strconv.Unquote(strings.TrimSuffix(strings.TrimSpace(quoted), ")")); err == nil {
					bodies = append(bodies, fmt.Appendf(nil, `{"kind":%q,"apiVersion":%q,"spec":%s}`, k.Kind, k.Version, spec))
				}
			}
		}
	}
	return bodies
}

package trust_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/mldsa"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/trust"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newKeys(t *testing.T) (*ecdsa.PrivateKey, ed25519.PublicKey) {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return ec, ed
}

// issue returns a certificate by a parent, or by itself if there is none.
func issue(t *testing.T, name string, key *ecdsa.PrivateKey, parent *x509.Certificate, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: start, NotAfter: start.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if parent == nil {
		parent, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRoot(t *testing.T) {
	t.Parallel()
	ec, ed := newKeys(t)
	v1, err := trust.NewLog("https://log.example", &ec.PublicKey, start)
	if err != nil {
		t.Fatal(err)
	}
	v2, err := trust.NewCheckpointLog("https://log.example/some/where", vkey(t, ed), start)
	if err != nil {
		t.Fatal(err)
	}
	if v2.URL != "https://log.example/some/where" {
		t.Errorf("URL of the log is %s", v2.URL)
	}
	ca := issue(t, "root", ec, nil, nil)
	want := &trust.Root{
		Logs:        []trust.Log{v1, v2},
		CTLogs:      []trust.Log{v1},
		Authorities: []trust.Authority{{URL: "https://ca.example", Chain: []*x509.Certificate{ca}, Start: start, End: start.Add(time.Hour)}},
	}
	text, err := want.Document()
	if err != nil {
		t.Fatal(err)
	}
	got, err := trust.ParseRoot(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	again, err := got.Document()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, again) {
		t.Errorf("another root came back:\n%s\n%s", text, again)
	}
	if !got.Logs[1].Key.(ed25519.PublicKey).Equal(ed) || !got.Logs[0].ValidAt(start) || got.Logs[0].ValidAt(start.Add(-1)) ||
		!got.Authorities[0].ValidAt(start.Add(time.Hour)) || got.Authorities[0].ValidAt(start.Add(time.Hour+1)) {
		t.Error("keys or times changed on the way")
	}
}

// TestCheckpointLogName is about verifiers, which take the name of a v2 log's
// key from the host in its URL.
func TestCheckpointLogName(t *testing.T) {
	t.Parallel()
	_, ed := newKeys(t)
	l, err := trust.NewCheckpointLog("http://127.0.0.1:3000", vkey(t, ed), start)
	if err != nil {
		t.Fatal(err)
	}
	if l.URL != "https://log.example" {
		t.Errorf("URL of the log is %s", l.URL)
	}
	if hash := strings.Split(vkey(t, ed), "+")[1]; hash != hex.EncodeToString(l.ID[:4]) || len(l.ID) != 32 {
		t.Errorf("id %x does not begin with the hash of the vkey, %s", l.ID, hash)
	}
	// A witness's key signs with a time, and not the text of a note alone.
	b := append([]byte{4}, ed...)
	h := sha256.Sum256(append([]byte("log.example\n"), b...))
	witness := fmt.Sprintf("log.example+%x+%s", h[:4], base64.StdEncoding.EncodeToString(b))
	if _, err := trust.NewCheckpointLog("http://127.0.0.1:3000", witness, start); !errors.Is(err, trust.ErrKeyType) {
		t.Errorf("a key of a witness: %v", err)
	}
}

// TestOfLog is about which keys of a log verifiers know, and by which versions
// of the API they can read it.
func TestOfLog(t *testing.T) {
	t.Parallel()
	ec, ed := newKeys(t)
	ml, err := mldsa.GenerateKey(mldsa.MLDSA44())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		vkeys    []string
		logs     int
		versions []uint32
	}{
		"v1 alone":                 {nil, 1, []uint32{1}},
		"Ed25519":                  {[]string{vkey(t, ed)}, 2, []uint32{2, 1}},
		"Ed25519 and ML-DSA-44":    {[]string{vkey(t, ed), vkey(t, ml.PublicKey())}, 2, []uint32{2, 1}},
		"ML-DSA-44 and Ed25519":    {[]string{vkey(t, ml.PublicKey()), vkey(t, ed)}, 2, []uint32{1}},
		"the v1 key":               {[]string{vkey(t, &ec.PublicKey)}, 1, []uint32{2, 1}},
		"Ed25519, then the v1 key": {[]string{vkey(t, ed), vkey(t, &ec.PublicKey)}, 2, []uint32{2, 1}},
	} {
		r, versions, err := trust.OfLog("http://127.0.0.1:3000", &ec.PublicKey, c.vkeys, start)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(r.Logs) != c.logs || !slices.Equal(versions, c.versions) {
			t.Errorf("%s: %d logs, versions %v", name, len(r.Logs), versions)
		}
		if name == "the v1 key" && r.Logs[0].URL != "https://log.example" {
			t.Errorf("%s: URL %s, in which verifiers of v2 do not find the origin", name, r.Logs[0].URL)
		}
	}
	if _, _, err := trust.OfLog("http://127.0.0.1:3000", &ec.PublicKey, []string{"hello"}, start); err == nil {
		t.Error("a vkey that is none was taken")
	}
}

func vkey(t *testing.T, key crypto.PublicKey) string {
	t.Helper()
	s, err := checkpoint.VKey("log.example", key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSigningConfig(t *testing.T) {
	t.Parallel()
	c := trust.SigningConfig{Log: "https://log.example", Versions: []uint32{2, 1}, Operator: "us", Start: start, Timestamp: "https://tsa.example"}
	text, err := c.Document()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		MediaType     string
		CaUrls        []any
		RekorTlogUrls []struct {
			URL             string
			MajorAPIVersion int
		}
		RekorTlogConfig struct{ Selector string }
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.MediaType != "application/vnd.dev.sigstore.signingconfig.v0.2+json" || len(got.CaUrls) != 0 ||
		len(got.RekorTlogUrls) != 2 || got.RekorTlogUrls[0].MajorAPIVersion != 2 || got.RekorTlogUrls[1].URL != c.Log || got.RekorTlogConfig.Selector != "ANY" {
		t.Errorf("%s", text)
	}
}

func TestReadChain(t *testing.T) {
	t.Parallel()
	root, _ := newKeys(t)
	between, _ := newKeys(t)
	ca := issue(t, "root", root, nil, nil)
	sub := issue(t, "between", between, ca, root)
	encode := func(certs ...*x509.Certificate) []byte {
		var b []byte
		for _, c := range certs {
			b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
		}
		return b
	}
	if chain, err := trust.ReadChain(encode(sub, ca)); err != nil || len(chain) != 2 {
		t.Errorf("a good chain: %v", err)
	}
	for name, text := range map[string][]byte{
		"empty":           nil,
		"wrong way round": encode(ca, sub),
		"without root":    encode(sub),
		"root twice over": encode(sub, sub),
		"endless":         bytes.Repeat(encode(ca), 11),
		"a key":           pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY"}),
		"broken":          pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}),
	} {
		if _, err := trust.ReadChain(text); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}

func TestParseRootRefuses(t *testing.T) {
	t.Parallel()
	good, err := os.ReadFile("../bundle/testdata/conformance/trusted_root.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new string }{
		"media type":           {"vnd.dev.sigstore.trustedroot", "vnd.dev.sigstore.bundle"},
		"unknown member":       {`"tlogs"`, `"tlog"`},
		"no log id":            {`"keyId": "0y8w`, `"keyId": "", "x": "`},
		"no start of validity": {`"start": "2021-01-12T11:53:27.000Z"`, ""},
		"time out of range":    {"2021-01-12", "0000-01-12"},
		"unknown hash":         {`"SHA2_256"`, `"SHA2_512"`},
		"broken key":           {"MFkwEwYHKoZ", "MFkwEwYHKoY"},
		"broken certificate":   {"MIICGTCCAaC", "MIICGTCCAaB"},
	} {
		text := strings.Replace(string(good), c.old, c.new, 1)
		if text == string(good) {
			t.Fatalf("%s: nothing to change", name)
		}
		if _, err := trust.ParseRoot([]byte(text)); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	if _, err := trust.ParseRoot(append(good, bytes.Repeat([]byte(" "), 4<<20)...)); err == nil {
		t.Error("oversized: was taken")
	}
}

func TestBaseURL(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://log.example":       "https://log.example",
		"https://log.example/":      "https://log.example",
		"http://log.example:3000/a": "http://log.example:3000/a",
		"log.example":               "",
		"ftp://log.example":         "",
		"https://me:pw@log.example": "",
		"https://log.example?x":     "",
		"https://log.example/#x":    "",
		"https://":                  "",
		"http://[::1":               "",
	} {
		if got, err := trust.BaseURL(in); got != want || (want == "") != (err != nil) {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

func FuzzParseRoot(f *testing.F) {
	good, err := os.ReadFile("../bundle/testdata/conformance/trusted_root.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := trust.ParseRoot(data)
		if err != nil {
			return
		}
		r.Document() //nolint:errcheck // keys that are read but not written are known; it must not panic
	})
}

func FuzzReadChain(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if chain, err := trust.ReadChain(text); err == nil && len(chain) == 0 {
			t.Error("an empty chain")
		}
	})
}

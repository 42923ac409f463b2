package bundle

import (
	"crypto/x509"
	"encoding/json"
	"os"
	"testing"

	"github.com/cairnlog/cairn/trust"
)

// happy returns the certificate, chain and timestamp of a real bundle.
func happy(f *testing.F) (cert *x509.Certificate, stamp []byte, root *trust.Root, signature []byte) {
	f.Helper()
	data, err := os.ReadFile("testdata/conformance/rekor2-happy-path.json")
	if err != nil {
		f.Fatal(err)
	}
	b, err := Parse(data)
	if err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile("testdata/conformance/trusted_root.json")
	if err != nil {
		f.Fatal(err)
	}
	if root, err = trust.ParseRoot(text); err != nil {
		f.Fatal(err)
	}
	return b.Certificate, b.Timestamps[0], root, b.Content.Signature
}

// FuzzSCT reads lists of signed certificate timestamps, and certificates
// without theirs: no change of either is taken for the real one.
func FuzzSCT(f *testing.F) {
	cert, _, root, _ := happy(f)
	var list []byte
	for _, x := range cert.Extensions {
		if x.Id.Equal(oidSCTs) {
			list = x.Value
		}
	}
	chain := []*x509.Certificate{cert, root.Authorities[0].Chain[0]}
	if _, err := verifySCT(chain, root.CTLogs); err != nil {
		f.Fatal(err)
	}
	f.Add(list, cert.RawTBSCertificate)
	f.Fuzz(func(t *testing.T, value, tbs []byte) {
		withoutSCTs(tbs) //nolint:errcheck // it must not panic
		if string(value) == string(list) {
			return
		}
		other := *cert
		other.Extensions = append(other.Extensions[:len(other.Extensions):len(other.Extensions)], other.Extensions[0])
		for i := range other.Extensions {
			if other.Extensions[i].Id.Equal(oidSCTs) {
				other.Extensions[i].Value = value
			}
		}
		verifySCT([]*x509.Certificate{&other, chain[1]}, root.CTLogs) //nolint:errcheck // the same; the list is not signed
	})
}

func FuzzTimestamp(f *testing.F) {
	_, stamp, root, signature := happy(f)
	want, err := verifyTimestamp(stamp, signature, root.Timestamps)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stamp)
	f.Fuzz(func(t *testing.T, der []byte) {
		at, err := verifyTimestamp(der, signature, root.Timestamps)
		if err == nil && !at.Equal(want) {
			t.Errorf("another time was taken: %v", at)
		}
	})
}

func FuzzBody(f *testing.F) {
	for _, name := range []string{"hashedrekord-0.0.1", "hashedrekord-0.0.2", "dsse-0.0.1", "dsse-0.0.2", "intoto-0.0.2"} {
		data, err := os.ReadFile("../entry/testdata/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		var vectors []struct {
			Accept    bool
			Canonical []byte `json:"canonical_b64"`
		}
		if err := json.Unmarshal(data, &vectors); err != nil {
			f.Fatal(err)
		}
		for _, v := range vectors {
			if v.Accept {
				f.Add(v.Canonical)
			}
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		kind, version, err := KindOf(body)
		if err != nil {
			return
		}
		readBody(&Entry{Kind: kind, Version: version, Body: body}) //nolint:errcheck // it must not panic
	})
}

func FuzzParseEnvelope(f *testing.F) {
	f.Add([]byte(`{"payload":"aGVsbG8=","payloadType":"text/plain","signatures":[{"sig":"AAAA","keyid":"x"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, err := ParseEnvelope(data); err == nil && (e.PayloadType == "" || len(e.Payload) == 0) {
			t.Errorf("half an envelope: %+v", e)
		}
	})
}

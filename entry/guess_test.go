package entry

import (
	"bytes"
	"testing"
)

func TestGuessNothing(t *testing.T) {
	t.Parallel()
	first := func(kind string) []byte {
		for _, s := range samples(t) {
			if s.kind == kind {
				return s.artifact
			}
		}
		t.Fatal(kind)
		return nil
	}
	apk, jar, tsr, prov := first("alpine"), first("jar"), first("rfc3161"), first("helm")
	for name, artifact := range map[string][]byte{
		"nothing":                      nil,
		"text":                         []byte("hello\n"),
		"gzip magic alone":             []byte(gzipMagic),
		"zip magic alone":              []byte(zipMagic),
		"tag 18 alone":                 []byte(sign1Magic),
		"truncated package":            apk[:30],
		"truncated archive":            jar[:len(jar)/2],
		"truncated timestamp":          tsr[:len(tsr)/2],
		"long timestamp":               append(bytes.Clone(tsr), make([]byte, maxTimestamp)...),
		"a DER sequence":               {0x30, 0x03, 0x02, 0x01, 0x00},
		"clear-signed message":         bytes.Replace(prov, []byte("\nfiles:"), []byte("\nother:"), 1),
		"JSON":                         []byte(`{"a":1}`),
		"cut JSON":                     []byte(`{"payloadType":"x","payload":"","signatures":[{}]`),
		"envelope without signatures":  []byte(`{"payloadType":"x","payload":"","signatures":[]}`),
		"document without signatures":  []byte(`{"signed":{"_type":"root"}}`),
		"document without a type":      []byte(`{"signed":{},"signatures":[{}]}`),
		"member of another type":       []byte(`{"payloadType":1,"payload":"","signatures":[{}]}`),
		"array":                        []byte(`[{"payloadType":"x","payload":"","signatures":[{}]}]`),
		"provenance after much before": append(bytes.Repeat([]byte("x\n"), GuessHead), prov...),
	} {
		if got := Guess(artifact); got != "" {
			t.Errorf("%s: guessed %q", name, got)
		}
	}
	if Signed([]byte("hello\n")) || Signed(nil) {
		t.Error("text looks as if it was signed")
	}
	envelope := []byte(" \n{\"payloadType\":\"x\",\"payload\":\"\",\"signatures\":[{\"sig\":\"\"}]}")
	if got := Guess(envelope); got != "dsse" || !Signed(envelope) {
		t.Errorf("envelope: guessed %q", got)
	}
	if _, err := ChartHash([]byte("hello")); err == nil {
		t.Error("text has a chart's hash")
	}
}

func FuzzGuess(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.artifact)
	}
	f.Fuzz(func(t *testing.T, artifact []byte) {
		kind := Guess(artifact)
		if kind != "" && !Signed(artifact[:min(len(artifact), GuessHead)]) {
			t.Errorf("%s is not seen by its head", kind)
		}
		if ArtifactTerm(artifact) == "" {
			t.Error("no term")
		}
	})
}

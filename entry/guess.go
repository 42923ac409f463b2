package entry

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/asn1"
	"encoding/json"
	"io"
	"strings"

	"github.com/sassoftware/relic/v8/lib/pkcs9"

	"github.com/cairnlog/cairn/pki"
)

// GuessHead is how many bytes of an artifact Signed wants to see.
const GuessHead = 4096

// How artifacts begin that may carry their own signature.
const (
	rpmMagic   = "\xed\xab\xee\xdb"
	gzipMagic  = "\x1f\x8b"
	zipMagic   = "PK\x03\x04"
	sign1Magic = "\xd2\x84" // tag 18 and an array of four
	clearMagic = "-----BEGIN PGP SIGNED MESSAGE-----"
)

// Signed tells whether an artifact that begins with head may be one that
// carries its own signature, so that Guess has to see all of it.
func Signed(head []byte) bool {
	for _, magic := range []string{rpmMagic, gzipMagic, zipMagic, sign1Magic} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return isDER(head) || isJSON(head) || bytes.Contains(head, []byte(clearMagic))
}

// Guess returns the kind that an artifact is plainly made for because it
// carries its own signature: a package, an archive, an envelope. It is "" for
// what needs a detached signature. Only the form is looked at, whether it
// holds is for Check to say.
//
// It takes time and memory in proportion to what of the artifact has to be
// read for that: all of a JSON document, the directory of a JAR, 128 KiB of
// other archives.
func Guess(artifact []byte) string {
	begins := func(magic string) bool { return bytes.HasPrefix(artifact, []byte(magic)) }
	switch {
	case begins(rpmMagic):
		return "rpm"
	case begins(gzipMagic) && isSignedAPK(artifact):
		return "alpine"
	case begins(zipMagic) && isSignedJAR(artifact):
		return "jar"
	case begins(sign1Magic) && isSign1(artifact):
		return "cose"
	case isDER(artifact) && isTimestamp(artifact):
		return "rfc3161"
	case isJSON(artifact):
		return guessJSON(artifact)
	case bytes.Contains(artifact[:min(len(artifact), GuessHead)], []byte(clearMagic)) && isProvenance(artifact):
		return "helm"
	}
	return ""
}

func isDER(b []byte) bool { return len(b) > 0 && b[0] == 0x30 } // a sequence

func isJSON(b []byte) bool {
	b = bytes.TrimLeft(b, " \t\r\n")
	return len(b) > 0 && b[0] == '{'
}

func isSignedAPK(pkg []byte) bool {
	const limit = 128 << 10
	z, err := gzip.NewReader(bytes.NewReader(pkg))
	if err != nil {
		return false
	}
	h, err := tar.NewReader(io.LimitReader(z, limit)).Next()
	return err == nil && strings.HasPrefix(h.Name, ".SIGN.")
}

func isSignedJAR(archive []byte) bool {
	z, err := openJAR(archive)
	if err != nil {
		return false
	}
	for _, f := range z.File {
		if strings.HasSuffix(jarMetadata(f), ".SF") {
			return true
		}
	}
	return false
}

func isSign1(message []byte) bool {
	_, err := parseSign1(message)
	return err == nil
}

func isTimestamp(der []byte) bool {
	if len(der) > maxTimestamp {
		return false
	}
	var r pkcs9.TimeStampResp
	_, err := asn1.Unmarshal(der, &r)
	return err == nil
}

func isProvenance(text []byte) bool {
	p, err := readProvenance(text)
	return err == nil && len(p.files) > 0
}

func guessJSON(text []byte) string {
	var v struct {
		PayloadType string            `json:"payloadType"`
		Payload     *string           `json:"payload"`
		Signatures  []json.RawMessage `json:"signatures"`
		Signed      struct {
			Type string `json:"_type"`
		} `json:"signed"`
	}
	switch err := json.Unmarshal(text, &v); {
	case err != nil || len(v.Signatures) == 0:
	case v.PayloadType != "" && v.Payload != nil:
		return "dsse"
	case v.Signed.Type != "":
		return "tuf"
	}
	return ""
}

// ArtifactTerm returns the search term of an artifact. That is the SHA-256 of
// its bytes, but for two: the chart's where the artifact is the provenance
// file of a Helm chart, and that of the canonical form, without "sha256:", of
// a document of The Update Framework.
func ArtifactTerm(artifact []byte) string {
	switch Guess(artifact) {
	case "helm":
		if hash, err := ChartHash(artifact); err == nil {
			return hash
		}
	case "tuf":
		if m, err := pki.ParseTUFMetadata(artifact); err == nil {
			return digest(m.Canonical)
		}
	}
	return "sha256:" + digest(artifact)
}

// ChartHash returns what a provenance file says is the hash of the chart, as
// "<alg>:<hex>". The signature is not verified.
func ChartHash(provenance []byte) (string, error) {
	p, err := readProvenance(provenance)
	if err != nil {
		return "", err
	}
	h, err := chartHash(p.files)
	if err != nil {
		return "", err
	}
	return h.term(), nil
}

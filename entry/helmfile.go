package entry

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/cairnlog/cairn/pki"
)

const (
	// maxProvenance is the most that a provenance file may have. It is the
	// Chart.yaml, which is not looked at, and a line for each file.
	maxProvenance = 1 << 20
	// maxProvenanceFiles is the most that the part with the files may have.
	maxProvenanceFiles = 128 << 10
)

// A helmFile is a provenance file, https://helm.sh/docs/topics/provenance/.
type helmFile struct {
	*pki.ClearSigned
	files map[string]string // name to "algorithm:digest"
}

// readProvenance reads a provenance file: a clear-signed message, of which the
// second part is YAML. Anchors are refused, because what is written once could
// be read many times.
func readProvenance(text []byte) (*helmFile, error) {
	if len(text) > maxProvenance {
		return nil, fmt.Errorf("provenance file has %d bytes, the limit is %d", len(text), maxProvenance)
	}
	clear, err := pki.ParseClearSigned(text)
	if err != nil {
		return nil, fmt.Errorf("unable to decode provenance file: %w", err)
	}
	_, part, ok := bytes.Cut(clear.Text, []byte("\n...\n"))
	if !ok {
		return nil, errors.New("error occurred parsing message block: message block must have at least two parts")
	}
	part, _, _ = bytes.Cut(part, []byte("\n...\n"))
	if len(part) > maxProvenanceFiles {
		return nil, fmt.Errorf("list of files in provenance file has %d bytes, the limit is %d", len(part), maxProvenanceFiles)
	}
	if bytes.IndexByte(part, '&') >= 0 && bytes.IndexByte(part, '*') >= 0 {
		return nil, errors.New("list of files in provenance file has an anchor")
	}
	var sums struct {
		Files  map[string]string `json:"files"`
		Images map[string]string `json:"images"` // must have its type
	}
	if err := yaml.Unmarshal(part, &sums); err != nil {
		return nil, fmt.Errorf("error occurred parsing message block: error occurred parsing SumCollection: %w", err)
	}
	return &helmFile{clear, sums.Files}, nil
}

// chartHash returns what the signer says of the file whose name is the first
// one. A chart is one file; of several, Rekor takes any.
func chartHash(files map[string]string) (hashValue, error) {
	if files == nil {
		return hashValue{}, errors.New("unable to locate chart hash")
	}
	if len(files) == 0 {
		return hashValue{}, errors.New("no checksums found")
	}
	name := slices.Min(slices.Collect(maps.Keys(files)))
	algorithm, value, ok := strings.Cut(files[name], ":")
	if !ok || strings.Contains(value, ":") {
		return hashValue{}, errors.New("invalid hash found in Provenance file")
	}
	// The stored form could not be read again with another one.
	if algorithm != "sha256" {
		return hashValue{}, fmt.Errorf("hash algorithm %q in provenance file should be one of [sha256]", algorithm)
	}
	return hashValue{there: true, algorithm: []byte(algorithm), value: []byte(value)}, nil
}

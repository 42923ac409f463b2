package entry

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/textproto"
	"slices"
	"strings"
)

// Manifests and .SF files are read as the relic library reads them, quirks
// included, but in linear time:
// https://github.com/sassoftware/relic/blob/v8.2.0/lib/signjar/manifest.go

var errNoDigests = errors.New("no recognized digests found")

// A jarSection is a section of a manifest or .SF file.
type jarSection struct {
	raw      []byte
	name     string // "" for the main section
	magic    bool   // has an attribute Magic: its digests are not of the content
	replaced bool   // a later section has the same name
}

// splitManifest cuts a manifest into sections, which end with an empty line:
// if one with CRLF comes anywhere, that is the next end.
func splitManifest(manifest []byte) ([][]byte, error) {
	var sections [][]byte
	crlf := true // there may be some ahead
	for len(manifest) > 0 {
		end := -1
		if crlf {
			if end = bytes.Index(manifest, []byte("\r\n\r\n")); end >= 0 {
				end += 4
			}
			crlf = end >= 0
		}
		if !crlf {
			if end = bytes.Index(manifest, []byte("\n\n")); end >= 0 {
				end += 2
			}
		}
		if end < 0 || len(bytes.TrimSpace(manifest[:end])) == 0 {
			return nil, errors.New("manifest has incorrect line ending sequence")
		}
		sections = append(sections, manifest[:end:end])
		manifest = manifest[end:]
	}
	if len(sections) == 0 {
		return nil, errors.New("manifest has no sections")
	}
	return sections, nil
}

// parseManifest reads a manifest, of which the first section is the main one.
func parseManifest(manifest []byte) ([]jarSection, error) {
	raw, err := splitManifest(manifest)
	if err != nil {
		return nil, err
	}
	sections := make([]jarSection, len(raw))
	byName := make(map[string]int, len(raw))
	for i, text := range raw {
		s := jarSection{raw: text}
		attributes, err := s.attributes()
		if err != nil {
			return nil, err
		}
		if i > 0 {
			if s.name = attributes.Get("Name"); s.name == "" {
				return nil, errors.New("manifest has section with no \"Name\" attribute")
			}
			s.magic = attributes.Get("Magic") != ""
			if old, ok := byName[s.name]; ok {
				sections[old].replaced = true
			}
			byName[s.name] = i
		}
		sections[i] = s
	}
	return sections, nil
}

// attributes reads a section. Long lines go on after a line break and a space.
func (s jarSection) attributes() (textproto.MIMEHeader, error) {
	text := bytes.ReplaceAll(s.raw, []byte("\r\n"), []byte("\n"))
	text = bytes.ReplaceAll(text, []byte("\n "), nil)
	h := make(textproto.MIMEHeader, 2)
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		key, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return nil, errors.New("jar manifest is malformed")
		}
		h.Set(string(bytes.TrimSpace(key)), string(bytes.TrimSpace(value)))
	}
	return h, nil
}

// A jarDigest is an attribute such as "SHA-256-Digest: …".
type jarDigest struct {
	attribute, value string
	algorithm        string // such as sha256
}

type jarDigests []jarDigest

// digests returns the attributes whose names end with "-Digest" and suffix.
func (s jarSection) digests(suffix string) (jarDigests, error) {
	attributes, err := s.attributes()
	if err != nil {
		return nil, err
	}
	suffix = "-Digest" + suffix
	var ds jarDigests
	for _, a := range slices.Sorted(maps.Keys(attributes)) {
		name, ok := strings.CutSuffix(a, suffix)
		if !ok {
			continue
		}
		algorithm := strings.Replace(strings.ToLower(name), "-", "", 1)
		if newHash(algorithm) == nil {
			return nil, fmt.Errorf("unknown digest key in manifest: %s", strings.ToUpper(name))
		}
		ds = append(ds, jarDigest{a, attributes.Get(a), algorithm})
	}
	if len(ds) == 0 {
		return nil, errNoDigests
	}
	return ds, nil
}

func newHash(algorithm string) hash.Hash {
	switch algorithm {
	case "md5":
		return md5.New()
	case "sha1":
		return sha1.New()
	case "sha224":
		return sha256.New224()
	case "sha256":
		return sha256.New()
	case "sha384":
		return sha512.New384()
	case "sha512":
		return sha512.New()
	}
	return nil
}

// verify compares all digests with those of content.
func (ds jarDigests) verify(content io.Reader) error {
	hashes := make([]hash.Hash, len(ds))
	writers := make([]io.Writer, len(ds))
	for i, d := range ds {
		hashes[i] = newHash(d.algorithm)
		writers[i] = hashes[i]
	}
	if _, err := io.Copy(io.MultiWriter(writers...), content); err != nil {
		return err
	}
	for i, d := range ds {
		if sum := base64.StdEncoding.EncodeToString(hashes[i].Sum(nil)); sum != d.value {
			return fmt.Errorf("%s mismatch: manifest %s != calculated %s", d.attribute, d.value, sum)
		}
	}
	return nil
}

// verifySigFile checks that a .SF file has the digest of the manifest, or else
// digests of the main section and of each section that it names.
func verifySigFile(sigFile, manifest []byte) error {
	signed, err := parseManifest(sigFile)
	if err != nil {
		return err
	}
	whole, err := signed[0].digests("-Manifest")
	if err == nil {
		err = whole.verify(bytes.NewReader(manifest))
		if err == nil {
			return nil
		}
	}
	if !errors.Is(err, errNoDigests) {
		return fmt.Errorf("manifest signature: %w", err)
	}
	sections, err := parseManifest(manifest)
	if err != nil {
		return err
	}
	main, err := signed[0].digests("-Manifest-Main-Attributes")
	if err == nil {
		err = main.verify(bytes.NewReader(sections[0].raw))
	}
	if err != nil {
		return fmt.Errorf("manifest main attributes signature: %w", err)
	}
	byName := make(map[string][]byte, len(sections))
	for _, s := range sections[1:] {
		byName[s.name] = s.raw
	}
	for _, s := range signed[1:] {
		if s.replaced {
			continue
		}
		section := byName[s.name]
		if section == nil {
			return fmt.Errorf("manifest is missing signed section %q", s.name)
		}
		digests, err := s.digests("")
		if err == nil {
			err = digests.verify(bytes.NewReader(section))
		}
		if err != nil {
			return fmt.Errorf("manifest signature over section %q: %w", s.name, err)
		}
	}
	return nil
}

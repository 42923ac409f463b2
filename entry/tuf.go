package entry

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/cairnlog/cairn/entry/jcs"
	"github.com/cairnlog/cairn/pki"
)

// A tuf is a document of The Update Framework with the root whose keys signed
// it. Both are stored in canonical form.
type tuf struct {
	hasMetadata, hasRoot bool
	metadata, root       tufContent
}

// A tufContent is a document in JSON, or a string with base64 of such JSON.
type tufContent struct {
	there bool
	text  []byte // base64
	raw   []byte // JSON, nil if text is the document
}

// maxTUFObject bounds what is read into maps. Package pki has closer limits.
const maxTUFObject = 512 << 10

func (s *tuf) member(r *jcs.Reader, name []byte) error {
	switch string(name) {
	case "metadata":
		s.metadata = tufContent{}
		return readObject(r, &s.hasMetadata, s.metadata.member(r))
	case "root":
		s.root = tufContent{}
		return readObject(r, &s.hasRoot, s.root.member(r))
	}
	return nil
}

func (c *tufContent) member(r *jcs.Reader) func(name []byte) error {
	return func(name []byte) (err error) {
		if string(name) != "content" {
			return nil
		}
		*c = tufContent{there: true}
		switch r.Kind() {
		case jcs.Null:
			c.there = false
		case jcs.String:
			c.text, err = r.String()
		default:
			c.raw, err = r.Raw()
		}
		return err
	}
}

// document returns the JSON. What came as JSON is written again, since Rekor
// does so: of members with one name the last counts.
func (c *tufContent) document(name string) ([]byte, error) {
	if c.raw == nil {
		b, err := base64.StdEncoding.AppendDecode(nil, c.text)
		if err != nil {
			return nil, fmt.Errorf("base64 decoding TUF %s content: %w", name, err)
		}
		return b, nil
	}
	if len(c.raw) > maxTUFObject {
		return nil, fmt.Errorf("TUF %s content has %d bytes, the limit is %d", name, len(c.raw), maxTUFObject)
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(c.raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

func checkTUF(spec []byte, o Options) (*Checked, error) {
	// 1. Read.
	var s tuf
	if err := readSpec(spec, s.member); err != nil {
		return nil, err
	}
	if err := problems(s.metadata.problem("metadata", s.hasMetadata), s.root.problem("root", s.hasRoot)); err != nil {
		return nil, err
	}
	document, err := s.metadata.document("metadata")
	if err != nil {
		return nil, err
	}
	metadata, err := pki.ParseTUFMetadata(document)
	if err != nil {
		return nil, err
	}

	// 2. Verify. A leaf may have expired.
	if document, err = s.root.document("root"); err != nil {
		return nil, err
	}
	now := o.Now
	switch {
	case o.read:
		now = time.Time{}
	case now.IsZero():
		now = time.Now()
	}
	root, err := pki.ParseTUF(document, now)
	if err != nil {
		return nil, err
	}
	if err := root.Verify(metadata); err != nil {
		return nil, err
	}

	// 3. Canonicalise.
	b := make([]byte, 0, 150+(len(metadata.Canonical)+len(root.Canonical()))*4/3)
	b = append(b, `{"apiVersion":"0.0.1","kind":"tuf","spec":{"metadata":{"content":"`...)
	b = base64.StdEncoding.AppendEncode(b, metadata.Canonical)
	b = append(b, `"},"root":{"content":"`...)
	b = base64.StdEncoding.AppendEncode(b, root.Canonical())
	b = append(b, `"}`...)
	if v := root.SpecVersion(); v != "" {
		b = append(b, `,"spec_version":`...)
		b = jcs.AppendString(b, v)
	}
	b = append(b, `}}`...)

	hash := digest(metadata.Canonical)
	return &Checked{
		Body:       b,
		Terms:      []string{hash, metadata.Role, strconv.Itoa(metadata.Version), keyHash(root)},
		Artifact:   "sha256:" + hash,
		Identities: identities(root, nil),
	}, nil
}

func (c *tufContent) problem(name string, there bool) string {
	switch {
	case !there:
		return name + " in body is required"
	case !c.there:
		return fmt.Sprintf("%s.%[1]s.content in body is required", name)
	}
	return ""
}

// NewTUF proposes a document of The Update Framework with the root whose keys
// signed it, both in JSON.
func NewTUF(metadata, root []byte) Proposal {
	return propose("tuf", "0.0.1", map[string]any{
		"metadata": map[string]any{"content": metadata},
		"root":     map[string]any{"content": root},
	})
}

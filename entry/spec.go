package entry

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/cairnlog/cairn/entry/jcs"
	"github.com/cairnlog/cairn/pki"
)

// Reading a spec: names are case-sensitive, of several members with one name
// the last counts, a member of a wrong type is as good as absent.

// readSpec reads all of a spec.
func readSpec(spec []byte, member func(r *jcs.Reader, name []byte) error) error {
	r := jcs.NewReader(spec)
	err := r.Object(func(name []byte) error { return member(r, name) })
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return fmt.Errorf("reading the spec: %w", err)
	}
	return nil
}

// readObject reads the next value if it is an object, and tells whether it is.
func readObject(r *jcs.Reader, there *bool, member func(name []byte) error) error {
	*there = r.Kind() == jcs.Object
	if !*there {
		return nil // skipped
	}
	return r.Object(member)
}

// readString reads the next value if it is a string; otherwise *dst is nil.
func readString(r *jcs.Reader, dst *[]byte) (err error) {
	*dst = nil
	if r.Kind() == jcs.String {
		*dst, err = r.String()
	}
	return err
}

// readContent reads the next value if it is an object, and of it the member
// content, as keys have it; otherwise *dst is nil.
func readContent(r *jcs.Reader, there *bool, dst *[]byte) error {
	*dst = nil
	return readObject(r, there, func(name []byte) error {
		if string(name) == "content" {
			return readString(r, dst)
		}
		return nil
	})
}

// A content is bytes that travel in base64.
type content struct {
	raw  []byte
	text []byte // canonical base64 of raw
}

// decode decodes base64 in the standard alphabet with padding. CR and LF are
// skipped, bits under the padding ignored; with neither, the text is canonical
// already and need not be made again.
func decode(text []byte) (content, error) {
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(raw, text)
	if err == nil && base64.StdEncoding.EncodedLen(n) == len(text) {
		return content{raw[:n], text}, nil
	}
	if n, err = base64.StdEncoding.Decode(raw, text); err != nil {
		return content{}, err
	}
	return encode(raw[:n]), nil
}

func encode(raw []byte) content {
	return content{raw, base64.StdEncoding.AppendEncode(nil, raw)}
}

// canonicalKey returns the content that is stored for a key that came as sent.
func canonicalKey(k pki.Key, sent content) content {
	if c := k.Canonical(); string(c) != string(sent.raw) {
		return encode(c)
	}
	return sent
}

// A hashValue is an object {"algorithm": …, "value": …}.
type hashValue struct {
	there            bool
	algorithm, value []byte
}

func (h *hashValue) read(r *jcs.Reader) error {
	*h = hashValue{}
	return readObject(r, &h.there, func(name []byte) error {
		switch string(name) {
		case "algorithm":
			return readString(r, &h.algorithm)
		case "value":
			return readString(r, &h.value)
		}
		return nil
	})
}

// problem returns what is wrong with the members of h, "" for nothing. An
// absent h is fine. path is h's name as Rekor's messages write it.
func (h hashValue) problem(path string, algorithms ...string) string {
	switch {
	case !h.there:
		return ""
	case h.algorithm == nil:
		return path + ".algorithm in body is required"
	case !slices.Contains(algorithms, string(h.algorithm)):
		return fmt.Sprintf("%s.algorithm in body should be one of %v", path, algorithms)
	case h.value == nil:
		return path + ".value in body is required"
	}
	return ""
}

// term returns "<algorithm>:<value>" in lower case.
func (h hashValue) term() string {
	return strings.ToLower(string(h.algorithm) + ":" + string(h.value))
}

func (h hashValue) append(b []byte) []byte {
	b = append(b, `{"algorithm":`...)
	b = jcs.AppendString(b, h.algorithm)
	b = append(b, `,"value":`...)
	b = jcs.AppendString(b, h.value)
	return append(b, '}')
}

// problems turns what is wrong with the members into one error, nil if there
// is nothing.
func problems(lines ...string) error {
	lines = slices.DeleteFunc(lines, func(s string) bool { return s == "" })
	if len(lines) == 0 {
		return nil
	}
	return invalid("validation failure list:\n%s", strings.Join(lines, "\n"))
}

// identities returns who k stands for. Some formats have keys without an
// identity of their own; their subjects then stand alone.
func identities(k pki.Key, subjects []string) []Identity {
	ids := k.Identities()
	if len(ids) == 0 && len(subjects) > 0 {
		return []Identity{{Subjects: subjects}}
	}
	out := make([]Identity, len(ids))
	for i, id := range ids {
		out[i] = Identity{Type: id.Type, Raw: id.Raw, Fingerprint: id.Fingerprint, Subjects: subjects}
	}
	return out
}

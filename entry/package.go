package entry

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cairnlog/cairn/entry/jcs"
)

// A packageSpec is the spec of a kind that takes a package of software: what
// is stored of it is its hash and what it says about itself.
type packageSpec struct {
	info string // the name that the kind has for about

	there   bool
	content []byte // base64
	hash    hashValue
	about   map[string]string

	hasKey bool
	key    []byte // base64
}

func (s *packageSpec) member(r *jcs.Reader, name []byte) error {
	switch string(name) {
	case "package":
		s.content, s.hash, s.about = nil, hashValue{}, nil
		return readObject(r, &s.there, func(name []byte) error {
			switch string(name) {
			case "content":
				return readString(r, &s.content)
			case "hash":
				return s.hash.read(r)
			case s.info:
				return readStrings(r, &s.about)
			}
			return nil
		})
	case "publicKey":
		s.key = nil
		return readObject(r, &s.hasKey, func(name []byte) error {
			if string(name) == "content" {
				return readString(r, &s.key)
			}
			return nil
		})
	}
	return nil
}

// decode decodes key and package. The package is not encoded again, so its
// base64 need not be canonical.
func (s *packageSpec) decode(keyName string) (key content, pkg []byte, err error) {
	if key, err = decode(s.key); err != nil {
		return key, nil, fmt.Errorf("failed parsing base64 data for %s content: %w", keyName, err)
	}
	pkg = make([]byte, base64.StdEncoding.DecodedLen(len(s.content)))
	n, err := base64.StdEncoding.Decode(pkg, s.content)
	if err != nil {
		return key, nil, fmt.Errorf("failed parsing base64 data for package content: %w", err)
	}
	return key, pkg[:n], nil
}

// check checks the members, each alone and then together. size is that of the
// decoded package.
func (s *packageSpec) check(size int) error {
	pkg, key := s.hash.problem("package.package.hash.package.hash", "sha256"), ""
	if !s.there {
		pkg = "package in body is required"
	}
	switch {
	case !s.hasKey:
		key = "publicKey in body is required"
	case len(s.key) == 0:
		key = "publicKey.publicKey.content in body is required"
	}
	if err := problems(pkg, key); err != nil {
		return err
	}
	if s.hash.there {
		if _, err := hex.AppendDecode(nil, s.hash.value); err != nil || len(s.hash.value) != 64 {
			return errors.New("invalid value for hash")
		}
	} else if size == 0 {
		return errors.New("'content' must be specified for package")
	}
	return nil
}

// sum checks the hash that was given, and sets it if there was none.
func (s *packageSpec) sum(pkg []byte) error {
	sum := digest(pkg)
	if s.hash.there && string(s.hash.value) != sum {
		return fmt.Errorf("SHA mismatch: %s != %s", sum, s.hash.value)
	}
	s.hash = hashValue{there: true, algorithm: []byte("sha256"), value: []byte(sum)}
	return nil
}

// append appends the stored form.
func (s *packageSpec) append(b []byte, key content) ([]byte, error) {
	b = append(b, `{"package":{"hash":`...)
	b = s.hash.append(b)
	if len(s.about) > 0 {
		// In a value that is no UTF-8, each bad byte becomes U+FFFD. Names
		// that become equal by that are an error.
		text, err := json.Marshal(s.about)
		if err != nil {
			return nil, err
		}
		if text, err = jcs.Transform(text); err != nil {
			return nil, fmt.Errorf("%s of the package: %w", s.info, err)
		}
		b = append(b, `,"`+s.info+`":`...)
		b = append(b, text...)
	}
	b = append(b, `},"publicKey":{"content":"`...)
	b = append(b, key.text...)
	return append(b, `"}}`...), nil
}

// readStrings reads the next value if it is an object, and of it the members
// that are strings.
func readStrings(r *jcs.Reader, dst *map[string]string) error {
	*dst = nil
	var there bool
	return readObject(r, &there, func(name []byte) error {
		var s []byte
		at := string(name)
		delete(*dst, at)
		if err := readString(r, &s); err != nil || s == nil {
			return err
		}
		if *dst == nil {
			*dst = map[string]string{}
		}
		(*dst)[at] = string(s)
		return nil
	})
}

package jcs

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// maxTransformDepth bounds the time that Transform takes.
const maxTransformDepth = 1000

// Transform returns a JSON object or array in the canonical form of RFC 8785
// (https://www.rfc-editor.org/rfc/rfc8785). Duplicate members, strings that
// are not Unicode, and numbers beyond a double are errors. Its depth may be
// 1,000 at most, because sorting copies what is inside an object.
func Transform(data []byte) ([]byte, error) {
	r := NewReader(data)
	if k := r.Kind(); k != Object && k != Array {
		return nil, r.unexpected("an object or an array")
	}
	out, err := r.transform(make([]byte, 0, len(data)))
	if err != nil {
		return nil, err
	}
	if r.lossy {
		return nil, errors.New("canonical JSON: a string is not Unicode")
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	return out, nil
}

func (r *Reader) transform(dst []byte) ([]byte, error) {
	if r.depth >= maxTransformDepth {
		return nil, r.fail("nested too deep")
	}
	switch r.Kind() {
	case Object:
		return r.transformObject(dst)
	case Array:
		dst = append(dst, '[')
		first := true
		err := r.Array(func() (err error) {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst, err = r.transform(dst)
			return err
		})
		return append(dst, ']'), err
	case String:
		s, err := r.String()
		return AppendString(dst, s), err
	case Number:
		text, err := r.Raw()
		if err != nil {
			return nil, err
		}
		f, err := strconv.ParseFloat(string(text), 64)
		if err != nil {
			return nil, r.fail(fmt.Sprintf("number %s is out of range", text))
		}
		return AppendNumber(dst, f), nil
	}
	text, err := r.Raw() // true, false, null
	return append(dst, text...), err
}

func (r *Reader) transformObject(dst []byte) ([]byte, error) {
	type member struct{ name, value []byte }
	var members []member
	var buf []byte // the values, one after the other
	err := r.Object(func(name []byte) (err error) {
		start := len(buf)
		if buf, err = r.transform(buf); err != nil {
			return err
		}
		members = append(members, member{name, buf[start:]})
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(members, func(a, b member) int { return compareUTF16(a.name, b.name) })
	dst = append(dst, '{')
	for i, m := range members {
		if i > 0 {
			if bytes.Equal(m.name, members[i-1].name) {
				return nil, r.fail(fmt.Sprintf("duplicate member %q", m.name))
			}
			dst = append(dst, ',')
		}
		dst = AppendString(dst, m.name)
		dst = append(dst, ':')
		dst = append(dst, m.value...)
	}
	return append(dst, '}'), nil
}

// compareUTF16 compares two strings by their UTF-16 code units. That is the
// order of the code points, but for those of two units, which start with a
// surrogate and so come before U+E000.
func compareUTF16(a, b []byte) int {
	for len(a) > 0 && len(b) > 0 {
		ca, na := utf8.DecodeRune(a)
		cb, nb := utf8.DecodeRune(b)
		if ca != cb {
			if ca >= 0x10000 && cb < 0x10000 && cb >= 0xe000 {
				return -1
			}
			if cb >= 0x10000 && ca < 0x10000 && ca >= 0xe000 {
				return 1
			}
			return int(ca) - int(cb)
		}
		a, b = a[na:], b[nb:]
	}
	return len(a) - len(b)
}

// AppendNumber appends f as ECMAScript writes it. f must be finite.
func AppendNumber(dst []byte, f float64) []byte {
	if f == 0 { // or -0
		return append(dst, '0')
	}
	format := byte('f')
	if a := math.Abs(f); a >= 1e21 || a < 1e-6 {
		format = 'e'
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, format, -1, 64)
	// Go writes two digits of exponent, ECMAScript as few as there are.
	if i := bytes.IndexByte(dst[start:], 'e'); i >= 0 && dst[start+i+2] == '0' {
		dst = slices.Delete(dst, start+i+2, start+i+3)
	}
	return dst
}

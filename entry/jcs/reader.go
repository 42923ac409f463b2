// Package jcs reads JSON without building a tree of it, and writes JSON in the
// canonical form of RFC 8785.
package jcs

import "fmt"

// MaxDepth is how deep objects and arrays may be nested, the same as in
// encoding/json.
const MaxDepth = 10000

// A SyntaxError is a text that is not JSON.
type SyntaxError struct {
	Offset int // in bytes
	Text   string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("invalid JSON at byte %d: %s", e.Offset, e.Text)
}

// A Reader reads a JSON text value by value. It agrees with encoding/json on
// what is JSON and on the content of strings.
//
// After an error a Reader is of no more use.
type Reader struct {
	data  []byte
	pos   int
	depth int
	lossy bool // some string had something that is not Unicode
}

// NewReader reads data, which must not change as long as results are in use.
func NewReader(data []byte) *Reader { return &Reader{data: data} }

func (r *Reader) fail(text string) error { return &SyntaxError{Offset: r.pos, Text: text} }

// unexpected is the error for a byte that can't be here, or the end.
func (r *Reader) unexpected(want string) error {
	if r.pos >= len(r.data) {
		return r.fail("unexpected end, want " + want)
	}
	return r.fail(fmt.Sprintf("unexpected %q, want %s", r.data[r.pos], want))
}

// peek skips white space and returns the next byte, 0 at the end.
func (r *Reader) peek() byte {
	for r.pos < len(r.data) {
		c := r.data[r.pos]
		if c > ' ' || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
		r.pos++
	}
	return 0
}

// A Kind is a type of JSON value.
type Kind byte

// The kinds. Invalid stands for the end of the text as well.
const (
	Invalid Kind = iota
	Object
	Array
	String
	Number
	Bool
	Null
)

func (k Kind) String() string {
	return [...]string{"nothing", "object", "array", "string", "number", "boolean", "null"}[k]
}

// Kind returns the kind of the next value, by its first byte, without reading it.
func (r *Reader) Kind() Kind {
	switch c := r.peek(); {
	case c == '{':
		return Object
	case c == '[':
		return Array
	case c == '"':
		return String
	case c == '-' || '0' <= c && c <= '9':
		return Number
	case c == 't' || c == 'f':
		return Bool
	case c == 'n':
		return Null
	}
	return Invalid
}

// End checks that nothing but white space follows.
func (r *Reader) End() error {
	if r.peek(); r.pos < len(r.data) {
		return r.unexpected("the end")
	}
	return nil
}

func (r *Reader) enter() error {
	if r.depth++; r.depth > MaxDepth {
		return r.fail("nested too deep")
	}
	r.pos++
	return nil
}

// Object reads an object. It calls member for each name, in the order of the
// text, to read the value; a value that member does not begin to read is
// skipped. The name is good until member returns.
func (r *Reader) Object(member func(name []byte) error) error {
	if r.peek() != '{' {
		return r.unexpected("an object")
	}
	if err := r.enter(); err != nil {
		return err
	}
	for first := true; ; first = false {
		switch c := r.peek(); {
		case c == '}':
			if !first { // after a comma
				return r.unexpected("a member")
			}
			r.pos++
			r.depth--
			return nil
		case c != '"':
			return r.unexpected("a member")
		}
		name, err := r.String()
		if err != nil {
			return err
		}
		if r.peek() != ':' {
			return r.unexpected("a colon")
		}
		r.pos++
		if err := r.value(func() error { return member(name) }); err != nil {
			return err
		}
		switch r.peek() {
		case ',':
			r.pos++
		case '}':
			r.pos++
			r.depth--
			return nil
		default:
			return r.unexpected("a comma or the end of the object")
		}
	}
}

// Array reads an array. It calls element for each element, to read it; an
// element that it does not begin to read is skipped.
func (r *Reader) Array(element func() error) error {
	if r.peek() != '[' {
		return r.unexpected("an array")
	}
	if err := r.enter(); err != nil {
		return err
	}
	if r.peek() == ']' {
		r.pos++
		r.depth--
		return nil
	}
	for {
		if err := r.value(element); err != nil {
			return err
		}
		switch r.peek() {
		case ',':
			r.pos++
		case ']':
			r.pos++
			r.depth--
			return nil
		default:
			return r.unexpected("a comma or the end of the array")
		}
	}
}

func (r *Reader) value(read func() error) error {
	r.peek()
	start := r.pos
	if err := read(); err != nil {
		return err
	}
	if r.pos == start {
		return r.Skip()
	}
	return nil
}

// String reads a string and returns its content in UTF-8. The result is never
// nil and may be part of the text. Bytes that are not UTF-8 and lone
// surrogates become U+FFFD.
func (r *Reader) String() ([]byte, error) {
	if r.peek() != '"' {
		return nil, r.unexpected("a string")
	}
	start := r.pos + 1
	plain, err := r.skipString()
	if err != nil {
		return nil, err
	}
	s := r.data[start : r.pos-1 : r.pos-1]
	if !plain {
		var lossy bool
		s, lossy = unquote(s)
		r.lossy = r.lossy || lossy
	}
	return s, nil
}

// Raw reads any value and returns its text.
func (r *Reader) Raw() ([]byte, error) {
	r.peek()
	start := r.pos
	if err := r.Skip(); err != nil {
		return nil, err
	}
	return r.data[start:r.pos:r.pos], nil
}

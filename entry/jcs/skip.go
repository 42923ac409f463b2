package jcs

import "encoding/binary"

// Skip reads any value and forgets it. It needs no stack of its own beyond a
// byte for each level.
func (r *Reader) Skip() error {
	var buf [64]byte
	open := buf[:0] // closing brackets to come
	for {
		// 1. A value, or the start of one.
		switch c := r.peek(); {
		case c == '{' || c == '[':
			if r.depth+len(open) >= MaxDepth {
				return r.fail("nested too deep")
			}
			r.pos++
			open = append(open, c+2) // '{'+2 is '}', '['+2 is ']'
			if r.peek() == c+2 {
				break // an empty one, closed below
			}
			if c == '{' {
				if err := r.skipName(); err != nil {
					return err
				}
			}
			continue
		case c == '"':
			if _, err := r.skipString(); err != nil {
				return err
			}
		case c == '-' || '0' <= c && c <= '9':
			if err := r.skipNumber(); err != nil {
				return err
			}
		case c == 't':
			if err := r.skipLiteral("true"); err != nil {
				return err
			}
		case c == 'f':
			if err := r.skipLiteral("false"); err != nil {
				return err
			}
		case c == 'n':
			if err := r.skipLiteral("null"); err != nil {
				return err
			}
		default:
			return r.unexpected("a value")
		}
		// 2. What closes after it, up to the next comma.
		for {
			if len(open) == 0 {
				return nil
			}
			closing := open[len(open)-1]
			c := r.peek()
			if c == closing {
				r.pos++
				open = open[:len(open)-1]
				continue
			}
			if c != ',' {
				return r.unexpected("a comma or " + string(closing))
			}
			r.pos++
			if closing == '}' {
				r.peek()
				if err := r.skipName(); err != nil {
					return err
				}
			}
			break
		}
	}
}

// skipName reads a member's name and the colon.
func (r *Reader) skipName() error {
	if r.peek() != '"' {
		return r.unexpected("a member")
	}
	if _, err := r.skipString(); err != nil {
		return err
	}
	if r.peek() != ':' {
		return r.unexpected("a colon")
	}
	r.pos++
	return nil
}

func (r *Reader) skipLiteral(s string) error {
	for i := range len(s) {
		if r.pos >= len(r.data) || r.data[r.pos] != s[i] {
			return r.unexpected(s)
		}
		r.pos++
	}
	return nil
}

// skipNumber reads -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func (r *Reader) skipNumber() error {
	at := func() byte {
		if r.pos < len(r.data) {
			return r.data[r.pos]
		}
		return 0
	}
	digits := func() error {
		if c := at(); c < '0' || c > '9' {
			return r.unexpected("a digit")
		}
		for c := at(); '0' <= c && c <= '9'; c = at() {
			r.pos++
		}
		return nil
	}
	if at() == '-' {
		r.pos++
	}
	if at() == '0' {
		r.pos++
	} else if err := digits(); err != nil {
		return err
	}
	if at() == '.' {
		r.pos++
		if err := digits(); err != nil {
			return err
		}
	}
	if c := at(); c == 'e' || c == 'E' {
		r.pos++
		if c := at(); c == '+' || c == '-' {
			r.pos++
		}
		return digits()
	}
	return nil
}

// skipString reads a string from its opening quote on. plain means that the
// content is the text between the quotes: ASCII without escapes.
func (r *Reader) skipString() (plain bool, err error) {
	const (
		ones = 0x0101010101010101
		high = 0x80 * ones
	)
	r.pos++
	plain = true
	for {
		// Eight bytes at a time as long as none is a quote, a backslash, a
		// control character or beyond ASCII. The tests may see too much, but
		// never too little.
		for r.pos+8 <= len(r.data) {
			w := binary.LittleEndian.Uint64(r.data[r.pos:])
			quote, back := w^('"'*ones), w^('\\'*ones)
			if (w|(w-0x20*ones)|(quote-ones)|(back-ones))&high != 0 {
				break
			}
			r.pos += 8
		}
		for i := 0; ; i++ {
			if r.pos >= len(r.data) {
				return false, r.unexpected("the end of a string")
			}
			if i == 8 {
				break
			}
			switch c := r.data[r.pos]; {
			case c == '"':
				r.pos++
				return plain, nil
			case c == '\\':
				plain = false
				if err := r.skipEscape(); err != nil {
					return false, err
				}
			case c < ' ':
				return false, r.unexpected("an escape")
			case c >= 0x80:
				plain = false
				r.pos++
			default:
				r.pos++
			}
		}
	}
}

func (r *Reader) skipEscape() error {
	r.pos++
	if r.pos >= len(r.data) {
		return r.unexpected("an escape")
	}
	switch r.data[r.pos] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		r.pos++
		return nil
	case 'u':
		r.pos++
		for range 4 {
			if r.pos >= len(r.data) || unhex(r.data[r.pos]) < 0 {
				return r.unexpected("a hexadecimal digit")
			}
			r.pos++
		}
		return nil
	}
	return r.unexpected("an escape")
}

func unhex(c byte) rune {
	switch {
	case '0' <= c && c <= '9':
		return rune(c - '0')
	case 'a' <= c && c <= 'f':
		return rune(c - 'a' + 10)
	case 'A' <= c && c <= 'F':
		return rune(c - 'A' + 10)
	}
	return -1
}

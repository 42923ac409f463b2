package jcs

import (
	"unicode/utf16"
	"unicode/utf8"
)

// unquote decodes the inside of a string that skipString has read. lossy
// means that something was replaced by U+FFFD.
func unquote(s []byte) (out []byte, lossy bool) {
	out = make([]byte, 0, len(s))
	for len(s) > 0 {
		switch c := s[0]; {
		case c == '\\' && s[1] == 'u':
			c, size := unicodeEscape(s)
			if size == 0 {
				c, size, lossy = utf8.RuneError, 6, true
			}
			out = utf8.AppendRune(out, c)
			s = s[size:]
		case c == '\\':
			out = append(out, unescape(s[1]))
			s = s[2:]
		case c < utf8.RuneSelf:
			out = append(out, c)
			s = s[1:]
		default:
			c, size := utf8.DecodeRune(s)
			if c == utf8.RuneError && size == 1 {
				lossy = true
			}
			out = utf8.AppendRune(out, c)
			s = s[size:]
		}
	}
	return out, lossy
}

// unicodeEscape decodes \uXXXX or a pair of them at the start of s. The size
// is 0 for a surrogate alone.
func unicodeEscape(s []byte) (c rune, size int) {
	c = hex4(s[2:])
	if !utf16.IsSurrogate(c) {
		return c, 6
	}
	if len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
		if c = utf16.DecodeRune(c, hex4(s[8:])); c != utf8.RuneError {
			return c, 12
		}
	}
	return 0, 0
}

func hex4(s []byte) rune {
	return unhex(s[0])<<12 | unhex(s[1])<<8 | unhex(s[2])<<4 | unhex(s[3])
}

func unescape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// AppendString appends s as a canonical string: only quotes, backslashes and
// control characters are escaped. s must be UTF-8.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

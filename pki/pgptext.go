package pki

import "io"

// A textReader ends lines with CR LF, as text is signed. The library would do
// it, but hashes line by line then.
type textReader struct {
	r   io.Reader
	cr  bool // the last byte was a CR that can be followed by its LF
	buf [16 << 10]byte
}

func (t *textReader) Read(p []byte) (int, error) {
	if len(p) < 2 {
		return 0, io.ErrShortBuffer
	}
	n, err := t.r.Read(t.buf[:min(len(t.buf), len(p)/2)])
	m := 0
	for _, c := range t.buf[:n] {
		if c == '\n' && !t.cr {
			p[m] = '\r'
			m++
		}
		p[m] = c
		m++
		t.cr = c == '\r' && !t.cr // of two CR, the second is not looked at
	}
	return m, err
}

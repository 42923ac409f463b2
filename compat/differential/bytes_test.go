package differential

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"slices"
	"strings"
)

func unbase64(s string) ([]byte, bool) {
	b, err := base64.StdEncoding.DecodeString(s)
	return b, err == nil && len(b) > 0
}

func tobase64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// changeString changes a string, or what it is the encoding of. donor is the
// string that another proposal has in its place, "" for none.
func (m *mutator) changeString(s, donor string) any {
	if b, ok := unbase64(s); ok && len(b) > 8 && !m.oneIn(4) {
		d, _ := unbase64(donor)
		return tobase64(m.changeBytes(b, d))
	}
	if v, ok := decode([]byte(s)); ok && strings.HasPrefix(s, "{") && !m.oneIn(4) {
		d, _ := decode([]byte(donor))
		var b bytes.Buffer
		m.write(&b, m.change(v, d))
		return b.String()
	}
	switch m.IntN(9) {
	case 0:
		return strings.ToUpper(s)
	case 1:
		return s + pick(m, []string{"\n", " ", "\r\n", "=", "A", s})
	case 2:
		return pick(m, []string{" ", "\n", "\ufeff", "text\n", "sha256:"}) + s
	case 3:
		return strings.NewReplacer("+", "-", "/", "_").Replace(s)
	case 4:
		return strings.TrimRight(s, "=")
	case 5, 6:
		if len(s) > 0 {
			i := m.IntN(len(s))
			return s[:i] + pick(m, []string{"\r\n", "", "=", "A", "é", "\x00", " "}) + s[i+m.IntN(2):]
		}
	case 7:
		return strings.ToLower(s)
	}
	return m.spare()
}

// changeBytes changes content by what it looks like.
func (m *mutator) changeBytes(b, donor []byte) []byte {
	if m.oneIn(12) {
		return m.flip(b)
	}
	switch {
	case bytes.Contains(b, []byte("-----BEGIN PGP")):
		return m.changeArmor(b, donor)
	case bytes.Contains(b, []byte("-----BEGIN SSH")):
		return m.changeBlock(b)
	case bytes.Contains(b, []byte("-----BEGIN")):
		return m.changePEM(b)
	case b[0] == '{':
		if v, ok := decode(b); ok {
			d, _ := decode(donor)
			var t bytes.Buffer
			m.write(&t, m.change(v, d))
			return t.Bytes()
		}
	case bytes.HasPrefix(b, []byte("\x1f\x8b")):
		return m.changeAPK(b)
	case bytes.HasPrefix(b, []byte("PK\x03\x04")):
		return m.changeZip(b)
	case bytes.HasPrefix(b, []byte("\xed\xab\xee\xdb")):
		return m.changeRPM(b)
	case bytes.HasPrefix(b, []byte("untrusted comment:")):
		return m.changeLines(b)
	}
	if inner, ok := unbase64(string(b)); ok && len(inner) > 8 { // base64 twice
		d, _ := unbase64(string(donor))
		return []byte(tobase64(m.changeBytes(inner, d)))
	}
	if p := packets(b); len(p) > 0 && m.oneIn(2) {
		return m.changePackets(b, donor)
	}
	return m.flip(b)
}

// flip changes a few bytes of binary data, more often those at its start.
func (m *mutator) flip(b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + m.IntN(2) {
		if len(b) == 0 {
			return []byte{0}
		}
		i := m.IntN(len(b))
		if m.oneIn(2) {
			i %= 200
		}
		switch m.IntN(8) {
		case 0, 1:
			b[i] ^= 1 << m.IntN(8)
		case 2:
			b[i] = byte(m.IntN(256))
		case 3:
			b = slices.Delete(b, i, min(len(b), i+1+m.IntN(4)))
		case 4:
			b = slices.Insert(b, i, byte(m.IntN(256)))
		case 5:
			b = append(b, byte(m.IntN(2)*7))
		case 6:
			b[i] += byte(m.IntN(3)) - 1
		case 7:
			b = b[:i]
		}
	}
	return b
}

// changePEM changes text with PEM blocks.
func (m *mutator) changePEM(b []byte) []byte {
	p, other := string(b), string(b)
	if len(m.pems) > 0 {
		other = pick(m, m.pems)
	}
	switch m.IntN(15) {
	case 0:
		p += other
	case 1:
		p = other + p
	case 2:
		p += "\n\n" + other
	case 3:
		p += "text\n"
	case 4:
		p = "text\n" + p
	case 5:
		p = strings.ReplaceAll(p, "\n", "\r\n")
	case 6:
		p = strings.TrimSpace(p)
	case 7:
		p = " \t\n" + p + "\u00a0 \n"
	case 8:
		p = strings.ReplaceAll(p, "-----BEGIN CERTIFICATE", "-----BEGIN X509 CERTIFICATE")
	case 9:
		p = strings.ReplaceAll(p, "PUBLIC KEY", "CERTIFICATE")
	case 10:
		p = strings.Replace(p, "-----\n", "-----\nA: b\n\n", 1)
	case 11:
		return m.changeBlock(b)
	case 12:
		parts := strings.SplitAfter(p, "-----END CERTIFICATE-----\n")
		m.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		p = strings.Join(parts, "")
	default:
		return []byte(other)
	}
	return []byte(p)
}

// changeBlock changes what is in a PEM block.
func (m *mutator) changeBlock(b []byte) []byte {
	block, rest := pem.Decode(b)
	if block == nil {
		return m.flip(b)
	}
	block.Bytes = m.flip(block.Bytes)
	return append(pem.EncodeToMemory(block), rest...)
}

// changeLines changes a text of which each line says something.
func (m *mutator) changeLines(b []byte) []byte {
	lines := strings.SplitAfter(string(b), "\n")
	i := m.IntN(len(lines))
	switch m.IntN(5) {
	case 0:
		lines = slices.Delete(lines, i, i+1)
	case 1:
		lines = slices.Insert(lines, i, "\n")
	case 2:
		lines[i] = strings.Replace(lines[i], "\n", "\r\n", 1)
	case 3:
		lines[i] = "x" + lines[i]
	case 4:
		if raw, ok := unbase64(strings.TrimSpace(lines[i])); ok {
			lines[i] = tobase64(m.flip(raw)) + "\n"
		}
	}
	return []byte(strings.Join(lines, ""))
}

package differential

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// A mutator changes proposals of one kind at random.
type mutator struct {
	*rand.Rand
	seeds []map[string]any // proposals
	pool  []any            // all values in them, to put where they do not belong
	pems  []string         // that are in them
	keys  *keys
}

// oneIn is true in one of n cases.
func (m *mutator) oneIn(n int) bool { return m.IntN(n) == 0 }

func pick[T any](m *mutator, from []T) T { return from[m.IntN(len(from))] }

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		c := make(map[string]any, len(v))
		for k, e := range v {
			c[k] = clone(e)
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i, e := range v {
			c[i] = clone(e)
		}
		return c
	}
	return v
}

// spare is a value that is not what was there.
func (m *mutator) spare() any {
	if m.oneIn(2) {
		return clone(pick(m, m.pool))
	}
	return clone(pick(m, []any{nil, "", "x", 5.0, -1.5, true, "sha256", "eA==", "0.0.1", map[string]any{}, []any{}, []any{nil}}))
}

// change returns v with one thing in it changed. donor is what another
// proposal has in its place.
func (m *mutator) change(v, donor any) any {
	if donor != nil && m.oneIn(8) {
		return clone(donor)
	}
	switch v := v.(type) {
	case map[string]any:
		return m.changeObject(v, donor)
	case []any:
		return m.changeArray(v, donor)
	case string:
		if s, ok := donor.(string); ok {
			return m.changeString(v, s)
		}
		return m.changeString(v, "")
	}
	return m.spare()
}

func (m *mutator) changeObject(v map[string]any, donor any) any {
	if len(v) == 0 || m.oneIn(30) {
		return m.spare()
	}
	other, _ := donor.(map[string]any)
	name := pick(m, slices.Sorted(maps.Keys(v)))
	switch m.IntN(20) {
	case 0:
		delete(v, name)
	case 1:
		v[strings.ToUpper(name)] = v[name]
		if m.oneIn(2) {
			delete(v, name)
		}
	case 2:
		v["extra"] = m.spare()
	case 3:
		v[pick(m, []string{"hash", "payloadHash", "envelopeHash", "signatures", "signature", "content", "keyid", "envelope", "url", "publicKey", "format"})] = m.spare()
	default:
		v[name] = m.change(v[name], other[name])
	}
	return v
}

func (m *mutator) changeArray(v []any, donor any) any {
	if len(v) == 0 || m.oneIn(30) {
		return m.spare()
	}
	other, _ := donor.([]any)
	i := m.IntN(len(v))
	switch m.IntN(8) {
	case 0:
		return slices.Delete(v, i, i+1)
	case 1:
		return append(v, clone(v[i]))
	case 2:
		return slices.Insert(v, i, m.spare())
	case 3:
		j := m.IntN(len(v))
		v[i], v[j] = v[j], v[i]
	case 4:
		if len(other) > 0 {
			return append(v, clone(pick(m, other)))
		}
	default:
		var d any
		if i < len(other) {
			d = other[i]
		}
		v[i] = m.change(v[i], d)
	}
	return v
}

// write writes JSON with the members in any order, spaced anyhow, now and then
// a member twice and characters escaped.
func (m *mutator) write(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case map[string]any:
		names := slices.Sorted(maps.Keys(v))
		m.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		b.WriteByte('{')
		for i, name := range names {
			if i > 0 {
				b.WriteByte(',')
			}
			if m.oneIn(40) {
				m.writeString(b, name)
				b.WriteString(": ")
				m.write(b, m.spare())
				b.WriteString(" ,\n")
			}
			m.writeString(b, name)
			b.WriteByte(':')
			m.write(b, v[name])
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			m.write(b, e)
		}
		b.WriteByte(']')
	case string:
		m.writeString(b, v)
	default:
		b.Write(encode(v))
	}
}

func (m *mutator) writeString(b *bytes.Buffer, s string) {
	j := encode(s)
	switch {
	case m.oneIn(60):
		odd := pick(m, []string{"\xff", `\ud800`, `\u00e9`, `\/`, `\n`, `\ud83d\ude00`, "\xe2\x82", "\u2028", `\u0000`})
		i := 1
		if m.oneIn(2) {
			i = len(j) - 1
		}
		j = slices.Concat(j[:i], []byte(odd), j[i:])
	case m.oneIn(30) && len(j) > 4 && j[1] >= 'A' && j[1] <= 'z' && j[1] != '\\':
		j = slices.Concat(fmt.Appendf(nil, `"\u%04X`, j[1]), j[2:])
	}
	b.Write(j)
}

// encode writes JSON as it comes. What is encoded here always can be.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// decode reads JSON, and tells whether it is any.
func decode(text []byte) (v any, ok bool) {
	return v, json.Unmarshal(text, &v) == nil
}

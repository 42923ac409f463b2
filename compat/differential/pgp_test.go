package differential

import (
	"bytes"
	"io"
	"slices"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// packets returns the packets of an OpenPGP message, nil if it is none.
func packets(b []byte) (out [][]byte) {
	if len(b) == 0 || b[0]&0x80 == 0 {
		return nil
	}
	r := packet.NewOpaqueReader(bytes.NewReader(b))
	for {
		p, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			return nil
		}
		var w bytes.Buffer
		if err := p.Serialize(&w); err != nil {
			return nil
		}
		out = append(out, w.Bytes())
	}
}

// unarmor returns what is in the first block of armor and its type.
func unarmor(b []byte) (string, []byte) {
	block, err := armor.Decode(bytes.NewReader(b))
	if err != nil {
		return "", nil
	}
	raw, err := io.ReadAll(block.Body)
	if err != nil {
		return "", nil
	}
	return block.Type, raw
}

func toArmor(blockType string, b []byte) []byte {
	var out bytes.Buffer
	w, err := armor.Encode(&out, blockType, nil)
	if err == nil {
		_, err = w.Write(b)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // a buffer takes everything
	}
	return out.Bytes()
}

// changeArmor changes armor, or the packets in it.
func (m *mutator) changeArmor(b, donor []byte) []byte {
	blockType, raw := unarmor(b)
	if raw == nil || m.oneIn(5) {
		return m.changePEM(b)
	}
	_, other := unarmor(donor)
	if other == nil {
		other = donor
	}
	raw = m.changePackets(raw, other)
	if m.oneIn(3) {
		return raw
	}
	return toArmor(blockType, raw)
}

// changePackets loses, doubles, moves and changes packets, and takes some of
// another message.
func (m *mutator) changePackets(b, donor []byte) []byte {
	p, others := packets(b), packets(donor)
	if len(p) == 0 {
		return m.flip(b)
	}
	i, j := m.IntN(len(p)), m.IntN(len(p))
	switch m.IntN(9) {
	case 0:
		p = slices.Delete(p, i, i+1)
	case 1:
		p = slices.Insert(p, i, p[j])
	case 2:
		p[i], p[j] = p[j], p[i]
	case 3:
		if len(others) > 0 {
			p = slices.Insert(p, i, pick(m, others))
		}
	case 4:
		p = append(p, others...)
	case 5:
		p = append(slices.Clone(others), p...)
	case 6:
		p = p[:i]
	case 7:
		p = append(p, []byte{byte(m.IntN(256))})
	case 8:
		p[i] = m.flip(p[i])
	}
	return slices.Concat(p...)
}

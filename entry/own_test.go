package entry

import (
	"bytes"
	"testing"
)

// TestResultIsItsOwn overwrites proposals after the check: a log keeps bodies
// and attestations, while the memory of the request is used again.
func TestResultIsItsOwn(t *testing.T) {
	t.Parallel()
	for _, k := range proposable() {
		checked := 0
		for _, v := range vectors(t, k) {
			p, err := ParseProposal(v.body())
			if err != nil {
				continue
			}
			p.Spec = bytes.Clone(p.Spec)
			c, err := Check(p, Options{})
			if err != nil {
				continue
			}
			checked++
			body, attachment, terms := bytes.Clone(c.Body), bytes.Clone(c.Attachment), append([]string(nil), c.Terms...)
			for i := range p.Spec {
				p.Spec[i] = 'x'
			}
			if !bytes.Equal(body, c.Body) || !bytes.Equal(attachment, c.Attachment) {
				t.Errorf("%s %s: %s: the result changes with the proposal", k.Kind, k.Version, v.Name)
			}
			for i := range terms {
				if terms[i] != c.Terms[i] {
					t.Errorf("%s %s: %s: a term changes with the proposal", k.Kind, k.Version, v.Name)
				}
			}
		}
		if checked == 0 {
			t.Errorf("%s %s: no vector is accepted", k.Kind, k.Version)
		}
	}
}

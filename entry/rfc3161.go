package entry

import (
	"errors"
	"fmt"

	"github.com/cairnlog/cairn/entry/jcs"
)

// A rfc3161 is the answer of a time-stamping authority,
// https://www.rfc-editor.org/rfc/rfc3161. It is stored as it is.
type rfc3161 struct {
	hasResponse bool
	response    []byte // base64 of DER
}

func (s *rfc3161) member(r *jcs.Reader, name []byte) error {
	if string(name) != "tsr" {
		return nil
	}
	s.response = nil
	return readObject(r, &s.hasResponse, func(name []byte) error {
		if string(name) == "content" {
			return readString(r, &s.response)
		}
		return nil
	})
}

func checkRFC3161(spec []byte, _ Options) (*Checked, error) {
	// 1. Read.
	var s rfc3161
	if err := readSpec(spec, s.member); err != nil {
		return nil, err
	}
	response, err := decode(s.response)
	switch {
	case err != nil:
		return nil, fmt.Errorf("failed parsing base64 data for tsr content: %w", err)
	case !s.hasResponse:
		return nil, problems("tsr in body is required")
	case len(s.response) == 0:
		return nil, problems("tsr.tsr.content in body is required")
	case len(response.raw) == 0:
		return nil, errors.New("'content' must be specified for data")
	}

	// 2. Verify.
	if err := verifyTimestamp(response.raw); err != nil {
		return nil, err
	}

	// 3. Canonicalise.
	b := make([]byte, 0, 100+len(response.text))
	b = append(b, `{"apiVersion":"0.0.1","kind":"rfc3161","spec":{"tsr":{"content":"`...)
	b = append(b, response.text...)
	b = append(b, `"}}}`...)
	artifact := "sha256:" + digest(response.raw)
	return &Checked{Body: b, Terms: []string{artifact}, Artifact: artifact}, nil
}

// NewRFC3161 proposes the answer of a time-stamping authority, in DER.
func NewRFC3161(response []byte) Proposal {
	return propose("rfc3161", "0.0.1", map[string]any{"tsr": map[string]any{"content": response}})
}

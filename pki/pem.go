package pki

import (
	"bytes"
	"encoding/base64"
	"slices"
)

const (
	pemKey  = "PUBLIC KEY"
	pemCert = "CERTIFICATE"

	// pemLine is the width of a canonical line, which holds 48 bytes.
	pemLine = 64
)

// canonicalPEM returns the DER inside text if text is exactly what encoding
// it again would give: one block of the given type, no headers, lines of 64
// characters, one final newline. Most clients send that, and then no second
// encoding is needed.
func canonicalPEM(text []byte, blockType string) (der []byte, ok bool) {
	text, ok = bytes.CutPrefix(text, []byte("-----BEGIN "+blockType+"-----\n"))
	if !ok {
		return nil, false
	}
	text, ok = bytes.CutSuffix(text, []byte("\n-----END "+blockType+"-----\n"))
	if !ok {
		return nil, false
	}
	der = make([]byte, 0, base64.StdEncoding.DecodedLen(len(text)))
	for len(text) > pemLine {
		if text[pemLine] != '\n' {
			return nil, false
		}
		if der, ok = appendLine(der, text[:pemLine]); !ok || len(der)%48 != 0 {
			return nil, false
		}
		text = text[pemLine+1:]
	}
	if der, ok = appendLine(der, text); !ok || len(text) == 0 {
		return nil, false
	}
	return der, true
}

// appendLine decodes one line of base64 without line breaks, padded as needed
// and with zero bits under the padding.
func appendLine(der, line []byte) ([]byte, bool) {
	if bytes.IndexByte(line, '\n') >= 0 || bytes.IndexByte(line, '\r') >= 0 {
		return nil, false
	}
	der, err := base64.StdEncoding.Strict().AppendDecode(der, line)
	return der, err == nil
}

// appendPEM appends the canonical block for der, which is what encoding/pem
// makes of it, in one allocation.
func appendPEM(dst, der []byte, blockType string) []byte {
	const line = pemLine / 4 * 3 // bytes
	text := base64.StdEncoding.EncodedLen(len(der))
	dst = slices.Grow(dst, text+text/pemLine+2*len(blockType)+len("-----BEGIN -----\n\n-----END -----\n"))
	dst = append(append(append(dst, "-----BEGIN "...), blockType...), "-----\n"...)
	for len(der) > 0 {
		n := min(line, len(der))
		dst = append(base64.StdEncoding.AppendEncode(dst, der[:n]), '\n')
		der = der[n:]
	}
	return append(append(append(dst, "-----END "...), blockType...), "-----\n"...)
}

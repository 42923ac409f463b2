package pki

import (
	"bytes"
	"encoding/base64"
)

// Format returns the format that a key is plainly in, by its form, as Parse
// calls it; "" where it is not plain. Whether the key can be read is not said.
func Format(key []byte) string {
	if _, rest, ok := bytes.Cut(key, []byte("-----BEGIN ")); ok {
		label, _, _ := bytes.Cut(rest, []byte("-----"))
		switch {
		case bytes.HasPrefix(label, []byte("PGP ")):
			return "pgp"
		case string(label) == "PKCS7":
			return "pkcs7"
		case bytes.HasSuffix(label, []byte("PUBLIC KEY")), bytes.HasSuffix(label, []byte("CERTIFICATE")):
			return "x509"
		}
		return ""
	}
	trimmed := bytes.TrimSpace(key)
	switch {
	case len(trimmed) == 0:
		return ""
	case bytes.HasPrefix(trimmed, []byte("untrusted comment:")), isMinisignLine(trimmed):
		return "minisign"
	case bytes.IndexByte([]byte{0x98, 0x99, 0x9a, 0xc6}, key[0]) >= 0: // a packet with a public key, RFC 9580, 4.2
		return "pgp"
	case key[0] == 0x30: // a sequence in DER
		if _, err := parsePKCS7(key); err == nil {
			return "pkcs7"
		}
		return ""
	case trimmed[0] == '{':
		if m, err := ParseTUFMetadata(key); err == nil && m.Role != "" {
			return "tuf"
		}
		return ""
	}
	if _, err := ParseSSH(key); err == nil {
		return "ssh"
	}
	return ""
}

// isMinisignLine tells whether line is algorithm, key id and key in base64.
func isMinisignLine(line []byte) bool {
	b, err := base64.StdEncoding.DecodeString(string(line[:min(len(line), 64)]))
	return err == nil && len(b) == 42 && b[0] == 'E'
}

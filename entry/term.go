package entry

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/cairnlog/cairn/pki"
)

// keyHash is what a key is found by: hex SHA-256 of its canonical form.
func keyHash(k pki.Key) string {
	return digest(k.Canonical())
}

// digest returns hex SHA-256.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// HashTerm returns the search term of a digest in hex, with or without
// "sha1:", "sha256:", "sha384:" or "sha512:" before it.
func HashTerm(h string) (string, error) {
	algorithm, value, ok := strings.Cut(h, ":")
	if !ok {
		algorithm, value = "", h
	}
	var want string
	switch len(value) {
	case 40:
		want = "sha1"
	case 64:
		want = "sha256"
	case 96:
		want = "sha384"
	case 128:
		want = "sha512"
	}
	if want == "" || ok && algorithm != want {
		return "", invalid("digest must be hex SHA-1, SHA-256, SHA-384 or SHA-512, with or without its name before a colon")
	}
	if _, err := hex.DecodeString(value); err != nil {
		return "", &Error{Reason: Invalid, Text: "reading the digest", Err: err}
	}
	return want + ":" + strings.ToLower(value), nil
}

// KeyTerms returns the search terms of a public key: some kinds index its
// hash alone, others with "sha256:" before it.
func KeyTerms(format string, content []byte) ([]string, error) {
	k, err := pki.Parse(format, content)
	if err != nil {
		return nil, keyError(err)
	}
	h := keyHash(k)
	return []string{h, "sha256:" + h}, nil
}

func keyError(err error) error {
	var fe *pki.FormatError
	if errors.As(err, &fe) {
		return &Error{Reason: Invalid, Text: err.Error()}
	}
	return &Error{Reason: Invalid, Text: "reading the public key", Err: err}
}

package entry

// HashTerm returns the search term of an artifact hash.
func HashTerm(h string) (string, error) {
	return "", &Error{Reason: Invalid, Text: "not implemented"}
}

// KeyTerms returns the search terms of a public key.
func KeyTerms(format string, content []byte) ([]string, error) {
	return nil, &Error{Reason: Invalid, Text: "not implemented"}
}

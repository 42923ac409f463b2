package api

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	v1 "github.com/cairnlog/cairn/api/v1"
)

const (
	patternUUID   = "^([0-9a-fA-F]{64}|[0-9a-fA-F]{80})$"
	patternNamed  = "^([0-9]{1,19}|[0-9a-fA-F]{64}|[0-9a-fA-F]{80})$"
	patternTreeID = "^[0-9]+$"
	patternHash   = "^(sha512:)?[0-9a-fA-F]{128}$|^(sha384:)?[0-9a-fA-F]{96}$|^(sha256:)?[0-9a-fA-F]{64}$|^(sha1:)?[0-9a-fA-F]{40}$"
)

// lastValue returns the value of a query parameter. If it is repeated the
// last one counts.
func lastValue(r *http.Request, name string) string {
	raw := r.URL.RawQuery
	// The usual query is one parameter that needs no decoding.
	if v, ok := strings.CutPrefix(raw, name); ok && len(v) > 0 && v[0] == '=' && plainValue(v[1:]) {
		return v[1:]
	}
	if raw == "" {
		return ""
	}
	q, _ := url.ParseQuery(raw) // what can be read counts
	values := q[name]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// plainValue says that s has only letters and digits.
func plainValue(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return false
		}
	}
	return true
}

// intParam reads an int64 of at least min from the query. An absent one is
// fallback, or refused if that is less than min.
func intParam(r *http.Request, name string, minimum, fallback int64) (int64, error) {
	s := lastValue(r, name)
	if s == "" {
		if fallback < minimum {
			return 0, required(name, "query")
		}
		return fallback, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, invalid(v1.CodeType, "%s in query must be of type int64: %q", name, s)
	}
	if n < minimum {
		return 0, invalid(v1.CodeMinimum, "%s in query should be greater than or equal to %d", name, minimum)
	}
	return n, nil
}

// treeParam reads treeID from the query: decimal digits, or "" if absent.
func treeParam(r *http.Request) (string, error) {
	s := lastValue(r, "treeID")
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return "", pattern("treeID", "query", patternTreeID)
		}
	}
	return s, nil
}

// isEntryID says that s matches patternUUID.
func isEntryID(s string) bool {
	return (len(s) == 64 || len(s) == 80) && isHex(s)
}

func isHex(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return false
		}
	}
	return true
}

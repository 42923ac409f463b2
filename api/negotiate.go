package api

import (
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

const (
	typeJSON = "application/json"
	typePEM  = "application/x-pem-file"
)

// wantsJSON refuses a request whose Accept header rules JSON out.
func wantsJSON(r *http.Request) error {
	if accept := r.Header["Accept"]; len(accept) == 0 || len(accept) == 1 && (accept[0] == typeJSON || accept[0] == "*/*") {
		return nil
	}
	if negotiate(r.Header["Accept"], typeJSON) == "" {
		return notAcceptable(typeJSON)
	}
	return nil
}

// negotiate returns the offer that the Accept headers like best, the first of
// equals, or "" if they like none. Without a header it is the first.
// https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1
func negotiate(accept []string, offers ...string) string {
	best, bestQ, bestSpecific := "", 0.0, -1
	empty := true
	for _, header := range accept {
		for spec := range strings.SplitSeq(header, ",") {
			mediaRange, params, _ := strings.Cut(spec, ";")
			mediaRange = strings.ToLower(strings.TrimSpace(mediaRange))
			if mediaRange == "" {
				continue
			}
			empty = false
			q := quality(params)
			for _, o := range offers {
				specific := -1
				switch {
				case mediaRange == o:
					specific = 2
				case strings.HasSuffix(mediaRange, "/*") && strings.HasPrefix(o, mediaRange[:len(mediaRange)-1]):
					specific = 1
				case mediaRange == "*/*":
					specific = 0
				}
				if specific < 0 || q == 0 {
					continue
				}
				if q > bestQ || q == bestQ && specific > bestSpecific {
					best, bestQ, bestSpecific = o, q, specific
				}
			}
		}
	}
	if empty {
		return offers[0]
	}
	return best
}

// quality reads q of a media range's parameters; what cannot be read is 1.
func quality(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		if q, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil && q >= 0 && q <= 1 {
			return q
		}
	}
	return 1
}

// isJSON refuses a request whose body is not declared as JSON.
func isJSON(r *http.Request) error {
	header := r.Header.Get("Content-Type")
	if header == typeJSON {
		return nil
	}
	if header == "" {
		return unsupportedMediaType("application/octet-stream")
	}
	mediaType, _, err := mime.ParseMediaType(header)
	if err != nil && mediaType == "" {
		return badMediaType(header, err)
	}
	if !strings.Contains(mediaType, "/") {
		return badMediaType(header, fmt.Errorf("mediatype: malformed: %q has no subtype", mediaType))
	}
	if mediaType != typeJSON {
		return unsupportedMediaType(mediaType)
	}
	return nil
}

package entry

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cairnlog/cairn/entry/jcs"
)

// protocolKinds are the kinds that Rekor v1 knows, whether or not the table
// has them.
var protocolKinds = []string{
	"alpine", "cose", "dsse", "hashedrekord", "helm", "intoto", "jar", "rekord", "rfc3161", "rpm", "tuf",
}

// versionPattern is a semantic version, https://semver.org.
const versionPattern = `^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$`

var semver = regexp.MustCompile(versionPattern)

// ParseProposal reads the envelope of a proposal: kind, version and spec. The
// spec is known to be JSON then, but not looked into. A refusal is an *Error.
//
// Names in the envelope match in any letter case, of several members with one
// name the last counts, others are ignored, and so is what follows the first
// value of body.
func ParseProposal(body []byte) (Proposal, error) {
	r := jcs.NewReader(body)
	switch r.Kind() {
	case jcs.Invalid:
		if r.End() == nil {
			return Proposal{}, required("proposedEntry")
		}
	case jcs.Object, jcs.Null:
	default:
		kind := r.Kind()
		if err := r.Skip(); err != nil {
			return Proposal{}, malformed(err)
		}
		return Proposal{}, malformed(fmt.Errorf("proposed entry must be an object, not a JSON %v", kind))
	}
	var p Proposal
	var hasVersion bool
	var wrong error // the first member of a wrong type; bad JSON comes before
	read := func(name string, dst *string, there *bool) error {
		switch k := r.Kind(); k {
		case jcs.String:
			s, err := r.String()
			*dst, *there = string(s), true
			return err
		case jcs.Null:
			*there = false
		default:
			if wrong == nil {
				wrong = fmt.Errorf("%s in body must be a string, not a JSON %v", name, k)
			}
		}
		return nil
	}
	var err error
	if r.Kind() == jcs.Null {
		err = r.Skip()
	} else {
		err = r.Object(func(name []byte) (err error) {
			switch {
			case strings.EqualFold(string(name), "kind"):
				var there bool // null leaves an earlier kind alone
				return read("kind", &p.Kind, &there)
			case strings.EqualFold(string(name), "apiVersion"):
				return read("apiVersion", &p.APIVersion, &hasVersion)
			case strings.EqualFold(string(name), "spec"):
				p.Spec = nil
				if r.Kind() != jcs.Null {
					p.Spec, err = r.Raw()
				}
			}
			return err
		})
	}
	switch {
	case err != nil:
		return Proposal{}, malformed(err)
	case wrong != nil:
		return Proposal{}, malformed(wrong)
	case p.Kind == "":
		return Proposal{}, required("kind")
	case p.Kind == "ProposedEntry": // the name of the union of all kinds
		return Proposal{}, invalid(`kind "ProposedEntry" stands for any kind, name one`)
	case !slices.Contains(protocolKinds, p.Kind):
		return Proposal{}, &Error{Reason: UnknownKind, Field: "kind", Text: fmt.Sprintf("invalid kind value: %q", p.Kind)}
	case !hasVersion:
		return Proposal{}, required("apiVersion")
	case !semver.MatchString(p.APIVersion):
		return Proposal{}, &Error{Reason: Pattern, Field: "apiVersion", Text: fmt.Sprintf("apiVersion in body should match '%s'", versionPattern)}
	case p.Spec == nil:
		return Proposal{}, required("spec")
	}
	return p, nil
}

func malformed(err error) error {
	return &Error{Reason: Malformed, Text: "reading the proposed entry", Err: err}
}

func required(field string) error {
	return &Error{Reason: Required, Field: field, Text: field + " in body is required"}
}

func invalid(format string, args ...any) error {
	return &Error{Reason: Invalid, Text: fmt.Sprintf(format, args...)}
}

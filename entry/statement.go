package entry

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/cairnlog/cairn/entry/jcs"
)

// inTotoType is the payload type of in-toto statements,
// https://github.com/in-toto/attestation/blob/main/spec/v1/envelope.md
const inTotoType = "application/vnd.in-toto+json"

// maxDigests is the most digests that a statement may have, subjects and
// materials together: each is a search term, and takes a hundred times its
// length while it is read.
const maxDigests = 10_000

// A digestCounter goes through a statement before it is read.
type digestCounter struct {
	r *jcs.Reader
	n int
}

// countDigests refuses statements with too many subjects, materials, or
// digests of them. What is no statement is not its business.
func countDigests(payload []byte) error {
	c := &digestCounter{r: jcs.NewReader(payload)}
	err := c.object(func(name []byte) error {
		switch {
		case is(name, "subject"):
			return c.list()
		case is(name, "predicate"):
			return c.object(func(name []byte) error {
				switch {
				case is(name, "materials"):
					return c.list()
				case is(name, "invocation"):
					return c.member("configSource", func() error { return c.member("digest", c.digests) })
				}
				return nil
			})
		}
		return nil
	})
	if c.n > maxDigests {
		return err
	}
	return nil
}

// is compares names as encoding/json does.
func is(name []byte, want string) bool { return bytes.EqualFold(name, []byte(want)) }

func (c *digestCounter) object(member func(name []byte) error) error {
	if c.r.Kind() != jcs.Object {
		return nil
	}
	return c.r.Object(member)
}

func (c *digestCounter) member(want string, read func() error) error {
	return c.object(func(name []byte) error {
		if is(name, want) {
			return read()
		}
		return nil
	})
}

// list reads subjects or materials.
func (c *digestCounter) list() error {
	if c.r.Kind() != jcs.Array {
		return nil
	}
	return c.r.Array(func() error {
		if err := c.one(); err != nil {
			return err
		}
		return c.member("digest", c.digests)
	})
}

func (c *digestCounter) digests() error {
	return c.object(func([]byte) error { return c.one() })
}

func (c *digestCounter) one() error {
	if c.n++; c.n > maxDigests {
		return invalid("statement has more than %d subjects, materials and digests of them", maxDigests)
	}
	return nil
}

// A digestSet maps algorithms to digests. It is not checked that they are any.
type digestSet map[string]string

func (d digestSet) terms(to []string) []string {
	for algorithm, value := range d {
		to = append(to, algorithm+":"+value)
	}
	return to
}

type subjectsOnly struct {
	Subject []struct {
		Digest digestSet `json:"digest"`
	} `json:"subject"`
}

func (s subjectsOnly) terms() []string {
	var to []string
	for _, s := range s.Subject {
		to = s.Digest.terms(to)
	}
	return to
}

// subjectTerms returns the digests of subjects of an in-toto statement, as kind
// cose indexes them.
func subjectTerms(payload []byte) ([]string, error) {
	if err := countDigests(payload); err != nil {
		return nil, err
	}
	var s subjectsOnly
	if json.Unmarshal(payload, &s) != nil {
		return nil, nil
	}
	return s.terms(), nil
}

// statementTerms returns the digests of subjects and materials of an in-toto
// statement, as kind dsse indexes them: materials of any predicate.
func statementTerms(payload []byte) ([]string, error) {
	if err := countDigests(payload); err != nil {
		return nil, err
	}
	var s struct {
		subjectsOnly
		Predicate json.RawMessage `json:"predicate"`
	}
	if json.Unmarshal(payload, &s) != nil {
		return nil, nil
	}
	to := s.terms()
	var p struct {
		Materials []struct {
			Digest digestSet `json:"digest"`
		} `json:"materials"`
	}
	if json.Unmarshal(s.Predicate, &p) == nil {
		for _, m := range p.Materials {
			to = m.Digest.terms(to)
		}
	}
	return to, nil
}

// provenanceTerms returns the digests of subjects and materials as kind intoto
// indexes them: materials only if all of the statement has the types of SLSA
// provenance 0.2, https://slsa.dev/spec/v0.2/provenance.
func provenanceTerms(payload []byte) ([]string, error) {
	if err := countDigests(payload); err != nil {
		return nil, err
	}
	var s subjectsOnly
	if json.Unmarshal(payload, &s) != nil {
		return nil, nil
	}
	to := s.terms()
	var p provenance
	if json.Unmarshal(payload, &p) == nil {
		for _, m := range p.Predicate.Materials {
			to = m.Digest.terms(to)
		}
	}
	return to, nil
}

// A provenance has a member for each one whose type decides whether a
// statement is SLSA provenance 0.2.
type provenance struct {
	Type          string `json:"_type"`
	PredicateType string `json:"predicateType"`
	Subject       []struct {
		Name   string    `json:"name"`
		Digest digestSet `json:"digest"`
	} `json:"subject"`
	Predicate struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
		BuildType  string `json:"buildType"`
		Invocation struct {
			ConfigSource struct {
				URI        string    `json:"uri"`
				Digest     digestSet `json:"digest"`
				EntryPoint string    `json:"entryPoint"`
			} `json:"configSource"`
		} `json:"invocation"`
		Metadata *struct {
			BuildInvocationID string     `json:"buildInvocationID"`
			BuildStartedOn    *time.Time `json:"buildStartedOn"`
			BuildFinishedOn   *time.Time `json:"buildFinishedOn"`
			Completeness      struct {
				Parameters  bool `json:"parameters"`
				Environment bool `json:"environment"`
				Materials   bool `json:"materials"`
			} `json:"completeness"`
			Reproducible bool `json:"reproducible"`
		} `json:"metadata"`
		Materials []struct {
			URI    string    `json:"uri"`
			Digest digestSet `json:"digest"`
		} `json:"materials"`
	} `json:"predicate"`
}

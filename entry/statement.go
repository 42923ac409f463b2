package entry

import (
	"encoding/json"
	"time"
)

// inTotoType is the payload type of in-toto statements,
// https://github.com/in-toto/attestation/blob/main/spec/v1/envelope.md
const inTotoType = "application/vnd.in-toto+json"

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
func subjectTerms(payload []byte) []string {
	var s subjectsOnly
	if json.Unmarshal(payload, &s) != nil {
		return nil
	}
	return s.terms()
}

// statementTerms returns the digests of subjects and materials of an in-toto
// statement, as kind dsse indexes them: materials of any predicate.
func statementTerms(payload []byte) []string {
	var s struct {
		subjectsOnly
		Predicate json.RawMessage `json:"predicate"`
	}
	if json.Unmarshal(payload, &s) != nil {
		return nil
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
	return to
}

// provenanceTerms returns the digests of subjects and materials as kind intoto
// indexes them: materials only if all of the statement has the types of SLSA
// provenance 0.2, https://slsa.dev/spec/v0.2/provenance.
func provenanceTerms(payload []byte) []string {
	var s subjectsOnly
	if json.Unmarshal(payload, &s) != nil {
		return nil
	}
	to := s.terms()
	var p provenance
	if json.Unmarshal(payload, &p) == nil {
		for _, m := range p.Predicate.Materials {
			to = m.Digest.terms(to)
		}
	}
	return to
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

package client

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/cairnlog/cairn/merkle"
)

// ErrNotFound is in the chain of a *StatusError that says the log has no such entry.
var ErrNotFound = errors.New("the log has no such entry")

// A VerifyError says that something the log sent does not hold.
type VerifyError struct {
	What string // what was verified, such as "inclusion proof"
	Err  error
}

func (e *VerifyError) Error() string { return fmt.Sprintf("verify %s: %v", e.What, e.Err) }
func (e *VerifyError) Unwrap() error { return e.Err }

// A Discord says in what way two checkpoints cannot both be of one log.
type Discord string

const (
	OtherKey     Discord = "it is signed by another key"
	OtherOrigin  Discord = "it is of another log or tree"
	OtherRoot    Discord = "same size, other root: two histories"
	Inconsistent Discord = "the one is not a continuation of the other"
	Shrunken     Discord = "the log has become smaller"
)

// An AlarmError says that the log showed a checkpoint that cannot be from the
// same log as one it showed before. It carries the evidence: two signed texts.
type AlarmError struct {
	URL       string
	Discord   Discord
	Before    Known // what was seen before, with the key it verified by
	Now       []byte
	KeyNow    []byte        // PKIX DER of the key that Now was held against
	Hashes    []merkle.Hash // the consistency proof that failed, if one came
	Underlies error         // what exactly did not hold, may be nil
}

func (e *AlarmError) Error() string {
	s := fmt.Sprintf("%s shows a checkpoint that does not agree with the one seen before: %s", e.URL, e.Discord)
	if e.Underlies != nil {
		s += ": " + e.Underlies.Error()
	}
	return s
}

func (e *AlarmError) Unwrap() error { return e.Underlies }

// A StatusError is an answer that is not a success.
type StatusError struct {
	Method, Path string
	Status       int
	Message      string // the server's words, safe to print; may be empty
	Attempts     int

	location string
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("%s %s: %d %s", e.Method, e.Path, e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Attempts > 1 {
		s += fmt.Sprintf(" (after %d attempts)", e.Attempts)
	}
	return s
}

func (e *StatusError) Is(target error) bool {
	return target == ErrNotFound && e.Status == http.StatusNotFound
}

// Retryable says whether the same request may succeed later.
func (e *StatusError) Retryable() bool { return retryable(e.Status) }

func retryable(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status == 499 ||
		(status >= 500 && status != http.StatusNotImplemented)
}

// A NetworkError says that the log was not reached, or that what answered did
// not speak its protocol. Trying later may help.
type NetworkError struct {
	Method, Path string
	Attempts     int
	Err          error
}

func (e *NetworkError) Error() string {
	s := fmt.Sprintf("%s %s: %v", e.Method, e.Path, e.Err)
	if e.Attempts > 1 {
		s += fmt.Sprintf(" (after %d attempts)", e.Attempts)
	}
	return s
}

func (e *NetworkError) Unwrap() error { return e.Err }

// A StateError says that what is remembered could not be read or kept.
type StateError struct{ Err error }

func (e *StateError) Error() string { return "remembered state: " + e.Err.Error() }
func (e *StateError) Unwrap() error { return e.Err }

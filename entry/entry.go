// Package entry says what may be logged: it reads a proposal, verifies its
// signatures, and makes the canonical body and the search terms of it, once.
//
// Every kind is one file and one line in the table of kinds.
//
// hashedrekord and dsse 0.0.2 are of the Rekor v2 API: they are proposed as
// HashedRekord002 and DSSE002, and to Check there are no such types; Read
// reads them like all others.
//
// Verdicts, bodies and terms are those of Rekor v1; testdata has what Rekor
// makes of some hundred proposals, and the list of those that are meant to
// differ. Beyond that list a proposal is refused here that Rekor takes if it
// has more than 32 keys or signatures, an RSA key of more than 8192 bits, a
// DSSE signature that is not in standard base64 and so could not be read back
// from the log, or a body that is too large for an entry bundle. The bounds of
// the other formats are in docs/design/differences.md.
package entry

import "fmt"

// A Proposal is what a client sends: a kind, its version, and a spec in JSON
// that the kind understands.
type Proposal struct {
	Kind       string
	APIVersion string
	Spec       []byte // one JSON value
}

// A Checked entry is a proposal after parsing, verification and
// canonicalisation.
type Checked struct {
	Kind       string
	APIVersion string
	Body       []byte   // canonical body (RFC 8785), the leaf
	Terms      []string // search terms, case as extracted
	Artifact   string   // "<alg>:<hex>" of the artifact, "" if the kind has none
	Identities []Identity
	Attachment []byte // attestation to keep beside the leaf, nil for none
}

// An Identity is a key or certificate that verified a signature of an entry.
// Some OpenPGP keys are known by their Subjects alone.
type Identity struct {
	Type        string   // Go type of the public key, such as "*ecdsa.PublicKey", or "*x509.Certificate"
	Raw         []byte   // PKIX or certificate DER
	Fingerprint string   // as the key format writes it; for x509 hex SHA-256 of Raw
	Subjects    []string // names that the key or certificate speaks for
}

// A Reason says why a proposal was refused, so that a caller can choose a status.
type Reason int

const (
	Malformed      Reason = iota // the envelope is not a JSON object of the right shape
	Required                     // a member of the envelope is missing
	Pattern                      // apiVersion is not a semantic version
	UnknownKind                  // kind is not in the table
	UnknownVersion               // the kind has no such version
	Invalid                      // decode, field check, signature: the sender's mistake
	NotInsertable                // a stored form where a proposal is due
	NotAllowed                   // key or hash algorithm is not allowed by policy
	TooLarge                     // the canonical body is over the leaf limit
)

// An Error is a refused proposal. Text is meant for the sender.
type Error struct {
	Reason Reason
	Field  string // of the envelope, for Required and Pattern
	Text   string
	Err    error
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", e.Text, e.Err)
	}
	return e.Text
}

func (e *Error) Unwrap() error { return e.Err }

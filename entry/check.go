package entry

// Options say how Check treats a proposal.
type Options struct {
	// MaxAttachment is the largest attestation that is kept, in bytes. Zero
	// means DefaultMaxAttachment, a negative value keeps none.
	MaxAttachment int
	// Stored accepts the form an entry has in the log as well, and leaves out
	// what only concerns new entries: the policy on algorithms, and that the
	// members which are not stored must be there.
	Stored bool
}

// DefaultMaxAttachment is the default limit on attestations: 100 KiB.
const DefaultMaxAttachment = 100 << 10

// ParseProposal reads the envelope of a proposal: kind, version and spec. A
// refusal is an *Error.
func ParseProposal(body []byte) (Proposal, error) {
	return Proposal{}, &Error{Reason: Malformed, Text: "not implemented"}
}

// Check parses the spec of p, verifies its signatures and makes the canonical
// body and the search terms. A refusal is an *Error.
func Check(p Proposal, o Options) (*Checked, error) {
	return nil, &Error{Reason: UnknownVersion, Text: "not implemented"}
}

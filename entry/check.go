package entry

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cairnlog/cairn/entry/jcs"
)

// Options say how Check treats a proposal.
type Options struct {
	// MaxAttachment is the largest attestation that is kept, in bytes. Zero
	// means DefaultMaxAttachment, a negative value keeps none.
	MaxAttachment int
	// Stored accepts the form an entry has in the log as well, and leaves out
	// what only concerns new entries: the policy on algorithms, the limit on
	// the size, and that the members which are not stored must be there.
	Stored bool

	// Now is the time at which nothing that is new may have expired, which
	// only concerns kind tuf. Zero means the clock's.
	Now time.Time

	read bool // a leaf is read, nothing needs to be looked up by its body
}

const (
	// DefaultMaxAttachment is the default limit on attestations: 100 KiB.
	DefaultMaxAttachment = 100 << 10

	// maxBody is the most that an entry bundle can hold for a leaf,
	// https://c2sp.org/tlog-tiles.
	maxBody = 65535
)

// Check parses the spec of p, verifies its signatures and makes the canonical
// body and the search terms. A refusal is an *Error.
//
// Body and Attachment of the result share no memory with p.Spec.
func Check(p Proposal, o Options) (*Checked, error) {
	t, ok := Lookup(p.Kind, p.APIVersion)
	if !ok || t.API != 1 && !o.read {
		return nil, unknown(p)
	}
	if k := jcs.NewReader(p.Spec).Kind(); k != jcs.Object {
		return nil, invalid("spec in body must be an object, not a JSON %v", k)
	}
	c, err := t.check(p.Spec, o)
	if err != nil {
		return nil, refusal(err)
	}
	return c.finish(t.Kind, t.Version, o.Stored)
}

// refusal makes an *Error of err: the proposal is Invalid unless it says otherwise.
func refusal(err error) *Error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e
	}
	return &Error{Reason: Invalid, Text: err.Error()}
}

// finish fills in the type, puts the terms in order, and holds new entries to
// the limit on their size.
func (c *Checked) finish(kind, version string, stored bool) (*Checked, error) {
	if len(c.Body) > maxBody && !stored {
		return nil, &Error{Reason: TooLarge, Text: fmt.Sprintf("canonical entry has %d bytes, the limit is %d", len(c.Body), maxBody)}
	}
	c.Kind, c.APIVersion = kind, version
	slices.Sort(c.Terms)
	c.Terms = slices.Compact(c.Terms)
	return c, nil
}

// Read reads a leaf of the log: what Check made of a proposal once. Terms that
// come from what is not stored are missing, and signatures are verified only
// where a leaf holds what was signed. An error is an *Error.
func Read(body []byte) (*Checked, error) {
	p, err := ParseProposal(body)
	if err != nil {
		return nil, err
	}
	c, err := Check(p, Options{Stored: true, MaxAttachment: -1, read: true})
	if err != nil {
		return nil, err
	}
	c.Body = body // an old version may have written it in another way
	return c, nil
}

// unknown is the error for a kind or version that is not in the table.
func unknown(p Proposal) error {
	e := &Error{Reason: UnknownVersion, Field: "apiVersion"}
	switch {
	case slices.ContainsFunc(kinds, func(t Type) bool { return t.Kind == p.Kind }):
		e.Text = fmt.Sprintf("%s implementation for version '%s' not found: unable to locate entry for version %[2]s", p.Kind, p.APIVersion)
	case slices.Contains(protocolKinds, p.Kind):
		e.Text = fmt.Sprintf("entries of kind %s are not supported by this server yet", p.Kind)
	default:
		e.Reason, e.Field = UnknownKind, "kind"
		e.Text = fmt.Sprintf("invalid kind value: %q", p.Kind)
	}
	return e
}

// notInsertable is the error for a proposal that lacks what was signed, as the
// stored form of an entry does.
func notInsertable(text string) error {
	return &Error{Reason: NotInsertable, Text: "entry not insertable into log: " + text}
}

// attachment returns an attestation if it is to be kept. text is its base64,
// whose length is what counts, as in Rekor.
func (o Options) attachment(payload []byte, text string) []byte {
	if len(payload) == 0 || !o.keeps(len(text)/4*3) {
		return nil
	}
	return payload
}

// keeps tells whether an attestation of that size is to be kept.
func (o Options) keeps(size int) bool {
	if o.MaxAttachment == 0 {
		return size <= DefaultMaxAttachment
	}
	return size <= o.MaxAttachment
}

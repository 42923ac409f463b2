package bundle

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/trust"
)

// A Trust is whom a verifier believes.
type Trust struct {
	trust.Root
	// Verifiers of further keys that sign C2SP checkpoints, of logs and of
	// witnesses. A log's has the origin as its name.
	Verifiers []note.Verifier
	// Check holds a C2SP checkpoint against a policy. Nil asks for nothing more.
	Check func(checkpoint []byte) error
}

func (t *Trust) log(id []byte) (trust.Log, bool) {
	if len(id) == 0 {
		return trust.Log{}, false
	}
	for _, l := range t.Logs {
		// Older clients cut the ids of C2SP checkpoint keys short.
		if bytes.Equal(l.ID, id) {
			return l, true
		}
	}
	return trust.Log{}, false
}

// signerOf returns the log by whose key a line of a C2SP checkpoint claims to
// be; that is still to verify.
func (t *Trust) signerOf(c checkpoint.Checkpoint, sigs []checkpoint.Signature) (trust.Log, bool) {
	for _, l := range t.Logs {
		id, err := trust.CheckpointKeyID(c.Origin, l.Key)
		if err != nil || len(l.ID) < 4 || !bytes.HasPrefix(id, l.ID) {
			continue
		}
		for _, s := range sigs {
			if s.Name == c.Origin && bytes.Equal(s.KeyHash[:], id[:4]) {
				return l, true
			}
		}
	}
	return trust.Log{}, false
}

// A Policy is what a verifier wants to know of a signature.
type Policy struct {
	// Artifact has the digests of what should have been signed. Nil leaves that open.
	Artifact Digests
	// Key is the signer's. Nil wants a certificate.
	Key crypto.PublicKey
	// Identity is who the certificate has to be for. Nil is an error if there
	// is one: it would say that somebody signed.
	Identity *Identity
	// LogOnly is content with the entry in the log, whoever signed what.
	LogOnly bool
}

// A Finding is one thing that was verified, or was not.
type Finding struct {
	Verified bool
	What     string
}

// A Report says what exactly was verified, and what was not.
type Report struct{ Findings []Finding }

func (r *Report) verified(format string, a ...any) {
	r.Findings = append(r.Findings, Finding{true, fmt.Sprintf(format, a...)})
}

func (r *Report) open(format string, a ...any) {
	r.Findings = append(r.Findings, Finding{false, fmt.Sprintf(format, a...)})
}

// An Error is what did not hold. The findings are those before it.
type Error struct {
	What   string
	Err    error
	Report *Report
}

func (e *Error) Error() string { return e.What + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Verify holds a bundle against whom the caller trusts and what it wants to
// know. It makes no requests. What does not hold is an *Error; what could not
// be verified, because nothing to verify it by was given, is in the report.
func (b *Bundle) Verify(t *Trust, p Policy) (*Report, error) {
	r := new(Report)
	fail := func(what string, err error) (*Report, error) { return r, &Error{what, err, r} }

	// 1. The log has each entry that is of a log we know, and there is one.
	var entry *Entry
	var times []time.Time
	var undated []*proven // of logs whose keys are not trusted any more at some time
	for _, e := range b.Entries {
		proof, err := e.prove(t)
		if errors.Is(err, errUnknownLog) && len(b.Entries) > 1 {
			r.open("entry %d of log %x: the log is not known", e.Index, e.LogID)
			continue
		}
		if err != nil {
			return fail("log entry", err)
		}
		entry = e
		r.verified("%s: included in the tree of %d entries, signed by %s", e.place(proof), proof.tree.Size, strings.Join(proof.signers, ", "))
		if t.Check != nil {
			if err := t.Check(e.Proof.Checkpoint); err != nil {
				return fail("policy", err)
			}
			r.verified("the checkpoint satisfies the policy")
		}
		if !proof.promised.IsZero() {
			times = append(times, proof.promised)
			r.verified("the log has promised it at %s", proof.promised.Format(time.RFC3339))
		} else if !proof.until.IsZero() {
			undated = append(undated, proof)
		}
	}
	if entry == nil {
		return fail("log entry", errors.New("there is none of a log that is trusted"))
	}

	// 2. What was signed, and by which key. A file without that has it in the
	// entry, if its kind does.
	content, cert, key := b.Content, b.Certificate, p.Key
	l, err := readBody(entry)
	var unfit *ContentError
	switch {
	case errors.As(err, &unfit) && content == nil:
		if !p.LogOnly {
			return fail("signature", fmt.Errorf("%w; what can be verified is that the log has the entry", err))
		}
		r.open("artifact, signature and signer: %v", err)
		return r, nil
	case err != nil:
		return fail("log entry", err)
	}
	if p.LogOnly {
		r.open("artifact, signature and signer: not asked for")
		return r, nil
	}
	if content == nil {
		var s loggedSignature
		if content, s = l.content(); content == nil {
			return fail("signature", fmt.Errorf("an entry of kind %s has hashes only of what was signed; verify a Sigstore bundle, or that the log has the entry", entry.Kind))
		}
		cert = s.certificate
		if cert == nil && key == nil {
			return fail("signer", errors.New("it was signed with a bare key, and none is given to compare it with"))
		}
	}
	switch {
	case cert != nil && key != nil:
		return fail("signer", errors.New("it was signed with a certificate, and a key is given"))
	case cert != nil:
		key = cert.PublicKey
	case key == nil:
		return fail("signer", errors.New("it was signed with a bare key, and none is given"))
	}
	for _, e := range b.Entries {
		if _, known := t.log(e.LogID); !known && e != entry {
			continue
		}
		l, err := readBody(e)
		if err != nil {
			return fail("log entry", err)
		}
		if err := l.matches(content, key, cert); err != nil {
			return fail("log entry", err)
		}
	}
	if err := content.verify(key); err != nil {
		return fail("signature", err)
	}

	// 3. When.
	for _, der := range b.Timestamps {
		at, err := verifyTimestamp(der, content.Signature, t.Timestamps)
		if err != nil {
			// One that cannot be verified is as good as none.
			r.open("%v", err)
			continue
		}
		times = append(times, at)
		r.verified("a timestamp authority has seen the signature at %s", at.Format(time.RFC3339))
	}

	for _, p := range undated {
		until := p.until.UTC().Format(time.RFC3339)
		if len(times) == 0 {
			r.open("that the key of %s, trusted until %s, was so then: nobody who is trusted says when that was", p.log, until)
		} else if !slices.ContainsFunc(times, func(t time.Time) bool { return !t.After(p.until) }) {
			return fail("log entry", fmt.Errorf("it was signed after %s, until when the key of %s was trusted", until, p.log))
		}
	}

	// 4. Who.
	if cert == nil {
		r.verified("the signature is by the key that is given")
	} else if err := b.verifySigner(r, t, p.Identity, cert, times); err != nil {
		return fail("signer", err)
	}

	// 5. Of what.
	if p.Artifact == nil {
		if content.IsEnvelope() {
			r.open("the artifact: none is given to compare the statement with")
		} else {
			r.open("the artifact: none is given; what was signed is %s:%x", content.Algorithm, content.Digest)
		}
		return r, nil
	}
	if err := content.hasArtifact(p.Artifact); err != nil {
		return fail("artifact", err)
	}
	if content.IsEnvelope() {
		r.verified("the artifact is a subject of the signed statement")
	} else {
		r.verified("the artifact %s:%x is what was signed", content.Algorithm, content.Digest)
	}
	return r, nil
}

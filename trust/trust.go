// Package trust reads and writes what tells verifiers and signers whom to
// trust and whom to ask, in the forms that Sigstore clients take: a trusted
// root, and a signing config.
// https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto
package trust

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/cairnlog/cairn/checkpoint"
)

// Bounds on what is read.
const (
	maxDocument = 4 << 20
	maxItems    = 100 // of each sort in a trusted root
	maxChain    = 10  // certificates of an authority
)

// A Root is what a verifier trusts.
type Root struct {
	Logs        []Log
	CTLogs      []Log       // of certificates
	Authorities []Authority // that issue signing certificates
	Timestamps  []Authority // that sign timestamps
}

// A Log is a transparency log.
type Log struct {
	URL   string // where it is; of its host name C2SP checkpoints have their name
	Key   crypto.PublicKey
	ID    []byte    // as entries name it
	Start time.Time // of the key's validity
	End   time.Time // zero for none
}

// An Authority is a chain of certificates: of a certificate authority the
// issuing one first, of a timestamp authority its own; the root is last.
type Authority struct {
	URL   string
	Chain []*x509.Certificate
	Start time.Time
	End   time.Time // zero for none
}

// NewLog returns a log of Rekor v1, whose id is the SHA-256 of its key in
// PKIX DER, as that of a CT log is.
func NewLog(url string, key crypto.PublicKey, start time.Time) (Log, error) {
	id, err := checkpoint.KeyID(key)
	if err != nil {
		return Log{}, err
	}
	return Log{URL: url, Key: key, ID: id[:], Start: start}, nil
}

// NewCheckpointLog returns a log as verifiers of Rekor v2 know it: by a key of
// its C2SP checkpoints, given as a vkey with the origin as its name. They look
// for that name in the URL, so one of another host makes way for the origin.
//
// Verifiers have no notion of ML-DSA-44 yet: such a key is ErrKeyType.
func NewCheckpointLog(base, vkey string, start time.Time) (Log, error) {
	v, err := checkpoint.ParseVKey(vkey)
	if err != nil {
		return Log{}, err
	}
	key, err := vkeyKey(vkey)
	if err != nil {
		return Log{}, err
	}
	id, err := CheckpointKeyID(v.Name(), key)
	if err != nil {
		return Log{}, err
	}
	if u, err := url.Parse(base); err != nil || u.Hostname() != v.Name() {
		base = "https://" + v.Name()
	}
	return Log{URL: base, Key: key, ID: id, Start: start}, nil
}

// ErrKeyType means that a trusted root cannot have a key of this type.
var ErrKeyType = errors.New("a trusted root cannot have a key of this type")

// vkeyKey returns the key in a vkey that has been parsed: Ed25519 or ECDSA by
// which a log signs the text of a note.
func vkeyKey(vkey string) (crypto.PublicKey, error) {
	_, rest, _ := strings.Cut(vkey, "+")
	_, key64, _ := strings.Cut(rest, "+")
	b, err := base64.StdEncoding.DecodeString(key64)
	if err != nil || len(b) == 0 {
		return nil, ErrKeyType
	}
	switch typ, key := b[0], b[1:]; {
	case typ == 0x01 && len(key) == ed25519.PublicKeySize:
		return ed25519.PublicKey(key), nil
	case typ == 0x02:
		return x509.ParsePKIXPublicKey(key)
	}
	return nil, ErrKeyType
}

// OfLog returns a root that trusts one log by its v1 key and by the vkeys of
// its C2SP checkpoints, those that a trusted root can have, and the versions
// of the API that verifiers with this root can read, the newest first.
func OfLog(base string, key crypto.PublicKey, vkeys []string, start time.Time) (*Root, []uint32, error) {
	l, err := NewLog(base, key, start)
	if err != nil {
		return nil, nil, err
	}
	r, versions := &Root{Logs: []Log{l}}, []uint32{1}
	for i, vkey := range vkeys {
		l, err := NewCheckpointLog(base, vkey, start)
		switch {
		case errors.Is(err, ErrKeyType):
			continue
		case err != nil:
			return nil, nil, err
		case i == 0: // it is the one that entries name
			versions = []uint32{2, 1}
		}
		// The v1 key may sign C2SP checkpoints as well. It is one log to
		// verifiers then, and those of v2 are the ones who look at its URL.
		have := slices.IndexFunc(r.Logs, func(have Log) bool { return bytes.Equal(have.ID, l.ID) })
		if have >= 0 {
			r.Logs[have].URL = l.URL
			continue
		}
		r.Logs = append(r.Logs, l)
	}
	return r, versions, nil
}

// CheckpointKeyID returns the 32 bytes by which a C2SP checkpoint's key is
// known, of which a signature line has the first four. A type of key that
// cannot be in a trusted root is an error.
func CheckpointKeyID(name string, key crypto.PublicKey) ([]byte, error) {
	if _, err := keyDetails(key); err != nil {
		return nil, err
	}
	id, err := checkpoint.NoteKeyID(name, key)
	return id[:], err
}

// ValidAt says whether t is in the time for which l's key is trusted.
func (l Log) ValidAt(t time.Time) bool { return within(t, l.Start, l.End) }

// ValidAt says whether t is in the time for which a is trusted.
func (a Authority) ValidAt(t time.Time) bool { return within(t, a.Start, a.End) }

func within(t, start, end time.Time) bool {
	return !t.Before(start) && (end.IsZero() || !t.After(end))
}

// ReadChain reads the certificates of an authority from PEM. The root is last.
func ReadChain(text []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for {
		var block *pem.Block
		block, text = pem.Decode(text)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("read certificates: PEM block is %q, not \"CERTIFICATE\"", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read certificates: number %d: %w", len(chain)+1, err)
		}
		if chain = append(chain, c); len(chain) > maxChain {
			return nil, fmt.Errorf("read certificates: over %d", maxChain)
		}
	}
	return chain, checkChain(chain)
}

// checkChain wants each certificate signed by the next, and the last by itself.
func checkChain(chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return errors.New("read certificates: there is none")
	}
	for i, c := range chain {
		issuer := chain[min(i+1, len(chain)-1)]
		if err := c.CheckSignatureFrom(issuer); err != nil {
			if i == len(chain)-1 {
				return fmt.Errorf("read certificates: the last one, %q, is not a root: %w", c.Subject, err)
			}
			return fmt.Errorf("read certificates: %q is not issued by the next, %q: %w", c.Subject, issuer.Subject, err)
		}
	}
	return nil
}

// document writes a message in the JSON form of protobuf: always the same
// bytes for the same message.
func document(m proto.Message) ([]byte, error) {
	b, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// BaseURL checks the address under which a log is known and returns it without
// a slash at its end.
func BaseURL(s string) (string, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", err
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return "", fmt.Errorf("%q is not an http or https URL", s)
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return "", errors.New("the URL has a user, a query or a fragment: everybody would read it")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// Policy returns a tlog-policy that wants a checkpoint signed by the log's
// first key, and no witness. https://c2sp.org/tlog-policy
func Policy(vkeys []string, base string) []byte {
	var b bytes.Buffer
	for i, k := range vkeys {
		if i > 0 {
			b.WriteString("# ") // a policy has one line a log; the others are for later
		}
		fmt.Fprintf(&b, "log %s %s\n", k, base)
	}
	b.WriteString("quorum none\n")
	return slices.Clip(b.Bytes())
}

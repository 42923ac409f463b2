package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/client"
	"github.com/cairnlog/cairn/merkle"
)

// A verifier holds the answers of a log against its key. It asks over a
// connection of its own and is used outside of measured time.
type verifier struct {
	conn httpConn
	host string
	key  crypto.PublicKey
	logs []note.Verifier // of C2SP checkpoints
	id   [32]byte        // of the first of them, which is the log's in v2
}

// A fault is something that a log said and that does not hold.
type fault struct{ err error }

func (f *fault) Error() string { return "a sampled answer does not hold: " + f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

func faultf(format string, a ...any) error { return &fault{fmt.Errorf(format, a...)} }

// ask sends a request and returns the body of the answer.
func (v *verifier) ask(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	a, err := v.conn.do(ctx, appendRequest(nil, method, path, v.host, body), 30*time.Second)
	if err != nil {
		return nil, &ExitError{exitTrouble, fmt.Errorf("%s %s: %w", method, path, err)}
	}
	if a.status != http.StatusOK {
		return nil, &ExitError{exitTrouble, fmt.Errorf("%s %s: %d %.200q", method, path, a.status, a.body)}
	}
	return a.body, nil
}

// learnKey asks the log for its key, if none was given.
func (v *verifier) learnKey(ctx context.Context) error {
	if v.key != nil {
		return nil
	}
	request := fmt.Appendf(nil, "GET /api/v1/log/publicKey HTTP/1.1\r\nHost: %s\r\n\r\n", v.host)
	a, err := v.conn.do(ctx, request, 30*time.Second)
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("status %d", a.status)
	}
	if err != nil {
		return &ExitError{exitTrouble, fmt.Errorf("ask for the log's key: %w", err)}
	}
	v.key, err = client.ParseKey(a.body)
	return err
}

// size asks for the number of entries and checks the log's word for it.
func (v *verifier) size(ctx context.Context) (int64, error) {
	b, err := v.ask(ctx, "GET", "/api/v1/log", nil)
	if err != nil {
		return 0, err
	}
	var info v1.LogInfo
	if err := json.Unmarshal(b, &info); err != nil {
		return 0, faultf("log info: %w", err)
	}
	c, err := checkpoint.Open([]byte(info.SignedTreeHead), "", v.key)
	if err != nil {
		return 0, faultf("log info: %w", err)
	}
	if c.Tree.Size != info.TreeSize {
		return 0, faultf("log info: tree size %d, but %d in the checkpoint", info.TreeSize, c.Tree.Size)
	}
	return info.TreeSize, nil
}

// entry verifies an answer that is one entry: its id, the signed entry
// timestamp, the checkpoint and the inclusion proof.
func (v *verifier) entry(answer []byte) (v1.EntryID, *v1.LogEntry, error) {
	var id v1.EntryID
	var w map[string]*v1.LogEntry
	if err := json.Unmarshal(answer, &w); err != nil {
		return id, nil, faultf("%w", err)
	}
	if len(w) != 1 {
		return id, nil, faultf("%d entries in one answer", len(w))
	}
	for name, e := range w {
		id, err := v1.ParseEntryID(name)
		if err == nil {
			err = v.holds(id, e)
		}
		if err != nil {
			return id, nil, faultf("entry %.80q: %w", name, err)
		}
		return id, e, nil
	}
	panic("unreachable")
}

func (v *verifier) holds(id v1.EntryID, e *v1.LogEntry) error {
	if e == nil || e.Verification == nil || e.Verification.InclusionProof == nil {
		return errors.New("no proof")
	}
	body, err := base64.StdEncoding.Strict().DecodeString(e.Body)
	if err != nil {
		return err
	}
	if h := merkle.HashLeaf(body); h != id.Hash {
		return fmt.Errorf("hash of the body is %s", h)
	}
	if err := v1.VerifyEntryTimestamp(e, v.key); err != nil {
		return err
	}
	p := e.Verification.InclusionProof
	c, err := checkpoint.Open([]byte(p.Checkpoint), "", v.key)
	if err != nil {
		return err
	}
	if p.TreeSize != c.Tree.Size || p.RootHash != c.Tree.Root.String() {
		return errors.New("size or root of the proof differ from the checkpoint's")
	}
	hashes := make([]merkle.Hash, len(p.Hashes))
	for i, s := range p.Hashes {
		if hashes[i], err = merkle.ParseHash(s); err != nil {
			return err
		}
	}
	return merkle.VerifyInclusion(id.Hash, p.LogIndex, c.Tree, hashes)
}

// hashedRekord is as much of a proposal or body as is compared.
type hashedRekord struct {
	Kind string `json:"kind"`
	Spec struct {
		Data struct {
			Hash struct {
				Algorithm string `json:"algorithm"`
				Value     string `json:"value"`
			} `json:"hash"`
		} `json:"data"`
		Signature struct {
			Content   string `json:"content"`
			PublicKey struct {
				Content []byte `json:"content"`
			} `json:"publicKey"`
		} `json:"signature"`
	} `json:"spec"`
}

// upload verifies the answer to an upload, that it is the entry that was sent,
// that its signature verifies, and that the log shows the same entry by its
// index and by its id.
func (v *verifier) upload(ctx context.Context, x exchange) error {
	id, e, err := v.entry(x.answer)
	if err != nil {
		return err
	}
	var sent, have hashedRekord
	if err := json.Unmarshal(requestBody(x.request), &sent); err != nil {
		return fmt.Errorf("read what was sent: %w", err)
	}
	body, _ := base64.StdEncoding.DecodeString(e.Body) // was decoded before
	if err := json.Unmarshal(body, &have); err != nil {
		return faultf("entry %s: body: %w", id, err)
	}
	if have.Kind != sent.Kind || have.Spec.Data != sent.Spec.Data || have.Spec.Signature.Content != sent.Spec.Signature.Content ||
		!bytes.Equal(have.Spec.Signature.PublicKey.Content, sent.Spec.Signature.PublicKey.Content) {
		return faultf("entry %s is not what was sent", id)
	}
	if err := have.verify(); err != nil {
		return faultf("entry %s: %w", id, err)
	}
	return v.shown(ctx, id, e.LogIndex, e.IntegratedTime, sent.Spec.Data.Hash.Value)
}

// shown verifies that the log shows an entry by its index, its id, and the
// artifact's digest. A time of 0 is not known.
func (v *verifier) shown(ctx context.Context, id v1.EntryID, index, time int64, digest string) error {
	name := id.String()
	if id.TreeID == 0 {
		name = id.Hash.String()
	}
	for _, path := range []string{
		"/api/v1/log/entries?logIndex=" + strconv.FormatInt(index, 10),
		"/api/v1/log/entries/" + name,
	} {
		b, err := v.ask(ctx, "GET", path, nil)
		if err != nil {
			return faultf("entry %s: %w", id, err)
		}
		again, f, err := v.entry(b)
		if err != nil {
			return err
		}
		if again.Hash != id.Hash || f.LogIndex != index || time != 0 && f.IntegratedTime != time {
			return faultf("entry %s: GET %s returns another entry", id, path)
		}
	}
	ids, err := v.search(ctx, digest)
	if err != nil {
		return faultf("entry %s: %w", id, err)
	}
	if !slices.ContainsFunc(ids, func(s string) bool { return strings.HasSuffix(s, id.Hash.String()) }) {
		return faultf("entry %s is not found by its digest", id)
	}
	return nil
}

// verify verifies the signature of an entry with a certificate.
func (h *hashedRekord) verify() error {
	block, _ := pem.Decode(h.Spec.Signature.PublicKey.Content)
	if block == nil {
		return errors.New("no certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	sig, err := base64.StdEncoding.DecodeString(h.Spec.Signature.Content)
	if err != nil {
		return err
	}
	digest, err := merkle.ParseHash(h.Spec.Data.Hash.Value)
	if err != nil {
		return err
	}
	if !ok || !ecdsa.VerifyASN1(key, digest[:], sig) {
		return errors.New("its signature does not verify")
	}
	return nil
}

// search returns the ids that an artifact digest finds.
func (v *verifier) search(ctx context.Context, digest string) ([]string, error) {
	b, err := v.ask(ctx, "POST", "/api/v1/index/retrieve", fmt.Appendf(nil, `{"hash":"sha256:%s"}`, digest))
	if err != nil {
		return nil, err
	}
	var ids []string
	err = json.Unmarshal(b, &ids)
	return ids, err
}

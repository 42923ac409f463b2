package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	v1 "github.com/cairnlog/cairn/api/v1"
	v2 "github.com/cairnlog/cairn/api/v2"
	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/merkle"
)

// learnVKeys asks the log for the keys of its C2SP checkpoints.
func (v *verifier) learnVKeys(ctx context.Context) error {
	request := fmt.Appendf(nil, "GET /.well-known/log.vkey HTTP/1.1\r\nHost: %s\r\n\r\n", v.host)
	a, err := v.conn.do(ctx, request, 30*time.Second)
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("status %d", a.status)
	}
	if err != nil {
		return &ExitError{exitTrouble, fmt.Errorf("ask for the keys of the log's checkpoints: %w", err)}
	}
	for line := range strings.Lines(string(a.body)) {
		line = strings.TrimSuffix(line, "\n")
		key, err := checkpoint.ParseVKey(line)
		if err == nil && len(v.logs) == 0 {
			v.id, err = checkpoint.VKeyID(line)
		}
		if err != nil {
			return faultf("keys of the log's checkpoints: %w", err)
		}
		v.logs = append(v.logs, key)
	}
	if len(v.logs) == 0 {
		return faultf("the log has no keys of checkpoints")
	}
	return nil
}

// uploadV2 is upload for an answer of the v2 API.
func (v *verifier) uploadV2(ctx context.Context, x exchange) error {
	e, err := v2.ParseEntry(x.answer)
	if err != nil {
		return faultf("%w", err)
	}
	leaf := merkle.HashLeaf(e.Body)
	if err := v.holdsV2(e, leaf); err != nil {
		return faultf("entry %v: %w", leaf, err)
	}
	// What was sent, checked again, is what the log has: its signature verifies.
	p, err := v2.NewParser()
	if err != nil {
		return err
	}
	sent, err := p.Parse(requestBody(x.request))
	if err != nil {
		return fmt.Errorf("read what was sent: %w", err)
	}
	checked, err := sent.HashedRekord.Check()
	if err != nil {
		return faultf("entry %v: %w", leaf, err)
	}
	if !bytes.Equal(checked.Body, e.Body) || e.Kind != checked.Kind || e.Version != checked.APIVersion {
		return faultf("entry %v is not what was sent", leaf)
	}
	return v.shown(ctx, v1.EntryID{Hash: leaf}, e.Index, 0, hex.EncodeToString(sent.HashedRekord.Digest))
}

// holdsV2 verifies the checkpoint and the inclusion proof.
func (v *verifier) holdsV2(e *v2.Entry, leaf merkle.Hash) error {
	c, _, err := checkpoint.OpenNote(e.Checkpoint, "", v.logs...)
	if err != nil {
		return err
	}
	if c.Tree != e.Tree {
		return errors.New("size or root of the proof differ from the checkpoint's")
	}
	if !bytes.Equal(e.LogID, v.id[:]) {
		return fmt.Errorf("log id is %x", e.LogID)
	}
	return merkle.VerifyInclusion(leaf, e.Index, e.Tree, e.Hashes)
}

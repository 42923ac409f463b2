package api

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/log"
)

// logInfo serves getLogInfo.
func (s *server) logInfo(ctx context.Context, x *exchange, r *http.Request) error {
	if err := wantsJSON(r); err != nil {
		return err
	}
	head, err := s.log.Head(ctx)
	if err != nil {
		return fmt.Errorf("read head: %w", err)
	}
	b := append(x.buf[:0], `{"inactiveShards":null,"rootHash":"`...)
	b = hex.AppendEncode(b, head.Tree.Root[:])
	b = append(b, `","signedTreeHead":`...)
	b = v1.AppendString(b, head.Checkpoint)
	b = append(b, `,"treeID":"`...)
	b = strconv.AppendInt(b, s.treeID, 10)
	b = append(b, `","treeSize":`...)
	b = strconv.AppendInt(b, head.Tree.Size, 10)
	x.buf = append(b, "}\n"...)
	x.sendJSON()
	return nil
}

// proof serves getLogProof.
func (s *server) proof(ctx context.Context, x *exchange, r *http.Request) error {
	if err := wantsJSON(r); err != nil {
		return err
	}
	first, err := intParam(r, "firstSize", 1, 1)
	if err != nil {
		return err
	}
	last, err := intParam(r, "lastSize", 1, 0)
	if err != nil {
		return err
	}
	tree, err := treeParam(r)
	if err != nil {
		return err
	}
	if first > last {
		return badRequest("firstSize(%d) must be less than lastSize(%d)", first, last)
	}
	if tree != "" {
		id, err := strconv.ParseInt(tree, 10, 64)
		if err != nil {
			return badRequest("invalid tree ID specified: %s", tree)
		}
		if id != s.treeID {
			return badRequest("no log range found for tree ID %s", tree)
		}
	}
	hashes, head, err := s.log.Consistency(ctx, first, last)
	if errors.Is(err, log.ErrOutOfRange) {
		head, err := s.log.Head(ctx)
		if err != nil {
			return fmt.Errorf("read head: %w", err)
		}
		return badRequest("the tree size requested(%d) was greater than what is currently observable(%d)", last, head.Tree.Size)
	}
	if err != nil {
		return fmt.Errorf("prove consistency of %d and %d: %w", first, last, err)
	}
	b := append(x.buf[:0], `{"hashes":`...)
	b = appendHashes(b, hashes)
	b = append(b, `,"rootHash":"`...) // of the newest tree, not of last: as Rekor has it
	b = hex.AppendEncode(b, head.Tree.Root[:])
	x.buf = append(b, "\"}\n"...)
	x.sendJSON()
	return nil
}

// publicKey serves getPublicKey.
func (s *server) publicKey(_ context.Context, x *exchange, r *http.Request) error {
	offer := negotiate(r.Header["Accept"], typePEM, typeJSON)
	if offer == "" {
		return notAcceptable(typePEM + " " + typeJSON)
	}
	tree, err := treeParam(r)
	if err != nil {
		return err
	}
	if tree != "" {
		if id, err := strconv.ParseInt(tree, 10, 64); err != nil || id != s.treeID {
			return unknownKeyTree(offer == typePEM)
		}
	}
	if offer == typePEM {
		x.Header()["Content-Type"] = pemHeader
		x.buf = append(x.buf[:0], s.keyPEM...)
	} else {
		x.Header()["Content-Type"] = jsonHeader
		x.buf = append(x.buf[:0], s.keyJSON...)
	}
	x.send(http.StatusOK)
	return nil
}

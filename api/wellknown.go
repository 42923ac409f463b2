package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/cairnlog/cairn/trust"
)

// Documents that tell clients whom to trust and where to sign. Whoever gets
// them here believes that this is the right log: they spare typing, and are no
// proof of anything.

const (
	pathWellKnown = "/.well-known"
	paramDocument = "document"

	docRoot    = "trusted_root.json"
	docSigning = "signing_config.json"
	docVKey    = "log.vkey"
	docPolicy  = "tlog-policy"
)

// always is the time from which on the log's keys are valid. They have not
// signed anything before there was a log.
var always = time.Unix(0, 0)

// maxAgeDocuments keeps a document for minutes: keys change in years, but the
// one who has changed them wants to see it.
var maxAgeDocuments = []string{"public, max-age=300"}

// trustDocuments makes the documents. Those that name the log's address are
// left out if it is not known: what the request says is the word of whoever
// sent it, and a proxy would hand it on to others.
func trustDocuments(o Options, origin string) (map[string][]byte, error) {
	docs := make(map[string][]byte)
	var vkeys []string
	if o.Author != nil {
		vkeys = o.Author.VKeys()
		docs[docVKey] = []byte(strings.Join(vkeys, "\n") + "\n")
	}
	if o.URL == "" {
		return docs, nil
	}
	base, err := trust.BaseURL(o.URL)
	if err != nil {
		return nil, fmt.Errorf("public URL: %w", err)
	}
	root, versions, err := trust.OfLog(base, o.PublicKey, vkeys, always)
	if err != nil {
		return nil, err
	}
	docs[docRoot], err = root.Document()
	if errors.Is(err, trust.ErrKeyType) {
		delete(docs, docRoot) // an odd RSA key: no Sigstore client could read it
	} else if err != nil {
		return nil, err
	}
	signing := trust.SigningConfig{Log: base, Versions: versions, Operator: origin, Start: always}
	if docs[docSigning], err = signing.Document(); err != nil {
		return nil, err
	}
	if len(vkeys) > 0 {
		docs[docPolicy] = trust.Policy(vkeys, base)
		if o.Policy != nil {
			logs := bytes.TrimSuffix(docs[docPolicy], []byte("quorum none\n"))
			docs[docPolicy] = append(logs, o.Policy.Quorum()...)
		}
	}
	return docs, nil
}

// trustIndex says which documents there are.
func (s *server) trustIndex(_ context.Context, x *exchange, _ *http.Request) error {
	b := x.buf[:0]
	for _, d := range [][2]string{
		{docRoot, "whom verifiers trust: cosign --trusted-root, sigstore-go, cairn verify --offline"},
		{docSigning, "where signers go: cosign --signing-config"},
		{docVKey, "keys of the C2SP checkpoint, a line each"},
		{docPolicy, "the same as a tlog-policy, with the log's witnesses"},
	} {
		if s.documents[d[0]] != nil {
			b = fmt.Appendf(b, "%-44s %s\n", pathWellKnown+"/"+d[0], d[1])
		}
	}
	x.Header()["Content-Type"] = noteHeader
	x.buf = b
	x.send(http.StatusOK)
	return nil
}

// trustDocument serves one of them.
func (s *server) trustDocument(_ context.Context, x *exchange, r *http.Request) error {
	name := chi.URLParam(r, paramDocument)
	doc := s.documents[name]
	if doc == nil {
		return notFound(x.path)
	}
	h := x.Header()
	h["Cache-Control"] = maxAgeDocuments
	h["Content-Type"] = noteHeader
	if strings.HasSuffix(name, ".json") {
		h["Content-Type"] = jsonHeader
	}
	x.buf = append(x.buf[:0], doc...)
	x.send(http.StatusOK)
	return nil
}

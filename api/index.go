package api

import (
	"context"
	"fmt"
	"net/http"
	"net/mail"
	"slices"
	"strings"
	"unicode/utf8"

	v1 "github.com/cairnlog/cairn/api/v1"
	"github.com/cairnlog/cairn/entry"
	"github.com/cairnlog/cairn/log"
)

// keyFormats are those that an index query knows, as its refusal lists them.
func keyFormats() []string { return []string{"pgp", "x509", "minisign", "ssh", "tuf"} }

// searchPage is how many hits are looked up and sent at a time. There is no
// limit on hits, so a long answer goes out in pieces.
const searchPage = 512

// searchIndex serves searchIndex.
func (s *server) searchIndex(ctx context.Context, x *exchange, r *http.Request) error {
	var in v1.SearchIndex
	if err := s.readQuery(x, r, "query", &in); err != nil {
		return err
	}
	q, err := indexQuery(in)
	if err != nil {
		return err
	}
	q.After, q.Limit = -1, searchPage
	b := append(x.buf[:0], '[')
	for some := false; len(q.Terms) > 0; {
		hits, err := s.log.Search(ctx, q)
		if err != nil {
			return fmt.Errorf("search after %d: %w", q.After, err)
		}
		for _, h := range hits {
			if some {
				b = append(b, ',')
			}
			some = true
			b = append(b, '"')
			b = v1.EntryID{TreeID: s.treeID, Hash: h.Hash}.Append(b)
			b = append(b, '"')
			q.After = h.Index
		}
		if len(hits) < q.Limit {
			break
		}
		if b, err = x.sendPart(b); err != nil {
			return err
		}
	}
	x.buf = append(b, "]\n"...)
	x.sendJSON()
	return nil
}

// maxEmail is the longest e-mail address in bytes that is looked at; RFC 5321
// has 254.
const maxEmail = 1024

func isEmail(s string) bool {
	_, err := mail.ParseAddress(s)
	return err == nil
}

// indexQuery checks an index query in the order of Rekor's framework and
// returns what to look up. An empty member counts as absent.
func indexQuery(in v1.SearchIndex) (log.Query, error) {
	q := log.Query{All: in.Operator == "and"}
	var hash []string
	if in.Email != "" {
		if len(in.Email) > maxEmail || !isEmail(in.Email) {
			return q, invalid(v1.CodeType, "email in body must be of type email: %q", in.Email)
		}
	}
	if in.Hash != "" {
		term, err := entry.HashTerm(in.Hash)
		if err != nil {
			return q, pattern("hash", "body", patternHash)
		}
		hash = []string{term}
	}
	if in.Operator != "" && in.Operator != "and" && in.Operator != "or" {
		return q, invalid(v1.CodeEnum, "operator in body should be one of [and or]")
	}
	if k := in.PublicKey; k != nil {
		if k.Format == "" {
			return q, required("publicKey.publicKey.format", "body")
		}
		if formats := keyFormats(); !slices.Contains(formats, k.Format) {
			return q, invalid(v1.CodeEnum, "publicKey.publicKey.format in body should be one of [%s]", strings.Join(formats, " "))
		}
	}
	if utf8.RuneCountInString(in.Subject) > v1.MaxSubject {
		return q, invalid(v1.CodeTooLong, "subject in body should be at most %d chars long", v1.MaxSubject)
	}

	if hash != nil {
		q.Terms = append(q.Terms, hash)
	}
	if in.PublicKey != nil {
		// A key is found in both forms that kinds index it in.
		terms, err := entry.KeyTerms(in.PublicKey.Format, in.PublicKey.Content)
		if err != nil {
			return q, badRequest("public key provided could not be parsed")
		}
		q.Terms = append(q.Terms, terms)
	}
	for _, name := range []string{in.Email, in.Subject} {
		if name != "" {
			q.Terms = append(q.Terms, []string{name})
		}
	}
	return q, nil
}

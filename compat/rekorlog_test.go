package compat

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"

	"github.com/sigstore/rekor/pkg/client"
	rekor "github.com/sigstore/rekor/pkg/generated/client"
	"github.com/sigstore/rekor/pkg/generated/client/entries"
	"github.com/sigstore/rekor/pkg/generated/client/index"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/types"
	"github.com/sigstore/rekor/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/sync/errgroup"

	_ "github.com/sigstore/rekor/pkg/types/dsse/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/hashedrekord/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/intoto/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/intoto/v0.0.2"
	_ "github.com/sigstore/rekor/pkg/types/rekord/v0.0.1"
)

// A rekorLog is a log as the Rekor client sees it, with the key it is trusted by.
type rekorLog struct {
	*rekor.Rekor
	verifier signature.Verifier
}

func openRekor(url string) (*rekorLog, error) {
	c, err := client.GetRekorClient(url, client.WithRetryCount(0), client.WithNoDisableKeepalives(true))
	if err != nil {
		return nil, err
	}
	key, err := c.Pubkey.GetPublicKey(nil)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode([]byte(key.Payload))
	if block == nil || len(rest) > 0 {
		return nil, fmt.Errorf("the public key is not one PEM block: %q", key.Payload)
	}
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	v, err := signature.LoadDefaultVerifier(pub)
	if err != nil {
		return nil, err
	}
	return &rekorLog{c, v}, nil
}

// add uploads a proposal and verifies the answer.
func (l *rekorLog) add(ctx context.Context, p models.ProposedEntry) (id string, e models.LogEntryAnon, err error) {
	resp, err := l.Entries.CreateLogEntry(entries.NewCreateLogEntryParamsWithContext(ctx).WithProposedEntry(p))
	if err != nil {
		return "", e, err
	}
	id, e, err = l.only(ctx, resp.Payload)
	if err != nil {
		return "", e, err
	}
	if resp.ETag != id {
		return "", e, fmt.Errorf("ETag is %q, the entry's id %q", resp.ETag, id)
	}
	if want := "/api/v1/log/entries/" + id; resp.Location.String() != want {
		return "", e, fmt.Errorf("Location is %q, want %q", resp.Location, want)
	}
	return id, e, nil
}

// conflictLocation returns where the entry is that a second upload met. That is
// nothing bad: the entry is in the log.
func conflictLocation(err error) (string, bool) {
	var c *entries.CreateLogEntryConflict
	if !errors.As(err, &c) {
		return "", false
	}
	return c.Location.String(), true
}

// only returns the one entry of an answer, having verified it.
func (l *rekorLog) only(ctx context.Context, m models.LogEntry) (id string, e models.LogEntryAnon, err error) {
	if len(m) != 1 {
		return "", e, fmt.Errorf("%d entries in an answer for one", len(m))
	}
	for id, e = range m {
	}
	if err := verify.VerifyLogEntry(ctx, &e, l.verifier); err != nil {
		return "", e, err
	}
	leaf, err := bodyOf(e)
	if err != nil {
		return "", e, err
	}
	if len(id) != 80 || id[16:] != hex.EncodeToString(rfc6962.DefaultHasher.HashLeaf(leaf)) {
		return "", e, fmt.Errorf("the id %s is not that of the body", id)
	}
	return id, e, nil
}

func bodyOf(e models.LogEntryAnon) ([]byte, error) {
	s, ok := e.Body.(string)
	if !ok {
		return nil, fmt.Errorf("the body is a %T", e.Body)
	}
	return base64.StdEncoding.DecodeString(s)
}

func (l *rekorLog) search(ctx context.Context, q *models.SearchIndex) ([]string, error) {
	resp, err := l.Index.SearchIndex(index.NewSearchIndexParamsWithContext(ctx).WithQuery(q))
	if err != nil {
		return nil, err
	}
	return resp.Payload, nil
}

// searchSubject asks for a subject, which this release of the client cannot.
func searchSubject(ctx context.Context, url, subject string) (found []string, err error) {
	query, err := json.Marshal(map[string]string{"subject": subject})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/api/v1/index/retrieve", bytes.NewReader(query))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("search: %s", resp.Status)
	}
	err = json.NewDecoder(resp.Body).Decode(&found)
	return found, err
}

// grow uploads n hashedrekord entries, several at a time.
func grow(url string, n int) error {
	l, err := openRekor(url)
	if err != nil {
		return err
	}
	s, err := newSigner("p256")
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(8)
	for i := range n {
		g.Go(func() error {
			p, err := proposeHashedRekord(s, fmt.Appendf(nil, "grow %d", i), 0)
			if err != nil {
				return err
			}
			_, _, err = l.add(context.Background(), p)
			return err
		})
	}
	return g.Wait()
}

// A kind is a kind of entry with what makes a proposal of it: over content,
// verified by the first n certificates of the signer's chain or, if n is 0,
// by its bare key.
type kind struct {
	name, version string
	propose       func(s *signer, content []byte, n int) (models.ProposedEntry, error)
}

func kinds() []kind {
	return []kind{
		{"hashedrekord", "0.0.1", proposeHashedRekord},
		{"rekord", "0.0.1", proposeRekord},
		{"dsse", "0.0.1", proposeEnvelope("dsse", "0.0.1")},
		{"intoto", "0.0.1", proposeEnvelope("intoto", "0.0.1")},
		{"intoto", "0.0.2", proposeEnvelope("intoto", "0.0.2")},
	}
}

func proposeHashedRekord(s *signer, content []byte, n int) (models.ProposedEntry, error) {
	key, err := s.verifierPEM(n)
	if err != nil {
		return nil, err
	}
	sig, err := s.sign(content, s.hash)
	if err != nil {
		return nil, err
	}
	return types.NewProposedEntry(context.Background(), "hashedrekord", "0.0.1", types.ArtifactProperties{
		ArtifactHash:   fmt.Sprintf("sha%d:%x", s.hash.Size()*8, digest(content, s.hash)),
		SignatureBytes: sig,
		PublicKeyBytes: [][]byte{key},
		PKIFormat:      "x509",
	})
}

func proposeRekord(s *signer, content []byte, n int) (models.ProposedEntry, error) {
	key, err := s.verifierPEM(n)
	if err != nil {
		return nil, err
	}
	sig, err := s.signDetached(content)
	if err != nil {
		return nil, err
	}
	return types.NewProposedEntry(context.Background(), "rekord", "0.0.1", types.ArtifactProperties{
		ArtifactBytes:  content,
		SignatureBytes: sig,
		PublicKeyBytes: [][]byte{key},
		PKIFormat:      "x509",
	})
}

func proposeEnvelope(kind, version string) func(*signer, []byte, int) (models.ProposedEntry, error) {
	return func(s *signer, content []byte, n int) (models.ProposedEntry, error) {
		key, err := s.verifierPEM(n)
		if err != nil {
			return nil, err
		}
		env, err := envelope(inToto, statement(content), s)
		if err != nil {
			return nil, err
		}
		return types.NewProposedEntry(context.Background(), kind, version, types.ArtifactProperties{
			ArtifactBytes:  env,
			PublicKeyBytes: [][]byte{key},
		})
	}
}

// statement returns an in-toto statement about content.
func statement(content []byte) []byte {
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v0.1",`+
		`"predicateType":"https://slsa.dev/provenance/v0.2",`+
		`"subject":[{"name":"artifact","digest":{"sha256":"%x"}}],`+
		`"predicate":{"builder":{"id":"https://builder.example/1"},"buildType":"test","invocation":{"configSource":{}},`+
		`"materials":[{"uri":"git+https://git.example/repo","digest":{"sha1":"%.40x"}}]}}`,
		digest(content, crypto.SHA256), digest(append([]byte("material "), content...), crypto.SHA256))
}

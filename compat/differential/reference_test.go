package differential

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/go-openapi/runtime"
	"github.com/go-openapi/strfmt"
	v1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/log"
	"github.com/sigstore/rekor/pkg/types"
	_ "github.com/sigstore/rekor/pkg/types/alpine/v0.0.1"
	cose "github.com/sigstore/rekor/pkg/types/cose/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/dsse/v0.0.1"
	hashedrekord "github.com/sigstore/rekor/pkg/types/hashedrekord/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/helm/v0.0.1"
	intoto001 "github.com/sigstore/rekor/pkg/types/intoto/v0.0.1"
	intoto002 "github.com/sigstore/rekor/pkg/types/intoto/v0.0.2"
	_ "github.com/sigstore/rekor/pkg/types/jar/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/rekord/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/rfc3161/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/rpm/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/tuf/v0.0.1"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/cairnlog/cairn/entry"
)

// A verdict is what becomes of a proposal.
type verdict struct {
	err error // why it is refused

	leaf        []byte
	keys        []string // of the index
	keysErr     error    // there are none
	artifact    string
	attestation []byte
	readErr     error // why the leaf cannot be decoded again
}

// A reference decides as a Rekor v1 server with its default flags does, by
// Rekor's own code: everything up to the append. Two limits of the server are
// not set, because only its own packages can: see the table of differences.
type reference struct {
	algorithms *signature.AlgorithmRegistryConfig
}

func newReference() (*reference, error) {
	if err := silence(); err != nil {
		return nil, err
	}
	intoto001.SetMaxAttestationSize(entry.DefaultMaxAttachment)
	intoto002.SetMaxAttestationSize(entry.DefaultMaxAttachment)
	cose.SetMaxAttestationSize(entry.DefaultMaxAttachment)

	var allowed []v1.PublicKeyDetails
	for _, flag := range []string{
		"ecdsa-sha2-256-nistp256", "ecdsa-sha2-384-nistp384", "ecdsa-sha2-512-nistp521",
		"ed25519", "ed25519-ph",
		"rsa-sign-pkcs1-2048-sha256", "rsa-sign-pkcs1-3072-sha256", "rsa-sign-pkcs1-4096-sha256",
	} {
		a, err := signature.ParseSignatureAlgorithmFlag(flag)
		if err != nil {
			return nil, err
		}
		allowed = append(allowed, a)
	}
	r, err := signature.NewAlgorithmRegistryConfig(allowed)
	return &reference{r}, err
}

// silence keeps Rekor's code from logging each proposal that it refuses.
func silence() error {
	nothing, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	stderr := os.Stderr
	os.Stderr = nothing
	log.ConfigureLogger("dev", "")
	os.Stderr = stderr
	return nil
}

// check takes a request body through the server's checks in their order: those
// of an upload, or of a query for the entry if stored is set. A panic counts
// as a refusal, which is what the server makes of it.
func (r *reference) check(body []byte, stored bool) (v verdict) {
	defer func() {
		if p := recover(); p != nil {
			v = verdict{err: fmt.Errorf("panic: %v", p)}
		}
	}()
	pe, err := models.UnmarshalProposedEntry(bytes.NewReader(body), runtime.JSONConsumer())
	if err != nil {
		return verdict{err: err}
	}
	if err := pe.Validate(strfmt.Default); err != nil {
		return verdict{err: err}
	}
	var e types.EntryImpl
	if stored {
		e, err = types.UnmarshalEntry(pe)
	} else if e, err = types.CreateVersionedEntry(pe); err == nil {
		err = r.policy(e)
	}
	if err != nil {
		return verdict{err: err}
	}
	if v.leaf, err = types.CanonicalizeEntry(context.Background(), e); err != nil {
		return verdict{err: err}
	}
	v.keys, v.keysErr = e.IndexKeys()
	v.artifact, _ = e.ArtifactHash() // none is ""
	if a, ok := e.(types.EntryWithAttestationImpl); ok {
		_, v.attestation = a.AttestationKeyValue()
	}
	v.readErr = read(v.leaf)
	return v
}

// read decodes a leaf.
func read(leaf []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	pe, err := models.UnmarshalProposedEntry(bytes.NewReader(leaf), runtime.JSONConsumer())
	if err != nil {
		return err
	}
	_, err = types.UnmarshalEntry(pe)
	return err
}

// policy is the rule for keys and hashes that hashedrekord alone has.
func (r *reference) policy(e types.EntryImpl) error {
	if _, ok := e.(*hashedrekord.V001Entry); !ok {
		return nil
	}
	verifiers, err := e.Verifiers()
	if err != nil {
		return err
	}
	hash := crypto.SHA256
	if h, err := e.ArtifactHash(); err == nil {
		switch name, _, _ := strings.Cut(h, ":"); name {
		case "sha384":
			hash = crypto.SHA384
		case "sha512":
			hash = crypto.SHA512
		}
	}
	for _, v := range verifiers {
		ids, err := v.Identities()
		if err != nil {
			return err
		}
		for _, id := range ids {
			key := crypto.PublicKey(id.Crypto)
			if c, ok := key.(*x509.Certificate); ok {
				key = c.PublicKey
			}
			ok, err := r.algorithms.IsAlgorithmPermitted(key, hash)
			if err != nil {
				return err
			}
			if !ok {
				return errors.New("entry algorithms are not allowed")
			}
		}
	}
	return nil
}

// checkOurs asks Cairn the same.
func checkOurs(body []byte, stored bool) verdict {
	p, err := entry.ParseProposal(body)
	if err != nil {
		return verdict{err: err}
	}
	c, err := entry.Check(p, entry.Options{Stored: stored})
	if err != nil {
		return verdict{err: err}
	}
	v := verdict{leaf: c.Body, keys: c.Terms, artifact: c.Artifact, attestation: c.Attachment}
	_, v.readErr = entry.Read(c.Body)
	return v
}

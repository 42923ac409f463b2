package compat

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/go-openapi/runtime"
	"github.com/go-openapi/strfmt"
	v1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/types"
	hashedrekord "github.com/sigstore/rekor/pkg/types/hashedrekord/v0.0.1"
	"github.com/sigstore/sigstore/pkg/signature"
)

// A reference decides about proposals as a Rekor v1 server with its default
// flags does, by Rekor's own code: everything up to the append.
type reference struct {
	algorithms *signature.AlgorithmRegistryConfig
}

func newReference() (*reference, error) {
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

// A verdict is what the reference thinks of a proposal.
type verdict struct {
	err      error // why it is refused
	panicked bool  // it has no opinion
	readable bool  // what is stored can be read again

	leaf        []byte
	keys        []string // of the index
	attestation []byte
}

// check takes a request body through the server's checks in their order.
func (r *reference) check(body []byte) (v verdict) {
	defer func() {
		if p := recover(); p != nil {
			v = verdict{err: fmt.Errorf("panic: %v", p), panicked: true}
		}
	}()
	pe, err := models.UnmarshalProposedEntry(bytes.NewReader(body), runtime.JSONConsumer())
	if err != nil {
		return verdict{err: err}
	}
	if err := pe.Validate(strfmt.Default); err != nil {
		return verdict{err: err}
	}
	e, err := types.CreateVersionedEntry(pe)
	if err != nil {
		return verdict{err: err}
	}
	if err := r.policy(e); err != nil {
		return verdict{err: err}
	}
	if v.leaf, err = types.CanonicalizeEntry(context.Background(), e); err != nil {
		return verdict{err: err}
	}
	if v.keys, err = e.IndexKeys(); err != nil {
		v.keys = nil // the server goes on without
	}
	if a, ok := e.(types.EntryWithAttestationImpl); ok {
		_, v.attestation = a.AttestationKeyValue()
	}
	v.readable = readable(v.leaf)
	return v
}

// readable tells whether Rekor can decode a leaf and get the same leaf again,
// if that kind of leaf has all that is needed.
func readable(leaf []byte) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	pe, err := models.UnmarshalProposedEntry(bytes.NewReader(leaf), runtime.JSONConsumer())
	if err != nil {
		return false
	}
	_, err = types.UnmarshalEntry(pe)
	return err == nil
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

package entry

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"

	reference "github.com/secure-systems-lab/go-securesystemslib/dsse"
	"pgregory.net/rapid"

	"github.com/cairnlog/cairn/pki"
)

// A signer signs envelopes in tests.
type signer struct {
	crypto.Signer
	pem []byte
}

func newSigner(t testing.TB, key crypto.Signer, err error) signer {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return signer{key, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}
}

func newECDSA(t testing.TB) signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return newSigner(t, key, err)
}

func newEd25519(t testing.TB) signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return newSigner(t, key, err)
}

func (s signer) signature(t testing.TB, message []byte) []byte {
	t.Helper()
	h := crypto.Hash(0)
	if _, ok := s.Public().(*ecdsa.PublicKey); ok {
		sum := sha256.Sum256(message)
		message, h = sum[:], crypto.SHA256
	}
	sig, err := s.Sign(rand.Reader, message, h)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// seal makes an envelope signed by all signers.
func seal(t testing.TB, payloadType string, payload []byte, signers ...signer) *envelope {
	t.Helper()
	e := &envelope{PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString(payload)}
	for _, s := range signers {
		sig := s.signature(t, preAuthEncoding(payloadType, payload))
		e.Signatures = append(e.Signatures, envelopeSignature{Sig: base64.StdEncoding.EncodeToString(sig)})
	}
	return e
}

func (e *envelope) json(t testing.TB) []byte {
	t.Helper()
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPreAuthEncoding(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		payloadType, payload := rapid.String().Draw(t, "type"), rapid.SliceOf(rapid.Byte()).Draw(t, "payload")
		if got, want := preAuthEncoding(payloadType, payload), reference.PAE(payloadType, payload); string(got) != string(want) {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}

// A verifier makes a key one for the DSSE library.
type verifier struct{ key *pki.X509 }

func (v verifier) Verify(_ context.Context, message, sig []byte) error {
	return v.key.VerifyMessage(message, sha256.Sum256(message), sig)
}
func (v verifier) KeyID() (string, error)   { return "", nil }
func (v verifier) Public() crypto.PublicKey { return nil }

// referenceVerify is verify, on the DSSE library that Rekor uses.
func referenceVerify(e *envelope, pems []content, enough bool) (map[string]string, error) {
	var env reference.Envelope
	text, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &env); err != nil {
		return nil, err
	}
	missing, by := map[string]bool{}, map[string]string{}
	for _, sig := range env.Signatures {
		missing[sig.Sig] = true
	}
	for _, pem := range pems {
		if enough && len(missing) == 0 {
			break
		}
		key, err := pki.ParseX509(pem.raw)
		if err != nil {
			return nil, err
		}
		v, err := reference.NewEnvelopeVerifier(verifier{key})
		if err != nil {
			return nil, err
		}
		accepted, err := v.Verify(context.Background(), &env)
		if err != nil {
			return nil, err
		}
		for _, a := range accepted {
			delete(missing, a.Sig.Sig)
			by[a.Sig.Sig] = string(key.Canonical())
		}
	}
	if len(missing) > 0 {
		return nil, errors.New("missing signatures")
	}
	return by, nil
}

// TestVerifyLikeLibrary compares who verified what for envelopes with useful,
// useless and repeated signatures and keys in any order.
func TestVerifyLikeLibrary(t *testing.T) {
	t.Parallel()
	const payloadType, payload = "text/plain", "payload"
	pool := []signer{newEd25519(t), newECDSA(t), newECDSA(t)}
	var sigs []envelopeSignature
	for _, s := range append(pool, pool[1]) { // one key signs twice
		sig := s.signature(t, preAuthEncoding(payloadType, []byte(payload)))
		sigs = append(sigs, envelopeSignature{Sig: base64.StdEncoding.EncodeToString(sig)},
			envelopeSignature{KeyID: "any", Sig: base64.URLEncoding.EncodeToString(sig)})
	}
	sigs = append(sigs, envelopeSignature{Sig: ""}, envelopeSignature{Sig: "AAAA"}, envelopeSignature{Sig: "no base64"})
	keys := []content{{raw: []byte("no key")}}
	for _, s := range pool {
		keys = append(keys, content{raw: s.pem})
	}
	rapid.Check(t, func(t *rapid.T) {
		e := &envelope{PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString([]byte(payload))}
		// Mostly good ones, so that many are accepted.
		for _, i := range rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 5), rapid.IntRange(0, len(sigs)-1)), 0, 4).Draw(t, "signatures") {
			e.Signatures = append(e.Signatures, sigs[i])
		}
		var pems []content
		for _, i := range rapid.SliceOfN(rapid.OneOf(rapid.IntRange(1, 3), rapid.IntRange(0, 3)), 0, 5).Draw(t, "keys") {
			pems = append(pems, keys[i])
		}
		enough := rapid.Bool().Draw(t, "enough")
		if len(e.Signatures) == 0 {
			return // the kinds refuse that before
		}
		want, wantErr := referenceVerify(e, pems, enough)
		_, by, err := e.verify(pems, enough)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("verify: %v, the library: %v", err, wantErr)
		}
		if err != nil {
			return
		}
		if len(by.bySig) != len(want) {
			t.Fatalf("%d signatures, the library has %d", len(by.bySig), len(want))
		}
		for sig, key := range by.bySig {
			if string(key.Canonical()) != want[sig] {
				t.Fatalf("signature %q is by another key", sig)
			}
		}
	})
}

// refused checks that a proposal is refused for a reason with a text.
func refused(t *testing.T, p Proposal, o Options, reason Reason, text string) {
	t.Helper()
	c, err := Check(p, o)
	var e *Error
	if !errors.As(err, &e) || e.Reason != reason || !strings.Contains(err.Error(), text) {
		t.Errorf("Check: %v, %v, want reason %d and %q", c, err, reason, text)
	}
}

func TestSignerLimits(t *testing.T) {
	t.Parallel()
	s := newEd25519(t)
	many := make([]signer, maxSigners+1)
	keys := make([][]byte, maxSigners+1)
	for i := range many {
		many[i] = newEd25519(t)
		keys[i] = many[i].pem
	}
	one := seal(t, "text/plain", []byte("x"), s)
	full := seal(t, "text/plain", []byte("x"), many[:maxSigners]...)
	over := seal(t, "text/plain", []byte("x"), many...)

	if _, err := Check(NewDSSE(full.json(t), keys[:maxSigners]), Options{}); err != nil {
		t.Errorf("as many as allowed: %v", err)
	}
	refused(t, NewDSSE(over.json(t), keys[:maxSigners]), Options{}, Invalid, "more than 32 signatures")
	refused(t, NewDSSE(one.json(t), keys), Options{}, Invalid, "more than 32 verifiers")
	if _, err := NewIntoto("0.0.2", over.json(t), keys); err == nil {
		t.Error("NewIntoto takes too many signatures")
	}
	spec := fmt.Sprintf(`{"content":{"envelope":{"payloadType":"x","payload":"eA==","signatures":[%s{}]}}}`, strings.Repeat("{},", maxSigners))
	refused(t, Proposal{"intoto", "0.0.2", []byte(spec)}, Options{}, Invalid, "more than 32 signatures")
	spec = fmt.Sprintf(`{"signatures":[%s{}]}`, strings.Repeat("{},", maxSigners))
	refused(t, Proposal{"dsse", "0.0.1", []byte(spec)}, Options{Stored: true}, Invalid, "more than 32 signatures")
}

// A signature that readers of the log refuse is not taken in.
func TestDSSEUnreadableSignature(t *testing.T) {
	t.Parallel()
	s := newEd25519(t)
	payload := []byte("x")
	sig := s.signature(t, preAuthEncoding("text/plain", payload))
	for name, text := range map[string]string{
		"for URLs":        strings.NewReplacer("+", "-", "/", "_").Replace(base64.StdEncoding.EncodeToString(sig)),
		"with line break": base64.StdEncoding.EncodeToString(sig) + "\n",
	} {
		if !strings.ContainsAny(text, "-_\n") {
			continue // a signature without + and /, once in a while
		}
		e := seal(t, "text/plain", payload)
		e.Signatures = []envelopeSignature{{Sig: text}}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, NewDSSE(e.json(t), [][]byte{s.pem}), Options{}, Invalid, "standard base64 alphabet")
		})
	}
}

func TestIntotoKeyID(t *testing.T) {
	t.Parallel()
	s := newECDSA(t)
	key, err := pki.ParseX509(s.pem)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		id string
		ok bool
	}{
		"none":        {"", true},
		"fingerprint": {key.SSHFingerprint(), true},
		"other":       {"SHA256:x", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := seal(t, "text/plain", []byte("x"), s)
			e.Signatures[0].KeyID = tt.id
			p, err := NewIntoto("0.0.1", e.json(t), [][]byte{s.pem})
			if err != nil {
				t.Fatal(err)
			}
			if _, err = Check(p, Options{}); (err == nil) != tt.ok {
				t.Errorf("key id %q: %v", tt.id, err)
			}
		})
	}
}

func TestAttachmentLimit(t *testing.T) {
	t.Parallel()
	s := newECDSA(t)
	for _, tt := range []struct {
		name       string
		size, most int
		kept       bool
	}{
		// The limit is compared with the length of the base64, padding and all.
		{"default", DefaultMaxAttachment - 1, 0, true},
		{"padded over default", DefaultMaxAttachment, 0, false},
		{"given", 300, 300, true},
		{"padded over given", 304, 304, false},
		{"none", 1, -1, false},
		{"empty of none", 0, -1, false},
	} {
		for _, version := range []string{"0.0.1", "0.0.2"} {
			t.Run(tt.name+" "+version, func(t *testing.T) {
				t.Parallel()
				payload := []byte(strings.Repeat("x", tt.size))
				p, err := NewIntoto(version, seal(t, "text/plain", payload, s).json(t), [][]byte{s.pem})
				if err != nil {
					t.Fatal(err)
				}
				c, err := Check(p, Options{MaxAttachment: tt.most})
				if tt.size == 0 {
					if e := (*Error)(nil); !errors.As(err, &e) || e.Reason != NotInsertable {
						t.Errorf("empty payload: %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if kept := c.Attachment != nil; kept != tt.kept || kept && string(c.Attachment) != string(payload) {
					t.Errorf("%d bytes kept, want %t", len(c.Attachment), tt.kept)
				}
			})
		}
	}
}

package compat

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sigstore/rekor/pkg/generated/client/entries"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/types"
	"pgregory.net/rapid"
)

// TestBodies uploads each kind by each type of key, bare and certified, and
// compares with what Rekor's code makes of the same request: the body byte for
// byte, the attestation, and that each of its search keys finds the entry.
func TestBodies(t *testing.T) {
	r, err := newReference()
	if err != nil {
		t.Fatal(err)
	}
	onEach(t, func(t *testing.T, s *server) {
		l, err := openRekor(s.url)
		if err != nil {
			t.Fatal(err)
		}
		for _, keyType := range keyTypes {
			for _, k := range kinds() {
				t.Run(k.name+"-"+k.version+"-"+keyType, func(t *testing.T) {
					t.Parallel()
					authority, err := newSigner("p384")
					if err != nil {
						t.Fatal(err)
					}
					if err := authority.certifyCA(); err != nil {
						t.Fatal(err)
					}
					signer, err := newSigner(keyType)
					if err != nil {
						t.Fatal(err)
					}
					if err := signer.certify(authority, "Someone@Example.com", "https://ci.example/"+keyType, "host.example"); err != nil {
						t.Fatal(err)
					}
					for n := range len(signer.chain) + 1 {
						p, err := k.propose(signer, fmt.Appendf(nil, "%s by %d certificates", t.Name(), n), n)
						if err != nil {
							t.Fatal(err)
						}
						body, err := json.Marshal(p)
						if err != nil {
							t.Fatal(err)
						}
						compare(t, l, s.url, body, r.check(body))
					}
				})
			}
		}
	})
}

// compare uploads a request body and compares what becomes of it with what
// the reference says.
func compare(t testing.TB, l *rekorLog, url string, body []byte, want verdict) {
	t.Helper()
	resp, err := http.Post(url+"/api/v1/log/entries", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	accepted := resp.StatusCode == http.StatusCreated || resp.StatusCode == http.StatusConflict
	switch {
	case !accepted && (resp.StatusCode < 400 || resp.StatusCode >= 500):
		t.Fatalf("status %s: %s\nrequest: %s", resp.Status, answer, body)
	case want.panicked:
		return
	case accepted != (want.err == nil) && (accepted || want.readable):
		t.Fatalf("accepted: %v, %s %s\nreference: %v\nrequest: %s", accepted, resp.Status, answer, want.err, body)
	case !accepted:
		return
	}

	id := resp.Header.Get("Location")
	id = id[strings.LastIndex(id, "/")+1:]
	read, err := l.Entries.GetLogEntryByUUID(entries.NewGetLogEntryByUUIDParamsWithContext(t.Context()).WithEntryUUID(id))
	if err != nil {
		t.Fatalf("read %s: %v", id, err)
	}
	_, e, err := l.only(t.Context(), read.Payload)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := bodyOf(e)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want.leaf), string(leaf)); d != "" {
		t.Fatalf("body (-rekor +cairn):\n%s\nrequest: %s", d, body)
	}
	var attestation []byte
	if e.Attestation != nil {
		attestation = e.Attestation.Data
	}
	if !bytes.Equal(attestation, want.attestation) {
		t.Errorf("attestation is %q, want %q\nrequest: %s", attestation, want.attestation, body)
	}
	if resp.StatusCode == http.StatusConflict {
		return // its keys were found when it was new
	}
	for _, key := range want.keys {
		if key == "" || len(key) > 512 {
			continue // cannot be asked for
		}
		found, err := searchSubject(t.Context(), url, key)
		if err != nil || !slices.Contains(found, id) {
			t.Errorf("the search key %s finds %v (%v), want %s", key, found, err, id)
		}
	}
}

// TestVerdicts changes proposals at random, most of them into nonsense, and
// wants the verdict that Rekor's code gives: accepted or not, and as what.
func TestVerdicts(t *testing.T) {
	r, err := newReference()
	if err != nil {
		t.Fatal(err)
	}
	var (
		signers []*signer
		seeds   []any // decoded proposals
		spares  []any // values to put where they do not belong
	)
	for _, keyType := range []string{"p256", "p384", "ed25519", "rsa2048"} {
		signer, err := newSigner(keyType)
		if err != nil {
			t.Fatal(err)
		}
		if err := signer.certify(nil, "seed@example.com"); err != nil {
			t.Fatal(err)
		}
		signers = append(signers, signer)
		for n := range 2 {
			key, err := signer.verifierPEM(n)
			if err != nil {
				t.Fatal(err)
			}
			spares = append(spares, base64.StdEncoding.EncodeToString(key))
			for _, k := range kinds() {
				p, err := k.propose(signer, []byte("seed"), n)
				if err != nil {
					t.Fatal(err)
				}
				seeds = append(seeds, decode(t, p))
			}
		}
	}
	for _, k := range kinds()[2:] { // envelopes signed by two
		p, err := proposeBoth(k.name, k.version, signers[0], signers[3])
		if err != nil {
			t.Fatal(err)
		}
		seeds = append(seeds, decode(t, p))
	}
	spares = append(spares, "", "x", "AA==", "sha256", "sha512", hex.EncodeToString(make([]byte, 32)), "0.0.1", "0.0.2",
		nil, true, 1.5, []any{}, map[string]any{})

	onEach(t, func(t *testing.T, s *server) {
		l, err := openRekor(s.url)
		if err != nil {
			t.Fatal(err)
		}
		rapid.Check(t, func(rt *rapid.T) {
			for range 10 {
				v := clone(rapid.SampledFrom(seeds).Draw(rt, "seed"))
				for range rapid.IntRange(0, 3).Draw(rt, "changes") {
					v = mutate(rt, v, spares)
				}
				body := encode(rt, v)
				compare(tb{t, rt}, l, s.url, body, r.check(body))
			}
		})
	})
}

// proposeBoth makes a proposal of an envelope that two have signed. The first
// of the kinds of intoto has one key only.
func proposeBoth(kind, version string, a, b *signer) (models.ProposedEntry, error) {
	env, err := envelope(inToto, statement([]byte("seed of two")), a, b)
	if err != nil {
		return nil, err
	}
	props := types.ArtifactProperties{ArtifactBytes: env}
	for _, s := range []*signer{a, b} {
		key, err := s.publicPEM()
		if err != nil {
			return nil, err
		}
		if version != "0.0.1" || kind != "intoto" || len(props.PublicKeyBytes) == 0 {
			props.PublicKeyBytes = append(props.PublicKeyBytes, key)
		}
	}
	return types.NewProposedEntry(context.Background(), kind, version, props)
}

// decode returns a proposal as JSON values.
func decode(t *testing.T, p models.ProposedEntry) (v any) {
	t.Helper()
	body, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// A tb reports to rapid and has the rest from the test.
type tb struct {
	testing.TB
	rt *rapid.T
}

func (t tb) Helper()                      {}
func (t tb) Errorf(f string, args ...any) { t.rt.Errorf(f, args...) }
func (t tb) Fatalf(f string, args ...any) { t.rt.Fatalf(f, args...) }
func (t tb) Fatal(args ...any)            { t.rt.Fatal(args...) }

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		c := map[string]any{}
		for k, e := range v {
			c[k] = clone(e)
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i, e := range v {
			c[i] = clone(e)
		}
		return c
	}
	return v
}

// mutate returns v with one thing in it changed.
func mutate(t *rapid.T, v any, spares []any) any {
	if rapid.IntRange(0, 29).Draw(t, "replace") == 0 {
		return rapid.SampledFrom(spares).Draw(t, "spare")
	}
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			return v
		}
		names := slices.Sorted(func(yield func(string) bool) {
			for k := range v {
				if !yield(k) {
					return
				}
			}
		})
		name := rapid.SampledFrom(names).Draw(t, "member")
		if v["spec"] != nil && rapid.IntRange(0, 19).Draw(t, "top") != 0 {
			name = "spec" // where the interesting things are
		}
		switch rapid.IntRange(0, 39).Draw(t, "how") {
		case 0:
			delete(v, name)
		case 1:
			v["unknown"] = rapid.SampledFrom(spares).Draw(t, "spare")
		case 2:
			v[strings.ToUpper(name)] = v[name]
			delete(v, name)
		case 3:
			other := rapid.SampledFrom([]string{"hash", "payloadHash", "envelopeHash", "publicKey", "url", "format", "content", "signatures", "keyid"}).Draw(t, "name")
			v[other] = clone(v[name])
		default:
			v[name] = mutate(t, v[name], spares)
		}
		return v
	case []any:
		if len(v) == 0 {
			return append(v, rapid.SampledFrom(spares).Draw(t, "spare"))
		}
		i := rapid.IntRange(0, len(v)-1).Draw(t, "element")
		switch rapid.IntRange(0, 9).Draw(t, "how") {
		case 0:
			return slices.Delete(v, i, i+1)
		case 1:
			return slices.Insert(v, i, clone(v[i]))
		case 2:
			return slices.Insert(v, i, rapid.SampledFrom(spares).Draw(t, "spare"))
		}
		v[i] = mutate(t, v[i], spares)
		return v
	case string:
		return mutateString(t, v)
	}
	return v
}

// mutateString changes a string, or what it is the encoding of.
func mutateString(t *rapid.T, s string) string {
	how := rapid.IntRange(0, 11).Draw(t, "how")
	if how < 4 { // one layer down: JSON in a string, or base64
		var inner any
		if json.Unmarshal([]byte(s), &inner) == nil {
			if _, ok := inner.(map[string]any); ok {
				b, err := json.Marshal(mutate(t, inner, []any{"", nil, "AA==", 7.0}))
				if err != nil {
					t.Fatal(err)
				}
				return string(b)
			}
		}
		if b, err := base64.StdEncoding.DecodeString(s); err == nil && len(b) > 0 {
			return base64.StdEncoding.EncodeToString([]byte(mutateString(t, string(b))))
		}
	}
	at := func(label string) int { return rapid.IntRange(0, len(s)).Draw(t, label) }
	switch how {
	case 4:
		return strings.ToUpper(s)
	case 5:
		return strings.TrimRight(s, "=")
	case 6:
		return strings.NewReplacer("+", "-", "/", "_").Replace(s)
	case 7:
		i := at("cut")
		return s[:i]
	case 8:
		i := at("insert")
		return s[:i] + rapid.SampledFrom([]string{"\n", "\r\n", " ", "=", "A", "é", "\x00"}).Draw(t, "what") + s[i:]
	case 9:
		return rapid.SampledFrom([]string{"\n", " ", "\ufeff", "text before\n"}).Draw(t, "what") + s
	case 10:
		return s + rapid.SampledFrom([]string{"\n", " ", "\n\n", "text after", s}).Draw(t, "what")
	}
	if s == "" {
		return "x"
	}
	i := rapid.IntRange(0, len(s)-1).Draw(t, "flip")
	b := []byte(s)
	b[i] ^= 1
	return strings.ToValidUTF8(string(b), "?")
}

// encode writes v as JSON with the members in any order, now and then twice.
func encode(t *rapid.T, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for k := range v {
			names = append(names, k)
		}
		slices.Sort(names)
		names = rapid.Permutation(names).Draw(t, "order")
		if len(names) > 0 && rapid.IntRange(0, 30).Draw(t, "twice") == 0 {
			names = append(names, names[0])
		}
		b := []byte{'{'}
		for i, k := range names {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, encodeValue(t, k)...)
			b = append(b, ':')
			b = append(b, encode(t, v[k])...)
		}
		return append(b, '}')
	case []any:
		b := []byte{'['}
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, encode(t, e)...)
		}
		return append(b, ']')
	}
	return encodeValue(t, v)
}

func encodeValue(t *rapid.T, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

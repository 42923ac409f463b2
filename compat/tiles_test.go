package compat

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/note"
)

// verifiers returns a verifier for each checkpoint key of a server, made by
// the code of other logs from what Cairn tells its operator.
func verifiers(t *testing.T, s *server) []note.Verifier {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.data, "checkpoint.vkeys"))
	if err != nil {
		t.Fatal(err)
	}
	var v []note.Verifier
	for _, vkey := range strings.Fields(string(text)) {
		one, err := fnote.NewVerifier(vkey)
		if err != nil {
			t.Fatal(err)
		}
		v = append(v, one)
	}
	return v
}

// growV2 uploads n entries by the v2 API.
func growV2(t *testing.T, s *server, n int) {
	t.Helper()
	signer, err := newSigner("p256")
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(signer.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		content := fmt.Appendf(nil, "grow v2 %d", i)
		sig, err := signer.signDetached(content)
		if err != nil {
			t.Fatal(err)
		}
		request, err := json.Marshal(map[string]any{"hashedRekordRequestV002": map[string]any{
			"digest": digest(content, crypto.SHA256),
			"signature": map[string]any{
				"content": sig,
				"verifier": map[string]any{
					"publicKey":  map[string]any{"rawBytes": der},
					"keyDetails": "PKIX_ECDSA_P256_SHA_256",
				},
			},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if status, answer := uploadV2(t, s, request); status != http.StatusCreated {
			t.Fatalf("%s: %d %s", request, status, answer)
		}
	}
}

// rebuild reads every entry of a log with Tessera's client, makes the tree of
// them, and compares it with the checkpoint. It returns what entries it found
// by the version of their API.
func rebuild(t *testing.T, f *client.HTTPFetcher, v note.Verifier) (size uint64, versions map[string]int) {
	t.Helper()
	ctx := t.Context()
	c, _, _, err := client.FetchCheckpoint(ctx, f.ReadCheckpoint, v, origin)
	if err != nil {
		t.Fatal(err)
	}
	getSize := func(context.Context) (uint64, error) { return c.Size, nil }
	unpack := func(b []byte) ([][]byte, error) {
		var bundle api.EntryBundle
		err := bundle.UnmarshalText(b)
		return bundle.Entries, err
	}
	tree := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	proofs, err := client.NewProofBuilder(ctx, c.Size, f.ReadTile)
	if err != nil {
		t.Fatal(err)
	}
	versions = make(map[string]int)
	for e, err := range client.Entries(client.EntryBundles(ctx, 2, getSize, f.ReadEntryBundle, 0, c.Size), unpack) {
		if err != nil {
			t.Fatal(err)
		}
		hash := rfc6962.DefaultHasher.HashLeaf(e.Entry)
		if err := tree.Append(hash, nil); err != nil {
			t.Fatal(err)
		}
		hashes, err := proofs.InclusionProof(ctx, e.Index)
		if err != nil {
			t.Fatal(err)
		}
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, e.Index, c.Size, hash, hashes, c.Hash); err != nil {
			t.Fatal(err)
		}
		var body struct{ APIVersion string }
		if err := json.Unmarshal(e.Entry, &body); err != nil {
			t.Fatal(err)
		}
		versions[body.APIVersion]++
	}
	root, err := tree.GetRootHash(nil)
	if err != nil {
		t.Fatal(err)
	}
	if tree.End() != c.Size || !bytes.Equal(root, c.Hash) {
		t.Errorf("%d entries lead to %x, but the checkpoint has %d and %x", tree.End(), root, c.Size, c.Hash)
	}
	return c.Size, versions
}

// fetcher returns Tessera's client of a log below a URL.
func fetcher(t *testing.T, base string) *client.HTTPFetcher {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	f, err := client.NewHTTPFetcher(u, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestTessera follows a log with Tessera's client while it grows by both APIs,
// and reads all of it back.
func TestTessera(t *testing.T) {
	onEach(t, func(t *testing.T, s *server) {
		ctx := t.Context()
		v := verifiers(t, s)[0]
		for _, base := range []string{s.url + "/", s.url + "/api/v2/"} {
			f := fetcher(t, base)
			tracker, err := client.NewLogStateTracker(ctx, f.ReadTile, nil, v, origin, client.UnilateralConsensus(f.ReadCheckpoint))
			if err != nil {
				t.Fatal(err)
			}
			before := tracker.Latest().Size
			for _, n := range []int{3, 250, 20} {
				if err := grow(s.url, n); err != nil {
					t.Fatal(err)
				}
				growV2(t, s, 2)
				if _, _, _, err := tracker.Update(ctx); err != nil {
					t.Fatalf("the tree did not just grow: %v", err)
				}
			}
			if after := tracker.Latest().Size; after != before+3+250+20+3*2 {
				t.Errorf("the client saw the log grow from %d to %d", before, after)
			}
			size, versions := rebuild(t, f, v)
			if versions["0.0.1"] == 0 || versions["0.0.2"] == 0 || size < 256 {
				t.Errorf("%d entries, by version %v", size, versions)
			}
		}
	})
}

// TestCheckpointKeys has checkpoints signed with a key of each type, and each
// line verified by the code of other logs.
func TestCheckpointKeys(t *testing.T) {
	t.Parallel()
	s := newServer(t.TempDir(), "")
	for _, typ := range []string{"ed25519", "ml-dsa-44", "ecdsa"} {
		path := filepath.Join(t.TempDir(), typ+".pem")
		cmd := exec.CommandContext(t.Context(), "cairn", "keygen", "--origin", origin, "--type", typ, path)
		cmd.Env = plainEnvironment()
		vkey, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fnote.NewVerifier(strings.TrimSpace(string(vkey))); err != nil {
			t.Errorf("%s: %v", typ, err)
		}
		s.flags = append(s.flags, "--checkpoint-key", path)
	}
	run(t, s)
	if err := grow(s.url, 2); err != nil {
		t.Fatal(err)
	}
	f := fetcher(t, s.url+"/")
	known := verifiers(t, s)
	if len(known) != 3 {
		t.Errorf("%d keys", len(known))
	}
	for _, v := range known {
		c, raw, n, err := client.FetchCheckpoint(t.Context(), f.ReadCheckpoint, v, origin)
		if err != nil {
			t.Fatal(err)
		}
		if c.Size != 2 || len(n.Sigs) != 1 || len(n.UnverifiedSigs) != 2 {
			t.Errorf("%08x: %d of 2 lines in\n%s", v.KeyHash(), len(n.Sigs), raw)
		}
	}
}

// TestRotation changes the checkpoint key of a log between starts, while one
// client knows the old key and another one the new.
func TestRotation(t *testing.T) {
	t.Parallel()
	s := newServer(t.TempDir(), "")
	run(t, s)
	key, err := s.publicKey()
	if err != nil {
		t.Fatal(err)
	}
	old := verifiers(t, s)[0]
	oldPath, newPath := filepath.Join(s.data, "checkpoint-key.pem"), filepath.Join(t.TempDir(), "new.pem")
	cmd := exec.CommandContext(t.Context(), "cairn", "keygen", "--origin", origin, newPath)
	cmd.Env = plainEnvironment()
	vkey, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	next, err := fnote.NewVerifier(strings.TrimSpace(string(vkey)))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name      string
		keys      []string
		old, next bool // which key a client has to know
	}{
		{"before", nil, true, false},
		{"both", []string{oldPath, newPath}, true, true},
		{"the new one first", []string{newPath, oldPath}, true, true},
		{"after", []string{newPath}, false, true},
	} {
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		s.flags = nil
		for _, k := range step.keys {
			s.flags = append(s.flags, "--checkpoint-key", k)
		}
		if err := s.start(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if err := grow(s.url, 1); err != nil { // verified by Rekor's client: its key is the same
			t.Fatalf("%s: %v", step.name, err)
		}
		f := fetcher(t, s.url+"/")
		for v, knows := range map[note.Verifier]bool{old: step.old, next: step.next} {
			_, _, _, err := client.FetchCheckpoint(t.Context(), f.ReadCheckpoint, v, origin)
			if knows != (err == nil) {
				t.Errorf("%s: who knows %08x: %v", step.name, v.KeyHash(), err)
			}
		}
	}
	if size, _ := rebuild(t, fetcher(t, s.url+"/"), next); size != 4 {
		t.Errorf("%d entries", size)
	}
	if again, err := s.publicKey(); err != nil || !bytes.Equal(key, again) {
		t.Errorf("the log's key is another one: %v", err)
	}

	// A key that nobody knows, without one that somebody does.
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s.flags = []string{"--checkpoint-key", oldPath}
	if err := s.start(); err == nil || !strings.Contains(err.Error(), "clients know the checkpoints of this log by") {
		t.Errorf("back to the old key at once: %v", err)
	}
}

package checkpoint_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/merkle"
)

type vectors struct {
	Checkpoints []struct {
		Checkpoint, Hostname, Key string
		KeyHashHex                string `json:"key_hash_hex"`
		LogID                     string `json:"log_id"`
		LogPublicKeyPEM           string `json:"log_public_key_pem"`
		RootHashHex               string `json:"root_hash_hex"`
		SignedText                string `json:"signed_text"`
		Size                      int64
		TreeID                    string `json:"tree_id"`
	}
	Parsing []struct {
		Name, Text       string
		Parses, Verifies bool
	} `json:"checkpoint_parsing"`
}

func load(t testing.TB) vectors {
	t.Helper()
	b, err := os.ReadFile("testdata/checkpoints.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Checkpoints) == 0 || len(v.Parsing) == 0 {
		t.Fatal("no vectors")
	}
	return v
}

func parsePublic(t testing.TB, text string) crypto.PublicKey {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

func TestReferenceCheckpoints(t *testing.T) {
	t.Parallel()
	for _, v := range load(t).Checkpoints {
		t.Run(v.Key, func(t *testing.T) {
			t.Parallel()
			treeID, err := strconv.ParseInt(v.TreeID, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			root, err := merkle.ParseHash(v.RootHashHex)
			if err != nil {
				t.Fatal(err)
			}
			want := checkpoint.Checkpoint{
				Origin: checkpoint.V1Origin(v.Hostname, treeID),
				Tree:   merkle.Tree{Size: v.Size, Root: root},
			}
			if got := want.Text(); got != v.SignedText {
				t.Errorf("text:\n%s\nwant:\n%s", got, v.SignedText)
			}
			key := parsePublic(t, v.LogPublicKeyPEM)
			got, err := checkpoint.Open([]byte(v.Checkpoint), want.Origin, key)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("checkpoint (-want +got):\n%s", diff)
			}
			id, err := checkpoint.KeyID(key)
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(id[:]); got != v.LogID {
				t.Errorf("key id %s, want %s", got, v.LogID)
			}
			_, sigs, err := checkpoint.Parse([]byte(v.Checkpoint))
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(sigs[0].KeyHash[:]); len(sigs) != 1 || got != v.KeyHashHex || sigs[0].Name != v.Hostname {
				t.Errorf("signatures %v, want one of %s by %s", sigs, v.Hostname, v.KeyHashHex)
			}
		})
	}
}

func TestReferenceParsing(t *testing.T) {
	t.Parallel()
	v := load(t)
	key := parsePublic(t, v.Checkpoints[0].LogPublicKeyPEM)
	for _, c := range v.Parsing {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			if _, _, err := checkpoint.Parse([]byte(c.Text)); (err == nil) != c.Parses {
				t.Errorf("Parse: %v, reference parses it: %t", err, c.Parses)
			}
			if _, err := checkpoint.Open([]byte(c.Text), "", key); (err == nil) != c.Verifies {
				t.Errorf("Open: %v, reference verifies it: %t", err, c.Verifies)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	const (
		root = "SBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7I=\n"
		sig  = "— a AAAAAAA=\n"
		good = "a - 1\n5\n" + root + "\n" + sig
	)
	if _, _, err := checkpoint.Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, note := range map[string]string{
		"size over int64":            "a - 1\n9223372036854775808\n" + root + "\n" + sig,
		"size with zeros in front":   "a - 1\n05\n" + root + "\n" + sig,
		"size with plus":             "a - 1\n+5\n" + root + "\n" + sig,
		"two lines":                  "a - 1\n5\n\n" + sig,
		"root of 31 bytes":           "a - 1\n5\nSBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2dw==\n\n" + sig,
		"root with bits under pad":   "a - 1\n5\nSBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7J=\n\n" + sig,
		"carriage returns":           strings.ReplaceAll(good, "\n", "\r\n"),
		"escape sequence in origin":  "a\x1b[2J - 1\n5\n" + root + "\n" + sig,
		"bad UTF-8":                  "a\xff - 1\n5\n" + root + "\n" + sig,
		"no signature":               "a - 1\n5\n" + root + "\n",
		"hyphen for dash":            "a - 1\n5\n" + root + "\n" + strings.Replace(sig, "—", "-", 1),
		"signature name empty":       "a - 1\n5\n" + root + "\n—  AAAAAAA=\n",
		"signature name with plus":   "a - 1\n5\n" + root + "\n— a+b AAAAAAA=\n",
		"signature of four bytes":    "a - 1\n5\n" + root + "\n— a AAAAAA==\n",
		"signature in URL alphabet":  "a - 1\n5\n" + root + "\n— a AA__AAA=\n",
		"carriage return in base64":  "a - 1\n5\n" + root + "\n— a AAA\rAAAA=\n",
		"signature not base64":       "a - 1\n5\n" + root + "\n— a ?\n",
		"101 signatures":             "a - 1\n5\n" + root + "\n" + strings.Repeat(sig, 101),
		"over a mebibyte":            "a - 1\n5\n" + root + strings.Repeat("x\n", 1<<19) + "\n" + sig,
		"something after signatures": good + "x\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c, _, err := checkpoint.Parse([]byte(note)); err == nil {
				t.Errorf("parsed as %+v", c)
			}
		})
	}
}

func keys(t testing.TB) map[string]crypto.Signer {
	t.Helper()
	ks := map[string]crypto.Signer{}
	for name, curve := range map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()} {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		ks[name] = k
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ks["RSA"] = r
	_, e, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ks["Ed25519"] = e
	return ks
}

func TestSignAndOpen(t *testing.T) {
	t.Parallel()
	ks := keys(t)
	c := checkpoint.Checkpoint{
		Origin: checkpoint.V1Origin("log.example", 7),
		Tree:   merkle.Tree{Size: 3, Root: merkle.HashLeaf([]byte("x"))},
		Extra:  []string{"Timestamp: 1"},
	}
	for name, key := range ks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			note, err := checkpoint.Sign(c, "log.example", key)
			if err != nil {
				t.Fatal(err)
			}
			got, err := checkpoint.Open(note, c.Origin, key.Public())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c, got); diff != "" {
				t.Errorf("checkpoint (-want +got):\n%s", diff)
			}
			if _, err := checkpoint.Open(note, "log.example - 8", key.Public()); err == nil {
				t.Error("opened under another origin")
			}
			for other, k := range ks {
				if _, err := checkpoint.Open(note, "", k.Public()); (err == nil) != (other == name) {
					t.Errorf("open with key %s: %v", other, err)
				}
			}
			// A good key hash before a bad signature.
			text, line, _ := strings.Cut(string(note), "\n\n")
			f := strings.Fields(line)
			b, _ := base64.StdEncoding.DecodeString(f[2])
			b[len(b)-1] ^= 1
			bad := text + "\n\n" + "— log.example " + base64.StdEncoding.EncodeToString(b) + "\n"
			if _, err := checkpoint.Open([]byte(bad), "", key.Public()); !errors.Is(err, checkpoint.ErrSignature) {
				t.Errorf("open with a bit flipped: %v", err)
			}
		})
	}
}

func TestSignRefuses(t *testing.T) {
	t.Parallel()
	key := keys(t)["P-256"]
	weird, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	for name, c := range map[string]struct {
		origin, name string
		extra        []string
		tree         merkle.Tree
	}{
		"name with a space":       {origin: "a - 1", name: "a b"},
		"name with a plus":        {origin: "a - 1", name: "a+b"},
		"no name":                 {origin: "a - 1"},
		"no origin":               {name: "a"},
		"origin of two lines":     {origin: "a\x00b", name: "a"},
		"newline at the end":      {origin: "a - 1", name: "a\n"},
		"negative size":           {origin: "a - 1", name: "a", tree: merkle.Tree{Size: -1}},
		"control in a extra line": {origin: "a - 1", name: "a", extra: []string{"\t"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			note, err := checkpoint.Sign(checkpoint.Checkpoint{Origin: c.origin, Tree: c.tree, Extra: c.extra}, c.name, key)
			if err == nil {
				t.Errorf("signed %q", note)
			}
		})
	}
	if _, err := checkpoint.SignMessage(unusable{weird}, nil); err == nil {
		t.Error("signed with a key of unknown type")
	}
	if err := checkpoint.VerifyMessage("no key", nil, nil); err == nil {
		t.Error("verified with a key of unknown type")
	}
}

// unusable is a signer whose key is of a type nobody knows.
type unusable struct{ crypto.Signer }

func (unusable) Public() crypto.PublicKey { return struct{}{} }

func TestTextIsWhatWasParsed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.StringMatching(`[ -~é—]{0,20}`)
		c := checkpoint.Checkpoint{
			Origin: rapid.StringMatching(`[ -~é—]{1,20}`).Draw(t, "origin"),
			Tree: merkle.Tree{
				Size: rapid.Int64Min(0).Draw(t, "size"),
				Root: merkle.Hash(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "root")),
			},
		}
		if extra := rapid.SliceOfN(line, 0, 4).Draw(t, "extra"); len(extra) > 0 {
			c.Extra = extra
		}
		note := c.Text() + "\n— a AAAAAAA=\n"
		got, _, err := checkpoint.Parse([]byte(note))
		if err != nil {
			t.Fatalf("%q: %v", note, err)
		}
		if diff := cmp.Diff(c, got); diff != "" {
			t.Fatalf("checkpoint (-want +got):\n%s", diff)
		}
	})
}

func FuzzParse(f *testing.F) {
	v := load(f)
	for _, c := range v.Parsing {
		f.Add([]byte(c.Text))
	}
	for _, c := range v.Checkpoints {
		f.Add([]byte(c.Checkpoint))
	}
	key := parsePublic(f, v.Checkpoints[0].LogPublicKeyPEM)
	f.Fuzz(func(t *testing.T, note []byte) {
		c, sigs, err := checkpoint.Parse(note)
		if err != nil {
			return
		}
		if len(sigs) == 0 {
			t.Fatal("parsed without signatures")
		}
		text := c.Text()
		if !strings.HasPrefix(string(note), text+"\n— ") {
			t.Fatalf("text %q is not the start of %q", text, note)
		}
		if _, err := checkpoint.Open(note, "", key); err == nil && text != v.Checkpoints[0].SignedText {
			t.Fatalf("verified %q", note)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	c := checkpoint.Checkpoint{Origin: "localhost - 1", Tree: merkle.Tree{Size: 1 << 20}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := checkpoint.Sign(c, "localhost", key); err != nil {
			b.Fatal(err)
		}
	}
}

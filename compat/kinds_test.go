package compat

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sigstore/rekor/pkg/generated/client/entries"
)

// An upload is an artifact with what signed it, taken out of a recorded
// proposal, as rekor-cli wants it. For each flag it has the path of a member of
// the spec, whose content goes to a file; with "value " before it, or "text "
// if it is not in base64, or "is " and the flag's value.
type upload struct {
	kind, version, vector string
	flags                 map[string]string
	found                 []string // what it is searched by, at least
}

func uploads() []upload {
	type flags = map[string]string
	rekord := func(vector, format string, found ...string) upload {
		return upload{"rekord", "0.0.1", vector, flags{"artifact": "data.content", "signature": "signature.content",
			"public-key": "signature.publicKey.content", "pki-format": "is " + format}, append(found, "artifact", "sha", "public-key")}
	}
	return []upload{
		{"alpine", "0.0.1", "cert-as-key", flags{"artifact": "package.content", "public-key": "publicKey.content"},
			[]string{"artifact", "sha", "public-key"}},
		{"cose", "0.0.1", "cert-leaf", flags{"artifact": "message", "public-key": "publicKey"}, []string{"artifact", "sha", "public-key"}},
		{"cose", "0.0.1", "valid-aad", flags{"artifact": "message", "public-key": "publicKey", "aad": "value data.aad"},
			[]string{"artifact", "sha", "public-key"}},
		{"dsse", "0.0.1", "cert-many-sans", flags{"artifact": "text proposedContent.envelope", "public-key": "proposedContent.verifiers.0"},
			[]string{"artifact", "sha", "public-key", "email"}},
		{"hashedrekord", "0.0.1", "cert-leaf-many-sans", flags{"artifact-hash": "value data.hash.value", "signature": "signature.content",
			"public-key": "signature.publicKey.content", "pki-format": "is x509"}, []string{"sha", "public-key", "email"}},
		{"helm", "0.0.1", "valid-generated", flags{"artifact": "chart.provenance.content", "public-key": "publicKey.content", "pki-format": "is pgp"},
			[]string{"sha", "public-key", "email"}},
		{"intoto", "0.0.1", "cert-many-sans", flags{"artifact": "text content.envelope", "public-key": "publicKey"},
			[]string{"artifact", "sha", "public-key", "email"}},
		{"jar", "0.0.1", "valid-jarsigner-rsa", flags{"artifact": "archive.content"}, []string{"artifact", "sha"}},
		rekord("x509-cert-chain3", "x509"),
		rekord("pgp-rsa-generated", "pgp", "email"),
		rekord("minisign-full-key", "minisign"),
		rekord("ssh-ecdsa-sha512", "ssh"),
		{"rfc3161", "0.0.1", "valid-checkout-tsr", flags{"artifact": "tsr.content"}, []string{"artifact", "sha"}},
		{"rpm", "0.0.1", "valid-generated", flags{"artifact": "package.content", "public-key": "publicKey.content", "pki-format": "is pgp"},
			[]string{"artifact", "sha", "public-key", "email"}},
		{"tuf", "0.0.1", "valid-generated-base64", flags{"artifact": "metadata.content", "public-key": "root.content", "pki-format": "is tuf"},
			[]string{"public-key"}},
	}
}

// TestEveryKind uploads an artifact of every kind with rekor-cli, compares the
// leaf with the one that Rekor made of the same, and reads the entry back: by
// index, by id, by uuid, by what was uploaded, and by all that rekor-cli can
// search for. (Kind intoto 0.0.2 is in the scripts.)
func TestEveryKind(t *testing.T) {
	onEach(t, func(t *testing.T, s *server) {
		l, err := openRekor(s.url)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range uploads() {
			t.Run(u.kind+"-"+u.vector, func(t *testing.T) {
				t.Parallel()
				v := recordedEntry(t, u)
				cli := rekorCLI{server: s.url, dir: t.TempDir()}
				flags := u.write(t, v.Proposed.Spec, cli.dir)

				// 1. Upload, twice.
				var created struct {
					AlreadyExists bool
					Location      string
					Index         int64
				}
				arguments := slices.Concat([]string{"--type", u.kind + ":" + u.version}, flags)
				cli.json(t, &created, append([]string{"upload"}, arguments...)...)
				id := created.Location[strings.LastIndex(created.Location, "/")+1:]
				if created.AlreadyExists || len(id) != 80 {
					t.Fatalf("upload: %+v", created)
				}
				cli.json(t, &created, append([]string{"upload"}, arguments...)...)
				if !created.AlreadyExists || !strings.HasSuffix(created.Location, id) {
					t.Errorf("second upload: %+v", created)
				}

				// 2. Read it in each way: the same entry, with the leaf that Rekor made.
				read, err := l.Entries.GetLogEntryByUUID(entries.NewGetLogEntryByUUIDParamsWithContext(t.Context()).WithEntryUUID(id))
				if err != nil {
					t.Fatal(err)
				}
				_, e, err := l.only(t.Context(), read.Payload)
				if err != nil {
					t.Fatal(err)
				}
				leaf, err := bodyOf(e)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(string(v.Leaf), string(leaf)); d != "" {
					t.Errorf("leaf (-rekor +cairn):\n%s", d)
				}
				byID := cli.run(t, "get", "--uuid", id)
				for _, by := range [][]string{{"--uuid", id[16:]}, {"--log-index", strconv.FormatInt(*e.LogIndex, 10)}} {
					if d := cmp.Diff(byID, cli.run(t, append([]string{"get"}, by...)...)); d != "" {
						t.Errorf("get %s (-by id +by this):\n%s", by, d)
					}
				}
				for _, by := range [][]string{{"--uuid", id[16:]}, {"--log-index", strconv.FormatInt(*e.LogIndex, 10)}, arguments} {
					if out := cli.run(t, append([]string{"verify"}, by...)...); !strings.Contains(out, id[16:]) {
						t.Errorf("verify %s:\n%s", by, out)
					}
				}

				// 3. Search by whatever Rekor indexed.
				searched := map[string]bool{}
				search := func(by, value string, more ...string) {
					var found struct{ UUIDs []string }
					cli.json(t, &found, append([]string{"search", "--" + by, value}, more...)...)
					if !slices.Contains(found.UUIDs, id) {
						t.Errorf("search by %s %s finds %v, want %s", by, value, found.UUIDs, id)
					}
					searched[by] = true
				}
				for _, key := range v.Keys {
					switch {
					case hashKey.MatchString(key):
						search("sha", key)
					case strings.Contains(key, "@") && !strings.Contains(key, "://"):
						search("email", key)
					}
				}
				if file, err := os.ReadFile(filepath.Join(cli.dir, "artifact")); err == nil && slices.Contains(v.Keys, fmt.Sprintf("sha256:%x", sha256.Sum256(file))) {
					search("artifact", "artifact")
				}
				if u.flags["public-key"] != "" {
					format := strings.TrimPrefix(u.flags["pki-format"], "is ")
					if format == "" {
						format = "x509"
					}
					search("public-key", "public-key", "--pki-format", format)
				}
				for _, by := range u.found {
					if !searched[by] {
						t.Errorf("is not found by %s", by)
					}
				}
			})
		}
	})
}

// hashKey matches search keys that are hashes which can be asked for.
var hashKey = regexp.MustCompile(`^(sha1:[0-9a-f]{40}|sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)

// A recorded is what Rekor made of a proposal.
type recorded struct {
	Name     string
	Proposed struct{ Spec any }
	Leaf     []byte   `json:"canonical_b64"`
	Keys     []string `json:"index_keys"`
}

func recordedEntry(t *testing.T, u upload) recorded {
	t.Helper()
	text, err := os.ReadFile("../entry/testdata/" + u.kind + "-" + u.version + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var all []json.RawMessage // some are of another shape, on purpose
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if v := (recorded{}); json.Unmarshal(one, &v) == nil && v.Name == u.vector {
			return v
		}
	}
	t.Fatalf("%s %s has no vector %s", u.kind, u.version, u.vector)
	return recorded{}
}

// write makes the files that u needs, each named as its flag, and returns the
// flags.
func (u upload) write(t *testing.T, spec any, dir string) (flags []string) {
	t.Helper()
	for flag, path := range u.flags {
		how, rest, ok := strings.Cut(path, " ")
		if !ok {
			how, rest = "file", path
		}
		if how == "is" {
			flags = append(flags, "--"+flag, rest)
			continue
		}
		value := spec
		for name := range strings.SplitSeq(rest, ".") {
			switch v := value.(type) {
			case map[string]any:
				value = v[name]
			case []any:
				i, err := strconv.Atoi(name)
				if err != nil {
					t.Fatal(err)
				}
				value = v[i]
			}
		}
		text, ok := value.(string)
		if !ok {
			t.Fatalf("%s is %v", rest, value)
		}
		if how == "value" {
			flags = append(flags, "--"+flag, text)
			continue
		}
		content := []byte(text)
		if how == "file" {
			var err error
			if content, err = base64.StdEncoding.DecodeString(text); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, flag), content, 0o600); err != nil {
			t.Fatal(err)
		}
		flags = append(flags, "--"+flag, flag)
	}
	return flags
}

// A rekorCLI runs rekor-cli in a directory.
type rekorCLI struct{ server, dir string }

func (c rekorCLI) run(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "rekor-cli", append(args, "--rekor_server", c.server)...)
	cmd.Dir = c.dir
	cmd.Env = append(plainEnvironment(), "HOME="+c.dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("rekor-cli %s: %v\n%s%s", strings.Join(args, " "), err, out, &stderr)
	}
	return string(out)
}

func (c rekorCLI) json(t *testing.T, v any, args ...string) {
	t.Helper()
	out := c.run(t, append(args, "--format", "json")...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		t.Fatalf("rekor-cli %s: %v in %q", strings.Join(args, " "), err, out)
	}
}

package main

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v2 "github.com/cairnlog/cairn/api/v2"
	"github.com/cairnlog/cairn/sign"
)

// TestUploadRekor2 uploads a signature over the v2 API and verifies its file.
func TestUploadRekor2(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, "--data", dir)
	key, err := sign.NewKey(sign.ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	file, digest := []byte("hello\n"), sha256.Sum256([]byte("hello\n"))
	sig, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	public, err := sign.PublicPEM(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"hello": file, "hello.sig": sig, "key.pub": public} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	call := func(verb string, more ...string) (int, string) {
		var out, errOut bytes.Buffer
		args := append([]string{"cairn", verb, "-k", dir + "/key.pub", dir + "/hello", "--server", s.url, "--state", dir + "/state.json"}, more...)
		code := run(t.Context(), args, strings.NewReader(""), &out, &errOut)
		return code, out.String() + errOut.String()
	}
	if code, text := call("verify"); code != exitNotFound {
		t.Errorf("before the upload: exit code %d\n%s", code, text)
	}
	for _, want := range []string{"Created entry at index 0", "Entry already exists"} {
		if code, text := call("upload", "--api", "v2"); code != 0 || !strings.Contains(text, want) {
			t.Errorf("upload: exit code %d\n%s", code, text)
		}
	}
	for _, more := range [][]string{nil, {"--log-index", "0"}} {
		if code, text := call("verify", more...); code != 0 || !strings.Contains(text, "Entry Index in Current Tree: 0") {
			t.Errorf("%q: exit code %d\n%s", more, code, text)
		}
	}
}

// TestRekor2 uploads to a served log over the v2 API, and finds and reads what
// it uploaded with the commands, which speak v1.
func TestRekor2(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, "--data", dir)
	for kind, want := range map[string][]string{
		"hashedrekord": {`"HashedRekordObj":{"hashedRekordV002":`, `"APIVersion":"0.0.2"`, `"Value":"sha256:`, `"Names":["alice@example.com"]`},
		"dsse":         {`"DSSEObj":{"dsseV002":`, `"APIVersion":"0.0.2"`, `"Value":"sha256:`, `"Names":["alice@example.com"]`},
	} {
		text, err := os.ReadFile("../../entry/testdata/" + kind + "-0.0.2.json")
		if err != nil {
			t.Fatal(err)
		}
		var vectors []struct {
			Name     string
			Proposed json.RawMessage
		}
		if err := json.Unmarshal(text, &vectors); err != nil {
			t.Fatal(err)
		}
		for _, v := range vectors {
			if v.Name != "valid certificate PKIX_ECDSA_P256_SHA_256" {
				continue
			}
			res, err := http.Post(s.url+v2.PathEntries, "application/json", bytes.NewReader(v.Proposed))
			if err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || res.StatusCode != http.StatusCreated {
				t.Fatalf("%d %s, %v", res.StatusCode, answer, err)
			}
			id := strings.TrimPrefix(res.Header.Get("Location"), "/api/v1/log/entries/")
			call := func(args ...string) string {
				t.Helper()
				var out, errOut bytes.Buffer
				args = append(append([]string{"cairn"}, args...), "--server", s.url, "--state", dir+"/state.json")
				if code := run(t.Context(), args, strings.NewReader(""), &out, &errOut); code != 0 {
					t.Errorf("%q: exit code %d\n%s", args, code, &errOut)
				}
				return out.String() + errOut.String()
			}
			if found := call("search", "--email", "alice@example.com"); !strings.Contains(found, id) {
				t.Errorf("search finds %s, want %s", found, id)
			}
			shown := call("get", "--format", "json", "--uuid", id)
			for _, line := range want {
				if !strings.Contains(shown, line) {
					t.Errorf("get shows no %q:\n%s", line, shown)
				}
			}
		}
	}
}

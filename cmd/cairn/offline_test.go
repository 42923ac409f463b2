package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairnlog/cairn/checkpoint"
)

// TestBundleUpgrade makes a proof while a witness is away, and makes it one
// that satisfies the policy once it is back.
func TestBundleUpgrade(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, "log")
	vkey := initLog(t, data, "a.example")
	w := startWitness(t, "--name", "w.example", "--data", data+"w", "--log", vkey)
	policy := writePolicy(t, "# a note to self", "log "+vkey, w.policy, "quorum w.example")
	s := start(t, "--data", data, "--origin", "a.example", "--witness-policy", policy)
	text, err := os.ReadFile(policy)
	if err != nil {
		t.Fatal(err)
	}
	p, err := checkpoint.ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	cosigned(t, s.url, p, 0)
	if code := w.stop(); code != 0 {
		t.Fatalf("witness: exit code %d: %s", code, w.log)
	}

	cairn := func(args ...string) (code int, text string) {
		var out, errOut buffer
		code = run(t.Context(), append([]string{"cairn"}, append(args, "--server", s.url, "--state", filepath.Join(dir, "state.json"), "--retry", "0")...), nil, &out, &errOut)
		return code, out.String() + errOut.String()
	}
	must := func(want int, args ...string) string {
		t.Helper()
		code, text := cairn(args...)
		if code != want {
			t.Fatalf("cairn %s: exit code %d\n%s", strings.Join(args, " "), code, text)
		}
		return text
	}
	uploadSome(t, s.url, 1)
	proof, trusted := filepath.Join(dir, "a.tlog-proof"), filepath.Join(dir, "trust")
	must(0, "bundle", "0", "--as", "tlog-proof", "--out", proof)
	must(0, "trust", "--dir", trusted)
	served, err := os.ReadFile(filepath.Join(trusted, "tlog-policy"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(served), "note to self") || !strings.Contains(string(served), "\nwitness w.example ") {
		t.Errorf("policy for everybody:\n%s", served)
	}
	verify := []string{"verify", "--offline", "--log-only", "--bundle", proof, "--policy", filepath.Join(trusted, "tlog-policy")}
	must(exitUnverified, verify...)
	must(exitTrouble, "bundle", "--upgrade", proof, "--out", proof)

	startWitness(t, "--name", "w.example", "--data", data+"w", "--log", vkey, "--listen", strings.TrimPrefix(w.url, "http://"))
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		code, text := cairn("bundle", "--upgrade", proof, "--out", proof)
		if code == 0 {
			break
		}
		if code != exitTrouble || time.Now().After(deadline) {
			t.Fatalf("exit code %d\n%s", code, text)
		}
	}
	if text := must(0, verify...); !strings.Contains(text, "satisfies the policy") {
		t.Errorf("%s", text)
	}
}
